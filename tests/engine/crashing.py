"""One promotion whose workers die, and everything that sees what is done for it."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

from tests.engine.works import Works
from tests.support.front import Front
from tests.support.receiver import Receiver

__all__ = ["Case"]

PIPELINE = """\
pipeline: demo
images: [web, db]
registries: {{"{host}": {{plain-http: true}}}}
stages:
  - name: dev
    to: "{host}/{repository}-{{image}}"
    tags: ["{{build}}", latest]
    gates: [{{expression: "stage == 'dev'"}}]
    notify: [{{webhook: {{url: "{hook}", allow-private: true}}}}]
"""

_numbers = itertools.count(1)


class Case:
    """One promotion to carry out, and everything that sees what is done for it."""

    def __init__(self, folder: Path, empty: Path | None, url: str, front: Front) -> None:
        (folder / ".liftlock").mkdir(parents=True)
        if empty is not None:
            shutil.copy(empty, folder / ".liftlock")
        self.front, self.receiver = front, Receiver()
        self.repository = f"crash{next(_numbers)}"
        self.works = Works(folder, url)
        self.works.write(PIPELINE.format(host=front.host, repository=self.repository, hook=self.receiver.url))
        self.release = self.works.release("1", ("web", "db"))
        self.promotion = self.works.request(self.release, "dev")

    def held(self, image: str, tag: str) -> str | None:
        """The digest that a tag of an image holds."""
        connection = self.front.connect()
        try:
            path = f"/v2/{self.repository}-{image}/manifests/{tag}"
            connection.request("HEAD", path, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
            return connection.getresponse().getheader("Docker-Content-Digest")
        finally:
            connection.close()

    def puts(self, image: str, tag: str) -> int:
        """How often a tag was set."""
        return self.front.count("PUT", f"^/v2/{self.repository}-{image}/manifests/{tag}$")

    def leases(self) -> list[str]:
        """The workers whose lease runs."""
        with self.works.store.read() as tx:
            return sorted(tx.workers.alive())

    def assert_done_once(self, *, alone: bool = True) -> None:
        """All is done that was to be done, and all of it once; with ``alone`` no worker is left, dead or alive."""
        assert self.works.get(self.promotion).state == "succeeded"
        assert len(self.works.get(self.promotion).attempts) == 1
        for name, image in self.release.artifact.images.items():
            for tag in ("1", "latest"):
                assert self.puts(name, tag) == 1, f"{name}:{tag}"
                assert self.held(name, tag) == image.digest
        kinds = ["promotion.requested", "promotion.admitted", "attempt.queued", "attempt.started", "attempt.ended"]
        assert self.works.kinds_on_ledger() == kinds
        assert len({each.headers["webhook-id"] for each in self.receiver.requests}) == 1
        with self.works.store.read() as tx:
            assert [each.state for each in tx.notifications.of(self.promotion.id)] == ["delivered"]
            assert all(each.settled_at for each in tx.tag_moves.of(self.promotion.id, 1))
            assert not alone or not [*tx.workers.alive(), *tx.workers.dead()]

    def close(self) -> None:
        self.works.close()
        self.receiver.stop()
