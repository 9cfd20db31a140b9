"""Opening docker archives: their layers may have to be compressed first, which takes a while and is worth telling."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from liftlock.oci.digest import HEX_LENGTH
from liftlock.services.session import Session
from liftlock.targets.locate import Location
from liftlock.transfer.events import Event, OnEvent

if TYPE_CHECKING:
    from liftlock.targets.canonical import DiffIds
    from liftlock.targets.scratch import Scratch

__all__ = ["prepare_archives"]

_DIGESTS = tuple(f"{algorithm}:" for algorithm in HEX_LENGTH)


def prepare_archives(
    session: Session,
    locations: Iterable[Location],
    on_event: OnEvent,
    *,
    scratch: Scratch | None = None,
    remember: DiffIds | None = None,
) -> Sequence[str]:
    """Open the docker archives among these, once each, and bring their images into the form of registries.

    Compressed layers go to ``scratch``, else to temporary files; ``remember`` keeps digests stable beyond this run.
    Returns what a person should know, such as that an image's manifest had to be made anew. Does nothing, and imports
    nothing, where there is no docker archive.
    """
    wanted: dict[str, list[str]] = {}
    for location in locations:
        if location.kind == "docker-archive":
            wanted.setdefault(location.target, []).append(location.reference or "")
    if not wanted:
        return ()
    from liftlock.targets.docker_archive import DockerArchive

    watch = _Compression(on_event)
    notes: dict[str, None] = {}
    for target, references in wanted.items():
        archive = DockerArchive(target.partition(":")[2], scratch=scratch, remember=remember, on_progress=watch)
        session.targets.add(archive)
        on_event(Event("phase", "compression"))
        for reference in references:
            if not reference.startswith(_DIGESTS):  # a digest names a manifest that the archive itself has
                notes |= dict.fromkeys(archive.prepare(reference).notes)
    return list(notes)


class _Compression:
    """Tells of the growth of each layer; a layer's own count starts anew only when it is another one."""

    def __init__(self, on_event: OnEvent) -> None:
        self._on_event = on_event
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        with self._lock:
            more = done - self._seen.get(name, 0)
            self._seen[name] = done
        self._on_event(Event("progress", name, done=more, total=total))
