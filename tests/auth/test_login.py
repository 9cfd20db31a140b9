"""Logging in and out: tried on a real registry, kept where other tools look, and nothing else in the file touched."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftlock.auth.keychain import Keychain
from liftlock.auth.login import Stored, login, logout
from liftlock.auth.rewrite import rewrite
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, ConfigError, RegistryError, UsageError
from liftlock.transport.client import Transport
from liftlock.transport.settings import Settings
from tests.auth.support import PASSWORD
from tests.conftest import MakeFront, MakeRegistry, MakeTokenServer
from tests.support import faults, peers
from tests.support.registry import Registry


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / ".docker" / "config.json"


@pytest.fixture
def guarded(make_registry: MakeRegistry) -> Registry:
    return make_registry(user="ci", password=PASSWORD)


@pytest.fixture
def impatient() -> Iterator[Transport]:
    """A transport without retries."""
    transport = Transport(Settings(attempts=1))
    yield transport
    transport.close()


class Enter(Protocol):
    def __call__(self, registry: str, password: str = PASSWORD, *, by: Transport | None = None) -> Stored: ...


@pytest.fixture
def enter(transport: Transport, env: dict[str, str]) -> Enter:
    """Log in as `ci`."""

    def enter(registry: str, password: str = PASSWORD, *, by: Transport | None = None) -> Stored:
        return login(registry, "ci", Secret(password), transport=by or transport, env=env)

    return enter


def test_a_login_is_kept_for_its_owner_only_and_says_that_it_is_not_encrypted(
    enter: Enter, guarded: Registry, env: dict[str, str], config: Path
) -> None:
    stored = enter(guarded.host)

    assert (stored.registry, stored.place) == (guarded.host, str(config))
    assert [warning for warning in stored.warnings if "unencrypted" in warning and str(config) in warning]
    assert PASSWORD not in repr(stored)
    assert Keychain.from_environment(env).find(guarded.host, "app") == Credential("ci", Secret(PASSWORD))
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700


@pytest.mark.acceptance
def test_skopeo_reads_what_a_login_wrote(enter: Enter, guarded: Registry, env: dict[str, str]) -> None:
    enter(guarded.host)

    found = peers.run("skopeo", "login", "--tls-verify=false", "--get-login", guarded.host, env={**os.environ, **env})

    assert found.strip() == "ci"


def test_wrong_credentials_are_refused_and_not_kept(enter: Enter, guarded: Registry, config: Path) -> None:
    with pytest.raises(AccessDenied) as caught:
        enter(guarded.host, "wrong")

    assert "check user name and password" in caught.value.hint
    assert "wrong" not in str(caught.value)
    assert not config.exists()


def test_credentials_for_tokens_are_tried_on_the_token_server(
    enter: Enter,
    make_registry: MakeRegistry,
    make_token_server: MakeTokenServer,
    config: Path,
) -> None:
    tokens = make_token_server(user="ci", password=PASSWORD)
    guarded = make_registry(token=tokens)

    with pytest.raises(AccessDenied):
        enter(guarded.host, "wrong")
    assert not config.exists()
    enter(guarded.host)

    assert [(request.status, request.scopes) for request in tokens.requests()] == [(401, ()), (200, ())]
    assert config.exists()


def test_an_open_registry_cannot_check_them_and_that_is_said(enter: Enter, registry: Registry) -> None:
    assert any("could not be checked" in warning for warning in enter(registry.host).warnings)


def test_a_registry_in_trouble_keeps_nothing(
    enter: Enter, impatient: Transport, guarded: Registry, config: Path, make_front: MakeFront
) -> None:
    front = make_front(guarded)
    front.rule("GET", "^/v2/$", faults.error(500), times=None)

    with pytest.raises(RegistryError):
        enter(front.host, by=impatient)

    assert not config.exists()


@pytest.mark.parametrize(("username", "password"), [("", "pw"), ("a:b", "pw"), ("ci", "")])
def test_what_cannot_be_credentials_is_not_sent(
    transport: Transport, guarded: Registry, env: dict[str, str], username: str, password: str
) -> None:
    with pytest.raises(UsageError):
        login(guarded.host, username, Secret(password), transport=transport, env=env)

    assert guarded.requests() == []


@pytest.mark.parametrize("text", ["", "r.example/team", " "])
def test_a_login_is_for_a_whole_registry(enter: Enter, text: str) -> None:
    with pytest.raises(UsageError, match="is not a registry"):
        enter(text)


def test_a_registry_may_be_written_as_a_url(enter: Enter, guarded: Registry, config: Path) -> None:
    enter(f"https://{guarded.host}/v2/")

    assert list(json.loads(config.read_text())["auths"]) == [guarded.host]


def test_registry_auth_file_is_where_a_login_goes_when_it_is_set(
    enter: Enter, guarded: Registry, env: dict[str, str], config: Path, tmp_path: Path
) -> None:
    env["REGISTRY_AUTH_FILE"] = str(tmp_path / "new" / "auth.json")

    assert enter(guarded.host).place == env["REGISTRY_AUTH_FILE"]

    assert Keychain.from_environment(env).find(guarded.host, "app") is not None
    assert not config.exists()


def test_variables_that_come_first_are_mentioned(enter: Enter, guarded: Registry, env: dict[str, str]) -> None:
    env |= {"LIFTLOCK_REGISTRY": guarded.host, "LIFTLOCK_USERNAME": "other", "LIFTLOCK_PASSWORD": "pw"}

    assert any("LIFTLOCK_PASSWORD" in warning for warning in enter(guarded.host).warnings)


def test_without_any_place_a_login_says_what_to_set(transport: Transport, guarded: Registry) -> None:
    with pytest.raises(ConfigError) as caught:
        login(guarded.host, "ci", Secret(PASSWORD), transport=transport, env={})

    assert "HOME" in caught.value.hint


# --- the file -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("indent", ["\t", "  ", "    ", None])
@pytest.mark.parametrize("end", ["", "\n"])
def test_everything_else_in_the_file_stays_as_it_was(
    enter: Enter, guarded: Registry, config: Path, indent: str | None, end: str
) -> None:
    config.parent.mkdir()
    document = {
        "HttpHeaders": {"User-Agent": "Docker-Client"},
        "auths": {"other.example": {"auth": "b3RoZXI6cHc=", "email": "é@example.org"}, guarded.host: {"email": "x"}},
        "detachKeys": "ctrl-e,e",
        "plugins": {"-x-cli-hints": {"enabled": "false"}},
    }
    before = json.dumps(document, indent=indent) + end
    config.write_text(before)

    enter(guarded.host)

    after = config.read_text()
    written = json.loads(after)
    assert written["auths"][guarded.host].pop("auth")
    assert json.dumps(written, indent=indent) + end == before
    assert after == json.dumps(json.loads(after), indent=indent) + end


def test_an_older_form_of_the_secret_does_not_stay_behind(enter: Enter, guarded: Registry, config: Path) -> None:
    config.parent.mkdir()
    old = {"username": "old", "password": "old", "identitytoken": "old", "registrytoken": "old"}
    config.write_text(json.dumps({"auths": {guarded.host: old}}))

    enter(guarded.host)

    assert list(json.loads(config.read_text())["auths"][guarded.host]) == ["auth"]


def test_a_link_stays_a_link_and_its_target_is_replaced(
    enter: Enter, guarded: Registry, config: Path, tmp_path: Path
) -> None:
    target = tmp_path / "dotfiles" / "docker.json"
    target.parent.mkdir()
    target.write_text("{}")
    target.chmod(0o644)
    config.parent.mkdir()
    config.symlink_to(target)

    enter(guarded.host)

    assert config.is_symlink()
    assert guarded.host in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in (*config.parent.iterdir(), *target.parent.iterdir())) == [
        "config.json",
        "docker.json",
    ]


def test_a_malformed_file_is_reported_before_anything_is_sent(enter: Enter, guarded: Registry, config: Path) -> None:
    config.parent.mkdir()
    config.write_text('{\n"auths": {')

    with pytest.raises(ConfigError, match=r"config\.json:2"):
        enter(guarded.host)

    assert config.read_text() == '{\n"auths": {'
    assert guarded.requests() == []


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_left_behind(
    enter: Enter, guarded: Registry, tmp_path: Path
) -> None:
    (tmp_path / ".docker").write_text("a file where a folder should be")

    with pytest.raises(ConfigError, match=r"config\.json: cannot be written"):
        enter(guarded.host)

    assert (tmp_path / ".docker").read_text() == "a file where a folder should be"


def test_logins_at_the_same_time_are_all_kept(config: Path) -> None:
    def put(number: int) -> None:
        rewrite(str(config), lambda file: file.content.setdefault("auths", {}).update({f"r{number}": {}}))

    threads = [threading.Thread(target=put, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(json.loads(config.read_text())["auths"]) == [f"r{number}" for number in range(8)]


# Python escapes DEL, or not, on grounds of its own.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.dictionaries(TEXTS, st.recursive(st.none() | TEXTS | st.integers(), st.lists)),
    indent=st.sampled_from(["\t", " ", "  ", "    "]),
    escaped=st.booleans(),
    end=st.sampled_from(["", "\n"]),
)
def test_a_file_that_is_not_changed_is_written_as_it_was(
    tmp_path: Path, content: dict[str, object], indent: str, escaped: bool, end: str
) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=escaped) + end
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")

    rewrite(str(path), lambda _: None)

    assert path.read_text(encoding="utf-8") == text


# --- credential helpers -----------------------------------------------------------------------------------------------

KEEPER = """#!/bin/sh
# Keeps one credential in a file beside it.
case $1 in
store) cat >"$0.kept" ;;
get)
    read -r server
    [ ! -e "$0.kept" ] || exec cat "$0.kept"
    echo "credentials not found in native keychain"
    exit 1
    ;;
erase) read -r server; echo "$server" >"$0.erased"; rm -f "$0.kept" ;;
esac
"""


@pytest.fixture
def keeper(tmp_path: Path) -> Path:
    """A credential helper named `keeper`."""
    path = tmp_path / "bin" / "docker-credential-keeper"
    path.parent.mkdir()
    path.write_text(KEEPER)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("own", [True, False])
def test_a_configured_helper_keeps_the_login_and_the_file_is_not_touched(
    enter: Enter, guarded: Registry, config: Path, keeper: Path, own: bool
) -> None:
    config.parent.mkdir()
    text = json.dumps({"credHelpers": {guarded.host: "keeper"}} if own else {"credsStore": "keeper"})
    config.write_text(text)

    stored = enter(guarded.host)

    assert stored == Stored(guarded.host, "docker-credential-keeper", ())
    assert config.read_text() == text
    assert json.loads(Path(f"{keeper}.kept").read_text()) == {
        "ServerURL": guarded.host,
        "Username": "ci",
        "Secret": PASSWORD,
    }


def test_a_logout_has_the_helper_erase_what_it_keeps(
    enter: Enter, guarded: Registry, env: dict[str, str], config: Path, keeper: Path
) -> None:
    config.parent.mkdir()
    config.write_text('{"credsStore": "keeper"}')
    enter(guarded.host)
    assert Keychain.from_environment(env).find(guarded.host, "app") == Credential("ci", Secret(PASSWORD))

    assert logout(guarded.host, env=env).places == ("docker-credential-keeper",)

    assert Path(f"{keeper}.erased").read_text() == f"{guarded.host}\n"
    assert Keychain.from_environment(env).find(guarded.host, "app") is None
    assert logout(guarded.host, env=env).places == ()


def test_a_helper_that_cannot_store_is_named(enter: Enter, guarded: Registry, config: Path, keeper: Path) -> None:
    keeper.write_text("#!/bin/sh\ncat >/dev/null\necho 'the store is sealed' >&2\nexit 1\n")
    config.parent.mkdir()
    config.write_text('{"credsStore": "keeper"}')

    with pytest.raises(ConfigError, match=r"docker-credential-keeper cannot store .*: the store is sealed"):
        enter(guarded.host)


# --- logging out ------------------------------------------------------------------------------------------------------


def test_a_logout_removes_every_spelling_and_nothing_else(env: dict[str, str], config: Path) -> None:
    config.parent.mkdir()
    keys = ["r.example", "https://r.example/v1/", "r.example/team", "r.example:5000", "other.example"]
    config.write_text(json.dumps({"auths": {key: {"auth": "YTpi"} for key in keys}, "x": 1}))

    gone = logout("r.example", env=env)

    assert gone.places == (str(config),)
    assert json.loads(config.read_text()) == {"auths": {key: {"auth": "YTpi"} for key in keys[2:]}, "x": 1}
    assert logout("r.example", env=env).places == ()


def test_a_logout_says_which_places_still_have_credentials(env: dict[str, str], tmp_path: Path) -> None:
    other = tmp_path / "run" / "containers" / "auth.json"
    other.parent.mkdir(parents=True)
    other.write_text(json.dumps({"auths": {"r.example": {"auth": "YTpi"}}}))
    env |= {"LIFTLOCK_REGISTRY": "r.example", "LIFTLOCK_USERNAME": "ci", "LIFTLOCK_PASSWORD": "pw"}

    assert logout("r.example", env=env).remaining == ("LIFTLOCK_REGISTRY", str(other))


def test_docker_hub_is_kept_and_removed_under_dockers_name(env: dict[str, str], config: Path) -> None:
    config.parent.mkdir()
    config.write_text(json.dumps({"auths": {"https://index.docker.io/v1/": {"auth": "YTpi"}}}))

    assert logout("docker.io", env=env).places == (str(config),)
    assert json.loads(config.read_text()) == {"auths": {}}
