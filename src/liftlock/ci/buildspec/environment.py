"""The variables of a build: which of several with one name counts, and what its value is.

CodeBuild's order: the start of the build, then the project, then the file; what CodeBuild sets itself, and what the
commands inherit, come last. Sources: "Environment variables in build environments",
https://docs.aws.amazon.com/codebuild/latest/userguide/build-env-ref-env-vars.html, and the buildspec reference.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from liftlock.auth.secret import Secret
from liftlock.ci.buildspec.model import Buildspec, SecretReference
from liftlock.ci.buildspec.read import is_variable_name, read_secret
from liftlock.ci.buildspec.surroundings import Surroundings, Variable, VariableType
from liftlock.errors import ConfigError, LiftlockError

__all__ = ["Chosen", "Environment", "chosen", "environment", "on_path"]

Origin = Literal["start", "project", "buildspec"]

_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
"""What CodeBuild hides in its log besides the secrets that it looked up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The variable that counts among those of its name, and who set it."""

    variable: Variable
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What the first command finds, and what of it may not be shown."""

    variables: Mapping[str, str]
    secrets: tuple[str, ...]


def chosen(spec: Buildspec, surroundings: Surroundings) -> Mapping[str, Chosen]:
    """Which variables count, by name. Nothing is looked up.

    Raises `ConfigError` for a variable that cannot be one, or that may not be exported.
    """
    found = {each.name: Chosen(variable=each, origin="buildspec") for each in _of_file(spec)}
    given: tuple[tuple[Origin, tuple[Variable, ...]], ...] = (
        ("project", surroundings.project),
        ("start", surroundings.overrides),
    )
    for origin, variables in given:
        for each in variables:
            _check(each)
            found[each.name] = Chosen(variable=each, origin=origin)
    for name in spec.env.exported_variables:
        counts = found.get(name.text)
        if counts and counts.origin != "buildspec" and counts.variable.type is not VariableType.PLAINTEXT:
            raise ConfigError(
                f"env.exported-variables: {name.text} is a secret of the project, which CodeBuild does not export",
                path=spec.path,
                line=name.line,
                hint="remove it, or give what may be seen to a variable of another name",
            )
    return found


def environment(spec: Buildspec, surroundings: Surroundings) -> Environment:
    """The variables with their values; secrets are looked up. Raises what `chosen` and `Lookups` raise."""
    variables = {name: value for name, value in surroundings.environment.items() if not name.startswith("CODEBUILD_")}
    variables.update(_built_in(surroundings))
    secrets = []
    for name, each in chosen(spec, surroundings).items():
        if each.variable.type is VariableType.PLAINTEXT:
            variables[name] = each.variable.value
        else:
            variables[name] = _looked_up(each.variable, surroundings).reveal()
            secrets.append(variables[name])
            _usable(each.variable, variables[name])
    return Environment(
        variables=variables, secrets=(*secrets, *(variables[name] for name in _KEYS if variables.get(name)))
    )


def on_path(variables: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The variables, with a folder first on ``PATH``."""
    return {**variables, "PATH": f"{folder}{os.pathsep}{variables.get('PATH') or os.defpath}"}


def _of_file(spec: Buildspec) -> Iterator[Variable]:
    for name, text in spec.env.variables.items():
        yield Variable(name=name, value=text.text, path=spec.path, line=text.line)
    for name, text in spec.env.parameter_store.items():
        kind = VariableType.PARAMETER_STORE
        yield Variable(name=name, value=text.text, type=kind, path=spec.path, line=text.line)
    for name, (reference, line) in spec.env.secrets_manager.items():
        yield Variable(name=name, value=str(reference), type=VariableType.SECRETS_MANAGER, path=spec.path, line=line)


def _check(variable: Variable) -> None:
    wrong, hint = "", ""
    if not is_variable_name(variable.name):
        wrong, hint = f"{variable.name!r} is no name of a variable", "letters, digits and _; no digit first"
    elif variable.name.startswith("CODEBUILD_"):
        wrong, hint = f"{variable.name}: names that begin with CODEBUILD_ are CodeBuild's own", "choose another name"
    if wrong:
        raise ConfigError(wrong, path=variable.path, line=variable.line, hint=hint)
    _usable(variable, variable.value)


def _usable(variable: Variable, value: str) -> None:
    if "\0" in value:
        raise ConfigError(
            f"the value of {variable.name} has a zero byte, which no variable can hold",
            path=variable.path,
            line=variable.line,
        )


def _looked_up(variable: Variable, surroundings: Surroundings) -> Secret:
    try:
        if variable.type is VariableType.PARAMETER_STORE:
            return surroundings.lookups.parameter(variable.value)
        reference = _reference(variable)
        return surroundings.lookups.secret(reference.id, reference.key, reference.stage, reference.version)
    except LiftlockError as error:
        if isinstance(error, ConfigError):
            error.path, error.line = error.path or variable.path, error.line or variable.line
        elif variable.path:
            error.message = f"{variable.path}:{variable.line}: {error.message}"
        error.message = f"{error.message} (for the variable {variable.name})"
        raise


def _reference(variable: Variable) -> SecretReference:
    try:
        return read_secret(variable.value)
    except ValueError as error:
        raise ConfigError(f"{variable.name}: {error}", path=variable.path, line=variable.line) from None


def _built_in(surroundings: Surroundings) -> dict[str, str]:
    """What CodeBuild sets itself. What is not known stays unset."""
    identity = surroundings.identity
    region = identity.region or "us-east-1"
    known = {
        "AWS_REGION": identity.region,
        "AWS_DEFAULT_REGION": identity.region,
        "CODEBUILD_BUILD_ARN": identity.arn,
        "CODEBUILD_BUILD_ID": identity.build_id,
        "CODEBUILD_BUILD_IMAGE": identity.image,
        "CODEBUILD_BUILD_NUMBER": str(identity.number),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_CI": "true",
        "CODEBUILD_INITIATOR": identity.initiator,
        "CODEBUILD_KMS_KEY_ID": identity.kms_key or f"arn:aws:kms:{region}:{identity.account}:alias/aws/s3",
        "CODEBUILD_LAST_EXIT": "0",
        "CODEBUILD_LOG_PATH": identity.id,
        "CODEBUILD_RESOLVED_SOURCE_VERSION": identity.resolved_source_version,
        "CODEBUILD_SOURCE_REPO_URL": identity.source_repo_url,
        "CODEBUILD_SOURCE_VERSION": identity.source_version,
        "CODEBUILD_SRC_DIR": str(surroundings.source.absolute()),
        "CODEBUILD_START_TIME": str(int(surroundings.clock().timestamp() * 1000)),
    }
    known |= {f"CODEBUILD_SRC_DIR_{name}": str(path.absolute()) for name, path in surroundings.extra_sources.items()}
    return {name: value for name, value in known.items() if value}
