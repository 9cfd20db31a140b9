"""What was going to happen to which tags, written down before the first one moves.

Content needs no journal: the destination is asked what it has. Tags do, since after a crash among them nobody else
knows what they held before. The same command, run again, finds the journal, moves the tags that are left, and still
knows the old digests should it have to give up.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress

from liftlock.errors import CorruptContent, LiftlockError
from liftlock.oci.digest import Digest
from liftlock.transfer.model import TagMove
from liftlock.typed import Protocol

__all__ = ["FileJournal", "Journal", "NoJournal"]


class Journal(Protocol):
    """Remembers tag moves across a crash."""

    def begin(self, moves: Sequence[TagMove]) -> Sequence[TagMove]:
        """Record the moves durably before the first is made, and return them as they should be undone.

        A move whose tag holds the new digest already was made by an earlier, unfinished try, or needs no making: it
        comes back with that try's ``old``, or not at all.
        """
        ...

    def finish(self) -> None:
        """All tags moved, or all were put back: forget."""
        ...


class NoJournal:
    """For a tag alone: it has moved or it has not, and nothing else waits for it. Spares a copy two fsyncs."""

    def begin(self, moves: Sequence[TagMove]) -> Sequence[TagMove]:
        return [move for move in moves if move.old != move.new]

    def finish(self) -> None:
        """Nothing was written down."""


class FileJournal:
    """A journal in one file of a folder, named after the tags it is about; used by ``copy``.

    Writing is durable (fsync of file and folder) before `begin` returns. A damaged file is set aside, not trusted.
    """

    def __init__(self, folder: str, tags: Iterable[str]) -> None:
        name = Digest.of("\n".join(sorted(tags)).encode()).hex[:32]
        self._folder = folder
        self._path = os.path.join(folder, f"{name}.json")

    def begin(self, moves: Sequence[TagMove]) -> Sequence[TagMove]:
        earlier = self._read()
        merged: list[TagMove] = []
        for move in moves:
            if move.old != move.new:
                merged.append(move)
            elif (before := earlier.get((move.destination, move.tag))) and before.new == move.new:
                merged.append(before)
        self._write(merged)
        return merged

    def finish(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._path)

    def _read(self) -> dict[tuple[str, str], TagMove]:
        try:
            with open(self._path, encoding="utf-8") as file:
                rows = json.load(file)["moves"]
            moves = [
                TagMove(row["destination"], row["tag"], Digest(row["old"]) if row["old"] else None, Digest(row["new"]))
                for row in rows
            ]
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, CorruptContent):
            os.replace(self._path, f"{self._path}.damaged")
            return {}
        return {(move.destination, move.tag): move for move in moves}

    def _write(self, moves: Sequence[TagMove]) -> None:
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            part = f"{self._path}.{os.getpid()}"
            with open(part, "w", encoding="utf-8") as file:
                json.dump({"moves": [move._asdict() for move in moves]}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self._path)
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise LiftlockError(
                f"the journal cannot be written: {self._path}: {error.strerror}",
                hint="no tag has moved; make room, or choose another folder with XDG_STATE_HOME",
            ) from None
