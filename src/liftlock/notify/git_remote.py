"""One branch of a remote git repository: read files, commit others, push; without a working tree.

git runs without the user's or the system's configuration, without hooks, and without ever asking. Credentials are
handed to it in its environment, never in its arguments, and only for the one host.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from liftlock.auth.secret import Secret
from liftlock.errors import AccessDenied, ConfigError, LiftlockError, NotFound, RefusedError, TransportError
from liftlock.kinds.process import MAX_OUTPUT, Finished, run
from liftlock.kinds.tools import Tools
from liftlock.transport.urls import is_loopback

__all__ = ["Blob", "Branch", "Remote", "remote"]

DEPTH = 100
"""Commits that are fetched: enough to see who wrote last."""

_KEPT = frozenset({"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})
"""What of git's own variables is taken from the worker's environment; the others could change what it does."""
_SCP = re.compile(r"[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^:].*")
_DENIED = ("authentication failed", "could not read username", "permission denied", "error: 403", "error: 401")
_ABSENT = ("not found", "does not appear to be a git", "couldn't find remote ref", "error: 404", "does not exist")
_RACES = ("cannot lock ref", "failed to update ref", "incorrect old value", "reference already exists", "stale info")


class Blob(NamedTuple):
    """A file of a commit."""

    mode: str
    """``100644`` or ``100755``."""
    content: bytes


class Remote(NamedTuple):
    """Where a repository is, and what opens it."""

    url: str
    """Without user name and password, except the user of ssh."""
    shown: str
    """What a message may say of it: the host, or the path of a local one."""
    configuration: Mapping[str, Secret]
    """What git is told beside it."""


def remote(url: Secret, user: str, token: Secret | None) -> Remote:
    """The remote that a URL names: ``https``, ``ssh`` or a folder's path; ``http`` only on this machine.

    A folder is written ``/path``, since ``file:`` begins a secret reference.

    Raises `ConfigError` for any other, without showing it.
    """
    text = url.reveal()
    if _SCP.fullmatch(text):
        return Remote(text, text.partition("@")[2].partition(":")[0], {})
    if text.startswith("/") and text.isprintable():
        return Remote(f"file://{text}", text, {})
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    usable = parts.scheme in ("https", "ssh") or (parts.scheme == "http" and is_loopback(host))
    if not usable or not host or not text.isprintable() or host.startswith("-"):
        raise ConfigError(
            "the repository's URL cannot be used",
            hint="write https://host/path, ssh://git@host/path, git@host:path or /path",
        )
    place = f"[{host}]" if ":" in host else host
    place = place if port is None else f"{place}:{port}"
    if parts.scheme == "ssh":
        return Remote(f"ssh://{parts.username or 'git'}@{place}{parts.path}", place, {})
    name, password = unquote(parts.username or ""), unquote(parts.password or "")
    if token is not None:
        name, password = name or user, token.reveal()
    configuration = {}
    if name or password:
        basic = base64.b64encode(f"{name}:{password}".encode()).decode()
        configuration = {f"http.{parts.scheme}://{place}/.extraHeader": Secret(f"Authorization: Basic {basic}")}
    return Remote(f"{parts.scheme}://{place}{parts.path}", place, configuration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One branch of a remote, worked on in an empty folder of its own.

    Raises `TransportError` (temporary) where another try may help, `AccessDenied`, `NotFound`, `RefusedError` (the
    remote's own rules) and `ConfigError` where it does not.
    """

    remote: Remote
    name: str
    folder: Path
    tools: Tools
    timeout: float
    """Seconds for each command."""

    def prepare(self) -> None:
        """Make the folder a repository."""
        self._git("init", "--quiet", "--bare", str(self.folder))

    def fetch(self) -> str:
        """Get what the branch is now; the id of its last commit."""
        ref = f"+refs/heads/{self.name}:refs/heads/base"
        self._git("fetch", "--quiet", "--no-tags", f"--depth={DEPTH}", "--", self.remote.url, ref)
        return self._git("rev-parse", "--verify", "refs/heads/base").output.decode().strip()

    def read(self, commit: str, path: str) -> Blob:
        """A file of a commit; raises `NotFound` when it has none there."""
        listed = self._git("ls-tree", "-z", "--full-tree", commit, "--", path).output.decode()
        entry, _, name = listed.rstrip("\0").partition("\t")
        mode, kind, blob = entry.split() if name == path else ("", "", "")
        if mode not in ("100644", "100755"):
            why = f"is a {kind if mode != '120000' else 'symbolic link'}" if mode else "is not there"
            raise NotFound(f"{self.remote.shown}: the file {path} of branch {self.name} {why}")
        if int(self._git("cat-file", "-s", blob).output) > MAX_OUTPUT:
            raise ConfigError(f"it is larger than {MAX_OUTPUT} bytes", path=path)
        return Blob(mode, self._git("cat-file", "blob", blob).output)

    def messages(self, commit: str, paths: list[str]) -> list[str]:
        """The messages of the last commits that changed one of these files, the newest first."""
        return self._git("log", "--format=%B%x00", commit, "--", *paths).output.decode(errors="replace").split("\0")

    def commit(self, parent: str, files: Mapping[str, Blob], message: str, author: str) -> str:
        """A commit with these files changed; its id."""
        self._git("read-tree", parent)
        for path, blob in files.items():
            made = self._git("hash-object", "-w", "--stdin", stdin=blob.content).output.decode().strip()
            self._git("update-index", "--cacheinfo", f"{blob.mode},{made},{path}")
        tree = self._git("write-tree").output.decode().strip()
        name, _, address = author.removesuffix(">").partition(" <")
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", name), ("EMAIL", address))}  # fmt: skip
        done = self._git("commit-tree", tree, "-p", parent, "-F", "-", stdin=message.encode(), also=who)
        return done.output.decode().strip()

    def push(self, commit: str) -> bool:
        """Make this commit the branch's last; False when somebody else's came first."""
        target = f"{commit}:refs/heads/{self.name}"
        done = self._run("push", "--porcelain", "--no-verify", "--", self.remote.url, target)
        if done.status == 0:
            return True
        said = "\n".join(line for line in done.output.decode(errors="replace").splitlines() if line.startswith("!"))
        if "[rejected]" in said or any(race in said for race in _RACES):
            return False
        if "[remote rejected]" in said:
            why = said.rpartition("(")[2].rstrip(")\n")[:200]
            raise RefusedError(
                f"{self.remote.shown}: the push to branch {self.name} is refused: {why}",
                hint="a rule of the repository forbids it: allow this user, or name another branch",
            )
        raise self._failure("push", done)

    def _git(self, *arguments: str, stdin: bytes = b"", also: Mapping[str, str] | None = None) -> Finished:
        done = self._run(*arguments, stdin=stdin, also=also)
        if done.status != 0:
            raise self._failure(arguments[0], done)
        return done

    def _run(self, *arguments: str, stdin: bytes = b"", also: Mapping[str, str] | None = None) -> Finished:
        environment = {**self._environment(), **(also or {})}
        return run(
            ["git", *arguments],
            self.tools,
            timeout=self.timeout,
            stdin=stdin,
            environment=environment,
            folder=str(self.folder),
        )

    def _environment(self) -> dict[str, str]:
        given = {
            name: value
            for name, value in self.tools.environment.items()
            if not name.startswith("GIT_") or name in _KEPT
        }
        settings = {
            "core.hooksPath": "/dev/null",
            "credential.helper": "",
            "gc.auto": "0",
            "http.followRedirects": "false",
            **{name: value.reveal() for name, value in self.remote.configuration.items()},
        }
        for number, (name, value) in enumerate(settings.items()):
            given[f"GIT_CONFIG_KEY_{number}"], given[f"GIT_CONFIG_VALUE_{number}"] = name, value
        return {
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
            **given,
            "GIT_ALLOW_PROTOCOL": "https:ssh:file" + (":http" if self.remote.url.startswith("http:") else ""),
            "GIT_ASKPASS": "",
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_DIR": str(self.folder),
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "LC_ALL": "C",
        }

    def _failure(self, command: str, done: Finished) -> LiftlockError:
        """What git's own words mean."""
        text = done.errors.decode(errors="replace")
        said = next((line for line in text.splitlines() if line.startswith(("fatal: ", "error: "))), done.complaint)
        said = "".join(each for each in said.replace(self.remote.url, self.remote.shown) if each.isprintable())[:300]
        what = f"{self.remote.shown}: git {command}: {said.removeprefix('fatal: ').removeprefix('error: ')}"
        lower = text.lower()
        if any(sign in lower for sign in _DENIED):
            return AccessDenied(what, hint="check the token or key, and that it may push")
        if any(sign in lower for sign in _ABSENT):
            return NotFound(what, hint="check the repository and the branch")
        if "redirect" in lower or "returned error: 30" in lower:
            return ConfigError(what, hint="redirects are not followed: name the URL that it leads to")
        return TransportError(what, temporary=command in ("fetch", "push"))
