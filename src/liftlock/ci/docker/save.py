"""``docker save``: images of the store as one tar, with the digests that they have in registries."""

from __future__ import annotations

import os
import stat
import sys

from liftlock.ci.docker import words
from liftlock.ci.docker.contents import gone, is_about
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.saved import SavedTar, ticket
from liftlock.ci.docker.store import Image
from liftlock.ci.docker.words import Said
from liftlock.errors import NotFound
from liftlock.transfer.model import CopyRequest, Options

__all__ = ["save"]


def save(run: Run, given: Flags) -> None:
    """Write a tar to ``-o``, whole or not at all, or to stdout."""
    output = given.values.get("output")
    if output is None:
        _to_stdout(run, given)
        return
    _check(output)
    folder, name = os.path.split(os.path.abspath(output))
    # A tar gets its name when it is whole, and not the one of a file that is there: that is replaced then.
    partial = os.path.join(folder, f".{name[:32]}.{os.getpid()}.partial")
    try:
        _write(run, given, partial)
        os.replace(partial, output)
    finally:
        if os.path.lexists(partial):
            os.unlink(partial)


def _to_stdout(run: Run, given: Flags) -> None:
    if sys.stdout.isatty():
        raise Said(words.SAVE_TO_TERMINAL)
    import shutil
    import tempfile

    # Blobs arrive in any order, several at once: the tar is complete before its first byte is sent.
    with tempfile.TemporaryDirectory(dir=run.env.get("TMPDIR") or "/var/tmp") as folder:  # noqa: S108 - made unguessable
        path = os.path.join(folder, "saved.tar")
        _write(run, given, path)
        with open(path, "rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)


def _write(run: Run, given: Flags, path: str) -> None:
    from liftlock.ci.docker.progress import watching
    from liftlock.services.copying import copy
    from liftlock.services.pairs import Wanted

    images = list({ticket(image): image for image in (_found(run, text) for text in given.arguments)}.values())
    with run.session() as session, run.store.used(), watching(quiet=False) as watch:
        archive = SavedTar(path)
        session.targets.add(archive)
        wanted = [
            Wanted(CopyRequest(_source(run, image), image.digest, archive.name, (ticket(image),)), None)
            for image in images
        ]
        try:
            copy(session, wanted, Options(referrers=False), on_event=watch, cancel=run.cancel)
        except NotFound as error:
            lost = next((image for image in images if image.origin and is_about(error, image.origin)), None)
            raise gone(lost, error) if lost else error from None
        archive.describe(images)


def _found(run: Run, text: str) -> Image:
    image = run.store.find(text)
    if image is None:
        raise Said(words.NOTHING_TO_SAVE, hint=f"{text} is not in {run.store.path}")
    return image


def _source(run: Run, image: Image) -> str:
    return run.store.name if run.store.is_whole(image.digest) or not image.origin else image.origin


def _check(output: str) -> None:
    """Raise `Said` for what docker does not write to."""
    folder = os.path.dirname(output)
    if folder and not os.path.exists(folder):
        raise Said(words.SAVE_TO_NOWHERE.format(folder=folder))
    if os.path.isdir(output):
        raise Said(words.SAVE_TO_FOLDER)
    if os.path.exists(output) and not stat.S_ISREG(os.stat(output).st_mode):
        raise Said(words.SAVE_TO_DEVICE)
