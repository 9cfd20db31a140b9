"""Reads a buildspec: version 0.2, and of it all that a run honours. Everything else is refused with its line.

Syntax: https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from liftlock.ci.buildspec.model import (
    ArtifactsSection,
    Buildspec,
    Command,
    EnvSection,
    OnFailure,
    Phase,
    PhaseName,
    SecretReference,
    Shell,
    Text,
)
from liftlock.ci.buildspec.nodes import Place, open_document
from liftlock.errors import ConfigError
from liftlock.release.names import suggestion

__all__ = ["is_variable_name", "read", "read_secret"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SHELLS = {"bash": Shell.BASH, "/bin/bash": Shell.BASH, "sh": Shell.SH, "/bin/sh": Shell.SH}

_NOT_HERE = {
    "run-as": "commands run as who started Liftlock; remove it, or start Liftlock as that user",
    "proxy": "remove it; HTTP_PROXY and its like are taken from the environment",
    "batch": "run the builds one by one, with a file for each",
    "reports": "remove it, or keep a file for CodeBuild and one for here; the test's own output is in the log",
    "cache": "remove it; the source folder stays as the last run left it",
    "runtime-versions": "remove it, and install the runtimes on this machine: no image is started here",
    "git-credential-helper": "remove it; git's own configuration is used",
    "enable-symlinks": "remove it; a link inside of the base directory is collected as the file that it leads to",
    "s3-prefix": "remove it; artifacts are collected into a folder here, not into a bucket",
}
"""CodeBuild's keys that cannot be honoured here, and what to do instead."""

_TOP = ("version", "env", "phases", "artifacts")
_ENV = ("shell", "variables", "parameter-store", "secrets-manager", "exported-variables")
_PHASE = ("commands", "finally", "on-failure")
_ARTIFACTS = ("files", "base-directory", "discard-paths", "exclude-paths", "name")


def read(data: bytes, path: str, *, first_line: int = 1) -> Buildspec:
    """The buildspec in a file's bytes; ``path`` is for messages.

    ``first_line`` is the line of ``path`` in which ``data`` begins, for a buildspec that is a part of another file.
    Raises `ConfigError` naming file and line for whatever is not understood or not honoured: nothing is skipped.
    """
    document = open_document(data, path, first_line)
    table = document.table()
    _version(document, table.get("version"))  # before all else: another version has other keys
    _only(table, _TOP)
    if "phases" not in table:
        raise document.error(
            "it has no phases", hint="a build needs at least one of install, pre_build, build, post_build"
        )
    primary, secondary = _all_artifacts(table.get("artifacts"))
    return Buildspec(
        path=path,
        phases=_phases(table["phases"]),
        env=_env(table["env"]) if "env" in table else EnvSection(),
        artifacts=primary,
        secondary_artifacts=secondary,
    )


def is_variable_name(name: str) -> bool:
    """Whether a shell takes it as a variable's name."""
    return _VARIABLE.fullmatch(name) is not None


def read_secret(text: str) -> SecretReference:
    """``secret-id:json-key:version-stage:version-id``, of which only the first is needed; an ARN has colons itself.

    Raises ValueError saying what is wrong with it.
    """
    parts = text.split(":")
    of_id = 7 if parts[:1] == ["arn"] else 1
    if len(parts) < of_id or not all(parts[:of_id]):
        raise ValueError("it does not name a secret")
    secret, rest = ":".join(parts[:of_id]), parts[of_id:]
    if len(rest) > 3:
        raise ValueError("it has more than the parts secret-id:json-key:version-stage:version-id")
    key, stage, version = (*rest, "", "", "")[:3]
    if stage and version:
        raise ValueError("it has both a version-stage and a version-id, of which CodeBuild takes one")
    return SecretReference(id=secret, key=key, stage=stage, version=version)


def _version(document: Place, place: Place | None) -> None:
    if place is None:
        raise document.error("it says no version", hint="begin the file with: version: 0.2")
    if place.text() != "0.2":
        raise place.error(
            f"version {place.text()!r} is not run here",
            hint="write version: 0.2, in which env.variables takes the place of environment_variables.plaintext",
        )


def _only(table: Mapping[str, Place], known: tuple[str, ...]) -> None:
    for key, place in table.items():
        if key in known:
            continue
        if key in _NOT_HERE:
            raise place.error(f"{place.name} is not honoured here", hint=_NOT_HERE[key])
        raise place.error(f"{place.name} is no key of a buildspec", hint=suggestion(key, known, "there are: "))


def _phases(place: Place) -> Mapping[PhaseName, Phase]:
    table = place.table()
    known = tuple(name.value for name in PhaseName)
    for key, each in table.items():
        if key not in known:
            raise each.error(f"there is no phase {key!r}", hint=suggestion(key, known, "there are: "))
    if not table:
        raise place.error("phases has no phase", hint=f"there are: {', '.join(known)}")
    return {name: _phase(name, table[name.value]) for name in PhaseName if name.value in table}


def _phase(name: PhaseName, place: Place) -> Phase:
    table = place.table()
    _only(table, (*_PHASE,))
    if "commands" not in table and name is not PhaseName.INSTALL:
        raise place.error(f"{place.name} has no commands", hint="write commands: and a list, or remove the phase")
    return Phase(
        name=name,
        line=place.line,
        commands=_commands(table.get("commands")),
        finally_=_commands(table.get("finally")),
        on_failure=_on_failure(table.get("on-failure")),
    )


def _commands(place: Place | None) -> tuple[Command, ...]:
    if place is None:
        return ()
    return tuple(Command(text=_command(each), line=each.line) for each in place.items())


def _command(place: Place) -> str:
    if place.is_table:
        raise place.error(
            f"{place.name}: this command is a mapping to YAML, because a blank follows a colon in it",
            hint="put the command in quotes, or after - | on the next line",
        )
    text = "" if place.is_empty else place.text()
    if not text.strip():
        raise place.error(f"{place.name}: this command is empty", hint="remove it")
    return text


def _on_failure(place: Place | None) -> OnFailure | None:
    if place is None:
        return None
    text = place.text()
    if text.startswith("RETRY"):
        raise place.error(
            f"{place.name}: {text} is not honoured here", hint="say ABORT or CONTINUE, or retry within a command"
        )
    if text not in list(OnFailure):
        raise place.error(f"{place.name} is {text!r}", hint="say ABORT or CONTINUE")
    return OnFailure(text)


def _env(place: Place) -> EnvSection:
    table = place.table()
    _only(table, _ENV)
    variables, parameters, secrets = (
        _named(table[key]) if key in table else {} for key in ("variables", "parameter-store", "secrets-manager")
    )
    _once(variables, parameters, secrets)
    return EnvSection(
        shell=_shell(table["shell"]) if "shell" in table else Shell.SH,
        variables={name: Text(text=each.text(), line=each.line) for name, each in variables.items()},
        parameter_store={name: _parameter(each) for name, each in parameters.items()},
        secrets_manager={name: (_secret(each), each.line) for name, each in secrets.items()},
        exported_variables=_exported(table["exported-variables"]) if "exported-variables" in table else (),
    )


def _shell(place: Place) -> Shell:
    text = place.text()
    if text not in _SHELLS:
        raise place.error(f"{place.name}: {text!r} is no shell that is run here", hint="say bash or /bin/sh")
    return _SHELLS[text]


def _named(place: Place) -> Mapping[str, Place]:
    """The entries of a mapping whose keys are variables."""
    table = place.table()
    for name, each in table.items():
        _name(name, each)
    return table


def _name(name: str, place: Place) -> None:
    if not is_variable_name(name):
        raise place.error(
            f"{place.name}: {name!r} is no name of a variable", hint="letters, digits and _; no digit first"
        )
    if name.startswith("CODEBUILD_"):
        raise place.error(
            f"{place.name}: names that begin with CODEBUILD_ are CodeBuild's own", hint="choose another name"
        )


def _once(*sections: Mapping[str, Place]) -> None:
    seen: dict[str, Place] = {}
    for section in sections:
        for name, place in section.items():
            if name in seen:
                raise place.error(
                    f"the variable {name} is set here and by {seen[name].name} in line {seen[name].line}",
                    hint="only one of the two would count",
                )
            seen[name] = place


def _parameter(place: Place) -> Text:
    text = place.text()
    if not text.strip():
        raise place.error(f"{place.name} names no parameter", hint="write the parameter's name or ARN")
    return Text(text=text, line=place.line)


def _secret(place: Place) -> SecretReference:
    try:
        return read_secret(place.text())
    except ValueError as error:
        raise place.error(
            f"{place.name}: {error}", hint="write secret-id:json-key:version-stage:version-id; only the first is needed"
        ) from None


def _exported(place: Place) -> tuple[Text, ...]:
    found: dict[str, Text] = {}
    for each in place.items():
        name = each.text()
        _name(name, each)
        if name.startswith("AWS_"):
            raise each.error(
                f"{each.name}: CodeBuild exports no variable whose name begins with AWS_",
                hint="give its value to a variable of another name",
            )
        if name in found:
            raise each.error(f"{each.name}: {name} is here twice", hint="remove one of the two")
        found[name] = Text(text=name, line=each.line)
    return tuple(found.values())


def _all_artifacts(place: Place | None) -> tuple[ArtifactsSection | None, Mapping[str, ArtifactsSection]]:
    if place is None:
        return None, {}
    table = dict(place.table())
    below = table.pop("secondary-artifacts", None)
    secondary: dict[str, ArtifactsSection] = {}
    for identifier, each in below.table().items() if below else ():
        if not _IDENTIFIER.fullmatch(identifier):
            raise each.error(f"{identifier!r} is no artifact identifier", hint="letters, digits, _ and -")
        secondary[identifier] = _artifacts(each, each.table())
    primary = _artifacts(place, table) if table or not below else None
    return primary, secondary


def _artifacts(place: Place, table: Mapping[str, Place]) -> ArtifactsSection:
    _only(table, _ARTIFACTS)
    files = _patterns(table["files"]) if "files" in table else ()
    if not files:
        raise place.error(f"{place.name} has no files", hint="write files: and a list; '**/*' is all files")
    base = table.get("base-directory")
    return ArtifactsSection(
        line=place.line,
        files=files,
        base_directory=_pattern(base) if base else None,
        discard_paths="discard-paths" in table and table["discard-paths"].flag(),
        exclude_paths=_patterns(table["exclude-paths"]) if "exclude-paths" in table else (),
        name=_artifact_name(table["name"]) if "name" in table else None,
    )


def _artifact_name(place: Place) -> Text:
    text = place.text()
    if not text.strip() or "\n" in text:
        raise place.error(f"{place.name} is no name", hint="write one line of text; the shell expands it")
    return Text(text=text, line=place.line)


def _patterns(place: Place) -> tuple[Text, ...]:
    return tuple(_pattern(each) for each in place.items())


def _pattern(place: Place) -> Text:
    """A path below the source folder, perhaps with wildcards."""
    text = place.text()
    wrong: ConfigError | None = None
    if not text.strip():
        wrong = place.error(f"{place.name}: this path is empty", hint="'**/*' is all files")
    elif text.startswith(("/", "~")) or ".." in text.split("/"):
        wrong = place.error(
            f"{place.name}: {text!r} leads out of the source folder", hint="copy such files into it in post_build"
        )
    elif "$" in text or "`" in text:
        wrong = place.error(
            f"{place.name}: {text!r} has a variable, and none is expanded here",
            hint="copy the files to a folder of a fixed name in post_build, and name that",
        )
    if wrong:
        raise wrong
    return Text(text=text, line=place.line)
