"""Results in each CI system's own way: Markdown, variables, and errors shown beside the run."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.ci.annotations import annotation
from liftlock.ci.results import image_words
from liftlock.errors import ConfigError
from tests.acceptance.workshop import Workshop, two_images
from tests.conftest import MakeRegistry
from tests.support import remote
from tests.support.images import Image
from tests.support.processes import liftlock
from tests.support.registry import Registry

PIPELINE = """\
    pipeline: shop
    images: [web, worker]
    source: {registry}/staging-{{image}}:{{tag}}
    stages:
      - name: test
        to: {registry}/test-{{image}}
        tags: ["{{tag}}"]
      - name: prod
        after: [test]
        to: {registry}/prod-{{image}}
        tags: [stable, "{{tag}}"]
"""

GITLAB = {
    "CI_PIPELINE_ID": "967",
    "CI_COMMIT_SHA": "c0ffee",
    "CI_PIPELINE_URL": "https://gitlab.example/acme/demo/-/pipelines/967?a=1&b=2",
}

NewJob = Callable[..., Workshop]


@pytest.fixture
def images(tmp_path: Path, registry: Registry, repo: str) -> dict[str, Image]:
    """Version 2.0 of two images, in staging."""
    made = two_images(tmp_path / "build", repo)
    for name, image in made.items():
        remote.push(image.layout, image.tag, registry, f"{repo}/staging-{name}", to="2.0")
    return made


@pytest.fixture
def new_job(tmp_path: Path, registry: Registry, repo: str) -> NewJob:
    """A job in a fresh checkout; ``more`` are further keys of prod."""

    def job(name: str = "job", more: str = "") -> Workshop:
        text = PIPELINE.format(registry=f"{registry.host}/{repo}")
        return Workshop(tmp_path / name, text.replace("after: [test]\n", f"after: [test]\n{more}"))

    return job


def promote(stage: str) -> tuple[str, ...]:
    return ("promote", "--to", stage, "--var", "tag=2.0", "--summary", "summary.md", "--variables", "result.env")


def values(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / "result.env").read_text().splitlines())


@pytest.mark.acceptance
def test_a_success_is_told_in_both_forms(
    new_job: NewJob, images: dict[str, Image], registry: Registry, repo: str
) -> None:
    job = new_job()
    (job.folder / "summary.md").write_text("# Ours\n\n")
    (job.folder / "result.env").write_text("OURS=1\n")

    told = job.json(*promote("test"), env=GITLAB)

    assert told["link"] == GITLAB["CI_PIPELINE_URL"]
    wanted = {
        "OURS": "1",
        "LIFTLOCK_RELEASE": told["release"],
        "LIFTLOCK_BUILD": "967",
        "LIFTLOCK_STAGE": "test",
        "LIFTLOCK_STATE": "succeeded",
        "LIFTLOCK_PROMOTION": str(told["promotion"]),
        "LIFTLOCK_LINK": GITLAB["CI_PIPELINE_URL"].replace("&", "%26"),
        "LIFTLOCK_DIGEST_WEB": images["web"].digest,
        "LIFTLOCK_DIGEST_WORKER": images["worker"].digest,
        "LIFTLOCK_IMAGES": ",".join(f"{n}={registry.host}/{repo}/test-{n}@{i.digest}" for n, i in images.items()),
        "LIFTLOCK_IMAGE_WEB": f"{registry.host}/{repo}/test-web@{images['web'].digest}",
        "LIFTLOCK_IMAGE_WORKER": f"{registry.host}/{repo}/test-worker@{images['worker'].digest}",
    }
    assert values(job.folder) == wanted
    assert all(read_by(shell, job.folder).items() >= wanted.items() for shell in ("dash", "bash"))
    summary = (job.folder / "summary.md").read_text()
    assert summary.startswith("# Ours\n\n### shop 967 → test: succeeded\n")
    assert f"- Run <{GITLAB['CI_PIPELINE_URL']}>\n" in summary
    assert f"| web | `{images['web'].digest}` | `{registry.host}/{repo}/test-web:2.0` | mount |\n" in summary
    assert "- Blobs: 0 copied, 6 mounted, 0 present; 0 bytes sent\n" in summary


def read_by(shell: str, folder: Path) -> dict[str, str]:
    """The variables as a shell has them that reads the file as it is, and stops at the first mistake."""
    done = subprocess.run(
        [shell, "-euc", "set -a; . ./result.env; env"],
        cwd=folder, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


@pytest.mark.acceptance
def test_a_refusal_is_told_too(new_job: NewJob, images: dict[str, Image]) -> None:
    """Nothing is known of the release: the registries do not prove that it is in test."""
    assert images
    job = new_job()

    job.fails(3, *promote("prod"))

    found = values(job.folder)
    assert found == {
        "LIFTLOCK_RELEASE": "", "LIFTLOCK_BUILD": "", "LIFTLOCK_STAGE": "prod", "LIFTLOCK_STATE": "refused",
        "LIFTLOCK_PROMOTION": "", "LIFTLOCK_LINK": "",
    }  # fmt: skip
    summary = (job.folder / "summary.md").read_text()
    assert summary.startswith("### Promotion → prod: refused\n")
    assert "nothing may go to 'prod': that these images are in test is neither on record" in summary.replace("\\", "")
    assert images["web"].digest in summary.replace("\\", ""), "the hint says which digests are missing"


@pytest.mark.acceptance
def test_what_is_waited_for_is_told(new_job: NewJob, images: dict[str, Image]) -> None:
    job = new_job(more='        freeze: ["2001-01-01 00:00 - 2999-01-01 00:00 UTC"]\n')
    text = (job.folder / "liftlock.yaml").read_text()
    (job.folder / "liftlock.yaml").write_text(text.replace("after: [test]", "after: []"))

    ended = job.run(*promote("prod"), check=False)

    assert ended.code == 8, str(ended)
    found = values(job.folder)
    assert (found["LIFTLOCK_STATE"], found["LIFTLOCK_DIGEST_WEB"]) == ("waiting", images["web"].digest)
    summary = (job.folder / "summary.md").read_text()
    assert "| waits for | why | clears |\n| --- | --- | --- |\n| freeze" in summary, summary
    assert "frozen until" in summary


@pytest.mark.acceptance
def test_a_failure_on_the_way_is_told_with_what_is_on_record(
    new_job: NewJob, images: dict[str, Image], make_registry: MakeRegistry
) -> None:
    """The promotion was admitted, and its attempt broke: the registry of the stage wants a password."""
    locked = make_registry(user="alice", password="opensesame")
    job = new_job()
    text = (job.folder / "liftlock.yaml").read_text()
    (job.folder / "liftlock.yaml").write_text(re.sub(r"to: \S+/test-", f"to: {locked.host}/test-", text))

    job.fails(4, *promote("test"), env=GITLAB)

    found = values(job.folder)
    assert (found["LIFTLOCK_STATE"], found["LIFTLOCK_PROMOTION"]) == ("errored", "1")
    assert found["LIFTLOCK_DIGEST_WORKER"] == images["worker"].digest
    assert "LIFTLOCK_IMAGE_WORKER" not in found, "it is not there"
    summary = (job.folder / "summary.md").read_text()
    assert "### shop 967 → test: errored" in summary
    assert f"Hint: liftlock login {locked.host}" in summary.replace("\\", "")


@pytest.mark.acceptance
def test_a_rollback_leaves_its_results_too(new_job: NewJob, images: dict[str, Image]) -> None:
    assert images
    job = new_job()

    job.fails(3, "rollback", "--to", "test", "--summary", "summary.md", "--variables", "result.env")

    assert values(job.folder)["LIFTLOCK_STATE"] == "refused"
    assert "→ test: refused" in (job.folder / "summary.md").read_text()


@pytest.mark.acceptance
def test_a_file_that_cannot_be_written_is_said_before_anything_is_done(
    new_job: NewJob, images: dict[str, Image], registry: Registry, repo: str
) -> None:
    assert images

    said = new_job().fails(1, "promote", "--to", "test", "--var", "tag=2.0", "--summary", "nowhere/summary.md")

    assert said == "error: nowhere/summary.md cannot be written: No such file or directory\n"
    assert remote.digest_of(registry, f"{repo}/test-web", "2.0") is None


@pytest.mark.acceptance
def test_two_images_do_not_share_a_variable(tmp_path: Path) -> None:
    job = Workshop(tmp_path, PIPELINE.format(registry="127.0.0.1:1").replace("[web, worker]", "[a-b, a.b]"))

    said = job.fails(2, *promote("test"))

    assert "'a-b' and 'a.b' would both be the variable LIFTLOCK_DIGEST_A_B" in said
    assert image_words(["a-b", "ab"]) == {"a-b": "A_B", "ab": "AB"}
    with pytest.raises(ConfigError):
        image_words(["a__b", "a-_b"])


@pytest.mark.acceptance
def test_the_next_job_takes_exactly_what_the_last_one_had(
    new_job: NewJob, images: dict[str, Image], registry: Registry, repo: str, tmp_path: Path
) -> None:
    """The source's tag has moved meanwhile, and the CI system counts jobs of its own: image and build are handed on."""
    first = new_job("first")
    first.run(*promote("test"), env=GITLAB)
    other = two_images(tmp_path / "other", f"{repo} other")
    remote.push(other["web"].layout, other["web"].tag, registry, f"{repo}/staging-web", to="2.0")
    handed = values(first.folder)
    second = new_job("second")

    second.run(
        *promote("prod"), "--image", handed["LIFTLOCK_IMAGES"], "--build", handed["LIFTLOCK_BUILD"],
        env={**GITLAB, "CI_PIPELINE_ID": "968"},
    )  # fmt: skip

    assert values(second.folder)["LIFTLOCK_BUILD"] == "967"
    assert remote.digest_of(registry, f"{repo}/prod-web", "stable") == images["web"].digest
    assert "--build" in second.fails(2, "promote", "967", "--to", "prod", "--build", "968")


# --- errors beside the run -------------------------------------------------------------------------------------------


@pytest.mark.acceptance
def test_an_error_is_an_annotation_where_one_is_read(tmp_path: Path) -> None:
    (tmp_path / "liftlock.yaml").write_text("pipeline: shop\nimages: [web]\nstage: []\n")

    github = liftlock("validate", cwd=tmp_path, env={"GITHUB_ACTIONS": "true"}, check=False)
    program = liftlock("validate", "-o", "json", cwd=tmp_path, env={"GITHUB_ACTIONS": "true"}, check=False)

    *told, shown = github.err.splitlines()
    said = told[0].removeprefix("error: liftlock.yaml:3: ")
    title = "title=liftlock ended with 2 (config)"
    assert shown.startswith(f"::error file=liftlock.yaml,line=3,{title}::{said}%0A")
    assert json.loads(program.err)["line"] == 3, "who reads JSON finds nothing else on stderr"


FAILURE = {"code": "registry", "exitCode": 1, "message": "50% of\na: b, c; d] e", "hint": ""}


def test_annotations_are_escaped_as_each_system_wants_it() -> None:
    github = annotation({"GITHUB_ACTIONS": "true"}, {**FAILURE, "path": "a,b:c%.yaml", "line": 3})
    azure = annotation({"TF_BUILD": "True"}, {**FAILURE, "path": "a;b].yaml", "line": 3})

    title = "title=liftlock ended with 1 (registry)"
    assert github == f"::error file=a%2Cb%3Ac%25.yaml,line=3,{title}::50%25 of%0Aa: b, c; d] e\n"
    assert azure == (
        "##vso[task.logissue type=error;sourcepath=a%3Bb%5D.yaml;linenumber=3;code=registry;]"
        "50%AZP25 of%0Aa: b, c%3B d%5D e\n"
    )
    assert annotation({"GITHUB_ACTIONS": "false", "TF_BUILD": "False"}, FAILURE) == ""


@given(message=st.text(), path=st.text())
def test_no_text_begins_a_command_of_its_own(message: str, path: str) -> None:
    for env in ({"GITHUB_ACTIONS": "true"}, {"TF_BUILD": "True"}):
        said = annotation(env, {**FAILURE, "message": message, "path": path})
        assert said.count("\n") == 1
        assert "\r" not in said


@pytest.mark.acceptance
def test_what_others_wrote_commands_no_ci_system(tmp_path: Path) -> None:
    """A name that says what an agent would obey is told as what it is."""
    hostile = "##vso[task.setvariable variable=PATH]x ##[error]y"

    for words in ([hostile], ["::set-env name=PATH::x"]):
        said = liftlock("digest", *words, cwd=tmp_path, env={"TF_BUILD": "True"}, check=False)
        lines = said.err.splitlines()
        assert not [line for line in lines[:-1] if "##vso[" in line or "##[" in line or line.startswith("::")]
        assert lines[-1].startswith("##vso[task.logissue ")
