"""``docker load``: every dialect of saved images into the store, with the registry's digest where the tar has it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from liftlock.ci.docker import words
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.names import familiar, full
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.words import Said
from liftlock.errors import CorruptContent, UsageError
from liftlock.oci.digest import Digest
from liftlock.oci.reference import Reference
from liftlock.services.session import Session
from liftlock.targets.docker_archive import DockerArchive
from liftlock.targets.layout_index import IMAGE_NAME, REF_NAME
from liftlock.targets.oci_archive import OciArchive
from liftlock.transfer.events import OnEvent
from liftlock.transfer.model import CopyRequest
from liftlock.typed import NamedTuple

__all__ = ["load"]


class _Found(NamedTuple):
    """An image of a tar, and its names there."""

    digest: Digest
    names: Sequence[str]


class _Layout(OciArchive):
    """A tar without ``manifest.json``, as ``docker buildx build --output type=oci`` writes it."""

    def images(self) -> Sequence[_Found]:
        """What it lists. Attachments stand under ``sha256-…``; a mere tag is no name of an image."""
        found = []
        for entry in self._index().entries:
            tag = entry.annotations.get(REF_NAME, "")
            name = entry.annotations.get(IMAGE_NAME, "") or (tag if "/" in tag or ":" in tag else "")
            if not tag.startswith("sha256-"):
                found.append(_Found(entry.digest, (name,) if name else ()))
        return found


def load(run: Run, given: Flags) -> None:
    """Take the images of a tar into the store, and tell their names."""
    from liftlock.ci.docker.progress import watching

    with _file(run, given.values.get("input", "")) as path, run.session() as session, run.store.used():
        with watching("quiet" in given.on) as watch:
            source, images = _opened(run, session, path)
            _copy(run, session, source, images, watch)
        for image in images:
            _name(run, image)


@contextmanager
def _file(run: Run, path: str) -> Iterator[str]:
    """The tar as a file that can be read in place: what comes through a pipe is written to one."""
    import tempfile

    if not path and sys.stdin.isatty():
        raise Said(words.LOAD_NOTHING)
    if path and not os.path.exists(path):
        raise Said(words.NO_FILE.format(path=path))
    # A colon ends the path in the name of an archive.
    if path and ":" not in os.path.abspath(path) and os.path.isfile(path):
        yield os.path.abspath(path)
        return
    import shutil

    with tempfile.NamedTemporaryFile(dir=run.env.get("TMPDIR") or "/var/tmp", suffix=".tar") as file:  # noqa: S108
        if path:
            with open(path, "rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
        else:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        file.flush()
        yield file.name


def _opened(run: Run, session: Session, path: str) -> tuple[str, Sequence[_Found]]:
    """The target that reads the tar, and what it holds. Layers that must be compressed go into the store at once."""
    try:
        archive = DockerArchive(path, scratch=run.store)
    except UsageError as error:
        layout = _Layout(path)
        session.targets.add(layout)
        try:
            return layout.name, layout.images()
        except UsageError:
            raise error from None
    session.targets.add(archive)
    found = []
    for position, image in enumerate(archive.images()):
        prepared = archive.prepare(f"@{position}")
        found.append(_Found(prepared.manifest.digest, image.names))
        for note in prepared.notes:
            run.warn(f"note: {note}")
    return archive.name, found


def _copy(run: Run, session: Session, source: str, images: Sequence[_Found], watch: OnEvent) -> None:
    from liftlock.transfer.execute import execute
    from liftlock.transfer.plan import make_plan
    from liftlock.transfer.survey import survey

    requests = [CopyRequest(source, digest, run.store.name) for digest in dict.fromkeys(each.digest for each in images)]
    plan = make_plan(survey(requests, session.targets, cancel=run.cancel))
    execute(plan, session.targets, state=session.folders.state, on_event=watch, cancel=run.cancel)


def _name(run: Run, image: _Found) -> None:
    for text in image.names:
        try:
            reference = Reference.parse(text)
        except UsageError as error:
            raise CorruptContent(f"the archive names an image {text!r}: {error.message}") from None
        run.store.name_image(full(reference), image.digest)
        run.say(words.LOADED.format(name=familiar(reference._replace(tag=reference.tag or "latest"))))
    if not image.names:
        run.store.name_image("", image.digest)
        run.say(words.LOADED_ID.format(digest=image.digest))
