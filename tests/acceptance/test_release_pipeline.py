"""A tar through Dev, Test and Prod as a release pipeline does it: by itself, past gates and approvals, and told of.

The whole of it on real parts: two docker-registry servers, an HTTP service that is asked and one that is told, several
persons, each command a process of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop, two_images
from tests.support import archives, remote
from tests.support.receiver import Receiver, Reply
from tests.support.registry import Registry

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]

PIPELINE = """\
    pipeline: demo-app
    images: [web, worker]
    groups: {{release-managers: [lead, on-call, anna]}}
    stages:
      - name: dev
        trigger: on-publish
        to: {dev}/dev-{{image}}
        tags: ["{{build}}", latest]
        notify: [{{registry-push: {{url: env:DEV_HOOK, format: acr, allow-private: true}}}}]
      - name: test
        after: [dev]
        trigger: on-success
        to: {dev}/test-{{image}}
        tags: ["{{build}}"]
        gates:
          - http: {{url: {health}/ready, allow-private: true}}
        sampling: {{every: 1s}}
        approvals: {{from: [release-managers], count: 1}}
      - name: prod
        after: [test]
        trigger: on-success
        to: {prod}/prod-{{image}}
        tags: ["{{build}}", stable]
        gates: [{{soak: 1s}}]
        sampling: {{every: 1s}}
        approvals: {{from: [release-managers], count: 2, expires: 72h}}
        notify:
          - webhook: {{url: env:PROD_HOOK, secret: env:PROD_SECRET, allow-private: true}}
            on: [success, approval-needed]
"""


@pytest.fixture
def host_service() -> Iterator[Receiver]:
    """What runs the images, and wants to be told."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def health() -> Iterator[Receiver]:
    """What the gate before test asks."""
    with Receiver() as receiver:
        receiver.always(Reply(503))
        yield receiver


def test_a_build_travels_by_itself_past_gates_and_approvals_and_its_hosts_are_told(
    *, tmp_path: Path, registry: Registry, other_registry: Registry, repo: str, host_service: Receiver, health: Receiver
) -> None:
    prefix = repo.partition("/")[0]
    workshop = Workshop(
        tmp_path / "project",
        PIPELINE.format(dev=f"{registry.host}/{prefix}", prod=f"{other_registry.host}/{prefix}", health=health.url),
    )
    secrets = {
        "DEV_HOOK": f"http://$site:hush-hush@{host_service.host}/dev",
        "PROD_HOOK": f"{host_service.url}/prod",
        "PROD_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }

    def by(person: str) -> dict[str, str]:
        return {"LIFTLOCK_USER": person, **secrets}

    saved = {f"{name}:1.0": image for name, image in two_images(tmp_path / "build").items()}
    archives.synthetic_docker24(workshop.folder / "app.tar", saved)

    # The build: its tar is published with its build id, by the one who wrote the commit.
    sources = [f"{name}=docker-archive:app.tar:{name}:1.0" for name in ("web", "worker")]
    published = workshop.json(
        "artifact", "publish", *sources, "--build", "42", "--commit", "3f2c1e9", "--author", "anna", env=by("anna")
    )
    digests = {name: image["digest"] for name, image in published["images"].items()}

    # The release has started by itself: dev gets the images, and its host is told which.
    workshop.run("worker", "--until-idle", env=by("ci"))
    assert workshop.states()["42"]["dev"] == "here"
    pushes = [push for push in host_service.requests if push.path == "/dev"]
    assert {(push.json()["target"]["tag"], push.json()["target"]["digest"]) for push in pushes} == {
        (tag, digest) for tag in ("42", "latest") for digest in digests.values()
    }

    # Test was asked for by itself. Its gate does not pass, and nobody has approved.
    waiting = workshop.run("explain", "42", "--to", "test", "-o", "json", env=by("ci"), check=False)
    assert waiting.code == 8, str(waiting)
    outcomes = {each["kind"]: each["outcome"] for each in waiting.json()["conditions"]}
    assert outcomes["after"] == "pass"
    assert outcomes["gate"] != "pass"
    assert outcomes["approvals"] == "wait"

    # Who wrote the commit may not approve it; the gate passes once the service is well.
    assert "anna" in workshop.fails(3, "approve", "42", "--to", "test", env=by("anna"))
    health.always(Reply(200))
    workshop.run("approve", "42", "--to", "test", env=by("lead"))
    workshop.run("promote", "42", "--to", "test", "--wait=40s", env=by("ci"))
    assert workshop.states()["42"]["test"] == "here"

    # Production: a soak, and two persons.
    workshop.run("approve", "42", "--to", "prod", "--comment", "looks good", env=by("lead"))
    workshop.run("worker", "--until-idle", env=by("ci"))
    assert workshop.states()["42"]["prod"] == "waiting"
    workshop.run("approve", "42", "--to", "prod", env=by("on-call"))
    workshop.run("promote", "42", "--to", "prod", "--wait=40s", env=by("ci"))
    assert workshop.states() == {"42": {"dev": "here", "test": "here", "prod": "here"}}

    # One digest in every registry, under the build's id.
    for stage, place in (("dev", registry), ("test", registry), ("prod", other_registry)):
        for name, digest in digests.items():
            assert remote.digest_of(place, f"{prefix}/{stage}-{name}", "42") == digest
            assert remote.walk(place, f"{prefix}/{stage}-{name}", "42")
    workshop.run("worker", "--until-idle", env=by("ci"))
    told = [push.json() for push in host_service.requests if push.path == "/prod"]
    assert [one["type"] for one in told].count("promotion.success") == 1
    assert "promotion.approval-needed" in {one["type"] for one in told}

    # The trace answers in both directions, and the ledger holds.
    trace = workshop.json("trace", f"{other_registry.host}/{prefix}/prod-web:stable")
    text = json.dumps(trace)
    assert {"42", "3f2c1e9", "anna", "local:lead", "local:on-call", "looks good"} <= set(_texts(trace))
    assert digests["web"] in text
    workshop.run("ledger", "verify")
    exported = workshop.run("ledger", "export").out
    (arrived,) = [
        entry["data"]
        for entry in (json.loads(line)["entry"] for line in exported.splitlines())
        if entry["kind"] == "attempt.ended" and entry["data"]["stage"] == "prod"
    ]
    assert {(move["tag"], move["old"], move["new"]) for move in arrived["tags"]} == {
        (tag, None, digest) for tag in ("42", "stable") for digest in digests.values()
    }
    everything = text + exported + "".join(path.read_bytes().decode("latin-1") for path in _state(workshop.folder))
    for secret in ("hush-hush", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"):
        assert secret not in everything


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _state(folder: Path) -> list[Path]:
    return [path for path in (folder / ".liftlock").glob("liftlock.db*") if path.is_file()]
