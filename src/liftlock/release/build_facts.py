"""What the surrounding CI system says of the build: defaults for publishing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote

__all__ = ["BuildFacts", "build_facts"]


class BuildFacts(NamedTuple):
    """Each is empty when it is not known."""

    build: str = ""
    """The build's id, unique within what the system calls a project, pipeline or repository."""
    commit: str = ""
    url: str = ""
    """The build's page."""
    system: str = ""
    """Who says so: ``GitHub Actions``, ``GitLab CI``, ``Azure Pipelines``, ``AWS CodeBuild``."""
    started_by: str = ""
    """Who started the build: an e-mail address where the system gives one, else its name for them."""
    author: str = ""
    """Who wrote the commit; whoever started the build where the system does not tell them apart."""


def build_facts(env: Mapping[str, str]) -> BuildFacts:
    """Read them from the environment. Runners may be nested (GitHub's on CodeBuild's machines): the innermost speaks.

    GitHub keeps the run id when a run is repeated, though its images may differ, so the attempt is part of the id.
    GitLab's pipeline id is the same for all jobs of a pipeline. CodeBuild's build id has a colon, which no tag may
    have: the number is used, and where there is none the id's unique part.
    """
    if run := env.get("GITHUB_RUN_ID"):
        attempt = env.get("GITHUB_RUN_ATTEMPT") or "1"
        page = f"{env.get('GITHUB_SERVER_URL', '')}/{env.get('GITHUB_REPOSITORY', '')}/actions/runs/{run}"
        url = f"{page}/attempts/{attempt}" if env.get("GITHUB_SERVER_URL") and env.get("GITHUB_REPOSITORY") else ""
        actor = env.get("GITHUB_ACTOR", "")
        return BuildFacts(f"{run}-{attempt}", env.get("GITHUB_SHA", ""), url, "GitHub Actions", actor, actor)
    if pipeline := env.get("CI_PIPELINE_ID"):
        user = env.get("GITLAB_USER_EMAIL", "")
        author = _address(env.get("CI_COMMIT_AUTHOR", "")) or user
        commit, url = env.get("CI_COMMIT_SHA", ""), env.get("CI_PIPELINE_URL", "")
        return BuildFacts(pipeline, commit, url, "GitLab CI", user, author)
    if build := env.get("BUILD_BUILDID"):
        collection = env.get("SYSTEM_COLLECTIONURI") or env.get("SYSTEM_TEAMFOUNDATIONCOLLECTIONURI") or ""
        project = quote(env.get("SYSTEM_TEAMPROJECT", ""))
        page = f"{collection.rstrip('/')}/{project}/_build/results?buildId={quote(build)}"
        url = page if collection and project else ""
        person = env.get("BUILD_REQUESTEDFOREMAIL", "")
        return BuildFacts(build, env.get("BUILD_SOURCEVERSION", ""), url, "Azure Pipelines", person, person)
    if build := env.get("CODEBUILD_BUILD_ID"):
        number = env.get("CODEBUILD_BUILD_NUMBER") or build.rpartition(":")[2]
        commit = env.get("CODEBUILD_RESOLVED_SOURCE_VERSION", "")
        url = env.get("CODEBUILD_BUILD_URL") or env.get("CODEBUILD_PUBLIC_BUILD_URL") or ""
        initiator = env.get("CODEBUILD_INITIATOR", "")
        return BuildFacts(number, commit, url, "AWS CodeBuild", initiator, initiator)
    return BuildFacts()


def _address(author: str) -> str:
    """The address of ``Name <address>``, as git writes authors; a text without one is itself."""
    _, opening, rest = author.partition("<")
    return rest.partition(">")[0] if opening else author.strip()
