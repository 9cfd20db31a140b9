"""What four CI systems say of a build."""

from __future__ import annotations

import pytest

from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.oci.reference import is_tag
from liftlock.release.artifact import Artifact
from liftlock.release.build_facts import BuildFacts, build_facts

CODEBUILD = {
    "CODEBUILD_BUILD_ID": "demo-app:b1e6661e-e4f2-4156-9ab9-82a19EXAMPLE",
    "CODEBUILD_BUILD_NUMBER": "42",
    "CODEBUILD_RESOLVED_SOURCE_VERSION": "c0ffee",
    "CODEBUILD_BUILD_URL": "https://eu-west-1.console.aws.amazon.com/codebuild/home?region=eu-west-1#/builds/demo-app:b1",
}
AZURE = {
    "BUILD_BUILDID": "1815",
    "BUILD_SOURCEVERSION": "c0ffee",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/acme/",
    "SYSTEM_TEAMPROJECT": "Demo App",
}
GITHUB = {
    "GITHUB_RUN_ID": "1658821493",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_SHA": "c0ffee",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "acme/demo",
}
GITLAB = {
    "CI_PIPELINE_ID": "967",
    "CI_COMMIT_SHA": "c0ffee",
    "CI_PIPELINE_URL": "https://gitlab.example/acme/demo/-/pipelines/967",
}


@pytest.mark.parametrize(
    ("env", "build", "url", "system"),
    [
        (CODEBUILD, "42", CODEBUILD["CODEBUILD_BUILD_URL"], "AWS CodeBuild"),
        (AZURE, "1815", "https://dev.azure.com/acme/Demo%20App/_build/results?buildId=1815", "Azure Pipelines"),
        (GITHUB, "1658821493-2", "https://github.com/acme/demo/actions/runs/1658821493/attempts/2", "GitHub Actions"),
        (GITLAB, "967", GITLAB["CI_PIPELINE_URL"], "GitLab CI"),
    ],
)
def test_each_system_is_understood(env: dict[str, str], build: str, url: str, system: str) -> None:
    facts = build_facts({"PATH": "/bin", **env})

    assert facts == BuildFacts(build, "c0ffee", url, system)
    web = Descriptor("application/vnd.oci.image.manifest.v1+json", Digest.of(b"web"), 3)
    Artifact(images={"web": web}, build=facts.build, commit=facts.commit, links={"build": facts.url})


def test_without_a_number_codebuilds_id_still_gives_one_that_can_be_a_tag() -> None:
    facts = build_facts({"CODEBUILD_BUILD_ID": CODEBUILD["CODEBUILD_BUILD_ID"]})

    assert facts.build == "b1e6661e-e4f2-4156-9ab9-82a19EXAMPLE"
    assert is_tag(facts.build)


@pytest.mark.parametrize("env", [CODEBUILD, AZURE, GITHUB, GITLAB])
def test_the_id_alone_is_enough(env: dict[str, str]) -> None:
    name, value = next(iter(env.items()))
    facts = build_facts({name: value})

    assert facts.build
    assert (facts.commit, facts.url) == ("", "")


def test_a_runner_inside_another_systems_build_speaks_for_itself() -> None:
    assert build_facts({**CODEBUILD, **GITHUB}).system == "GitHub Actions"
    assert build_facts({**CODEBUILD, **GITLAB}).system == "GitLab CI"


def test_outside_ci_nothing_is_known() -> None:
    assert build_facts({"CI": "true", "BUILD_BUILDID": ""}) == BuildFacts()


@pytest.mark.parametrize(
    ("env", "started_by", "author"),
    [
        ({**GITHUB, "GITHUB_ACTOR": "octocat"}, "octocat", "octocat"),
        (
            {**GITLAB, "GITLAB_USER_EMAIL": "ops@acme.example", "CI_COMMIT_AUTHOR": "Ada L. <ada@acme.example>"},
            "ops@acme.example",
            "ada@acme.example",
        ),
        ({**GITLAB, "GITLAB_USER_EMAIL": "ops@acme.example"}, "ops@acme.example", "ops@acme.example"),
        ({**GITLAB, "CI_COMMIT_AUTHOR": "Ada"}, "", "Ada"),
        ({**AZURE, "BUILD_REQUESTEDFOREMAIL": "ada@acme.example"}, "ada@acme.example", "ada@acme.example"),
        ({**CODEBUILD, "CODEBUILD_INITIATOR": "codepipeline/shop"}, "codepipeline/shop", "codepipeline/shop"),
        (CODEBUILD, "", ""),
    ],
)
def test_who_started_the_build_and_who_wrote_the_commit(env: dict[str, str], started_by: str, author: str) -> None:
    facts = build_facts(env)

    assert (facts.started_by, facts.author) == (started_by, author)
