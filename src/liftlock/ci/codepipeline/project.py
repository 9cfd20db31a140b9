"""A CodeBuild project of a template: what a build of it needs here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from liftlock.ci.buildspec.read import is_variable_name
from liftlock.ci.buildspec.surroundings import Variable, VariableType
from liftlock.ci.codepipeline.template import Call, Node, Table, Text
from liftlock.ci.codepipeline.values import PROJECT, Values
from liftlock.errors import ConfigError

__all__ = ["Buildspec", "Note", "Project", "buildspec_of", "keys", "listed_variables", "note", "project_of"]

_INLINE = re.compile(r"\s*(?:\{|version\s*:)|.*\n.*\S", re.DOTALL)

_USED = ("Name", "Source", "Artifacts", "Environment", "TimeoutInMinutes")
_SILENT = ("Description", "Tags", "BadgeEnabled", "Visibility", "ResourceAccessRole", "Triggers", "BuildBatchConfig")
"""What changes nothing of a build that a pipeline starts."""
_ABSENT = (
    "AutoRetryLimit", "Cache", "ConcurrentBuildLimit", "EncryptionKey", "FileSystemLocations", "LogsConfig",
    "QueuedTimeoutInMinutes", "SecondaryArtifacts", "SecondarySources", "SecondarySourceVersions", "ServiceRole",
    "SourceVersion", "VpcConfig",
)  # fmt: skip
_SOURCE = (
    "Auth", "BuildStatusConfig", "GitCloneDepth", "GitSubmodulesConfig", "InsecureSsl", "Location",
    "ReportBuildStatus", "SourceIdentifier",
)  # fmt: skip
_ARTIFACTS = (
    "ArtifactIdentifier", "EncryptionDisabled", "Location", "Name", "NamespaceType", "OverrideArtifactName",
    "Packaging", "Path",
)  # fmt: skip
"""Where a source and artifacts come from and go to is the pipeline's matter: these have no effect there either."""
_MACHINE = (
    "Certificate", "ComputeType", "DockerServer", "Fleet", "HostKernel", "Image", "ImagePullCredentialsType",
    "PrivilegedMode", "RegistryCredential", "Type",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something that the template says, and that a run on this machine does not imitate."""

    path: str
    line: int
    what: str

    def to_json(self) -> dict[str, object]:
        return {"path": self.path, "line": self.line, "what": self.what}


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildspec:
    """Where the commands are: a file in the primary input, or the template's own text."""

    file: str = ""
    text: str = ""
    node: Node
    begins: int = 1
    """The line of the template that the text's first line is on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project, with every value that a build of it needs."""

    name: str
    node: Table
    buildspec: Buildspec
    variables: tuple[Variable, ...]
    minutes: int
    """After which a build is ended."""
    image: str
    """What CodeBuild would run it in; for ``CODEBUILD_BUILD_IMAGE``. Empty when that is not known."""
    notes: tuple[Note, ...]


def project_of(name: Node, resources: Mapping[str, Table], values: Values) -> Project:
    """The project that an action names. Raises `ConfigError` with the line of what is wrong or cannot be imitated."""
    text = values.text(name)
    meant = name.argument.text if isinstance(name, Call) and isinstance(name.argument, Text) else ""
    logical = _find(text, sorted(resources, key=lambda each: each != meant), resources, values)
    if logical is None:
        known = sorted(each for each, node in resources.items() if _is_project(node))
        there = f"projects there: {', '.join(known)}" if known else "there is no project at all"
        raise name.error(f"no template has the project {text!r}; {there}", hint="give its file as a further TEMPLATE")
    resource = resources[logical]
    node = values.table(values.required(resource, "Properties"))
    keys(node, "project", _USED, (*_SILENT, *_ABSENT))
    source = _pipeline_only(node, "Source", ("Type", "BuildSpec", *_SOURCE), values)
    _pipeline_only(node, "Artifacts", ("Type", *_ARTIFACTS), values)
    environment = values.table(values.required(node, "Environment"))
    keys(environment, "environment", ("EnvironmentVariables",), _MACHINE)
    return Project(
        name=text,
        node=node,
        buildspec=buildspec_of(values.get(source, "BuildSpec"), source, values),
        variables=tuple(_variables(values.get(environment, "EnvironmentVariables"), values)),
        minutes=values.whole(node, "TimeoutInMinutes", 60, most=2160),
        image=_image(environment, values),
        notes=tuple(_notes(resource, node, environment, values)),
    )


def keys(node: Table, what: str, used: tuple[str, ...], others: tuple[str, ...]) -> None:
    """Refuse a key that a kind of thing does not have: a slip that CloudFormation would refuse, too."""
    for key, value in node.items.items():
        if key not in used and key not in others:
            raise value.error(f"{key!r} is no key of {'an' if what[0] in 'aeio' else 'a'} {what}")


def buildspec_of(node: Node | None, around: Node, values: Values) -> Buildspec:
    """What ``BuildSpec`` says: inline text, or a file, which is ``buildspec.yml`` when nothing is said."""
    text = "" if node is None else values.text(node).strip()
    node = node or around
    if text.startswith("arn:"):
        raise node.error("a buildspec in a bucket is not fetched here", hint="name a file of the input artifact")
    if _INLINE.match(text):
        return Buildspec(text=values.text(node), node=node, begins=_begins(node))
    file = PurePosixPath(text or "buildspec.yml")
    if file.is_absolute() or ".." in file.parts:
        raise node.error(f"the buildspec {text} is outside of the input artifact")
    return Buildspec(file=str(file), node=node)


def _begins(node: Node) -> int:
    """The line of an inline text's first line, so that what is wrong in it is named by the template's lines."""
    text = node.argument if isinstance(node, Call) else node
    return (text.begins if isinstance(text, Text) else 0) or node.line


def listed_variables(node: Node, values: Values) -> tuple[Variable, ...]:
    """The variables in an action's configuration, which are JSON in a text."""
    try:
        listed = json.loads(values.text(node))
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        raise node.error(f"EnvironmentVariables is not JSON: {why}") from None
    if not isinstance(listed, list):
        raise node.error("EnvironmentVariables is a list of name, value and type, as JSON")
    found = []
    for each in listed:
        if not (isinstance(each, dict) and set(each) <= {"name", "value", "type"} and {"name", "value"} <= set(each)):
            raise node.error("each of EnvironmentVariables has a name, a value, and perhaps a type")
        if not all(isinstance(part, str) for part in each.values()):
            raise node.error("names, values and types of EnvironmentVariables are text")
        found.append(_variable(each["name"], each["value"], each.get("type", "PLAINTEXT"), node))
    _once(found)
    return tuple(found)


def _variables(node: Node | None, values: Values) -> list[Variable]:
    found = []
    for each in values.items(node):
        entry = values.table(each)
        keys(entry, "variable", ("Name", "Value", "Type"), ())
        name = values.text(values.required(entry, "Name"))
        value = values.required(entry, "Value")
        found.append(_variable(name, values.text(value), values.optional(entry, "Type", "PLAINTEXT"), entry))
    _once(found)
    return found


def _once(found: list[Variable]) -> None:
    names = [each.name for each in found]
    for each in found:
        if names.count(each.name) > 1:
            raise ConfigError(f"the variable {each.name} is here twice", path=each.path, line=each.line)


def _variable(name: str, value: str, kind: str, node: Node) -> Variable:
    if not is_variable_name(name):
        raise node.error(f"{name!r} is no name of a variable that a shell has")
    if kind not in list(VariableType):
        raise node.error(f"{kind!r} is no type of variable", hint=f"one of: {', '.join(VariableType)}")
    return Variable(name=name, value=value, type=VariableType(kind), path=node.path, line=node.line)


def _find(name: str, order: Sequence[str], resources: Mapping[str, Table], values: Values) -> str | None:
    for logical in order:
        if _is_project(resources[logical]):
            try:
                if values.project_name(logical) == name:
                    return logical
            except ConfigError:
                # Another project's name that cannot be known is no mistake of this stage.
                continue
    return None


def _is_project(node: Table) -> bool:
    kind = node.items.get("Type")
    return isinstance(kind, Text) and kind.text == PROJECT


def _pipeline_only(node: Table, key: str, known: tuple[str, ...], values: Values) -> Table:
    part = values.table(values.required(node, key))
    keys(part, key.lower().removesuffix("s"), known, ())
    kind = values.required(part, "Type")
    text = values.text(kind)
    if text != "CODEPIPELINE":
        raise kind.error(
            f"{key} of the type {text} is not run here",
            hint="a project that a pipeline builds has the type CODEPIPELINE",
        )
    return part


def _image(environment: Table, values: Values) -> str:
    try:
        return values.optional(environment, "Image")
    except ConfigError:
        return ""


def _notes(resource: Table, node: Table, environment: Table, values: Values) -> Iterator[Note]:
    if "Condition" in resource.items:
        yield note(resource.items["Condition"], "Condition is taken as true")
    for table in (node, environment):
        for key in (*_ABSENT, *_MACHINE):
            value = values.get(table, key)
            if value is not None and not (isinstance(value, Text) and value.text == "false"):
                yield note(value, key)


def note(node: Node, what: str) -> Note:
    """A note about a value, with what it says where that is short."""
    match node:
        case Text(text=text):
            what = f"{what} ({text})"
        case Call(function=function):
            what = f"{what} ({function})"
    return Note(path=node.path, line=node.line, what=what)
