"""approve, override, hold, rollback, explain, watch, diff: what is said, and what the commands end with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop
from tests.support import images
from tests.support.images import Image

pytestmark = pytest.mark.acceptance

PIPELINE = """\
    pipeline: demo
    images: [web]
    groups: {leads: [anna, ben], on-call: [cleo]}
    stages:
      - {name: dev, to: "oci:dev", tags: [latest]}
      - name: prod
        after: [dev]
        to: "oci:prod"
        tags: [stable]
        approvals: {from: [leads]}
        override: {from: [on-call]}
        rollback: {without: [approvals]}
"""


@pytest.fixture
def builds(tmp_path: Path) -> dict[str, Image]:
    return {build: images.make_image(tmp_path / build, "v", layers=1, seed=build) for build in ("41", "42")}


@pytest.fixture
def workshop(tmp_path: Path, builds: dict[str, Image]) -> Workshop:
    made = Workshop(tmp_path / "project", PIPELINE)
    made.release("42", web=f"oci:{builds['42'].layout}:v")
    return made


def user(name: str) -> dict[str, str]:
    return {"LIFTLOCK_USER": name}


def test_a_release_waits_for_the_word_of_a_person(workshop: Workshop, builds: dict[str, Image]) -> None:
    workshop.run("promote", "42", "--to", "dev")

    waits = workshop.run("promote", "42", "--to", "prod", env=user("anna"), check=False)
    joined = workshop.run("promote", "42", "--to", "prod", "-o", "json", env=user("dave"), check=False)
    explained = workshop.run("explain", "42", "--to", "prod", check=False)
    refused = workshop.fails(3, "approve", "42", "--to", "prod", env=user("dave"))
    given = workshop.run("approve", "42", "--to", "prod", "--comment", "green", env=user("ben"))
    watched = workshop.run("release", "watch", "42")

    assert (waits.code, joined.code, explained.code) == (8, 8, 8)
    assert "… waits  approvals leads  0 of 1 approvals; still needed: 1 of leads  clears by leads: ben" in waits.out
    assert [each["kind"] for each in joined.json()["conditions"] if not each["met"]] == ["approvals"]
    assert joined.json()["requestedBy"] == ["local:anna"]
    assert "answer   it has to wait" in explained.out
    assert "dave may not approve promotions to 'prod'" in refused
    assert "next     carried out by a worker, or by: liftlock release watch 42" in given.out
    assert watched.out == "prod  succeeded\n"
    assert "prod: running" in watched.err
    assert images.tags(workshop.folder / "prod")["stable"].digest == builds["42"].digest
    assert "approved   " in workshop.run("trace", "prod").out


def test_what_was_overridden_is_told_as_that(workshop: Workshop) -> None:
    workshop.run("promote", "42", "--to", "dev")
    workshop.run("promote", "42", "--to", "prod", "--no-wait")

    assert "Missing option '--reason'" in workshop.fails(2, "override", "42", "--to", "prod", env=user("cleo"))
    said = workshop.json("override", "42", "--to", "prod", "--reason", "incident 7", env=user("cleo"))
    lines = workshop.run("release", "watch", "42", "-o", "ndjson").lines()

    assert (said["decision"], said["state"]) == ("admitted", "queued")
    states = [line["state"] for line in lines if line.get("event") == "state"]
    assert states == ["waiting", "queued", "running", "succeeded"]
    assert (lines[-1]["kind"], lines[-1]["state"]) == ("Promotion", "succeeded")
    trace = workshop.run("trace", "42").out
    assert "by local:cleo: incident 7" in trace
    assert "approved" not in trace


def test_a_rollback_brings_back_what_was_there_and_holds_the_stage(
    workshop: Workshop, builds: dict[str, Image]
) -> None:
    workshop.release("41", web=f"oci:{builds['41'].layout}:v")
    for build in ("41", "42"):
        workshop.run("promote", build, "--to", "dev")
    assert "nothing to roll 'prod' back to" in workshop.fails(3, "rollback", "--to", "prod")

    back = workshop.json("rollback", "--to", "dev")
    held = workshop.run("promote", "42", "--to", "dev", check=False)
    status = workshop.run("status").out
    released = workshop.run("unhold", "dev")

    assert (back["name"], back["state"], back["rollback"]) == ("41", "succeeded", True)
    assert images.tags(workshop.folder / "dev")["latest"].digest == builds["41"].digest
    assert held.code == 8
    assert "liftlock unhold dev" in held.out
    assert "DEV (held)" in status
    assert "rolled back to release 41" in status
    assert released.out.startswith("dev is released")
    assert workshop.run("hold").out.startswith("every stage is held")


def test_what_differs_between_two_releases(workshop: Workshop, builds: dict[str, Image]) -> None:
    workshop.release("41", web=f"oci:{builds['41'].layout}:v")

    said = workshop.run("release", "diff", "41", "42").out.splitlines()
    document = workshop.json("release", "diff", "41", "42")

    old, new = (builds[build].digest for build in ("41", "42"))
    assert said[:2] == ["images:", f"  web  {old[7:19]}  →  {new[7:19]}"]
    assert "tags in prod:" in said
    assert document["images"] == [{"name": "web", "before": old, "after": new}]
    assert workshop.run("release", "diff", "42", "42").out == "they are the same release\n"


def test_a_saved_plan_is_applied_or_refused(workshop: Workshop) -> None:
    planned = workshop.run("plan", "42", "--to", "dev", "--save", "plan.json")
    applied = workshop.json("promote", "--plan", "plan.json")
    stale = workshop.fails(6, "promote", "--plan", "plan.json")

    assert "oci:dev:latest  nothing  →" in planned.out
    assert "apply it with: liftlock promote --plan plan.json" in planned.out
    assert (applied["stage"], applied["state"]) == ("dev", "succeeded")
    assert "the plan plan.json is stale" in stale
    assert "--plan stands alone" in workshop.fails(2, "promote", "42", "--plan", "plan.json")
    assert "which stage?" in workshop.fails(2, "promote", "42")


def test_publishing_carries_on_by_itself(tmp_path: Path, builds: dict[str, Image]) -> None:
    text = PIPELINE.replace("{name: dev,", "{name: dev, trigger: on-publish,").replace(
        "after: [dev]", "after: [dev]\n        trigger: on-success"
    )
    workshop = Workshop(tmp_path / "automatic", text)
    publish = ("artifact", "publish", f"web=oci:{builds['42'].layout}:v", "--build", "42", "--author", "ben")

    done = workshop.run(*publish, "--wait", check=False, env=user("anna"))
    again = workshop.run(*publish, env=user("anna"))

    assert done.code == 8, str(done)
    assert "  dev   succeeded" in done.out
    assert "  prod  waiting    0 of 1 approvals" in done.out
    assert "none of leads may still approve" in done.out, "anna published it, and ben wrote its commit"
    assert again.out.splitlines()[-1].startswith("release  42")


def test_who_reads_json_gets_nothing_but_errors_beside_it(tmp_path: Path, builds: dict[str, Image]) -> None:
    told = 'notify: [{command: {run: ["sh", "-c", "exit 1"]}}]'
    made = Workshop(tmp_path / "untold", PIPELINE.replace("tags: [latest]}", f"tags: [latest], {told}}}", 1))
    made.release("42", web=f"oci:{builds['42'].layout}:v")

    done = made.run("promote", "42", "--to", "dev", "-o", "json")

    assert [each.split(" was")[0] for each in done.json()["untold"]] == ["command"]
    assert done.err == ""


def test_a_name_that_is_empty_is_not_every_stage(workshop: Workshop) -> None:
    for verb in ("hold", "unhold"):
        assert "the stage's name is empty" in workshop.fails(2, verb, "")
