"""What a running copy tells its watchers, in rows: how far each image is, at most once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from liftlock.oci.digest import Digest
from liftlock.store.store import Store
from liftlock.transfer.events import Event
from liftlock.transfer.model import Plan

__all__ = ["Progress"]

EVERY = 1.0
"""Seconds between two events about one image."""


class Progress:
    """Gathers what the threads of one copy tell, for one attempt; `write` makes rows of it.

    ``images`` are the names of the images, by digest; ``home`` is where they go, one of several copies at a time. It
    is the listener of the copy: quick, and it never fails.
    """

    def __init__(
        self,
        pipeline: str,
        promotion: int,
        attempt: int,
        images: Mapping[Digest, str],
        *,
        home: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._about = (pipeline, promotion, attempt)
        self._names = images
        self._home = home
        self._clock = clock
        self._lock = threading.Lock()
        self._image_of: dict[str, str] = {}
        self._total: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._changed: set[str] = set()
        self._written_at: dict[str, float] = {}
        self._seen: list[tuple[str, dict[str, Any]]] = []

    def follow(self, plan: Plan) -> None:
        """What the copy is about to do: which blob is of which image, and how many bytes may move for each."""
        for image in plan.images:
            name = self._names.get(image.digest, image.request.destination)
            for manifest in (*image.manifests, image.root):
                for blob in manifest.blobs if manifest else ():
                    self._image_of.setdefault(blob.digest, name)
        for step in plan.blobs:
            if step.action != "mount" and (found := self._image_of.get(step.blob.digest)):
                self._total[found] = self._total.get(found, 0) + step.blob.size

    def __call__(self, event: Event) -> None:
        with self._lock:
            if event.kind == "progress":
                name = self._image_of.get(event.subject)
                if name is not None:
                    self._done[name] = self._done.get(name, 0) + event.done
                    self._changed.add(name)
            elif event.kind in ("tag", "note"):
                self._seen.append((event.kind, {"subject": event.subject, "detail": str(event.detail)}))

    def write(self, store: Store, *, last: bool = False) -> None:
        """Write down what has come since, where it is time to (``last``: all of it); raises `LiftlockError`."""
        now = self._clock()
        with self._lock:
            ripe = sorted(name for name in self._changed if last or now - self._written_at.get(name, -EVERY) >= EVERY)
            rows = self._seen + [("progress", self._reached(name)) for name in ripe]
            self._changed.difference_update(ripe)
            self._seen = []
            self._written_at.update(dict.fromkeys(ripe, now))
        if not rows:
            return
        with store.begin() as tx:
            for kind, data in rows:
                tx.events.add(*self._about, kind, data)

    def _reached(self, name: str) -> dict[str, Any]:
        return {"image": name, "home": self._home, "done": self._done[name], "total": self._total.get(name, 0)}
