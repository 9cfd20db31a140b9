"""Types of options that gates and notifiers have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from liftlock.errors import TransportError
from liftlock.pipeline.kinds import SecretText
from liftlock.transport.urls import split_url

__all__ = ["WebUrl", "is_reference"]


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
