"""Two releases differ in what is different, and in nothing else."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.release.artifact import Artifact
from liftlock.release.difference import Change, differences
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import Release
from liftlock.release.stage import ApprovalRule, Stage
from liftlock.release.template import Template

NOON = dt.datetime(2031, 5, 6, 12, tzinfo=dt.UTC)


def digest(content: str) -> Digest:
    return Digest.of(content.encode())


def artifact(build: str, labels: Mapping[str, str] | None = None, **images: str) -> Artifact:
    return Artifact(
        images={
            name: Descriptor("application/vnd.oci.image.manifest.v1+json", digest(content), 1)
            for name, content in images.items()
        },
        build=build,
        commit="c0ffee",
        labels=labels or {},
    )


def stage(name: str, *tags: str, approvals: ApprovalRule | None = None) -> Stage:
    return Stage(
        name=name,
        to=(Template(text=f"{name}.example/{{image}}"),),
        tags=tuple(Template(text=tag) for tag in tags),
        approvals=approvals,
    )


def release(
    made: Artifact, *stages: Stage, day: int = 0, groups: Mapping[str, tuple[str, ...]] | None = None, **given: str
) -> Release:
    pipeline = Pipeline(name="demo", images=tuple(made.images), stages=stages, groups=groups or {})
    return Release.create(made, pipeline, created=NOON + dt.timedelta(days=day), variables=given)


def test_a_release_does_not_differ_from_itself() -> None:
    one = release(artifact("1", web="a"), stage("dev", "{build}"))
    found = differences(one, release(artifact("1", web="a"), stage("dev", "{build}"), day=1))

    assert found.is_empty
    assert (found.images, found.facts, found.variables, found.definition, found.destinations) == ((), (), (), (), {})


def test_another_build_has_other_images_and_tags() -> None:
    before = release(artifact("1", {"team": "a"}, web="old", worker="same"), stage("dev", "{build}", "latest"))
    after = release(artifact("2", {"risk": "b"}, web="new", worker="same"), stage("dev", "{build}", "latest"))

    found = differences(before, after)

    assert not found.is_empty
    assert (found.before, found.after) == (str(before.id), str(after.id))
    assert found.images == (Change(name="web", before=str(digest("old")), after=str(digest("new"))),)
    assert found.facts == (
        Change(name="build", before="1", after="2"),
        Change(name="label.risk", before="", after="b"),
        Change(name="label.team", before="a", after=""),
    )
    assert found.definition == ()
    # The worker's latest keeps its digest.
    assert [(each.name, bool(each.before), bool(each.after)) for each in found.destinations["dev"]] == [
        ("dev.example/web:1", True, False),
        ("dev.example/web:2", False, True),
        ("dev.example/web:latest", True, True),
        ("dev.example/worker:1", True, False),
        ("dev.example/worker:2", False, True),
    ]


def test_another_definition_is_told_key_by_key() -> None:
    made = artifact("1", web="a")
    rule = ApprovalRule(groups=("ops",), count=1)
    before = release(made, stage("dev", "x"), stage("prod", "x", approvals=rule), groups={"ops": ("ann", "bob")})
    after = release(
        made,
        stage("dev", "x"),
        stage("prod", "x", "stable", approvals=ApprovalRule(groups=("ops",), count=2)),
        stage("dr", "x"),
        groups={"ops": ("ann", "bob")},
    )

    found = differences(before, after)

    assert found.definition == (
        Change(name="order", before='["dev", "prod"]', after='["dev", "prod", "dr"]'),
        Change(name="stages.dr.after", before="", after="[]"),
        Change(name="stages.dr.name", before="", after='"dr"'),
        Change(name="stages.dr.tags", before="", after='["x"]'),
        Change(name="stages.dr.to", before="", after='"dr.example/{image}"'),
        Change(name="stages.prod.approvals.count", before="1", after="2"),
        Change(name="stages.prod.tags", before='["x"]', after='["x", "stable"]'),
    )
    assert list(found.destinations) == ["prod", "dr"]
    assert found.images == found.facts == ()


def test_other_variables_and_days_are_told() -> None:
    made, where = artifact("1", web="a"), stage("dev", "{ring}-{date}")
    found = differences(release(made, where, ring="one"), release(made, where, day=1, ring="two"))

    assert found.variables == (
        Change(name="date", before="2031-05-06", after="2031-05-07"),
        Change(name="ring", before="one", after="two"),
    )
    assert [each.name for each in found.destinations["dev"]] == [
        "dev.example/web:one-2031-05-06",
        "dev.example/web:two-2031-05-07",
    ]


def test_where_a_release_cannot_go_is_said() -> None:
    where = stage("dev", "{label.team}")
    found = differences(release(artifact("1", {"team": "a"}, web="a"), where), release(artifact("2", web="b"), where))

    assert found.destinations == {}
    assert "{label.team} has no value" in found.unknown["dev"]


def test_programs_get_everything() -> None:
    made = artifact("1", web="old")
    found = differences(release(made, stage("dev", "x")), release(artifact("1", web="new"), stage("dev", "x")))
    content = json.loads(json.dumps(found.to_json()))

    change = {"name": "dev.example/web:x", "before": str(digest("old")), "after": str(digest("new"))}
    assert content["destinations"] == {"dev": [change]}
    assert content["images"] == [{**change, "name": "web"}]
    assert Change(name="a", before="", after="b").to_json() == {"name": "a", "before": None, "after": "b"}
