"""Types of options that gates and notifiers have in common."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from liftlock.errors import TransportError
from liftlock.pipeline.kinds import SecretText
from liftlock.transport.urls import split_url

__all__ = ["Variables", "WebUrl", "is_reference"]

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def is_reference(text: str) -> bool:
    """Whether a text stands for a secret, so that nothing can be said of it before it is used."""
    return text.startswith(("env:", "file:"))


def _a_web_url(text: str) -> str:
    if not is_reference(text):
        try:
            split_url(text)
        except TransportError:
            raise ValueError("it is no http or https URL: write https://host/path, or env:NAME of one") from None
    return text


WebUrl = Annotated[SecretText, AfterValidator(_a_web_url)]
"""An ``http`` or ``https`` URL, or a reference to one."""


def _named(variables: dict[str, str]) -> dict[str, str]:
    for name in variables:
        if not _VARIABLE.match(name):
            raise ValueError(f"{name!r} cannot name a variable: write letters, digits and '_'")
    return variables


Variables = Annotated[dict[str, SecretText], AfterValidator(_named)]
"""Environment variables for a program; their values may be secret references."""
