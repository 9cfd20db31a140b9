"""``docker pull``: an image by name into the store: all its manifests, and where it came from.

Its layers stay where they are. A push into the same registry lets them be mounted there, one into another registry
streams them from here to there; only ``--eager`` brings them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from liftlock.ci.docker import words
from liftlock.ci.docker.contents import has_credentials
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.names import familiar, familiar_name, full, named
from liftlock.ci.docker.platforms import choose, matches, parse
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.words import Said, denied
from liftlock.errors import AccessDenied, NotFound
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Manifest, Platform
from liftlock.oci.reference import Reference
from liftlock.services.session import Session
from liftlock.targets.base import Target, read_blob
from liftlock.transfer.model import CopyRequest, Options
from liftlock.typed import Any

__all__ = ["pull"]


def pull(run: Run, given: Flags) -> None:
    """Pull one image, or with ``-a`` every tag of a repository."""
    run.refuse_trust()
    reference = named(given.arguments[0])
    every, quiet = "all-tags" in given.on, "quiet" in given.on
    if every and (reference.tag or reference.digest):
        raise Said(words.ALL_TAGS_AND_TAG)
    if not quiet and not every and not reference.tag and not reference.digest:
        run.say(words.DEFAULT_TAG)
    text = given.values.get("platform", run.env.get("DOCKER_DEFAULT_PLATFORM", ""))
    platform = parse(text) if text else None
    eager = "eager" in given.on or run.env.get("LIFTLOCK_DOCKER_EAGER", "") not in ("", "0")
    with run.session() as session, run.store.used():
        pulled = _Pull(run, session, reference, platform, eager=eager, quiet=quiet)
        newer = [each for each in (pulled.tags() if every else [reference]) if pulled.one(each)]
    shown, whole = (familiar_name, str) if every else (familiar, _written)
    if not quiet:
        run.say((words.IS_NEWER if newer else words.IS_CURRENT).format(name=shown(reference)))
    run.say(whole(reference))


def _written(reference: Reference) -> str:
    """The whole name as docker repeats it: with tag and digest where both were written."""
    return str(reference if reference.digest else reference._replace(tag=reference.tag or "latest"))


class _Pull:
    def __init__(
        self, run: Run, session: Session, reference: Reference, platform: Platform | None, *, eager: bool, quiet: bool
    ) -> None:
        self.run = run
        self.store = run.store
        self.session = session
        self.reference = reference
        self.platform = platform
        self.eager = eager
        self.quiet = quiet
        self.origin = session.targets.open(reference.name)

    def tags(self) -> Sequence[Reference]:
        """Every tag of the repository but those of attachments, which travel with what they are attached to."""
        try:
            tags = [tag for tag in self.origin.tags() if not _is_attached(tag)]
        except AccessDenied as error:
            raise self._denied(error) from None
        if not tags:
            name = familiar_name(self.reference)
            raise Said(words.NO_REPOSITORY.format(name=name))
        return [self.reference._replace(tag=tag) for tag in tags]

    def one(self, reference: Reference) -> bool:
        """Pull one image; whether the name stood for something else, or for nothing, before."""
        try:
            found = self.origin.resolve(reference.selector)
            if found is None:
                raise self._unknown(reference)
            digest = found.digest if self.platform is None else self._of_platform(found.digest, self.platform)
            if not self.quiet:
                self.run.say(words.PULLING.format(selector=reference.selector, path=reference.repository))
            self._bring(digest)
        except NotFound as error:
            raise self._unknown(reference, error.message) from None
        except AccessDenied as error:
            raise self._denied(error) from None
        newer = self.store.name_image(full(reference), digest, reference.name)
        if not self.quiet:
            self.run.say(words.PULLED.format(digest=digest))
        return newer

    def _bring(self, digest: Digest) -> None:
        request = CopyRequest(self.origin.name, digest, self.store.name)
        if self.eager:
            from liftlock.ci.docker.progress import watching
            from liftlock.services.copying import copy
            from liftlock.services.pairs import Wanted

            with watching(self.quiet) as watch:
                copy(self.session, [Wanted(request, None)], on_event=watch, cancel=self.run.cancel)
        elif not self.store.has_manifests(digest):
            from liftlock.transfer.survey import survey

            found = survey([request], self.session.targets, Options(referrers=False), cancel=self.run.cancel).images[0]
            self.store.keep([*found.manifests, *([found.root] if found.root else [])])

    def _of_platform(self, digest: Digest, wanted: Platform) -> Digest:
        """The image for this platform: an index's child, or the image itself when it is for no other."""
        manifest = self.origin.manifest(digest)
        if manifest.is_index:
            return choose(manifest, wanted).digest
        actual = _platform(self.origin, manifest)
        if actual is not None and not matches(actual, wanted):
            said = words.OTHER_PLATFORM.format(name=familiar(self.reference), platform=wanted)
            raise Said(said, detail=f"it is for {actual}")
        return digest

    def _unknown(self, reference: Reference, detail: str = "") -> Said:
        return Said(words.NO_MANIFEST.format(name=familiar(reference)), detail=detail)

    def _denied(self, error: AccessDenied) -> Said:
        said = denied(error, known=has_credentials(self.session, self.reference.name))
        if said == words.DENIED:
            said = words.PULL_DENIED.format(name=familiar_name(self.reference)) + said
        return Said(f"{words.DAEMON}{said}", detail=error.message, hint=error.hint)


def _is_attached(tag: str) -> bool:
    """Whether a tag is one of cosign's or of referrers: ``sha256-<hex>``, ``sha256-<hex>.sig``."""
    name = tag.partition(".")[0]
    return name.startswith("sha256-") and len(name) == len("sha256-") + 64


def _platform(origin: Target, manifest: Manifest) -> Platform | None:
    """The platform that a config names; None when it is no image's."""
    if manifest.config is None:
        return None
    try:
        found: Any = json.loads(read_blob(origin, manifest.config))
        return Platform(str(found["os"]), str(found["architecture"]), str(found.get("variant") or ""))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
