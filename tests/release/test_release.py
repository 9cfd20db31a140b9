"""A release goes where its pipeline says, and its id covers exactly what decides that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import ConfigError, CorruptContent, LiftlockError, NotFound, RefusedError, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.oci.reference import Reference, is_tag
from liftlock.release.artifact import Artifact
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import Release, sources
from liftlock.release.stage import Stage
from liftlock.release.template import Template

NOON = dt.datetime(2031, 5, 6, 12, tzinfo=dt.UTC)


def artifact(*names: str, build: str = "415", labels: Mapping[str, str] | None = None) -> Artifact:
    return Artifact(
        images={
            name: Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(name.encode()), 1)
            for name in names or ("web",)
        },
        build=build,
        commit="c0ffee",
        labels=labels or {},
    )


def pipeline(
    to: str | Sequence[str] = "registry.example/{image}",
    *tags: str,
    images: tuple[str, ...] = ("web",),
    source: str = "",
    variables: Mapping[str, str] | None = None,
) -> Pipeline:
    stage = Stage(
        name="dev",
        to=tuple(Template(text=each, path="liftlock.yaml", line=7) for each in ([to] if isinstance(to, str) else to)),
        tags=tuple(Template(text=tag, path="liftlock.yaml", line=8) for tag in tags or ("{build}",)),
    )
    return Pipeline(
        name="demo",
        images=images,
        stages=(stage,),
        source=Template(text=source, path="liftlock.yaml", line=3) if source else None,
        variables=variables or {},
    )


def places(release: Release) -> dict[str, tuple[str, ...]]:
    return {each.image: each.references for each in release.destinations("dev")}


def test_every_variable_has_its_value() -> None:
    release = Release.create(
        artifact(labels={"team": "blue"}),
        pipeline("{host}/{image}", "{build}-{commit}", "{date}", "{release}", "{label.team}", "{tag}",
                 variables={"host": "registry.example"}),
        created=dt.datetime(2031, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        variables={"tag": "stable"},
    )  # fmt: skip

    assert places(release) == {
        "web": (
            "registry.example/web:415-c0ffee",
            "registry.example/web:2030-12-31",
            f"registry.example/web:{release.id.short}",
            "registry.example/web:blue",
            "registry.example/web:stable",
        )
    }


def test_a_given_variable_replaces_the_files_own() -> None:
    release = Release.create(
        artifact(), pipeline("registry.example/web", "{tag}", variables={"tag": "a"}), created=NOON,
        variables={"tag": "b"},
    )  # fmt: skip

    assert places(release) == {"web": ("registry.example/web:b",)}


@pytest.mark.parametrize(
    ("to", "tag", "said"),
    [
        ("registry.example/{image}", "{nothing}", "{nothing} has no value"),
        ("registry.example/{image}", "{label.team}", "{label.team} has no value"),
        ("registry.example/{image}", "{label.path}", "cannot be part of a reference"),
        ("registry.example/{label.path}", "x", "cannot be part of a reference"),
        ("oci:stages/{label.up}", "x", "cannot be part of a reference"),
        ("registry.example/{Image}", "x", "{Image} has no value"),
    ],
)
def test_a_variable_without_a_fitting_value_is_an_error_that_names_its_line(to: str, tag: str, said: str) -> None:
    release = Release.create(artifact(labels={"path": "other.example/x", "up": ".."}), pipeline(to, tag), created=NOON)

    with pytest.raises(ConfigError, match=r"liftlock\.yaml:[78]: ") as caught:
        release.destinations("dev")
    assert said in str(caught.value)
    assert caught.value.hint


def test_an_image_variable_needs_an_image() -> None:
    with pytest.raises(ConfigError, match=r"\{image\} has no value"):
        Template(text="{image}").expand({})


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"to": "registry.example/web:1"}, "has a tag or digest"),
        ({"to": "Registry.example/WEB"}, "cannot be part of a repository"),
        ({"to": "oci:"}, "names no folder"),
        ({"to": "oci:folder:tag"}, "has a tag"),
        ({"to": "docker-archive:x.tar"}, "cannot be a stage"),
        ({"tag": "a b"}, "is not a tag"),
        ({"tag": ""}, "is not a tag"),
    ],
)
def test_what_is_no_place_or_tag_once_variables_are_known_is_an_error(variables: dict[str, str], said: str) -> None:
    definition = pipeline("{to}", "{tag}", variables={"to": "registry.example/web", "tag": "x"})
    release = Release.create(artifact(), definition, created=NOON, variables=variables)

    with pytest.raises(ConfigError, match=r"liftlock\.yaml:") as caught:
        release.destinations("dev")
    assert said in str(caught.value)


def test_two_images_never_land_on_the_same_reference() -> None:
    two = ("web", "worker")
    same = Release.create(artifact(*two), pipeline("{where}", "{build}", images=two), created=NOON,
                          variables={"where": "registry.example/app"})  # fmt: skip
    apart = Release.create(
        artifact(*two), pipeline("registry.example/app", "{image}-{build}", images=two), created=NOON
    )

    with pytest.raises(ConfigError, match=r"app:415 would be both 'web' and 'worker'"):
        same.destinations("dev")
    assert places(apart) == {"web": ("registry.example/app:web-415",), "worker": ("registry.example/app:worker-415",)}


def test_every_image_goes_to_every_target_of_a_stage() -> None:
    two = ("web", "worker")
    release = Release.create(artifact(*two), pipeline(["eu.example/{image}", "us.example/{image}"], images=two),
                             created=NOON)  # fmt: skip

    assert [reference for each in release.destinations("dev") for reference in each.references] == [
        "eu.example/web:415", "eu.example/worker:415", "us.example/web:415", "us.example/worker:415",
    ]  # fmt: skip


def test_two_targets_that_become_one_are_refused() -> None:
    definition = pipeline(["{region}.example/{image}", "eu.example/{image}"], variables={"region": "us"})

    assert len(Release.create(artifact(), definition, created=NOON).destinations("dev")) == 2
    with pytest.raises(ConfigError, match=r"liftlock\.yaml:7: in stage 'dev' eu\.example/web is named twice"):
        Release.create(artifact(), definition, created=NOON, variables={"region": "eu"}).destinations("dev")


def test_spellings_of_docker_hub_are_one_place() -> None:
    two = ("web", "nginx")
    definition = pipeline("{prefix}{image}", "x", images=two)
    release = Release.create(artifact(*two), definition, created=NOON, variables={"prefix": "docker.io/"})

    assert places(release)["nginx"] == ("docker.io/library/nginx:x",)


def test_artifact_and_pipeline_must_be_about_the_same_images() -> None:
    with pytest.raises(RefusedError, match="lacks worker and has cron besides"):
        Release.create(artifact("web", "cron"), pipeline(images=("web", "worker")), created=NOON)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"tga": "x"}, "did you mean 'tag'"),
        ({"build": "x"}, ""),
        ({"label.x": "x"}, ""),
        ({"tag": "{build}"}, ""),
        ({"tag": "env:TOKEN"}, ""),
        ({"tag": "a\nb"}, ""),
    ],
)
def test_a_given_variable_is_used_or_refused(given: dict[str, str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Release.create(artifact(), pipeline("registry.example/web", "{tag}"), created=NOON, variables=given)
    assert hint in caught.value.hint


def test_the_id_covers_what_decides_where_it_goes_and_nothing_else() -> None:
    plain = pipeline("registry.example/web", "{tag}", source="registry.example/{image}:{from}")
    dated = pipeline("registry.example/web", "{tag}-{date}")
    later = NOON + dt.timedelta(days=1)

    def made(definition: Pipeline, when: dt.datetime, build: str = "1", **given: str) -> Digest:
        return Release.create(artifact(build=build), definition, created=when, variables=given).id

    first = made(plain, NOON, tag="a")
    assert first == made(plain, later, tag="a")  # time has no say where {date} has none
    assert first == made(plain, NOON, **{"tag": "a", "from": "latest"})  # nor has what only finds the artifact
    assert first != made(plain, NOON, tag="b")
    assert first != made(plain, NOON, tag="a", build="2")
    assert made(dated, NOON, tag="a") != made(dated, later, tag="a")


def test_a_release_is_read_back_only_with_its_own_artifact_and_pipeline() -> None:
    release = Release.create(artifact(), pipeline("registry.example/web", "{t}-{date}"), created=NOON,
                             variables={"t": "x"})  # fmt: skip
    mine, snapshot = release.artifact, Pipeline.parse(release.pipeline.document, release.pipeline.id)

    assert Release.parse(release.document, release.id, artifact=mine, pipeline=snapshot) == release
    for other in ({"artifact": artifact(build="2")}, {"pipeline": pipeline()}):
        with pytest.raises(CorruptContent):
            Release.parse(release.document, release.id, **{"artifact": mine, "pipeline": snapshot, **other})  # type: ignore[arg-type]


def test_an_unknown_stage_is_not_found_and_answered_with_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        Release.create(artifact(), pipeline(), created=NOON).destinations("def")
    assert caught.value.hint == "did you mean 'dev'?"


def test_sources_are_the_references_to_pin() -> None:
    two = ("web", "worker")
    definition = pipeline(images=two, source="registry.example/staging-{image}:{tag}")

    assert sources(definition, variables={"tag": "latest"}) == {
        name: Reference("registry.example", f"staging-{name}", "latest") for name in two
    }


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("", UsageError, "has no source"),
        ("registry.example/{image}:{tag}", ConfigError, "{tag} has no value"),
        ("registry.example/{image}", ConfigError, "neither tag nor digest"),
        ("registry.example/app:1", ConfigError, "two images would come from"),
        ("registry.example/{image}:{build}", ConfigError, "{build} has no value"),
    ],
)
def test_a_source_that_names_nothing_certain_is_an_error(source: str, error: type[LiftlockError], said: str) -> None:
    with pytest.raises(error) as caught:
        sources(pipeline(images=("web", "worker"), source=source))
    assert said in str(caught.value)


PIECES = st.text(alphabet="aB0{}./:@-_ é\n", max_size=8)
WORDS = st.sampled_from(["{image}", "{build}", "{x}", "{label.k}", "oci:", "registry.example/", "a", "/", ":", "-"])


@given(st.lists(WORDS | PIECES, max_size=6), st.lists(WORDS | PIECES, max_size=4), PIECES, PIECES)
def test_whatever_is_written_destinations_are_well_formed_or_an_error(
    to: list[str], tag: list[str], value: str, label: str
) -> None:
    two = ("web", "worker")
    try:
        release = Release.create(
            artifact(*two, labels={"k": label}), pipeline("".join(to), "".join(tag) or "t", images=two), created=NOON,
            variables={"x": value} if "{x}" in to + tag else {},
        )  # fmt: skip
        found = release.destinations("dev")
    except LiftlockError:
        return
    references = [reference for each in found for reference in each.references]
    assert len(set(references)) == len(references) == 2
    for each in found:
        assert all(is_tag(tag) for tag in each.tags)
        if not each.target.startswith("oci:"):
            assert Reference.parse(each.target).name == each.target
