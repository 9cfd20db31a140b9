"""What a template's values are for this run: parameters, pseudo-parameters, ``Ref`` and ``Fn::Sub``.

A value is asked for only when the run needs it. Everything that cannot be known is refused with its line then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from liftlock.ci.codepipeline.cloud import Cloud
from liftlock.ci.codepipeline.files import Templates
from liftlock.ci.codepipeline.template import MAX_BYTES, Call, Listing, Node, Nothing, Table, Text
from liftlock.errors import ConfigError, UsageError
from liftlock.release.names import suggestion

__all__ = ["PIPELINE", "PROJECT", "Values"]

PIPELINE = "AWS::CodePipeline::Pipeline"
PROJECT = "AWS::CodeBuild::Project"

MAX_ASKED = 50_000
"""Texts that a run may ask for: fifty actions that look for a project among five hundred ask for half of it."""

_HOLE = re.compile(r"\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z0-9_.:]+")
_DYNAMIC = "{{resolve:"


class Values:
    """Evaluates nodes of templates. One object is one run's, since it remembers what was secret."""

    def __init__(self, templates: Templates, cloud: Cloud, given: Mapping[str, str]) -> None:
        """``given`` are parameters by name, and what ``Ref`` of resources is. Raises `UsageError` for unknown names."""
        self._templates = templates
        self._cloud = cloud
        self._given = given
        self._under_way: list[str] = []
        self._asked = 0
        self._secrets: set[str] = set()
        known = (*templates.parameters, *templates.resources)
        for name in given if templates.whole else ():
            if name not in known and not name.startswith("AWS::"):
                raise UsageError(f"no template has a parameter {name!r}", hint=suggestion(name, known, "there are: "))

    @property
    def secrets(self) -> frozenset[str]:
        """Values of parameters with ``NoEcho`` that were asked for so far."""
        return frozenset(self._secrets)

    def text(self, node: Node) -> str:
        """The text that a value is. Raises `ConfigError` with the line of what cannot be known, or is no text."""
        text = self._text(node)
        if _DYNAMIC in text:
            raise node.error(
                f"a dynamic reference ({_DYNAMIC}…) is not followed here",
                hint="a variable of the type PARAMETER_STORE or SECRETS_MANAGER is, when the build starts",
            )
        return text

    def get(self, table: Table, key: str) -> Node | None:
        """A property's value; None when it is absent, null, or ``AWS::NoValue``."""
        node = table.items.get(key)
        return None if node is None or isinstance(node, Nothing) or _is_no_value(node) else node

    def optional(self, table: Table, key: str, default: str = "") -> str:
        """The text of a property, or ``default``."""
        node = self.get(table, key)
        return default if node is None else self.text(node)

    def required(self, table: Table, key: str) -> Node:
        """A property that has to be there. Raises `ConfigError` with the line of the whole."""
        node = self.get(table, key)
        if node is None:
            raise table.error(f"{key} is missing here")
        return node

    def table(self, node: Node) -> Table:
        """A value that has to be a mapping."""
        if isinstance(node, Call):
            raise self._unknown(node)
        if not isinstance(node, Table):
            raise node.error("a mapping is needed here")
        return node

    def items(self, node: Node | None) -> Iterator[Node]:
        """A list's items, without ``AWS::NoValue``; none when there is no list."""
        if node is None:
            return
        if isinstance(node, Call):
            raise self._unknown(node)
        if not isinstance(node, Listing):
            raise node.error("a list is needed here")
        yield from (item for item in node.items if not _is_no_value(item))

    def whole(self, table: Table, key: str, default: int, *, most: int) -> int:
        """A number from 1 to ``most``, or ``default``."""
        node = self.get(table, key)
        if node is None:
            return default
        text = self.text(node)
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
            raise node.error(f"{key} is {text!r}, and not a whole number from 1 to {most}")
        return int(text)

    def flag(self, table: Table, key: str) -> bool:
        """A boolean; false when it is absent."""
        text = self.optional(table, key, "false")
        if text not in ("true", "false"):
            raise table.items[key].error(f"{key} is {text!r}, and neither true nor false")
        return text == "true"

    def project_name(self, logical: str) -> str:
        """The name of a project's resource: its ``Name``, or what it is called in the template."""
        return self._name(self._templates.resources[logical], logical)

    def _name(self, resource: Table, logical: str) -> str:
        properties = self.get(resource, "Properties")
        return logical if properties is None else self.optional(self.table(properties), "Name", logical)

    def _text(self, node: Node) -> str:
        self._asked += 1
        if self._asked <= MAX_ASKED:
            text = self._evaluated(node)
            if len(text) <= MAX_BYTES:
                return text
        # A name that holds another twice, which holds a third twice, has no end worth waiting for.
        raise node.error("this text is put together of too many others")

    def _evaluated(self, node: Node) -> str:
        match node:
            case Text(taken_for=kind) if kind:
                raise node.error(f"YAML takes {node.text} for {kind}, which may change it", hint="write it in quotes")
            case Text():
                return node.text
            case Call(function="Ref", argument=Text(text=name)):
                return self._ref(name, node)
            case Call(function="Fn::Sub", argument=argument):
                return self._sub(argument)
            case Call():
                raise self._unknown(node)
        raise node.error("text is needed here")

    def _unknown(self, node: Call) -> ConfigError:
        return node.error(
            f"{node.function} is not evaluated here, and the run needs this value",
            hint="write the value, or make it a parameter and say --parameter NAME=VALUE",
        )

    def _sub(self, argument: Node) -> str:
        own: Mapping[str, Node] = {}
        pattern = argument
        if isinstance(argument, Listing) and len(argument.items) == 2:
            pattern, second = argument.items
            own = self.table(second).items
        if not isinstance(pattern, Text):
            raise argument.error("Fn::Sub takes a text, or a list of a text and a mapping")
        return _HOLE.sub(lambda found: self._hole(found, pattern, own), pattern.text)

    def _hole(self, found: re.Match[str], pattern: Text, own: Mapping[str, Node]) -> str:
        name = found[1]
        if not found[0].endswith("}"):
            raise pattern.error("Fn::Sub: a ${ has no end")
        if name.startswith("!"):
            return f"${{{name[1:]}}}"
        if name in own:
            return self._text(own[name])
        if not _NAME.fullmatch(name):
            raise pattern.error(f"Fn::Sub: {name!r} is no name", hint=f"${{!{name}}} stands for ${{{name}}} itself")
        if "." in name:
            raise pattern.error(
                f"Fn::Sub: ${{{name}}} is an attribute of a resource, which a local run cannot know",
                hint=f"for a literal ${{{name}}}, write ${{!{name}}}",
            )
        return self._ref(name, pattern)

    def _ref(self, name: str, node: Node) -> str:
        if name in self._given or name in self._templates.parameters:
            return self._parameter(name, node)
        if name.startswith("AWS::"):
            return self._pseudo(name, node)
        resource = self._templates.resources.get(name)
        if resource is not None:
            return self._resource(name, resource, node)
        hint = suggestion(name, (*self._templates.parameters, *self._templates.resources))
        if not self._templates.whole:
            hint = f"give its value with --parameter {name}=VALUE, or the file that has it as a further TEMPLATE"
        raise node.error(f"there is no parameter or resource {name!r}", hint=hint)

    def _resource(self, name: str, resource: Table, node: Node) -> str:
        kind = resource.items.get("Type")
        if not (isinstance(kind, Text) and kind.text in (PROJECT, PIPELINE)):
            what = f" ({kind.text})" if isinstance(kind, Text) else ""
            raise node.error(
                f"a local run cannot know what Ref gives for the resource {name}{what}",
                hint=f"say --parameter {name}=VALUE",
            )
        if name in self._under_way:
            raise node.error(f"the name of {name} depends on itself")
        self._under_way.append(name)
        try:
            return self._name(resource, name)
        finally:
            self._under_way.pop()

    def _pseudo(self, name: str, node: Node) -> str:
        match name:
            case "AWS::AccountId":
                return self._cloud.account
            case "AWS::Region":
                return self._cloud.region
            case "AWS::Partition":
                return self._cloud.partition
            case "AWS::URLSuffix":
                return self._cloud.domain
            case "AWS::NoValue":
                raise node.error("AWS::NoValue is no text")
        raise node.error(f"{name} is not known", hint=f"say --parameter {name}=VALUE")

    def _parameter(self, name: str, node: Node) -> str:
        declarations = self._templates.parameters.get(name, ())
        value = self._given[name] if name in self._given else self._default(name, declarations, node)
        for declaration in declarations:
            self._check(name, value, declaration, node)
            if value and self.flag(declaration, "NoEcho"):
                self._secrets.add(value)
        return value

    def _default(self, name: str, declarations: Sequence[Table], node: Node) -> str:
        found = {self.text(default) for each in declarations if (default := self.get(each, "Default")) is not None}
        if len(found) == 1:
            return found.pop()
        why = "several defaults" if found else "no value"
        raise node.error(f"the parameter {name} has {why}", hint=f"say --parameter {name}=VALUE")

    def _check(self, name: str, value: str, declaration: Table, node: Node) -> None:
        kind = self.optional(declaration, "Type", "String")
        if kind.startswith(("AWS::SSM::Parameter::Value<", "List<")) or kind == "CommaDelimitedList":
            raise node.error(f"the parameter {name} is of the type {kind}, which is not evaluated here")
        allowed = [self.text(each) for each in self.items(self.get(declaration, "AllowedValues"))]
        if allowed and value not in allowed:
            shown = "its value" if self.flag(declaration, "NoEcho") else repr(value)
            raise declaration.error(
                f"{shown} is not allowed for the parameter {name}", hint=f"one of: {', '.join(allowed)}"
            )


def _is_no_value(node: Node) -> bool:
    match node:
        case Call(function="Ref", argument=Text(text="AWS::NoValue")):
            return True
    return False
