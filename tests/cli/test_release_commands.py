"""artifact, release, promote, status, trace, validate, schema: what people and programs read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop
from tests.conftest import MakeRegistry
from tests.support import images, remote
from tests.support.certificates import Authority
from tests.support.images import Image
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

PIPELINE = """\
    pipeline: demo
    images: [web]
    stages:
      - name: dev
        to: oci:dev
        tags: ["{build}", latest]
      - name: prod
        after: [dev]
        to: oci:prod
        tags: [stable]
"""


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return images.make_image(tmp_path / "build", "v", layers=1, platforms=("linux/amd64", "linux/arm64"))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path / "project", PIPELINE)


@pytest.fixture
def source(image: Image) -> str:
    return f"web=oci:{image.layout}:v"


def test_people_read_aligned_text(workshop: Workshop, source: str, image: Image) -> None:
    options = ("--build", "42", "--commit", "3f2c1e9", "--url", "https://ci.example/42", "--label", "team=shop")
    published = workshop.run("artifact", "publish", source, *options)
    workshop.run("release", "create", "42")
    promoted = workshop.run("promote", "42", "--to", "dev")

    assert published.out.splitlines()[1:] == [
        "build      42",
        "commit     3f2c1e9",
        "build url  https://ci.example/42",
        "labels     team=shop",
        "",
        f"  web  {image.digest}",
    ]
    assert promoted.out.splitlines()[1:] == [
        "stage    dev",
        "state    succeeded",
        "blobs    0 copied (0 B), 4 mounted, 0 present",
        "",
        f"  web  {image.digest}  oci:dev:42, latest  mount",
    ]
    assert [row.split()[1:3] for row in workshop.run("artifact", "list").out.splitlines()] == [
        ["BUILD", "COMMIT"],
        ["42", "3f2c1e9"],
    ]
    assert workshop.run("artifact", "show", "42").out == published.out
    assert [row.split()[1] for row in workshop.run("release", "list").out.splitlines()] == ["BUILD", "42"]
    assert "next      prod" in workshop.run("release", "show", "42").out
    assert [row.split()[1:3] for row in workshop.run("status").out.splitlines()] == [["BUILD", "DEV"], ["42", "●"]]
    trace = workshop.run("trace", "oci:dev:latest").out.splitlines()
    assert trace[0] == f"digest  {image.digest}"
    assert trace[-1].endswith("oci:dev:42, latest")


def test_programs_read_versioned_json(workshop: Workshop, source: str, image: Image) -> None:
    published = workshop.json("artifact", "publish", source, "--build", "42")
    release = workshop.json("release", "create", "42")
    promoted = workshop.json("promote", "42", "--to", "dev")
    found = {
        "Artifact": published,
        "Release": release,
        "Promotion": promoted,
        "ArtifactList": workshop.json("artifact", "list"),
        "ReleaseList": workshop.json("release", "list"),
        "Status": workshop.json("status"),
        "Trace": workshop.json("trace", "42"),
        "Validation": workshop.json("validate"),
        "ArtifactExport": workshop.json("artifact", "export", "42", "oci:out"),
    }

    assert {kind: document["kind"] for kind, document in found.items()} == {kind: kind for kind in found}
    assert {document["apiVersion"] for document in found.values()} == {"liftlock/v1"}
    assert found["ArtifactList"]["artifacts"] == [
        {key: published[key] for key in published if key not in ("apiVersion", "kind", "release", "promotions")}
    ]
    assert release["images"] == {"web": image.digest}
    assert release["next"] == ["dev"]
    assert (promoted["release"], promoted["state"]) == (release["id"], "succeeded")
    assert promoted["images"] == [
        {
            "image": "web",
            "digest": image.digest,
            "destination": f"oci:{workshop.folder}/dev",
            "tags": ["42", "latest"],
            "strategy": "mount",
        }
    ]
    assert "strategies" not in promoted
    assert found["Status"]["releases"][0]["stages"]["dev"]["state"] == "here"


def test_progress_may_be_read_line_by_line(workshop: Workshop, source: str) -> None:
    workshop.run("artifact", "publish", source, "--build", "42")
    workshop.run("release", "create", "42")

    lines = workshop.run("promote", "42", "--to", "dev", "-o", "ndjson").lines()

    assert [line["kind"] for line in lines][-1] == "Promotion"
    assert {line["kind"] for line in lines[:-1]} == {"Event"}


def test_an_export_is_a_layout_that_others_read(workshop: Workshop, source: str, image: Image) -> None:
    workshop.run("artifact", "publish", source, "--build", "42")

    said = workshop.run("artifact", "export", "42", "oci:out").out
    workshop.run("artifact", "export", "42", "oci-archive:out.tar")

    assert said == f"oci:out:web@{image.digest}\n"
    assert {tag: blob.digest for tag, blob in images.tags(workshop.folder / "out").items()} == {"web": image.digest}
    assert workshop.run("digest", "oci-archive:out.tar:web").out == f"{image.digest}\n"
    assert "no place to export to" in workshop.fails(2, "artifact", "export", "42", "oci:out:tag")


def test_without_a_pipeline_file_artifacts_can_be_published(tmp_path: Path, source: str) -> None:
    bare = Workshop(tmp_path / "bare")

    bare.run("artifact", "publish", source, "--build", "42")

    assert bare.json("artifact", "show", "42")["build"] == "42"
    assert "there is no pipeline file liftlock.yaml" in bare.fails(5, "release", "create", "42")
    assert "there is no pipeline file other.yaml" in bare.fails(5, "artifact", "publish", source, "-f", "other.yaml")


def test_nothing_yet_is_said_kindly(workshop: Workshop) -> None:
    for words, said in [
        (("artifact", "list"), "nothing was published here yet"),
        (("release", "list"), "there is no release yet"),
        (("status",), "there is no release yet"),
    ]:
        result = workshop.run(*words)
        assert result.out == ""
        assert said in result.err


def test_status_tells_why_something_did_not_happen(workshop: Workshop, source: str) -> None:
    workshop.release("42", web=source.removeprefix("web="))
    said = workshop.fails(3, "promote", "42", "--to", "prod")

    assert said.startswith("error: release 42 may not go to 'prod': it has not succeeded in dev\nhint: first: ")
    shown = workshop.run("status").out.splitlines()
    assert shown[-1] == "42 → prod  refused: it has not succeeded in dev"
    assert "refused" in workshop.run("trace", "42").out


def test_only_the_newest_twenty_are_shown_unless_all_are_asked_for(workshop: Workshop, source: str) -> None:
    for number in range(22):
        workshop.release(str(number), web=source.removeprefix("web="))

    some, everything = workshop.run("status"), workshop.run("status", "--all")

    assert (len(some.out.splitlines()), len(everything.out.splitlines())) == (21, 23)
    assert "2 older releases are shown with --all" in some.err
    assert some.out.splitlines()[1].split()[1] == "21", "the newest comes first"


def test_what_is_not_there_is_not_found(workshop: Workshop, source: str) -> None:
    assert "there is no artifact '9'" in workshop.fails(5, "release", "create", "9")
    assert "there is no release '9'" in workshop.fails(5, "promote", "9", "--to", "dev")
    workshop.run("artifact", "publish", source, "--build", "42")
    assert "liftlock release create ARTIFACT" in workshop.fails(5, "promote", "42", "--to", "dev")
    workshop.run("release", "create", "42")
    assert "no stage 'prd'" in workshop.fails(5, "promote", "42", "--to", "prd")
    assert "did you mean 'prod'?" in workshop.fails(5, "promote", "42", "--to", "prd")


def test_a_changed_file_does_not_change_a_release(workshop: Workshop, source: str) -> None:
    workshop.run("artifact", "publish", source, "--build", "42")
    workshop.run("release", "create", "42")
    workshop.write(PIPELINE.replace("oci:dev", "oci:elsewhere"))

    promoted = workshop.run("promote", "42", "--to", "dev")

    assert "note: liftlock.yaml has changed since this release was made" in promoted.err
    assert (workshop.folder / "dev").exists()
    assert not (workshop.folder / "elsewhere").exists()


def test_variables_are_chosen_when_the_release_is_made(workshop: Workshop, source: str) -> None:
    workshop.write(PIPELINE.replace("oci:dev", "oci:dev-{region}"))
    workshop.run("artifact", "publish", source, "--build", "42")
    workshop.run("release", "create", "42", "--var", "region=eu")

    workshop.run("promote", "42", "--to", "dev")

    assert (workshop.folder / "dev-eu").exists()
    assert "are for promoting without one" in workshop.fails(2, "promote", "42", "--to", "dev", "--var", "region=us")
    assert "twice" in workshop.fails(2, "release", "create", "42", "--var", "region=eu", "--var", "region=us")
    assert "NAME=VALUE" in workshop.fails(2, "release", "create", "42", "--var", "region")


# -- what the CI system says


@pytest.mark.parametrize(
    ("env", "build", "commit", "url"),
    [
        pytest.param(
            {
                "CODEBUILD_BUILD_ID": "app:8c2e",
                "CODEBUILD_BUILD_NUMBER": "17",
                "CODEBUILD_RESOLVED_SOURCE_VERSION": "3f2c1e9",
                "CODEBUILD_BUILD_URL": "https://eu-west-1.console.aws.example/build/8c2e",
            },
            "17",
            "3f2c1e9",
            "https://eu-west-1.console.aws.example/build/8c2e",
            id="CodeBuild",
        ),
        pytest.param(
            {
                "BUILD_BUILDID": "4711",
                "BUILD_SOURCEVERSION": "3f2c1e9",
                "SYSTEM_COLLECTIONURI": "https://dev.azure.example/acme/",
                "SYSTEM_TEAMPROJECT": "the shop",
            },
            "4711",
            "3f2c1e9",
            "https://dev.azure.example/acme/the%20shop/_build/results?buildId=4711",
            id="Azure",
        ),
        pytest.param(
            {
                "GITHUB_RUN_ID": "99",
                "GITHUB_RUN_ATTEMPT": "2",
                "GITHUB_SHA": "3f2c1e9",
                "GITHUB_SERVER_URL": "https://github.example",
                "GITHUB_REPOSITORY": "acme/shop",
            },
            "99-2",
            "3f2c1e9",
            "https://github.example/acme/shop/actions/runs/99/attempts/2",
            id="GitHub",
        ),
        pytest.param(
            {"CI_PIPELINE_ID": "5", "CI_COMMIT_SHA": "3f2c1e9", "CI_PIPELINE_URL": "https://gitlab.example/p/5"},
            "5",
            "3f2c1e9",
            "https://gitlab.example/p/5",
            id="GitLab",
        ),
    ],
)
def test_the_ci_system_knows_the_build(
    *,
    workshop: Workshop,
    image: Image,
    source: str,
    registry: Registry,
    repo: str,
    env: dict[str, str],
    build: str,
    commit: str,
    url: str,
) -> None:
    remote.push(image.layout, "v", registry, repo)

    published = workshop.json("artifact", "publish", source, env=env)
    workshop.write(PIPELINE.replace("images:", f"source: {registry.host}/{repo}:v\n    images:"))
    promoted = workshop.json("promote", "--to", "dev", env=env)

    assert (published["build"], published["commit"], published["links"]) == (build, commit, {"build": url})
    assert promoted["name"] == build
    assert {promoted["images"][0]["digest"]} == {image.digest}
    assert len(workshop.json("artifact", "list")["artifacts"]) == 1, "the same build, the same content"
    said = workshop.json("artifact", "publish", source, "--build", "mine", "--commit", "", "--url", "", env=env)
    assert (said["build"], said["commit"], said["links"]) == ("mine", "", {}), "flags come first"


# -- the pipeline file


def test_what_is_wrong_with_a_file_is_told_with_its_line_whatever_reads_it(workshop: Workshop, source: str) -> None:
    workshop.release("42", web=source.removeprefix("web="))
    workshop.write(PIPELINE.replace("to: oci:dev\n", "to: oci:dev\n        gates: [{soek: 2h}]\n"))

    for words in (("validate",), ("promote", "42", "--to", "dev"), ("promote", "--to", "dev")):
        assert "liftlock.yaml:6: " in workshop.fails(2, *words)

    error = json.loads(workshop.run("validate", "-o", "json", check=False).err)
    assert (error["code"], error["exitCode"]) == ("config", 2)
    assert not (workshop.folder / "dev").exists()


def test_a_valid_file_is_said_to_be(workshop: Workshop) -> None:
    assert workshop.run("validate").out == "liftlock.yaml is valid: pipeline demo, 1 image, 2 stages\n"
    assert workshop.json("validate")["stages"] == ["dev", "prod"]
    assert not (workshop.folder / ".liftlock").exists(), "looking changes nothing"


def test_the_schema_is_json(workshop: Workshop) -> None:
    schema = json.loads(workshop.run("schema").out)

    assert schema["required"] == ["pipeline", "images", "stages"]


@pytest.mark.parametrize("client_certificates", [False, True])
def test_a_registrys_own_authority_is_trusted(
    *,
    workshop: Workshop,
    image: Image,
    source: str,
    repo: str,
    make_registry: MakeRegistry,
    authority: Authority,
    client_certificates: bool,
) -> None:
    """`ca-file` is relative to the pipeline file, wherever the command is run, and leaves other TLS options alone."""
    private = make_registry(tls=authority, client_certificates=client_certificates)
    pair = authority.client()
    shown = ("--client-cert", pair.certificate, "--client-key", pair.key) if client_certificates else ()
    (workshop.folder / "ca.pem").write_bytes(authority.ca.read_bytes())
    text = PIPELINE.replace("oci:dev", f"{private.host}/{repo}")
    workshop.write(text)
    workshop.release("42", web=source.removeprefix("web="))
    assert "certificate" in workshop.fails(1, "promote", "42", "--to", "dev", *shown)

    options = f"registries:\n      {private.host}: {{ca-file: ca.pem}}\n    images:"
    workshop.write(text.replace("images:", options))
    elsewhere = Workshop(workshop.folder.parent)
    elsewhere.run("promote", "42", "--to", "dev", "-f", workshop.folder / "liftlock.yaml", *shown)

    assert remote.digest_of(private, repo, "latest") == image.digest


def test_plain_http_is_spoken_where_the_file_says_so(workshop: Workshop) -> None:
    """Shown on what a session would do: loopback hosts, which a test can have, need no asking."""
    from liftlock.cli.invocation import Invocation
    from liftlock.cli.project import opened

    options = "registries:\n      registry.internal:5000: {plain-http: true}\n    images:"
    workshop.write(PIPELINE.replace("images:", options))

    with opened(Invocation(), str(workshop.folder / "liftlock.yaml")) as (_, session):
        assert session.transport.base_url("registry.internal:5000") == "http://registry.internal:5000"
        assert session.transport.base_url("registry.example") == "https://registry.example"
