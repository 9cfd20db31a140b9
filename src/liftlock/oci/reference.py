"""Image references, as Docker and the distribution spec write them.

The grammar is distribution's ``reference`` package: ``[registry/]repository[:tag][@digest]``. A first part without a
dot, a colon or the name ``localhost`` is not a registry but part of a Docker Hub repository; one-part Docker Hub
repositories live under ``library/``.
"""

from __future__ import annotations

from liftlock.errors import CorruptContent, UsageError
from liftlock.oci.digest import Digest
from liftlock.typed import NamedTuple

__all__ = ["DOCKER_HUB", "Reference", "is_tag"]

DOCKER_HUB = "docker.io"
MAX_TAG = 128
"""Characters (distribution spec, "Pulling manifests")."""
MAX_REPOSITORY = 255
"""Characters; registries refuse longer ones (distribution's ``NameTotalLengthMax``)."""

# Sets, not patterns: a pattern is compiled anew at each start.
_DIGITS = frozenset("0123456789")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LABEL = _LETTERS | _DIGITS | {"-"}
_TAG = _LABEL | {"_", "."}
_ADDRESS = frozenset("0123456789abcdefABCDEF:")
_WORD = frozenset("0123456789abcdefghijklmnopqrstuvwxyz")
_PART = _WORD | set(".-_")
_WORDS_TO_SPACE = str.maketrans(dict.fromkeys(_WORD, " "))


def is_tag(text: str) -> bool:
    """Whether this is a well-formed tag (distribution spec, "Pulling manifests")."""
    return 0 < len(text) <= MAX_TAG and text[0] not in ".-" and _TAG.issuperset(text)


def _is_registry(text: str) -> bool:
    """Whether this is a host, or an IPv6 address in brackets, with or without a port."""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host = text
    elif not 0 < len(port) <= 5 or not _DIGITS.issuperset(port):
        return False
    if host.startswith("["):
        return host.endswith("]") and len(host) > 2 and _ADDRESS.issuperset(host[1:-1])
    return all(label and label == label.strip("-") and _LABEL.issuperset(label) for label in host.split("."))


def _is_part(text: str) -> bool:
    """Whether this is one part of a repository: words, joined by a dot, one or two underscores, or hyphens."""
    if not text or not _PART.issuperset(text) or text[0] not in _WORD or text[-1] not in _WORD:
        return False
    joints = text.translate(_WORDS_TO_SPACE).split()
    return all(joint in (".", "_", "__") or not joint.strip("-") for joint in joints)


class Reference(NamedTuple):
    """A place in a registry: ``registry/repository``, and a tag, a digest, both or neither."""

    registry: str
    """Host and optional port, as written; Docker Hub is ``docker.io``."""
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference; raises `UsageError` naming what is wrong with it."""
        rest, at, digest_text = text.partition("@")
        digest = None
        if at:
            try:
                digest = Digest(digest_text)
            except CorruptContent as error:
                raise UsageError(f"reference {text!r}: {error.message}", hint=error.hint) from None
        name, tag = rest, None
        head, colon, tail = rest.rpartition(":")
        if colon and "/" not in tail:
            name, tag = head, tail
            if not is_tag(tag):
                raise UsageError(
                    f"reference {text!r}: {tag!r} is not a tag",
                    hint="a tag has at most 128 letters, digits, '.', '_' or '-', and starts with none of '.' and '-'",
                )
        first, slash, others = name.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, repository = first, others
        else:
            registry, repository = DOCKER_HUB, name
        if registry in ("index.docker.io", "registry-1.docker.io"):
            registry = DOCKER_HUB
        if registry == DOCKER_HUB and "/" not in repository:
            repository = f"library/{repository}"
        reference = cls(registry, repository, tag, digest)
        reference._check(text)
        return reference

    def _check(self, text: str) -> None:
        if not _is_registry(self.registry):
            raise UsageError(f"reference {text!r}: {self.registry!r} is not a registry host")
        if len(self.repository) > MAX_REPOSITORY:
            raise UsageError(f"reference {text!r}: the repository is longer than {MAX_REPOSITORY} characters")
        for part in self.repository.split("/"):
            if not _is_part(part):
                raise UsageError(
                    f"reference {text!r}: {part!r} cannot be part of a repository",
                    hint="repositories are lower-case letters and digits, joined by '.', '_', '__' or '-', and '/'",
                )

    @property
    def name(self) -> str:
        """``registry/repository``."""
        return f"{self.registry}/{self.repository}"

    @property
    def selector(self) -> str:
        """What to ask the registry for: the digest when there is one, else the tag, else ``latest``."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")
