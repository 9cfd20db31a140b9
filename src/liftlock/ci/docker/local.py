"""``docker tag`` and ``docker rmi``: names of images in the store. No registry is asked."""

from __future__ import annotations

from collections.abc import Sequence

from liftlock.ci.docker import words
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.names import familiar, full, named
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.store import Image, Store
from liftlock.ci.docker.words import Said
from liftlock.oci.reference import Reference

__all__ = ["found", "remove", "tag"]


def tag(run: Run, given: Flags) -> None:
    """Give an image a further name."""
    source, text = given.arguments
    target = named(text, before=words.BAD_TAG.format(text=text))
    if target.digest:
        raise Said(words.TAG_DIGEST)
    with run.store.used():
        image = found(run.store, source)
        run.store.name_image(full(target), image.digest, image.origin)


def remove(run: Run, given: Flags) -> None:
    """Take names away, and the content that no name needs any more."""
    missing: list[str] = []
    for text in given.arguments:
        try:
            _remove(run, text, force="force" in given.on)
        except Said as error:
            if "force" not in given.on and not error.message.startswith(words.NO_SUCH_IMAGE.format(name="")):
                raise
            missing.append(error.message)
    run.store.sweep()
    if missing and "force" not in given.on:
        raise Said("\n".join(missing))
    for line in missing:
        run.warn(line)


def _remove(run: Run, text: str, *, force: bool) -> None:
    store = run.store
    with store.used():
        image = found(store, text)
        entries = store.with_digest(image.digest)
        gone: Sequence[Image] = [image] if image.name else entries
        if not image.name and len({entry.name for entry in entries}) > 1 and not force:
            raise Said(words.MANY_NAMES.format(id=image.digest.hex[:12]))
        store.forget(gone)
    for entry in gone:
        if entry.name:
            run.say(f"Untagged: {familiar(entry.reference)}")
    if len(gone) == len(entries):
        run.say(f"Deleted: {image.digest}")


def found(store: Store, text: str) -> Image:
    """The image that a name or an ID means; raises `Said` when there is none."""
    image = store.find(text)
    if image is None:
        raise Said(words.NO_SUCH_IMAGE.format(name=_shown(text)), hint=_hint(store))
    return image


def _shown(text: str) -> str:
    """How docker names what it did not find: with a tag, unless it is an ID."""
    return text if text.startswith("sha256:") else familiar(Reference.parse(text))


def _hint(store: Store) -> str:
    return f"the images of this store ({store.path}) are listed by docker images"
