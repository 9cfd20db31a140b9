"""Docker's words: what scripts look for in its output. All of it stands here, so that it can be compared in one place.

Taken from Docker 28.2: its command line, run against nothing and against a registry, and the texts of moby's daemon
(``distribution/``, ``image/``, ``daemon/images``). Where a text says "daemon" there is none; scripts look for the text.
"""

from __future__ import annotations

import re

from liftlock.errors import AccessDenied, LiftlockError

__all__ = [
    "ALL_TAGS_AND_TAG",
    "BLOBS_PUSHED",
    "DAEMON",
    "DEFAULT_TAG",
    "DIGEST_PUSHED",
    "IS_CURRENT",
    "IS_NEWER",
    "LOADED",
    "LOADED_ID",
    "LOGGED_IN",
    "LOGGED_OUT",
    "NO_DAEMON_NEEDED",
    "PASSWORD_IN_FLAG",
    "PULLED",
    "PULLING",
    "PUSHING",
    "STORED_PLAIN",
    "TAG_DIGEST",
    "VERSION",
    "Said",
    "denied",
]

VERSION = "28.2.2"
"""The version of Docker whose words and options these are; scripts compare it with what they need."""

DAEMON = "Error response from daemon: "

# -- what is told

DEFAULT_TAG = "Using default tag: latest"
PULLING = "{selector}: Pulling from {path}"
PULLED = "Digest: {digest}"
IS_NEWER = "Status: Downloaded newer image for {name}"
IS_CURRENT = "Status: Image is up to date for {name}"
PUSHING = "The push refers to repository [{name}]"
DIGEST_PUSHED = "{tag}: digest: {digest} size: {size}"
BLOBS_PUSHED = {"present": "Layer already exists", "mounted": "Mounted from {path}", "copied": "Pushed"}
"""What became of a blob (`liftlock.targets.base.Placed`)."""
LOADED = "Loaded image: {name}"
LOADED_ID = "Loaded image ID: {digest}"
LOGGED_IN = "Login Succeeded"
LOGGED_OUT = "Removing login credentials for {server}"
PASSWORD_IN_FLAG = "WARNING! Using --password via the CLI is insecure. Use --password-stdin."
STORED_PLAIN = """
WARNING! Your credentials are stored unencrypted in '{path}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/
"""

# -- what goes wrong

ALL_TAGS_AND_TAG = "tag can't be used with --all-tags/-a"
TAG_DIGEST = "refusing to create a tag with a digest reference"
NO_DAEMON_NEEDED = (
    "liftlock-docker moves images between registries, its own store and archives, and has no daemon: "
    "where this is needed, the real docker has to come first on PATH"
)


class Said(LiftlockError):
    """A failure in Docker's words. ``detail`` says in ours what they leave out; the program ends with ``status``."""

    def __init__(self, message: str, *, detail: str = "", hint: str = "", status: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.detail = detail
        self.exit_code = status  # type: ignore[misc]  # docker's codes differ by what was typed, not by kind of error


def denied(error: AccessDenied, *, known: bool) -> str:
    """What docker says when a registry refuses; ``known`` tells whether there were credentials to refuse."""
    if re.search(r"\((?:403\b|[^)]*\bDENIED\b)", error.message):
        return "denied: requested access to the resource is denied"
    return "unauthorized: authentication required" if known else "no basic auth credentials"
