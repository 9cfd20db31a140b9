"""``git``: writes what was promoted into files of a repository that something else deploys from.

Kustomize, Helm values and plain manifests: a value at a path of a YAML file is set, committed and pushed; comments and
layout stay. What is there already is not committed again, so a message may come twice. Of two promotions into one
stage the later one wins, in whichever order their messages arrive.
"""

from __future__ import annotations

import datetime as dt
import posixpath
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError, TransportError, UsageError
from liftlock.kinds.options import is_reference
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.fill import Fillable, fill
from liftlock.notify.git_remote import Blob, Branch, remote
from liftlock.notify.options import Timeout
from liftlock.notify.pushed import chosen, pushed
from liftlock.notify.yaml_path import Match, parse_path
from liftlock.pipeline.kinds import Options, SecretReference, SecretText
from liftlock.release.durations import seconds
from liftlock.release.place import Destination

__all__ = ["Git", "GitOptions", "Update"]

TRIES = 5
"""How often a push is begun anew because somebody else was faster."""

_KUSTOMIZATIONS = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})


def _a_path(text: str) -> str:
    try:
        parse_path(text)
    except UsageError as error:
        raise ValueError(f"{error.message}: {error.hint}") from None
    return text


def _a_file(text: str) -> str:
    if posixpath.normpath(text) != text or text.startswith(("/", "..", ".git/")) or not text.isprintable():
        raise ValueError(f"{text[:200]!r} is no file of the repository: write folder/file.yaml")
    return text


def _a_repository(text: str) -> str:
    if text.startswith("file://"):
        raise ValueError("file: begins a secret reference: write the path of the folder alone, /folder/name.git")
    if not is_reference(text):
        try:
            remote(Secret(text), "", None)
        except ConfigError as error:
            raise ValueError(f"{error.message}: {error.hint}") from None
    return text


def _a_branch(text: str) -> str:
    if not re.fullmatch(r"(?!.*(\.\.|//|/\.|\.lock(/|$)|[/.]$))[A-Za-z0-9_][A-Za-z0-9._/+#-]*", text):
        raise ValueError(f"{text[:80]!r} is no branch: write its name without refs/heads/")
    return text


def _an_author(text: str) -> str:
    if not re.fullmatch(r"[^<>\s][^<>\n]* <[^<>\s]+>", text):
        raise ValueError(f"{text[:80]!r} is no author: write Name <name@example.org>")
    return text


_YamlPath = Annotated[str, AfterValidator(_a_path)]


class Update(BaseModel):
    """One value that is set, for one image."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    file: Annotated[str, Field(min_length=1), AfterValidator(_a_file)] = Field(
        description="A YAML file, from the repository's root."
    )
    path: _YamlPath = Field(
        description="Where in it: key.key, key[0], key[name=web].key. In a Kustomization also images[name=web]."
    )
    value: Annotated[str, Field(min_length=1), Fillable("repository", "digest", "tag", "image")] = Field(
        default="{repository}@{digest}", description="What is written, of {repository}, {digest}, {tag} and {image}."
    )
    image: str = Field(default="", description="Which image. Needed when the pipeline has several.")
    target: str = Field(default="", description="Which of the stage's targets. Needed when there are several.")
    where: dict[_YamlPath, str] = Field(
        default={}, description="Of several documents in the file, the one with these values: kind: Deployment."
    )


class GitOptions(Options):
    """Which repository, and what is set in it."""

    repository: Annotated[SecretText, AfterValidator(_a_repository)] = Field(
        description="Its URL: https, ssh, git@host:path, or the path of a folder."
    )
    updates: Annotated[list[Update], Field(min_length=1)] = Field(description="What is set: file, path and value.")
    branch: Annotated[str, AfterValidator(_a_branch)] = Field(
        default="main", description="The branch that is pushed to. It has to be there."
    )
    token: SecretReference | None = Field(
        default=None, description="The password for an https URL, as a secret reference."
    )
    user: Annotated[str, Field(min_length=1)] = Field(
        default="x-access-token", description="The user name that goes with the token."
    )
    author: Annotated[str, AfterValidator(_an_author)] = Field(
        default="Liftlock <liftlock@localhost>", description="Who commits: Name <address>."
    )
    timeout: Timeout = Field(default="2m", description="How long each git command may take.")


class Git:
    """Sets values in a repository's files, in one commit."""

    api_version: ClassVar[int] = 1
    options = GitOptions

    def send(self, message: Message, options: GitOptions, tools: Tools) -> None:
        there = pushed(message, "git")
        changes = [
            (update, chosen(there, image=update.image, target=update.target, where=update.file))
            for update in options.updates
        ]
        place = remote(
            tools.secret(options.repository),
            options.user,
            None if options.token is None else tools.secret(options.token),
        )
        with tempfile.TemporaryDirectory(prefix="liftlock-git-") as folder:
            branch = Branch(
                remote=place, name=options.branch, folder=Path(folder), tools=tools, timeout=seconds(options.timeout)
            )
            branch.prepare()
            for _ in range(TRIES):
                if _write(branch, message, changes, options.author):
                    return
        raise TransportError(f"{place.shown}: others pushed to branch {options.branch} {TRIES} times meanwhile")


def _write(branch: Branch, message: Message, changes: list[tuple[Update, Destination]], author: str) -> bool:
    """Bring the branch to what the message says; False when somebody else pushed meanwhile."""
    base = branch.fetch()
    paths = list(dict.fromkeys(update.file for update, _ in changes))
    if any(_is_later(text, message) for text in branch.messages(base, paths)):
        return True
    before = {path: branch.read(base, path) for path in paths}
    after = dict(before)
    for update, destination in changes:
        after[update.file] = _edited(after[update.file], update, destination)
    changed = {path: blob for path, blob in after.items() if blob != before[path]}
    return not changed or branch.push(branch.commit(base, changed, _commit_message(message), author))


def _edited(blob: Blob, update: Update, destination: Destination) -> Blob:
    from liftlock.notify.yaml_edit import has_key, set_value

    path = parse_path(update.path)
    where = {parse_path(key): value for key, value in update.where.items()}
    values = {
        "repository": destination.target,
        "digest": str(destination.digest),
        "tag": destination.tags[0] if destination.tags else "",
        "image": destination.image,
    }
    try:
        text = blob.content.decode()
        if not _is_kustomize_image(update):
            return blob._replace(content=set_value(text, path, fill(update.value, values), where).encode())
        keys = {"newName": values["repository"], "digest": values["digest"]}
        if has_key(text, path, "newTag", where):
            keys["newTag"] = values["tag"]  # a digest comes first, and an old tag beside it would lie
        for key, value in keys.items():
            text = set_value(text, (*path, key), value, where)
        return blob._replace(content=text.encode())
    except UnicodeDecodeError:
        raise ConfigError("it is not UTF-8 text", path=update.file) from None
    except ConfigError as error:
        raise ConfigError(error.message, path=update.file, line=error.line, hint=error.hint) from None


def _is_kustomize_image(update: Update) -> bool:
    path = parse_path(update.path)
    return (
        posixpath.basename(update.file) in _KUSTOMIZATIONS
        and len(path) == 2
        and path[0] == "images"
        and isinstance(path[1], Match)
    )


def _trailers(message: Message) -> Mapping[str, str]:
    return {
        "Liftlock-Stage": f"{message.release.pipeline.name}/{message.stage}",
        "Liftlock-Promotion": str(message.promotion),
        "Liftlock-At": message.at.astimezone(dt.UTC).isoformat(),
        "Liftlock-Key": message.key,
    }


def _commit_message(message: Message) -> str:
    lines = [f"{message.stage}: {message.release.pipeline.name} {message.release.name}", ""]
    lines += [f"{each.target}@{each.digest}" for each in message.destinations]
    lines += ["", *(f"{name}: {value}" for name, value in _trailers(message).items())]
    return "\n".join(lines) + "\n"


def _is_later(text: str, message: Message) -> bool:
    """Whether a commit was made for a later promotion into the same stage: an old message must not undo it."""
    found = dict(line.split(": ", 1) for line in text.splitlines() if line.startswith("Liftlock-") and ": " in line)
    if found.get("Liftlock-Stage") != _trailers(message)["Liftlock-Stage"]:
        return False
    try:
        return dt.datetime.fromisoformat(found.get("Liftlock-At", "")) > message.at
    except (ValueError, TypeError):
        return False
