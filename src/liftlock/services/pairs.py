"""What to copy where, from the words people write: pairs of arguments, or lines of a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from liftlock.errors import ConfigError, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.reference import Reference
from liftlock.targets.locate import Location
from liftlock.transfer.model import CopyRequest
from liftlock.typed import NamedTuple

__all__ = ["Pair", "Wanted", "parse_pairs", "want"]


class Pair(NamedTuple):
    """A source and a destination as written; ``path`` and ``line`` (from 1) when they stand in a file."""

    source: str
    destination: str
    path: str = ""
    line: int = 0


class Wanted(NamedTuple):
    """A copy, and the digest that its destination was written with."""

    request: CopyRequest
    """Its ``reference`` is empty for the only image of a layout or archive."""
    pinned: Digest | None


def parse_pairs(lines: Iterable[str], path: str) -> Iterator[Pair]:
    """Read ``SOURCE DESTINATION`` per line, quoted as in a shell where there are spaces; ``#`` begins a comment.

    Raises `ConfigError` naming file and line.
    """
    import shlex

    for number, text in enumerate(lines, start=1):
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise ConfigError(str(error).lower(), path=path, line=number) from None
        comment = next((index for index, word in enumerate(words) if word.startswith("#")), len(words))
        del words[comment:]
        if words and len(words) != 2:
            raise ConfigError(
                f"{len(words)} words, expected SOURCE DESTINATION",
                path=path,
                line=number,
                hint="paths with spaces are quoted; further tags are given with --tag",
            )
        if words:
            yield Pair(words[0], words[1], path, number)


def want(pair: Pair, *, tags: Sequence[str] = (), expect: Digest | None = None) -> Wanted:
    """Understand one pair. ``tags`` are set beside the destination's own; ``expect`` is what all of them hold now.

    A destination without a tag takes the source's; a source pinned by digest alone has none to give, and its image is
    then reachable by digest only. Raises `UsageError`, or `ConfigError` when the pair stands in a file.
    """
    try:
        return _want(pair, tags, expect)
    except UsageError as error:
        if not pair.path:
            raise
        raise ConfigError(error.message, path=pair.path, line=pair.line, hint=error.hint) from None


def _want(pair: Pair, tags: Sequence[str], expect: Digest | None) -> Wanted:
    source, destination = Location.parse(pair.source), Location.parse(pair.destination)
    if destination.kind == "docker-archive":
        raise UsageError(
            f"{pair.destination!r} cannot be written: a docker archive cannot hold an image with its digest",
            hint="write oci-archive:FILE[:TAG]; docker, podman and skopeo read it",
        )
    own = destination.tag
    if own is None and destination.digest is None:
        own = _tag_of(source, pair)
    if destination.digest and source.digest and destination.digest != source.digest:
        raise UsageError(f"{pair.destination!r} is pinned to another digest than its source {pair.source!r}")
    request = CopyRequest(
        source=source.target,
        reference=source.reference or ("latest" if source.kind == "registry" else ""),
        destination=destination.target,
        tags=tuple(dict.fromkeys([*([own] if own else []), *tags])),
        expect=expect,
    )
    return Wanted(request, destination.digest)


def _tag_of(source: Location, pair: Pair) -> str | None:
    """The tag that a destination without one takes from its source; None when that is pinned by digest alone."""
    if source.kind == "docker-archive" and source.tag:
        return Reference.parse(source.tag).tag or "latest"
    if source.tag or source.digest:
        return source.tag
    if source.kind == "registry":
        return "latest"
    raise UsageError(
        f"neither {pair.source!r} nor {pair.destination!r} has a tag", hint=f"write {pair.destination}:TAG"
    )
