"""``docker push``: images of the store, whole, into a registry, with what is attached to them where they came from.

The bytes are taken from where they move least: mounted from a repository of the same registry that the image was pulled
from, read from the store when it has them all, else streamed from where it was pulled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liftlock.ci.docker import words
from liftlock.ci.docker.contents import gone, has_credentials, is_about
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.names import familiar, familiar_name, named
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.store import Image, Store
from liftlock.ci.docker.words import Said, denied
from liftlock.errors import AccessDenied, LiftlockError, NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.reference import Reference
from liftlock.services.session import Session
from liftlock.transfer.events import Event
from liftlock.transfer.model import CopyRequest

__all__ = ["push"]


def push(run: Run, given: Flags) -> None:
    """Push one tag, or with ``-a`` every tag that this store has of the repository."""
    run.refuse_trust()
    reference = named(given.arguments[0])
    every, quiet = "all-tags" in given.on, "quiet" in given.on
    if every and (reference.tag or reference.digest):
        raise Said(words.ALL_TAGS_AND_TAG)
    if reference.digest:
        raise Said(words.PUSH_DIGEST)
    if not every and not reference.tag:
        reference = reference._replace(tag="latest")
        if not quiet:
            run.say(words.DEFAULT_TAG)
    if not quiet:
        run.say(words.PUSHING.format(name=reference.name))
    images = _chosen(run.store, reference, every=every)
    try:
        with run.session() as session, run.store.used():
            _push(run, session, reference.name, images, quiet=quiet)
    except Said:
        raise
    except LiftlockError as error:
        raise Said(str(error), hint=error.hint) from None
    for image in images:
        if not quiet:
            tag = image.reference.tag
            run.say(words.DIGEST_PUSHED.format(tag=tag, digest=image.digest, size=image.descriptor.size))
    if quiet:
        run.say(str(reference))


def _chosen(store: Store, reference: Reference, *, every: bool) -> Sequence[Image]:
    images = store.of_repository(reference.name)
    if not images:
        raise Said(
            words.NOT_HERE.format(name=familiar_name(reference)),
            hint=f"docker tag gives an image of this store ({store.path}) that name",
        )
    chosen = [image for image in images if every or image.reference.tag == reference.tag]
    if not chosen:
        raise Said(words.NO_TAG.format(name=familiar(reference)))
    return chosen


def _push(run: Run, session: Session, destination: str, images: Sequence[Image], *, quiet: bool) -> None:
    from liftlock.ci.docker.progress import watching
    from liftlock.services.copying import copy
    from liftlock.services.pairs import Wanted

    by_digest: dict[Digest, list[Image]] = {}
    for image in images:
        by_digest.setdefault(image.digest, []).append(image)
    sources = {digest: _sources(run.store, entries[0], destination) for digest, entries in by_digest.items()}
    with watching(quiet, lambda event: _tell(run, event, sources)) as watch:
        while True:
            wanted = [
                Wanted(CopyRequest(sources[digest][0], digest, destination, tuple(_tags(entries))), None)
                for digest, entries in by_digest.items()
            ]
            try:
                copy(session, wanted, on_event=watch, cancel=run.cancel)
                return
            except (AccessDenied, NotFound) as error:
                # What one source lost or denies may be in the store, or in another repository it was pulled from.
                lost = [digest for digest, places in sources.items() if is_about(error, places[0])]
                if error.side != "source" or not lost or any(len(sources[digest]) == 1 for digest in lost):
                    place = sources[lost[0]][0] if lost else destination
                    raise _failure(session, error, by_digest[lost[0]][0] if lost else None, place) from None
                for digest in lost:
                    sources[digest].pop(0)


def _failure(session: Session, error: AccessDenied | NotFound, image: Image | None, place: str) -> LiftlockError:
    """The failure in docker's words: ``place`` denies, or has lost the image if there is one."""
    if isinstance(error, AccessDenied):
        return Said(denied(error, known=has_credentials(session, place)), detail=str(error), hint=error.hint)
    return gone(image._replace(origin=place), error) if image and error.side == "source" else error


def _tags(images: Sequence[Image]) -> Sequence[str]:
    return [tag for image in images if (tag := image.reference.tag)]


def _sources(store: Store, image: Image, destination: str) -> list[str]:
    """Where the image can be taken from, the cheapest place first. Raises `Said` when there is none."""
    registry = destination.partition("/")[0]
    entries = [image, *store.with_digest(image.digest)]
    origins = list(dict.fromkeys(entry.origin for entry in entries if entry.origin))
    near = [origin for origin in origins if origin.partition("/")[0] == registry]
    here = [store.name] if store.is_whole(image.digest) else []
    found = list(dict.fromkeys([*near, *here, *origins]))
    if not found:
        raise Said(
            f"{familiar(image.reference)} is not whole in {store.path}",
            hint="pull or load it again: content is missing",
        )
    return found


def _tell(run: Run, event: Event, sources: Mapping[Digest, Sequence[str]]) -> None:
    """A line for each blob, as docker has one for each layer."""
    if event.kind == "blob":
        holders = dict.fromkeys(places[0].partition("/")[2] for places in sources.values())
        how = words.BLOBS_PUSHED[event.detail].format(path=" or ".join(holders))
        run.say(f"{event.subject.partition(':')[2][:12]}: {how}")
