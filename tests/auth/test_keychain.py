"""Where credentials are found, and which of several places wins."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.auth.files import AuthFile, registry_key
from liftlock.auth.keychain import Keychain
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import ConfigError
from tests.conftest import MakeRegistry
from tests.support import peers

Write = Callable[[str, object], Path]


def entry(username: str, password: str = "pw", **more: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode(), **more}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a JSON document, or text as it is, and return its path."""

    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return path

    return write


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """Every folder of the user, all of them empty."""
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run"), "PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


def user(env: Mapping[str, str], registry: str, repository: str = "app") -> str | None:
    found = Keychain.from_environment(env).find(registry, repository)
    return None if found is None else found.username


DOCKER = ".docker/config.json"
RUNTIME = "run/containers/auth.json"
CONFIG = ".config/containers/auth.json"


# --- places ---------------------------------------------------------------------------------------------------------


def test_nobody_is_known_without_any_place(env: dict[str, str]) -> None:
    assert user(env, "r.example") is None
    assert user({"XDG_RUNTIME_DIR": "/nowhere"}, "r.example") is None


def test_places_are_asked_in_order_until_one_has_the_registry(
    env: dict[str, str], write: Write, tmp_path: Path
) -> None:
    def auths(username: str) -> object:
        return {"auths": {"r.example": entry(username)}}

    found = []
    for place in (CONFIG, RUNTIME, DOCKER):
        write(place, auths(place))
        found.append(user(env, "r.example"))
    env["DOCKER_CONFIG"] = str(write("elsewhere/config.json", auths("DOCKER_CONFIG")).parent)
    found.append(user(env, "r.example"))
    env["REGISTRY_AUTH_FILE"] = str(write("alone.json", auths("REGISTRY_AUTH_FILE")))
    found.append(user(env, "r.example"))
    env |= {"LIFTLOCK_REGISTRY": "r.example", "LIFTLOCK_USERNAME": "variables", "LIFTLOCK_PASSWORD": "pw"}
    found.append(user(env, "r.example"))

    assert found == [CONFIG, RUNTIME, DOCKER, "DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "variables"]


def test_a_later_place_serves_registries_that_an_earlier_one_does_not_know(env: dict[str, str], write: Write) -> None:
    write(DOCKER, {"auths": {"one.example": entry("one"), "two.example": {}}})
    write(CONFIG, {"auths": {"two.example": entry("two")}})

    assert [user(env, host) for host in ("one.example", "two.example", "three.example")] == ["one", "two", None]


def test_registry_auth_file_stands_alone(env: dict[str, str], write: Write) -> None:
    write(DOCKER, {"auths": {"r.example": entry("docker")}})
    env["REGISTRY_AUTH_FILE"] = str(write("alone.json", {}))

    assert user(env, "r.example") is None


def test_a_registry_auth_file_that_is_not_there_is_an_error(env: dict[str, str], tmp_path: Path) -> None:
    env["REGISTRY_AUTH_FILE"] = str(tmp_path / "missing.json")

    with pytest.raises(ConfigError, match=r"missing\.json: does not exist"):
        user(env, "r.example")


def test_xdg_config_home_moves_the_last_place(env: dict[str, str], write: Write, tmp_path: Path) -> None:
    write("moved/containers/auth.json", {"auths": {"r.example": entry("moved")}})
    env["XDG_CONFIG_HOME"] = str(tmp_path / "moved")

    assert user(env, "r.example") == "moved"


# --- variables ------------------------------------------------------------------------------------------------------


def test_variables_are_for_their_registry_only(env: dict[str, str]) -> None:
    env |= {"LIFTLOCK_REGISTRY": "r.example:5000", "LIFTLOCK_USERNAME": "ci", "LIFTLOCK_PASSWORD": "pw"}

    assert Keychain.from_environment(env).find("r.example:5000", "app") == Credential("ci", Secret("pw"))
    assert [user(env, host) for host in ("r.example", "r.example:50000", "other.example")] == [None] * 3


def test_variables_can_be_for_a_part_of_a_registry(env: dict[str, str]) -> None:
    env |= {"LIFTLOCK_REGISTRY": "r.example/team", "LIFTLOCK_USERNAME": "ci", "LIFTLOCK_PASSWORD": "pw"}

    assert [user(env, "r.example", name) for name in ("team/app", "team", "teams/app", "")] == ["ci", "ci", None, None]


@pytest.mark.parametrize("missing", ["LIFTLOCK_REGISTRY", "LIFTLOCK_USERNAME", "LIFTLOCK_PASSWORD"])
def test_incomplete_variables_are_an_error_that_names_what_is_missing(env: dict[str, str], missing: str) -> None:
    env |= {"LIFTLOCK_REGISTRY": "r.example", "LIFTLOCK_USERNAME": "ci", "LIFTLOCK_PASSWORD": "hunter2"}
    del env[missing]

    with pytest.raises(ConfigError, match=f"not {missing}") as caught:
        user(env, "r.example")

    assert "hunter2" not in str(caught.value)


# --- keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key",
    ["r.example", "R.Example", "https://r.example", "http://r.example/", "https://r.example/v1/", "r.example/v2/"],
)
def test_a_registry_may_be_written_in_many_ways(env: dict[str, str], write: Write, key: str) -> None:
    write(
        DOCKER, {"auths": {key: entry("found"), "https://r.example.evil": entry("evil"), "other.example": entry("o")}}
    )

    assert user(env, "r.example") == "found"


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "registry-1.docker.io"])
def test_docker_hub_has_many_names(env: dict[str, str], write: Write, key: str) -> None:
    write(DOCKER, {"auths": {key: entry("hub")}})

    assert user(env, "docker.io", "library/alpine") == "hub"


def test_dockers_own_key_for_docker_hub_comes_first(env: dict[str, str], write: Write) -> None:
    write(DOCKER, {"auths": {"docker.io": entry("other"), "https://index.docker.io/v1/": entry("docker")}})

    assert user(env, "docker.io", "library/alpine") == "docker"


def test_the_longest_path_wins(env: dict[str, str], write: Write) -> None:
    keys = ["r.example", "r.example/team", "r.example/team/app/web", "docker.io/team", "docker.io"]
    write(DOCKER, {"auths": {key: entry(key) for key in keys}})

    assert {
        name: user(env, "r.example", name) for name in ("team/app/web", "team/app", "team", "teams/app", "x", "")
    } == {
        "team/app/web": "r.example/team/app/web",
        "team/app": "r.example/team",
        "team": "r.example/team",
        "teams/app": "r.example",
        "x": "r.example",
        "": "r.example",
    }
    assert [user(env, "docker.io", name) for name in ("team/app", "library/app")] == ["docker.io/team", "docker.io"]


@given(st.text())
def test_reading_a_key_never_raises_and_is_stable(key: str) -> None:
    once = registry_key(key)
    if "://" not in once:
        assert registry_key(once) == once or once.endswith(("/v1", "/v2"))


# --- entries --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "credential"),
    [
        (entry("ci", "a:b c"), Credential("ci", Secret("a:b c"))),
        (entry("ci", "pw\0\0"), Credential("ci", Secret("pw"))),
        ({"username": "ci", "password": "pw"}, Credential("ci", Secret("pw"))),
        (entry("auth") | {"username": "ci", "password": "pw"}, Credential("auth", Secret("pw"))),
        (entry("$oauthtoken", "§ü"), Credential("$oauthtoken", Secret("§ü"))),
        (entry("ci", identitytoken="it"), Credential("ci", Secret("it"), "identity-token")),
        ({"identitytoken": "it"}, Credential("<token>", Secret("it"), "identity-token")),
        (entry("<token>", "it"), Credential("<token>", Secret("it"), "identity-token")),
        (entry("ci", registrytoken="rt"), Credential("ci", Secret("rt"), "bearer")),
        ({"registrytoken": "rt"}, Credential("", Secret("rt"), "bearer")),
        ({}, None),
        ({"auth": ""}, None),
        ({"email": "ci@example.org"}, None),
    ],
)
def test_every_form_of_an_entry_is_understood(
    env: dict[str, str], write: Write, fields: dict[str, str], credential: Credential | None
) -> None:
    write(DOCKER, {"auths": {"r.example": fields}})

    assert Keychain.from_environment(env).find("r.example", "app") == credential


# --- what is broken ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('{\n "auths": {,}\n}', 2, "is not JSON"),
        ('{"auths": ', 1, "is not JSON"),
        ("[]", 1, "is not a JSON object"),
        ("[" * 100_000, 0, "nested too deeply"),
        ('{\n "auths": []\n}', 2, "'auths' is not an object"),
        ('{\n "auths": {\n  "r.example": "x"\n }\n}', 3, "'r.example' is not an object"),
        ('{\n "auths": {\n  "r.example": {"auth": 1}\n }\n}', 3, "'auth' is not a string"),
        ('{\n "auths": {\n  "r.example": {"auth": "****"}\n }\n}', 3, "not the base64 of user:password"),
        ('{\n "auths": {\n  "r.example": {"auth": "bm9jb2xvbg=="}\n }\n}', 3, "not the base64 of user:password"),
        ('{\n "auths": {\n  "r.example": {"auth": "/////w=="}\n }\n}', 3, "not the base64 of user:password"),
        ('{\n "credHelpers": "x"\n}', 2, "'credHelpers' is not an object"),
        ('{\n "credHelpers": {\n  "r.example": "../../bin/sh"\n }\n}', 3, "does not name a credential helper"),
        ('{\n "credHelpers": {\n  "r.example": "-x"\n }\n}', 3, "does not name a credential helper"),
        ('{\n "credsStore": "/bin/sh"\n}', 2, "does not name a credential helper"),
        ('{\n "credsStore": "a b; rm -rf /"\n}', 2, "does not name a credential helper"),
        ('{\n "credsStore": 7\n}', 2, "does not name a credential helper"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(
    env: dict[str, str], write: Write, text: str, line: int, words: str
) -> None:
    path = write(DOCKER, text)

    with pytest.raises(ConfigError, match=words) as caught:
        user(env, "r.example")

    assert (caught.value.path, caught.value.line) == (str(path), line)


def test_an_empty_file_has_nothing(env: dict[str, str], write: Write) -> None:
    write(DOCKER, "\n")

    assert user(env, "r.example") is None


def test_a_byte_order_mark_does_no_harm(env: dict[str, str], write: Write) -> None:
    write(DOCKER, "\ufeff" + json.dumps({"auths": {"r.example": entry("ci")}}))

    assert user(env, "r.example") == "ci"


def test_a_file_that_cannot_be_read_is_named(env: dict[str, str], write: Write) -> None:
    path = write(DOCKER, "").parent
    (path / "config.json").unlink()
    (path / "config.json").mkdir()

    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        user(env, "r.example")


def test_a_file_that_is_not_text_is_named(env: dict[str, str], write: Write) -> None:
    write(DOCKER, "").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(ConfigError, match="is not UTF-8"):
        user(env, "r.example")


def test_a_broken_place_behind_the_answer_is_not_looked_at(env: dict[str, str], write: Write) -> None:
    write(DOCKER, {"auths": {"r.example": entry("ci")}})
    write(CONFIG, "{")

    assert user(env, "r.example") == "ci"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["auths", "credsStore", "auth", "r.example"]) | st.text(), inner)
        ),
    )
)
def test_no_document_ends_in_anything_but_an_answer_or_a_configuration_error(document: object) -> None:
    with contextlib.suppress(ConfigError):
        file = AuthFile("config.json", json.dumps(document))
        file.helper("r.example")
        file.store()
        file.credential("r.example", "team/app")


# --- credential helpers -----------------------------------------------------------------------------------------------


@pytest.fixture
def helper(tmp_path: Path) -> Callable[[str, str], Path]:
    """Install `docker-credential-NAME`: a shell script with this body, in which `$1` is the verb."""

    def install(name: str, body: str) -> Path:
        path = tmp_path / "bin" / f"docker-credential-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return path

    return install


Helper = Callable[[str, str], Path]
ANSWER = (
    """read -r server; echo "$1 $server" >>"$0.log"; echo '{"ServerURL":"x","Username":"helped","Secret":"s3cret"}'"""
)
NOT_FOUND = """cat >/dev/null; echo "credentials not found in native keychain"; exit 1"""


def test_a_helper_is_asked_for_its_registry_once(
    env: dict[str, str], write: Write, helper: Helper, tmp_path: Path
) -> None:
    program = helper("mine", ANSWER)
    write(DOCKER, {"credHelpers": {"r.example": "mine"}, "auths": {"r.example": entry("shadowed")}})
    keychain = Keychain.from_environment(env)

    threads = [threading.Thread(target=keychain.find, args=("r.example", f"app{number}")) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert keychain.find("r.example", "app") == Credential("helped", Secret("s3cret"))
    assert keychain.find("other.example", "app") is None
    assert Path(f"{program}.log").read_text() == "get r.example\n"


def test_the_store_is_asked_for_docker_hub_by_dockers_name(env: dict[str, str], write: Write, helper: Helper) -> None:
    program = helper("mine", ANSWER)
    write(DOCKER, {"credsStore": "mine"})

    assert user(env, "docker.io", "library/alpine") == "helped"
    assert Path(f"{program}.log").read_text() == "get https://index.docker.io/v1/\n"


def test_what_a_store_does_not_know_is_taken_from_the_file(env: dict[str, str], write: Write, helper: Helper) -> None:
    helper("empty", NOT_FOUND)
    write(DOCKER, {"credsStore": "empty", "auths": {"r.example": entry("file")}})

    assert user(env, "r.example") == "file"


def test_a_registrys_own_helper_is_not_gone_around_within_its_file(
    env: dict[str, str], write: Write, helper: Helper
) -> None:
    helper("empty", NOT_FOUND)
    helper("mine", ANSWER)
    write(DOCKER, {"credsStore": "mine", "credHelpers": {"r.example": "empty"}, "auths": {"r.example": entry("file")}})
    write(CONFIG, {"auths": {"r.example": entry("next file")}})

    assert user(env, "r.example") == "next file"


@pytest.mark.parametrize("body", ['echo "{}"', """echo '{"Username":"","Secret":""}'""", NOT_FOUND])
def test_a_helper_may_have_nothing(env: dict[str, str], write: Write, helper: Helper, body: str) -> None:
    helper("mine", body)
    write(DOCKER, {"credsStore": "mine"})

    assert user(env, "r.example") is None


def test_a_helper_may_give_an_identity_token(env: dict[str, str], write: Write, helper: Helper) -> None:
    helper("mine", """echo '{"Username":"<token>","Secret":"refresh"}'""")
    write(DOCKER, {"credsStore": "mine"})

    found = Keychain.from_environment(env).find("r.example", "app")
    assert found == Credential("<token>", Secret("refresh"), "identity-token")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("echo 'the agent is locked' >&2; exit 2", "docker-credential-mine fails for r.example: the agent is locked"),
        ("exit 1", "docker-credential-mine fails for r.example$"),
        ("""echo '{"Secret":"s3cret"}'; exit 1""", "docker-credential-mine fails for r.example$"),
        ("echo nonsense", "docker-credential-mine answers for r.example, but not in its protocol"),
        ("echo '[]'", "not in its protocol"),
        ("""echo '{"Username":1,"Secret":{}}'""", "not in its protocol"),
    ],
)
def test_a_failing_helper_is_named_and_gives_no_secret_away(
    env: dict[str, str], write: Write, helper: Helper, body: str, words: str
) -> None:
    helper("mine", body)
    write(DOCKER, {"credsStore": "mine", "auths": {"r.example": entry("file")}})

    with pytest.raises(ConfigError, match=words) as caught:
        user(env, "r.example")

    assert "s3cret" not in str(caught.value)


def test_a_helper_that_is_not_installed_is_named(env: dict[str, str], write: Write) -> None:
    write(DOCKER, {"credsStore": "desktop"})

    with pytest.raises(ConfigError, match="docker-credential-desktop is not on PATH"):
        user(env, "r.example")


def test_a_helper_that_cannot_run_is_named(env: dict[str, str], write: Write, helper: Helper) -> None:
    helper("mine", "").write_text("#!/no/such/interpreter\n")
    write(DOCKER, {"credsStore": "mine"})

    with pytest.raises(ConfigError, match=r"docker-credential-mine cannot be run: No such file"):
        user(env, "r.example")


def test_a_helper_that_never_answers_is_given_up(env: dict[str, str], helper: Helper) -> None:
    from liftlock.auth import credential_helper

    helper("mine", "exec sleep 600")

    with pytest.raises(ConfigError, match=r"docker-credential-mine does not answer within 0\.2 s"):
        credential_helper.get("mine", "r.example", env, timeout=0.2)


# --- other tools' files -----------------------------------------------------------------------------------------------


@pytest.mark.acceptance
@pytest.mark.parametrize("tool", ["skopeo", "podman"])
def test_what_other_tools_write_is_read(
    env: dict[str, str], tmp_path: Path, make_registry: MakeRegistry, tool: str
) -> None:
    guarded = make_registry(user="ci", password="a b:c")
    (tmp_path / "run").mkdir(mode=0o700)

    peers.run(tool, "login", "--tls-verify=false", "-u", "ci", "-p", "a b:c", guarded.host, env={**os.environ, **env})

    assert Keychain.from_environment(env).find(guarded.host, "app") == Credential("ci", Secret("a b:c"))
