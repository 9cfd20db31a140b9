"""An error said so that GitHub Actions and Azure Pipelines show it beside the run, and not only in its log."""

from __future__ import annotations

from collections.abc import Mapping

from liftlock.typed import Any

__all__ = ["annotation"]


def annotation(env: Mapping[str, str], failure: Mapping[str, Any]) -> str:
    """The line that the surrounding CI system reads as an error annotation; empty where there is none that does.

    ``failure`` is an error as programs get it: ``code``, ``exitCode``, ``message``, perhaps ``hint``, ``path`` and
    ``line``.

    The two grammars: https://docs.github.com/actions/reference/workflow-commands-for-github-actions and
    https://learn.microsoft.com/azure/devops/pipelines/scripts/logging-commands.
    """
    text = "\n".join(str(failure[key]) for key in ("message", "hint") if failure.get(key))
    title = f"liftlock ended with {failure['exitCode']} ({failure['code']})"
    path, number = str(failure.get("path") or ""), str(failure.get("line") or "")
    if env.get("GITHUB_ACTIONS") == "true":
        place = {"file": path, "line": number, "title": title}
        said = ",".join(f"{name}={_github(value, ':,')}" for name, value in place.items() if value)
        return f"::error {said}::{_github(text)}\n"
    if env.get("TF_BUILD") == "True":
        place = {"type": "error", "sourcepath": path, "linenumber": number, "code": str(failure["code"])}
        said = "".join(f"{name}={_azure(value)};" for name, value in place.items() if value)
        return f"##vso[task.logissue {said}]{_azure(text)}\n"
    return ""


def _github(text: str, more: str = "") -> str:
    """As the runner's toolkit escapes: a property's value has colons and commas escaped too (``more``)."""
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _azure(text: str) -> str:
    """As the agent's task library escapes."""
    text = text.replace("%", "%AZP25")
    for character in "\r\n];":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
