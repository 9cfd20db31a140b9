"""Whole copies for the fault tests: what is copied, through which fronts, and what has to hold whatever happens.

`Copying.run` makes a copy as the library does, and `survives` or `fails` check its end. There are only two good ends:
the copy succeeded, and every tag holds the source's image with everything that belongs to it; or it raised an error
that says what happened where, every tag is as it was or is named in that error, nothing is left lying about, and the
same copy without the fault succeeds without sending again what had arrived.
"""

from __future__ import annotations

import base64
import hashlib
import json
import traceback
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liftlock.errors import LiftlockError
from liftlock.services.copying import Copied, copy
from liftlock.services.pairs import Pair, want
from liftlock.services.session import Session
from liftlock.transfer.model import Options
from tests.support import images, remote
from tests.support.front import Front, Recorded
from tests.support.images import Image
from tests.support.registry import Registry
from tests.support.tokens import TokenServer

KINDS = ("single", "index", "several")

# What requests ask for, as patterns for their targets.
BLOB = r"/blobs/sha256:"
UPLOADS = r"/blobs/uploads/(\?|$)"
UPLOAD = r"/blobs/uploads/[0-9a-f-]{36}"
BY_DIGEST = r"/manifests/sha256:"
TAG = r"/manifests/(v1|stable)$"
FALLBACK = r"/manifests/sha256-[0-9a-f]{64}$"
LEGACY = r"/manifests/sha256-[0-9a-f]{64}\.sig$"
TAGS = r"/tags/list"
REFERRERS = r"/referrers/"

Outcome = Copied | LiftlockError
Held = tuple[dict[str, int], dict[str, list[tuple[str, str]]]]


@dataclass(frozen=True)
class Side:
    """A registry that wants tokens, and who gives them."""

    registry: Registry
    tokens: TokenServer

    @property
    def secrets(self) -> set[str]:
        pair = f"{self.tokens.user}:{self.tokens.password}"
        return {str(self.tokens.password), base64.b64encode(pair.encode()).decode()}


@dataclass(frozen=True)
class Cargo:
    """Images that are copied together, the same in both registries: `repository(name)` of each holds its `v1`."""

    kind: str
    images: Mapping[str, Image]
    held: Mapping[str, Held]

    def repository(self, name: str) -> str:
        return f"{self.kind}/{name}"

    @property
    def large(self) -> str:
        """The digest of a layer that is not sent in one piece."""
        layers = [layer for image in self.images.values() for each in image.platforms for layer in each.layers]
        return max(layers, key=lambda layer: layer.size).digest


def pack(kind: str, layout: Path, sides: Sequence[Side]) -> Cargo:
    """Make the images of one kind, and push them to both sides without any of the product's code."""
    sizes = (240_000, 12_000)

    def make(name: str, **options: Any) -> Image:
        return images.make_image(
            layout, name, seed=f"{kind} {name}", layers=2, layer_bytes=sizes, compressible=0.0,
            annotations={"org.example.name": name}, **options,
        )  # fmt: skip

    made: dict[str, Image] = {}
    if kind == "single":
        made["web"] = make("web")
    elif kind == "index":
        made["web"] = web = make("web", platforms=("linux/amd64", "linux/arm64"))
        sbom = images.attach_referrer(layout, web.root, "application/spdx+json", b"what is in it")
        images.attach_referrer(layout, sbom, "application/vnd.example.signature", b"who says so")
        images.attach_referrer(layout, web.platforms[1].manifest, "application/spdx+json", b"what is in the child")
        images.cosign_tag(layout, web.digest)
    else:
        for name in ("web", "worker"):
            made[name] = make(name, shared_layers=1)
        made["cron"] = cron = make("cron", platforms=("linux/amd64", "linux/arm64"), shared_layers=1)
        images.attach_referrer(layout, cron.root, "application/spdx+json", b"what is in cron")
    held = {}
    for name, image in made.items():
        for side in sides:
            remote.push(layout, name, side.registry, f"{kind}/{name}", to="v1")
        held[name] = content(sides[0].registry, f"{kind}/{name}", image.digest)
    return Cargo(kind, made, held)


def content(registry: Registry, repository: str, reference: str) -> Held:
    """Everything below a reference, read and verified; fallback indexes as what they list, since they are rewritten."""
    seen = remote.walk(registry, repository, reference)
    tags = set(remote.list_tags(registry, repository))
    listed: dict[str, list[tuple[str, str]]] = {}
    for digest in list(seen):
        tag = images.fallback_tag(digest)
        if tag in tags:
            index = remote.get_manifest(registry, repository, tag)
            assert index is not None
            seen.pop(index.digest, None)
            listed[digest] = _listed(index.raw)
    return seen, listed


def _listed(index: bytes) -> list[tuple[str, str]]:
    """Digest and artifact type of what a fallback index lists."""
    entries = json.loads(index)["manifests"]
    return sorted((entry["digest"], entry.get("artifactType", "")) for entry in entries)


@dataclass
class Copying:
    """One copy, time after time as one user makes it: with the same home, and each time with a new session.

    Each image goes from `v1` of its source to `v1`, which is new, and to `stable`, which holds another image.
    """

    cargo: Cargo
    source: Front
    destination: Front
    sides: tuple[Side, Side]
    home: Path
    temporary: Path
    repositories: Mapping[str, str]
    """Image name → repository at the destination."""
    env: dict[str, str] = field(default_factory=dict)
    options: Options = field(default_factory=Options)
    verbose: list[str] = field(default_factory=list)
    before: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def prepare(self, old: Image) -> None:
        """Log in, let the destination have something already, and have been there before."""
        auths = {
            front.host: {"auth": base64.b64encode(f"{side.tokens.user}:{side.tokens.password}".encode()).decode()}
            for front, side in zip((self.source, self.destination), self.sides, strict=True)
        }
        folder = self.home / ".docker"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"auths": auths}))
        self.env |= {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        for repository in self.repositories.values():
            remote.push(old.layout, old.tag, self.registry, repository, to="stable")
            self.before |= {(repository, "v1"): None, (repository, "stable"): old.digest}
        name = next(iter(self.repositories))
        with Session(self.env) as session:
            for front, repository, tag in (
                (self.source, self.cargo.repository(name), "v1"),
                (self.destination, self.repositories[name], "stable"),
            ):
                session.targets.open(f"{front.host}/{repository}").resolve(tag)
        self.forget()

    @property
    def registry(self) -> Registry:
        """The destination."""
        return self.sides[1].registry

    @property
    def fronts(self) -> Sequence[Front]:
        return [self.source] if self.source is self.destination else [self.source, self.destination]

    def front(self, side: str) -> Front:
        return self.source if side == "source" else self.destination

    def forget(self) -> None:
        for front in self.fronts:
            front.forget()

    # --- copying -----------------------------------------------------------------------------------------------------

    def run(self, **env: str) -> Outcome:
        """Make the copy; what it raised is returned. Retries do not wait for what only chance would say."""
        pairs = [
            Pair(f"{self.source.host}/{self.cargo.repository(name)}:v1", f"{self.destination.host}/{repository}:v1")
            for name, repository in self.repositories.items()
        ]
        try:
            with Session({**self.env, **env}, on_request=self.verbose.append) as session:
                session.transport._retrier._random = lambda: 0.0
                outcome: Outcome = copy(session, [want(pair, tags=("stable",)) for pair in pairs], self.options)
        except LiftlockError as error:
            outcome = error
        self.leaks_no_credentials()
        self._says_no_secret(outcome)
        self._continues_no_upload()
        assert not list(self.temporary.iterdir())
        return outcome

    def survives(self, **env: str) -> Copied:
        """The copy succeeds, whatever the front does."""
        outcome = self.run(**env)
        if isinstance(outcome, LiftlockError):
            raise outcome
        self.is_complete()
        return outcome

    def fails(
        self, kind: type[LiftlockError], side: str, *, names: Sequence[str] = (), again: bool = True, **env: str
    ) -> LiftlockError:
        """The copy fails with this class of error, which says where; once the fault is gone it succeeds."""
        error = self.run(**env)
        assert isinstance(error, LiftlockError), "it must not succeed"
        assert type(error) is kind, repr(error)
        assert error.side == side, repr(error)
        self._is_named(error, side, names)
        self.tags_are_as_they_were(error)
        if again:
            self.succeeds_again()
        return error

    def succeeds_again(self) -> None:
        """The same copy without the fault succeeds, and sends no blob that had arrived."""
        arrived = {repository: self._arrived(repository) for repository in self.repositories.values()}
        for front in self.fronts:
            front.clear()
        for side in self.sides:
            side.tokens.answer_always(None)
        self.forget()
        outcome = self.run()
        if isinstance(outcome, LiftlockError):
            raise outcome
        self.is_stored()
        for put in self.destination.find("PUT", UPLOAD):
            repository = put.path.removeprefix("/v2/").partition("/blobs/")[0]
            assert _parameter(put, "digest") not in arrived[repository], f"sent again: {put}"

    # --- what has to hold --------------------------------------------------------------------------------------------

    def is_complete(self) -> None:
        """Every tag holds the source's digest, and everything below and beside it is given out, to the byte."""
        self.is_stored()
        for name, repository in self.repositories.items():
            assert content(self.registry, repository, self.cargo.images[name].digest) == self.cargo.held[name]

    def is_stored(self) -> None:
        """The same, seen in the registry's storage: much quicker than asking for it all."""
        for name, repository in self.repositories.items():
            for tag in ("v1", "stable"):
                assert self.holds(repository, tag) == self.cargo.images[name].digest
            stored, (found, listed) = self._stored(repository), self.cargo.held[name]
            links = {link.read_text() for link in stored.glob("_*/**/sha256/*/link")}
            assert set(found) <= links
            for digest, size in found.items():
                data = self.registry.blob_path(digest).read_bytes()
                assert (len(data), "sha256:" + hashlib.sha256(data).hexdigest()) == (size, digest)
            for subject, entries in listed.items():
                index = self.holds(repository, images.fallback_tag(subject))
                assert index is not None
                assert _listed(self.registry.blob_path(index).read_bytes()) == entries
        assert not self.journals()

    def journals(self) -> list[Path]:
        """What is written down of tags whose moves are not finished."""
        return list((self.home / ".local" / "state" / "liftlock").glob("copies/*"))

    def tags_are_as_they_were(self, error: LiftlockError) -> None:
        said = f"{error}\n{error.hint}"
        moved = []
        for (repository, tag), old in self.before.items():
            now = self.holds(repository, tag)
            if now != old:
                moved.append(f"{repository}:{tag}")
                assert f"{repository}:{tag}" in said, f"moved without a word: {repository}:{tag}; {said}"
        if not moved:
            assert not self.journals(), "there is nothing to be remembered"
        for repository in self.repositories.values():
            others = set(self._tags(repository)) - {"v1", "stable"}
            assert all(tag.startswith("sha256-") for tag in others), others

    def _is_named(self, error: LiftlockError, side: str, names: Sequence[str]) -> None:
        said = str(error)
        if names:
            assert all(name in said for name in names), said
            return
        assert self.front(side).host in said, said
        theirs = [self.cargo.repository(name) for name in self.repositories] if side == "source" else []
        ours = list(self.repositories.values()) if side == "destination" else []
        assert any(repository in said for repository in (*theirs, *ours)), said

    def leaks_no_credentials(self) -> None:
        """What one side was told never reached the other, and nothing reached another host."""
        told = {id(front): set[str]() for front in self.fronts}
        for front, side in zip((self.source, self.destination), self.sides, strict=True):
            told[id(front)] |= side.secrets
            told[id(front)] |= {
                request.authorization for request in front.requests() if request.authorization and not request.elsewhere
            }
        for front in self.fronts:
            foreign = set().union(*(said for key, said in told.items() if key != id(front)))
            for request in front.requests():
                forbidden = foreign | told[id(front)] if request.elsewhere else foreign
                assert not request.elsewhere or request.authorization is None
                values = " ".join([request.target, *request.headers.values()])
                assert not any(secret in values for secret in forbidden), request

    def _says_no_secret(self, outcome: Outcome) -> None:
        secrets = self.sides[0].secrets | self.sides[1].secrets
        for front in self.fronts:
            for request in front.requests():
                if request.authorization:
                    secrets.add(request.authorization.partition(" ")[2])
                if state := _parameter(request, "_state"):
                    secrets.add(state)
        said = "\n".join(self.verbose)
        if isinstance(outcome, LiftlockError):
            said += f"{outcome!r}\n{outcome}\n{outcome.hint}\n{''.join(traceback.format_exception(outcome))}"
        assert not any(secret in said for secret in secrets)

    def _continues_no_upload(self) -> None:
        """An upload takes its bytes once: what became of them when no answer came, nobody knows."""
        used: set[str] = set()
        for put in self.destination.find("PUT", UPLOAD):
            assert put.path not in used, f"sent twice to one place: {put}"
            if put.status != 401:
                used.add(put.path)

    # --- the destination's storage, where it is looked at often -------------------------------------------------------

    def _stored(self, repository: str) -> Path:
        return self.registry.folder / "data" / "docker" / "registry" / "v2" / "repositories" / repository

    def holds(self, repository: str, tag: str) -> str | None:
        link = self._stored(repository) / "_manifests" / "tags" / tag / "current" / "link"
        return link.read_text() if link.exists() else None

    def _tags(self, repository: str) -> list[str]:
        return [path.name for path in (self._stored(repository) / "_manifests" / "tags").iterdir()]

    def _arrived(self, repository: str) -> set[str]:
        links = (self._stored(repository) / "_layers" / "sha256").glob("*/link")
        return {link.read_text() for link in links}


def _parameter(request: Recorded, name: str) -> str:
    return urllib.parse.parse_qs(request.query).get(name, [""])[0]
