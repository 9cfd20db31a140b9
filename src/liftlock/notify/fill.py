"""Texts with ``{name}`` in them, for which a message has a value."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import AfterValidator

__all__ = ["Fillable", "fill"]

_NAME = re.compile(r"\{([A-Za-z_-]+)\}")


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with every name replaced, once; what is in a value stays as it is."""
    return _NAME.sub(lambda match: values[match[1]], text)


def Fillable(*names: str) -> AfterValidator:  # noqa: N802 - it is used as a type's annotation
    """For the type of an option: refuses a text with other names than these."""

    def check(text: str) -> str:
        unknown = sorted(set(_NAME.findall(text)) - set(names))
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"{{{unknown[0]}}} has no value here: there are {known}")
        return text

    return AfterValidator(check)
