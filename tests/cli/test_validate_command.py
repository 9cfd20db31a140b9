"""`validate`: the file by itself, what it warns of, and the registries that it names."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop
from tests.conftest import MakeRegistry, MakeTokenServer
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

PASSWORD = "correct horse"


def pipeline(dev: str, prod: str) -> str:
    return f"""\
        pipeline: demo
        images: [web, worker]
        variables: {{team: blue}}
        stages:
          - name: dev
            to: {dev}
            tags: ["{{build}}"]
          - name: prod
            after: [dev]
            to: ["{prod}", "oci:kept/{{image}}"]
            tags: ["{{build}}"]
    """


def log_in(home: Path, registry: Registry, password: str) -> None:
    auth = base64.b64encode(f"alice:{password}".encode()).decode()
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))


@pytest.fixture
def locked(make_registry: MakeRegistry) -> Registry:
    return make_registry(user="alice", password=PASSWORD)


@pytest.fixture
def workshop(tmp_path: Path, registry: Registry, locked: Registry) -> Workshop:
    return Workshop(
        tmp_path / "project", pipeline(f"{registry.host}/{{team}}/{{image}}", f"{locked.host}/prod-{{image}}")
    )


def test_credentials_that_may_push_are_found_good_and_nothing_is_pushed(
    workshop: Workshop, registry: Registry, locked: Registry, home: Path
) -> None:
    log_in(home, locked, PASSWORD)
    locked.forget()

    found = workshop.json("validate", "--online")["places"]

    assert [(each["registry"], each["repository"], each["stages"], each["mayPush"]) for each in found] == [
        (registry.host, "blue/web", ["dev"], True),
        (registry.host, "blue/worker", ["dev"], True),
        (locked.host, "prod-web", ["prod"], True),
        (locked.host, "prod-worker", ["prod"], True),
    ]
    assert locked.count("POST", status=202) == locked.count("DELETE", status=204) == 2
    assert locked.count("PUT") == locked.count("PATCH") == 0
    with locked.wire() as wire:
        assert json.loads(wire.request("GET", "/v2/_catalog").body) == {"repositories": []}


@pytest.mark.parametrize("password", ["wrong", None])
def test_credentials_that_may_not_push_are_named(
    workshop: Workshop, registry: Registry, locked: Registry, home: Path, password: str | None
) -> None:
    if password:
        log_in(home, locked, password)

    done = workshop.run("validate", "--online", "-o", "json", check=False)

    assert done.code == 4
    assert json.loads(done.err)["message"] == "2 places of the pipeline do not take a push"
    assert [(each["registry"], each["mayPush"]) for each in done.json()["places"]] == [
        (registry.host, True), (registry.host, True), (locked.host, False), (locked.host, False),
    ]  # fmt: skip
    problem = done.json()["places"][2]["problem"]
    assert problem["code"] == "denied"
    assert locked.host in problem["message"] + problem["hint"]
    assert "wrong" not in done.out + done.err


def test_people_see_a_line_for_each_place(workshop: Workshop, registry: Registry, locked: Registry) -> None:
    done = workshop.run("validate", "--online", check=False)

    assert done.code == 4
    lines = done.out.splitlines()
    assert lines[0] == "liftlock.yaml is valid: pipeline demo, 2 images, 2 stages"
    assert lines[1].split() == [f"{registry.host}/blue/web", "dev", "may", "push"]
    assert lines[3].split() == [f"{locked.host}/prod-web", "prod", "failed"]
    assert f"{locked.host}/prod-web: cannot upload" in done.out or f"liftlock login {locked.host}" in done.out


def test_credentials_that_may_only_pull_are_told_from_those_that_may_push(
    workshop: Workshop, home: Path, make_registry: MakeRegistry, make_token_server: MakeTokenServer
) -> None:
    tokens = make_token_server(user="alice", password=PASSWORD)
    guarded = make_registry(token=tokens)
    log_in(home, guarded, PASSWORD)
    workshop.write(pipeline("oci:dev/{image}", f"{guarded.host}/{{image}}"))
    scopes = ("repository:web:pull,push", "repository:worker:pull")
    tokens.answer_always(200, body=json.dumps({"token": tokens.sign(scopes)}).encode())

    done = workshop.run("validate", "--online", "-o", "json", check=False)

    assert done.code == 4
    assert [(each["repository"], each["mayPush"]) for each in done.json()["places"]] == [
        ("web", True), ("worker", False),
    ]  # fmt: skip


def test_a_registry_that_takes_nothing_is_a_failure(workshop: Workshop, make_registry: MakeRegistry) -> None:
    full = make_registry(read_only=True)
    workshop.write(pipeline("oci:dev/{image}", f"{full.host}/{{image}}"))

    done = workshop.run("validate", "--online", check=False)

    assert done.code == 1
    assert f"{full.host}/web: cannot upload to it" in done.out
    assert "2 places of the pipeline do not take a push" in done.err


def test_a_registry_that_is_gone_is_a_failure_and_does_not_hide_the_others(
    workshop: Workshop, registry: Registry, make_registry: MakeRegistry
) -> None:
    gone = make_registry()
    workshop.write(pipeline(f"{gone.host}/{{image}}", f"{registry.host}/{{image}}"))
    gone.kill()

    done = workshop.run("validate", "--online", "-o", "json", check=False, env={"LIFTLOCK_ATTEMPTS": "1"})

    assert done.code == 1
    assert [each["mayPush"] for each in done.json()["places"]] == [False, False, True, True]
    assert done.json()["places"][0]["problem"]["code"] == "transport"


def test_what_only_a_release_knows_is_said_to_be_unknown(workshop: Workshop, registry: Registry) -> None:
    workshop.write(pipeline(f"{registry.host}/{{label.team}}/{{image}}", "{region}.example/{image}"))

    places = workshop.json("validate", "--online")["places"]
    assert [(each["registry"], each["unknown"], each["mayPush"]) for each in places] == [
        (registry.host, ["label.team"], None),
        ("", ["region"], None),
    ]
    text = workshop.run("validate", "--online").out
    assert "answers; the rest depends on {label.team}" in text
    assert "not asked; the rest depends on {region}" in text


def test_a_variable_may_be_given(workshop: Workshop, registry: Registry) -> None:
    workshop.write(pipeline("oci:dev/{image}", "{host}/{image}"))

    places = workshop.json("validate", "--online", "--var", f"host={registry.host}")["places"]

    assert [(each["repository"], each["mayPush"]) for each in places] == [("web", True), ("worker", True)]
    assert "--online" in workshop.fails(2, "validate", "--var", "host=x")
    assert "nothing in pipeline 'demo' uses" in workshop.fails(2, "validate", "--online", "--var", "hots=x")


def test_without_online_nobody_is_asked(workshop: Workshop, registry: Registry) -> None:
    registry.forget()

    found = workshop.json("validate")

    assert "places" not in found
    assert (found["pipeline"], found["stages"], found["warnings"]) == ("demo", ["dev", "prod"], [])
    assert registry.requests() == []


def test_a_pinned_source_that_is_not_stored_is_warned_of(workshop: Workshop) -> None:
    workshop.write("""\
        pipeline: demo
        images: [web]
        source: registry.example/web:{tag}
        stages:
          - {name: prod, to: "prod.example/{image}", tags: ["{tag}"]}
    """)

    done = workshop.run("validate")
    assert "warning: images of source are pinned where they are and not stored" in done.err
    assert "hint: say store: ./artifacts" in done.err
    assert len(workshop.json("validate")["warnings"]) == 1
