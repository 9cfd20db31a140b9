"""Image names as docker reads and shows them (distribution's ``reference``: familiar and full names)."""

from __future__ import annotations

from liftlock.ci.docker import words
from liftlock.ci.docker.words import Said
from liftlock.errors import UsageError
from liftlock.oci.reference import DOCKER_HUB, Reference

__all__ = ["familiar", "familiar_name", "full", "named"]


def named(text: str, *, before: str = "") -> Reference:
    """Read a name; raises `Said` in docker's words, beginning with ``before``."""
    try:
        return Reference.parse(text)
    except UsageError as error:
        said = words.BAD_REFERENCE if text == text.lower() else words.BAD_REFERENCE_CASE.format(path=_path(text))
        raise Said(before + said, hint=error.hint) from None


def familiar_name(reference: Reference) -> str:
    """The repository, as short as it may be written: ``app`` for ``docker.io/library/app``."""
    if reference.registry != DOCKER_HUB:
        return reference.name
    return reference.repository.removeprefix("library/")


def familiar(reference: Reference) -> str:
    """As short as it may be written, with its tag or digest."""
    return familiar_name(reference) + full(reference).removeprefix(reference.name)


def full(reference: Reference) -> str:
    """The whole name: with a digest, or with a tag (``latest`` when none was written)."""
    return reference.name + (f"@{reference.digest}" if reference.digest else f":{reference.tag or 'latest'}")


def _path(text: str) -> str:
    """The repository without its registry, as docker names it in its complaint."""
    name = text.partition("@")[0]
    head, slash, rest = name.partition("/")
    path = rest if slash and ("." in head or ":" in head or head in ("localhost", head.upper())) else name
    first, colon, tag = path.rpartition(":")
    path = first if colon and "/" not in tag else path
    return path if slash else f"library/{path}"
