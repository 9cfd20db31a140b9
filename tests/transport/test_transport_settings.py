"""Settings from the environment, TLS files by host, and URLs as they may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import ConfigError, TransportError
from liftlock.transport.settings import Settings, TlsFiles
from liftlock.transport.urls import Origin, is_loopback, redact, split_url


def test_everything_can_be_set_by_the_environment_and_overridden() -> None:
    env = {
        "LIFTLOCK_PLAIN_HTTP": "a:5000, b",
        "LIFTLOCK_CA_FILE": "ca",
        "LIFTLOCK_CLIENT_CERT": "cert",
        "LIFTLOCK_CLIENT_KEY": "key",
        "LIFTLOCK_CONNECT_TIMEOUT": "1.5",
        "LIFTLOCK_READ_TIMEOUT": "2",
        "LIFTLOCK_CONNECTIONS": "3",
        "LIFTLOCK_REQUESTS_PER_SECOND": "0.5",
        "LIFTLOCK_ATTEMPTS": "7",
        "SSL_CERT_FILE": "system",
    }
    settings = Settings.from_environment(env, attempts=2)

    assert settings.plain_http == {"a:5000", "b"}
    assert settings.default_tls == TlsFiles("ca", "cert", "key")
    assert (settings.connect_timeout, settings.read_timeout) == (1.5, 2.0)
    assert (settings.connections, settings.requests_per_second, settings.attempts) == (3, 0.5, 2)
    assert settings.system_ca == "system"
    assert Settings.from_environment({})._replace(certificate_folders=()) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIFTLOCK_ATTEMPTS", "0"),
        ("LIFTLOCK_ATTEMPTS", "many"),
        ("LIFTLOCK_CONNECTIONS", "-1"),
        ("LIFTLOCK_READ_TIMEOUT", "nan"),
        ("LIFTLOCK_CONNECT_TIMEOUT", "inf"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Settings.from_environment({name: value})


def test_tls_files_come_from_the_settings_then_from_the_folders(tmp_path: Path) -> None:
    for tool in ("containers", "docker"):
        folder = tmp_path / tool / "certs.d" / "b:5000"
        folder.mkdir(parents=True)
        (folder / "ca.crt").touch()
    (tmp_path / "docker" / "certs.d" / "c").mkdir()
    for name in ("x.cert", "x.key", "lonely.cert"):
        (tmp_path / "docker" / "certs.d" / "c" / name).touch()
    (tmp_path / "docker" / "certs.d" / "empty").mkdir()
    given_files = TlsFiles("given")
    settings = Settings.from_environment(
        {"XDG_CONFIG_HOME": str(tmp_path)}, tls={"a:5000": given_files, "e": given_files}
    )

    assert settings.tls_files("a:5000") is given_files
    assert settings.tls_files("e:443") is given_files
    assert settings.tls_files("a") is None
    assert settings.tls_files("b:5000") == TlsFiles(str(tmp_path / "containers" / "certs.d" / "b:5000"))
    pair = tmp_path / "docker" / "certs.d" / "c"
    assert settings.tls_files("c") == TlsFiles("", str(pair / "x.cert"), str(pair / "x.key"))
    assert settings.tls_files("empty") is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h/v2/a?digest=sha256:1&n=5&last=x&mount=m&from=f&tag=t&artifactType=a",) * 1
        + ("https://h/v2/a?digest=sha256:1&n=5&last=x&mount=m&from=f&tag=t&artifactType=a",),
        ("https://h/a?X-Amz-Signature=s&_state=s&token=s", "https://h/a?X-Amz-Signature=***&_state=***&token=***"),
        ("https://h/a#s", "https://h/a"),
        ("https://u@p@h/", "https://h/"),
        ("http://[::1", "(not a URL)"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert redact(url) == shown


@given(st.text(max_size=60))
def test_any_text_is_a_usable_url_or_a_transport_error(text: str) -> None:
    for url in (text, f"https://{text}", f"https://host/{text}"):
        usable = _usable(url)
        if usable is not None:
            origin, target = usable
            assert origin.host
            assert target.startswith("/")
            assert f"{origin}{target}".isascii()
            assert not set(f"{origin}{target}") & set(" \r\n\t\0")


def _usable(url: str) -> tuple[Origin, str] | None:
    try:
        return split_url(url)
    except TransportError as error:
        if error.temporary:
            raise
        return None


@pytest.mark.parametrize(
    ("host", "yes"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.1.2", True),
        ("::1", True),
        ("127.0.0.1.example", False),
        ("127.0.0.256", False),
        ("10.0.0.1", False),
        ("::2", False),
        ("", False),
    ],
)
def test_what_is_loopback(host: str, yes: bool) -> None:
    assert is_loopback(host) is yes
