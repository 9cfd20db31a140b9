"""Types of options that several kinds of notifiers have."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from liftlock.errors import TransportError
from liftlock.pipeline.kinds import Duration, SecretText
from liftlock.release.durations import seconds
from liftlock.transport.urls import split_url

__all__ = ["MAX_TIMEOUT", "Timeout", "WebUrl", "is_reference"]

MAX_TIMEOUT = 15 * 60
"""Seconds that one try may take: a worker delivers only so many messages at a time."""


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


def _within(text: str) -> str:
    if not 0 < seconds(text) <= MAX_TIMEOUT:
        raise ValueError(f"{text} is not between 1s and {MAX_TIMEOUT // 60}m")
    return text


Timeout = Annotated[Duration, AfterValidator(_within)]
"""How long a try, or a part of it, may take; at most `MAX_TIMEOUT`."""

WebUrl = Annotated[SecretText, AfterValidator(_a_web_url)]
"""An ``http`` or ``https`` URL, or a reference to one."""
