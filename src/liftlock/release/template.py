"""Text with ``{name}`` variables in it, and where in which file it was written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from liftlock.errors import ConfigError, UsageError
from liftlock.oci.reference import is_tag
from liftlock.release.names import suggestion

__all__ = ["BUILT_IN", "Template", "is_built_in"]

T = TypeVar("T")

BUILT_IN = ("build", "commit", "date", "image", "release")
"""The variables that need no declaration; ``label.KEY`` is the sixth."""

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_./-]*)\}")

_MISSING = {
    "build": "the artifact has no build id: publish it with --build",
    "commit": "the artifact has no commit: publish it with --commit",
    "image": "{image} stands for an image's name, and works only where something is said for each image",
}


def is_built_in(name: str) -> bool:
    """Whether a variable gets its value from the release, and so can be given none."""
    return name in BUILT_IN or name.startswith("label.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One text of a pipeline file. Two are equal when their text is; the place is only for messages."""

    text: str
    path: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)
    """From 1; 0 when it came from no file."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The names in it, in order of appearance."""
        return tuple(_VARIABLE.findall(self.text))

    @property
    def is_well_formed(self) -> bool:
        """Whether every brace belongs to a variable."""
        return not {"{", "}"} & set(_VARIABLE.sub("", self.text))

    def expand(self, values: Mapping[str, str]) -> str:
        """The text with every variable replaced, once: values are not expanded again.

        Raises `ConfigError`, naming file and line, for a variable without a value, and for one that an artifact
        brought (build, commit, label) whose value could lead to another place than the pipeline's author meant.
        """

        def value_of(match: re.Match[str]) -> str:
            name = match[1]
            if name not in values:
                raise self.error(f"{self.text!r}: {{{name}}} has no value", hint=_missing(name, values))
            value = values[name]
            if (name in ("build", "commit") or name.startswith("label.")) and not is_tag(value):
                raise self.error(
                    f"{self.text!r}: the value of {{{name}}}, {value[:80]!r}, cannot be part of a reference",
                    hint="what comes with an artifact may have letters, digits, '.', '_' and '-' there",
                )
            return value

        return _VARIABLE.sub(value_of, self.text)

    def resolve(self, values: Mapping[str, str], read: Callable[[str], T]) -> T:
        """What `read` makes of the expanded text; its `UsageError` becomes a `ConfigError` that names the place."""
        text = self.expand(values)
        try:
            return read(text)
        except UsageError as error:
            written = "" if text == self.text else f" (written as {self.text!r})"
            raise self.error(error.message + written, hint=error.hint) from None

    def error(self, message: str, *, hint: str = "") -> ConfigError:
        """An error that names the place of this text."""
        return ConfigError(message, path=self.path, line=self.line, hint=hint)


def _missing(name: str, values: Mapping[str, str]) -> str:
    if name in _MISSING:
        return _MISSING[name]
    if name.startswith("label."):
        return f"the artifact has no such label: publish it with --label {name.removeprefix('label.')}=…"
    known = sorted({*values, *BUILT_IN} - {name})
    return suggestion(name, known) or f"give it with --var {name}=…, or in the file's variables"
