"""Whether a ledger is what was written: its entries recomputed, one after the other. Pure.

This finds the first entry that was changed, removed, inserted, moved or cut off. What nobody can find by looking at one
copy alone is a chain that was written anew as a whole: compare its head with one that was kept elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from liftlock.errors import CorruptContent
from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest

__all__ = ["Chain", "Entry", "Head", "check", "check_export", "line_of"]


class Entry(NamedTuple):
    """One row, or one line of an export, as it was found: any part of it may be wrong."""

    number: object
    text: object
    digest: object


class Head(NamedTuple):
    """The newest entry, as it was written down beside the chain."""

    number: object
    digest: object


class Chain(NamedTuple):
    """What `check` found out."""

    pipeline: str
    first: int
    """The number that the chain begins with."""
    last: int
    """The number of the last entry that holds; one less than ``first`` where none does."""
    head: str
    """The digest of that entry; empty without one."""
    reason: str = ""
    """What is wrong with the entry after that; empty when all hold."""

    @property
    def intact(self) -> bool:
        return not self.reason

    @property
    def entries(self) -> int:
        """How many entries hold."""
        return self.last - self.first + 1


def check(pipeline: str, entries: Iterable[Entry], head: Head | None = None, *, first: int = 1) -> Chain:
    """Recompute a chain from the entry ``first`` on, up to the ``head`` where that is known.

    Where ``first`` is not 1, the entry before it is not there, and its digest is taken from the one after.
    """
    found = Chain(pipeline, first, first - 1, "")
    before = found
    for entry in entries:
        flaw = _flaw(found, entry)
        if flaw:
            return found._replace(reason=flaw)
        before, found = found, found._replace(last=found.last + 1, head=str(entry.digest))
    if head is None or head == (found.last, found.head):
        return found
    if not isinstance(head.number, int) or head.number == found.last:
        return before._replace(reason="it is not the one that the head beside the chain names")
    if head.number > found.last:
        return found._replace(reason=f"it is missing: the chain went on to entry {head.number}")
    return found._replace(
        last=max(head.number, first - 1),
        head="",
        reason=f"it is behind the chain's head, which names entry {head.number}",
    )


def line_of(entry: Entry) -> str:
    """An entry as one line of an export: canonical JSON, since the entry is."""
    return f'{{"digest":{json.dumps(entry.digest)},"entry":{entry.text}}}'


def check_export(lines: Iterable[str]) -> Chain:
    """Recompute what was exported; it may begin in the middle, and where it ends is taken at its word.

    Raises `CorruptContent`, with the number of the line, for what is no line of an export.
    """
    found = _parsed(lines)
    start = next(found, None)
    if start is None:
        raise CorruptContent("the export is empty", hint="liftlock ledger export writes one")
    pipeline, entry = start
    first = entry.number if isinstance(entry.number, int) and entry.number > 0 else 1
    return check(pipeline, chain([entry], (each for _, each in found)), first=first)


def _parsed(lines: Iterable[str]) -> Iterator[tuple[str, Entry]]:
    """The entries, each with the pipeline that it says it is of."""
    for number, line in enumerate(lines, 1):
        try:
            value: Any = json.loads(line)
            entry = Entry(value["entry"]["number"], canonical_json(value["entry"]).decode(), value["digest"])
            pipeline = str(value["entry"]["pipeline"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            raise CorruptContent(
                f"line {number} is no line of a ledger's export: {what}", hint="liftlock ledger export writes them"
            ) from None
        # Written otherwise than it was exported, it is taken as it is written, and found to be wrong.
        same = line_of(entry) == line.removesuffix("\n")
        yield pipeline, entry if same else entry._replace(text=line)


def _flaw(so_far: Chain, entry: Entry) -> str:
    """What is wrong with the entry that comes next; empty: nothing."""
    number = so_far.last + 1
    if entry.number != number or isinstance(entry.number, bool):
        return f"entry {entry.number} is in its place"
    if not isinstance(entry.text, str):
        return "it is no text"
    if Digest.of(entry.text.encode(errors="surrogateescape")) != entry.digest:
        return "it is not what its digest was made of"
    try:
        value = json.loads(entry.text)
        canonical = canonical_json(value).decode() == entry.text
    except (ValueError, RecursionError):
        return "it cannot be read"
    if not canonical or not isinstance(value, dict):
        return "it is not canonical JSON"
    if value.get("number") != number or value.get("pipeline") != so_far.pipeline:
        return f"it says that it is entry {value.get('number')} of {value.get('pipeline')!r}"
    begins_in_the_middle = so_far.entries == 0 and so_far.first > 1
    if value.get("previous") != so_far.head and not begins_in_the_middle:
        return "it does not follow the entry before it"
    return ""
