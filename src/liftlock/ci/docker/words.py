"""Docker's words: what scripts look for in its output, in one place, so that they can be compared.

What the command line says itself was taken down from Docker 28.2 running without a daemon. What its daemon says is
from moby's sources and from reports of it, not from a run (``distribution/``, ``image/``, ``daemon/images``). There is
no daemon here; scripts look for the text. The complaints about options are in `flags`, those about the number of
arguments in `main`, those about templates in `template`.
"""

from __future__ import annotations

import re

from liftlock.errors import AccessDenied, LiftlockError

__all__ = ["DAEMON", "VERSION", "Said", "denied"]

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

BAD_REFERENCE = "invalid reference format"
BAD_REFERENCE_CASE = "invalid reference format: repository name ({path}) must be lowercase"
BAD_TAG = 'Error parsing reference: "{text}" is not a valid repository/tag: '
TAG_DIGEST = "refusing to create a tag with a digest reference"
ALL_TAGS_AND_TAG = "tag can't be used with --all-tags/-a"
NO_SUCH_IMAGE = DAEMON + "No such image: {name}"
NO_SUCH_OBJECT = "Error: No such {kind}: {text}"
MANY_IDS = DAEMON + "Multiple IDs found with provided prefix: {text}"
MANY_NAMES = DAEMON + "conflict: unable to delete {id} (must be forced) - image is referenced in multiple repositories"
# of pull
NO_MANIFEST = DAEMON + "manifest for {name} not found: manifest unknown: manifest unknown"
NO_REPOSITORY = DAEMON + "repository {name} not found: name unknown: repository name not known to registry"
NO_PLATFORM = (
    DAEMON + "no matching manifest for {platform} in the manifest list entries: "
    "no match for platform in manifest: not found"
)
OTHER_PLATFORM = (
    DAEMON + "image with reference {name} was found but does not provide the specified platform ({platform})"
)
BAD_PLATFORM = DAEMON + '"{text}" is an invalid OS component of "{text}": OSAndVersion specifier is malformed'
PULL_DENIED = "pull access denied for {name}, repository does not exist or may require 'docker login': "
# of registries that refuse
DENIED = "denied: requested access to the resource is denied"
UNAUTHORIZED = "unauthorized: authentication required"
NO_CREDENTIALS = "no basic auth credentials"
# of push
PUSH_DIGEST = "cannot push a digest reference"
NOT_HERE = "An image does not exist locally with the tag: {name}"
NO_TAG = "tag does not exist: {name}"
# of save and load
NOTHING_TO_SAVE = DAEMON + "reference does not exist"
SAVE_TO_TERMINAL = "cowardly refusing to save to a terminal. Use the -o flag or redirect"
SAVE_TO_NOWHERE = "failed to save image: invalid output path: stat {folder}: no such file or directory"
SAVE_TO_FOLDER = "failed to save image: cannot write to a directory"
SAVE_TO_DEVICE = "failed to save image: cannot write to a file that is not a regular one"
LOAD_NOTHING = "requested load from stdin, but stdin is empty"
NO_FILE = "open {path}: no such file or directory"
# of login
LOGIN_FAILED = DAEMON + "login attempt to {url} failed with status: 401 Unauthorized"
NO_TERMINAL = "Error: Cannot perform an interactive login from a non TTY device"
NO_USERNAME = "username is empty"
TWO_PASSWORDS = "conflicting options: cannot specify both --password and --password-stdin"
PASSWORD_OF_WHOM = "the --password-stdin option requires --username to be set"
# of what is not served
NOT_ITS_JOB = "docker: '{path}' is not the job of liftlock-docker"
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
        return DENIED
    return UNAUTHORIZED if known else NO_CREDENTIALS
