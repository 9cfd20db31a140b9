"""What a registry's error answers mean: (status, codes) becomes one error of `liftlock.errors`, with a hint.

Only a 404 with one of `ABSENT` says that something is not there. Everything that is not classified here stays a
`RegistryError`, so that no misconfigured proxy can make content look absent.
Sources: distribution spec 1.1, "Error codes"; the registries' threads are at their lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from liftlock.errors import (
    AccessDenied,
    Conflict,
    CorruptContent,
    LiftlockError,
    NotFound,
    RegistryError,
    Throttled,
)
from liftlock.oci.distribution import error_codes
from liftlock.targets.registry_profile import profile_of
from liftlock.transport.messages import Headers
from liftlock.transport.retry import retry_after
from liftlock.typed import NamedTuple

__all__ = [
    "ABSENT",
    "MISSING_CONTENT",
    "Answer",
    "failure",
    "is_absent",
    "lacks_repository",
    "speaks_of_immutability",
]

ABSENT = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN", "NOT_FOUND"})
"""Codes which, with a 404, mean that it is not there. ``NOT_FOUND`` is Harbor's."""

MISSING_CONTENT = "MANIFEST_BLOB_UNKNOWN"
"""The code of a `RegistryError` when a manifest was refused for content that the repository lacks."""

_DENIED = frozenset({"DENIED", "UNAUTHORIZED"})
_CORRUPT = frozenset({"DIGEST_INVALID", "SIZE_INVALID"})
# ECR answers TAG_INVALID and a sentence (moby/buildkit#3776), Nexus BLOB_UPLOAD_INVALID and a detail
# (GoogleContainerTools/jib#3057), others a code of their own.
_LOCKED = "REGISTRY_DISALLOWED_OPERATION"
"""Azure's code, with 405, for a change to what is locked, or to a registry that is full (Azure/acr-cli#70)."""
_IMMUTABLE_CODES = frozenset({"TAG_IMMUTABLE", "IMAGETAGALREADYEXISTS", "IMAGETAGALREADYEXISTSEXCEPTION", _LOCKED})
_IMMUTABLE_WORDS = ("immutab", "does not allow updating", "cannot be overwritten", "cannot be updated")
# Sentences of ECR (google/go-containerregistry#1568; int128/docker-manifest-create-action#63 for children of an index).
_OTHER_DIGEST = "does not match the image digest"
_LACKING = ("layers with digests", "images with digests")
_ARCHIVED = ("is archived", "been archived")
"""An archived image of ECR answers 404 to who pulls it ("Archiving an image in Amazon ECR")."""
_THROTTLING = frozenset({"TOOMANYREQUESTS", "TOOMANYREQUESTSEXCEPTION", "THROTTLINGEXCEPTION"})
_IMMUTABLE_HINT = "the tag or repository is immutable or blocked by a policy there: use a new tag, or change the policy"
_LOCKED_HINT = (
    "tag, manifest or repository are locked there, or the registry is full: use a new tag, or unlock it with "
    "az acr repository update --write-enabled true"
)
_MESSAGE, _CODE = 500, 60
"""Characters of a registry's text that are shown; IAM's sentences are long."""
_ARCHIVED_HINT = "restore it: aws ecr update-image-storage-class --target-storage-class STANDARD; or push it again"
_CREDENTIALS = r"(?i)\b(?:basic|bearer)\s+\S+|\beyJ[\w-]{8,}\S*"
"""What careless proxies repeat of a request: its Authorization header, or a token (a JWT begins with ``eyJ``)."""


class Answer(NamedTuple):
    """A registry's answer, read to its end."""

    status: int
    headers: Headers
    body: bytes
    url: str

    @property
    def codes(self) -> tuple[str, ...]:
        """The error codes, in upper case."""
        codes = (_shown(code) for code in error_codes(self.body)[0])
        return tuple(code.upper()[:_CODE] for code in codes)

    @property
    def message(self) -> str:
        """The error messages as one line."""
        return _shown(error_codes(self.body)[1])[:_MESSAGE]


def _shown(text: str) -> str:
    """A registry's text must not steer a terminal, and must not repeat a secret."""
    return re.sub(_CREDENTIALS, "***", "".join(char if char.isprintable() else "?" for char in text))


def is_absent(answer: Answer, *, head: bool = False) -> bool:
    """Whether this answer says "not there". A HEAD has no body, so there 404 alone has to do."""
    return answer.status == 404 and (head or not ABSENT.isdisjoint(answer.codes))


def lacks_repository(answer: Answer) -> bool:
    """Whether this answer to a write says that there is no such repository."""
    return answer.status == 404 and "NAME_UNKNOWN" in answer.codes


def speaks_of_immutability(answer: Answer) -> bool:
    """Whether the answer refuses to replace something that exists."""
    if answer.status in (409, 412) or not _IMMUTABLE_CODES.isdisjoint(answer.codes):
        return True
    message = answer.message.lower()
    return 400 <= answer.status < 500 and any(words in message for words in _IMMUTABLE_WORDS)


def failure(answer: Answer, place: str, action: str) -> LiftlockError:
    """The error for an answer that is none of the expected ones.

    ``place`` is ``registry/repository``; ``action`` continues "cannot", for example ``push manifest v1``.
    """
    status, codes, words = answer.status, answer.codes, answer.message.lower()
    if action.startswith("push manifest") and _lacks_content(codes, words):
        codes = (*codes, MISSING_CONTENT)
    said = ", ".join((str(status), *codes)) + (f": {answer.message}" if answer.message else "")

    def text(what: str) -> str:
        return f"{place}: cannot {action}: {what} ({said})"

    host = place.partition("/")[0]

    # GitHub's secondary limits are a 403 that says when to come back.
    if status == 429 or not _THROTTLING.isdisjoint(codes) or (status in (403, 503) and "retry-after" in answer.headers):
        return Throttled(
            text("the registry is throttling"),
            status=status,
            codes=codes,
            retry_after=retry_after(answer.headers),
        )
    if status >= 500 or status == 408:
        return RegistryError(text("the registry failed"), status=status, codes=codes)
    if speaks_of_immutability(answer):
        # Harbor's policies answer 412 to reading, too (goharbor/harbor#15885).
        writing = action.startswith(("push", "upload", "delete"))
        return Conflict(
            text("the registry does not let it be replaced" if writing else "the registry blocks it"),
            hint=_LOCKED_HINT if _LOCKED in codes else _IMMUTABLE_HINT,
        )
    if status in (401, 403) or not _DENIED.isdisjoint(codes):
        return AccessDenied(text("the registry denies it"), hint=_denied_hint(answer, host))
    if MISSING_CONTENT in codes:
        return RegistryError(text("it lacks content that the manifest names"), status=status, codes=codes)
    if not _CORRUPT.isdisjoint(codes) or _OTHER_DIGEST in words:
        return CorruptContent(text("the registry received other bytes than announced"))
    if status == 404 and any(archived in words for archived in _ARCHIVED):
        return NotFound(text("it is archived"), hint=_ARCHIVED_HINT)
    if is_absent(answer):
        return _absent(text, place, action, codes)
    return RegistryError(text("unexpected answer"), status=status, codes=codes, hint=_hint(answer))


def _lacks_content(codes: tuple[str, ...], words: str) -> bool:
    """Whether a manifest was refused for what is not there, in other words than `MISSING_CONTENT`."""
    # zot's and Artifactory's code (docker/buildx#196); ECR's sentences.
    return "BLOB_UNKNOWN" in codes or any(lacking in words for lacking in _LACKING)


def _denied_hint(answer: Answer, host: str) -> str:
    action = re.search(r"not authorized to perform: ([a-z-]+:[A-Za-z]+)", answer.message)
    if action:
        return (
            f"allow {action[1]} in the IAM policy of who asks and, for another account's registry, in the repository's"
        )
    if "authorization token has expired" in answer.message.lower():
        return f"a login that is kept for it has ended: liftlock logout {host}, and the AWS identity is used again"
    if "MANIFEST_INVALID" in answer.codes:
        # Artifactory answers so when a tag is replaced without the right to delete.
        return "replacing a tag may need the right to delete as well"
    return f"liftlock login {host}, or ask for the right; some registries also say this of what does not exist"


def _absent(text: Callable[[str], str], place: str, action: str, codes: tuple[str, ...]) -> NotFound:
    if "NAME_UNKNOWN" not in codes or not action.startswith(("push", "upload")):
        return NotFound(text("it does not exist"))
    host, _, repository = place.partition("/")
    hint = "create the repository first: this registry does not create it when something is pushed"
    kind = profile_of(host).name
    if kind.startswith("Amazon ECR"):
        api, named = ("ecr", repository) if kind == "Amazon ECR" else ("ecr-public", repository.partition("/")[2])
        hint = (
            f"write 'create: true' for {host} under 'registries' of the pipeline file, "
            f"or: aws {api} create-repository --repository-name {named}"
        )
    return NotFound(text(f"the repository {repository} does not exist in registry {host}"), hint=hint)


def _hint(answer: Answer) -> str:
    if answer.status == 404:
        return "no registry's code came with this 404: is there a registry at this address?"
    if answer.status == 405 or "UNSUPPORTED" in answer.codes:
        return "the registry does not support this, or it is switched off there"
    if answer.status == 415 or "MANIFEST_INVALID" in answer.codes:
        # zot takes Docker's types only with compat: docker2s2 (project-zot/zot#724).
        return "the registry may not take this media type: zot, for one, needs compat docker2s2 for Docker's own types"
    return ""
