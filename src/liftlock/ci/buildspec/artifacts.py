"""Collects the files of an artifact into a folder.

Patterns are those of the buildspec reference: ``*`` and ``?`` stay within one folder, ``**`` is any number of folders,
only files are collected. Folders that are links are not entered. A link to a file is collected as that file, and one
that leads out of the base directory fails the build: nothing gets into an artifact from beside it.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from liftlock.ci.buildspec.model import ArtifactsSection, Text
from liftlock.ci.buildspec.result import CollectedArtifact

__all__ = ["UncollectableError", "collect"]


class UncollectableError(Exception):
    """The files cannot be collected; ``line`` is the one of the buildspec that asks for them."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def collect(
    section: ArtifactsSection,
    *,
    source: Path,
    target: Path,
    leave_out: Iterable[Path],
    name: str,
    say: Callable[[str], None],
    check: Callable[[], None],
) -> CollectedArtifact:
    """Copy what the section asks for from ``source`` into ``target``, an empty folder that may not be there yet.

    Folders of ``leave_out`` are not looked into: those of all artifacts, which may be below the source. ``say`` takes
    lines of the log; ``check`` is called before each file, and may raise. Raises `UncollectableError`.
    """
    if section.name and (name in {"", ".", ".."} or "/" in name or not name.isprintable()):
        raise UncollectableError(f"the artifact's name became {name!r}, which is none", section.name.line)
    copied: dict[str, Path] = {}
    skip = frozenset(each.resolve() for each in (target, *leave_out))
    try:
        for base in _bases(section, source, say):
            if base in skip:
                raise UncollectableError(f"{base} is where artifacts are collected to", section.line)
            for path, file in _chosen(section, base, skip=skip, say=say):
                check()
                _copy(path, file, target, copied, base=base, section=section)
    except OSError as error:
        raise UncollectableError(f"{error.filename}: {error.strerror}", section.line) from None
    if not copied:
        raise UncollectableError("no matching artifact paths found", section.files[0].line)
    say(f"Found {len(copied)} file(s)")
    return CollectedArtifact(folder=target, files=tuple(sorted(copied)), name=name)


def _bases(section: ArtifactsSection, source: Path, say: Callable[[str], None]) -> list[Path]:
    """The folders that patterns are relative to."""
    wanted = section.base_directory
    text = wanted.text if wanted else "."
    say(f"Expanding base directory path: {text}")
    root = source.resolve()
    if _normal(text) == "":
        return [root]
    pattern = _pattern(text)
    found = [root / path for path in _folders(root) if pattern.fullmatch(path)]
    if not found:
        raise UncollectableError(
            f"no matching base directory path found for {text}", wanted.line if wanted else section.line
        )
    return found


def _chosen(
    section: ArtifactsSection, base: Path, *, skip: frozenset[Path], say: Callable[[str], None]
) -> Iterator[tuple[str, Path]]:
    """Files that are asked for, with their path below the base, sorted."""
    wanted = [(each, _pattern(each.text)) for each in section.files]
    unwanted = [_pattern(each.text) for each in section.exclude_paths]
    left: dict[str, Text] = {each.text: each for each in section.files}
    for path, file in _files(base, skip):
        matching = [each.text for each, pattern in wanted if pattern.fullmatch(path)]
        for text in matching:
            left.pop(text, None)
        if matching and not any(pattern.fullmatch(path) for pattern in unwanted):
            yield path, file
    for text in left:
        say(f"Skipping invalid file path {text}")


def _copy(
    path: str, file: Path, target: Path, copied: dict[str, Path], *, base: Path, section: ArtifactsSection
) -> None:
    real = file.resolve()
    if not real.is_relative_to(base):
        raise UncollectableError(f"{path} is a link that leads out of {base}", section.line)
    if not real.is_file():
        raise UncollectableError(f"{path} is a link that leads to no file", section.line)
    name = file.name if section.discard_paths else path
    if name in copied:
        raise UncollectableError(f"{copied[name]} and {file} would both be {name}", section.line)
    copied[name] = file
    place = target / name
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(real, place)


def _files(base: Path, skip: frozenset[Path]) -> Iterator[tuple[str, Path]]:
    """All files below a folder, links to anything among them, but for those below ``skip``."""
    for folder, folders, names in os.walk(base, onerror=_raise):
        here = Path(folder)
        links = [each for each in folders if (here / each).is_symlink()]
        folders[:] = sorted(each for each in folders if each not in links and here / each not in skip)
        for name in sorted(names):
            file = here / name
            if file.is_file() or file.is_symlink():  # no pipes, no sockets
                yield file.relative_to(base).as_posix(), file


def _folders(root: Path) -> Iterator[str]:
    for folder, folders, _ in os.walk(root, onerror=_raise):
        folders[:] = sorted(each for each in folders if not (Path(folder) / each).is_symlink())
        yield from (Path(folder, each).relative_to(root).as_posix() for each in folders)


def _raise(error: OSError) -> None:
    raise error


def _normal(pattern: str) -> str:
    return "/".join(part for part in pattern.split("/") if part not in {"", "."})


def _pattern(text: str) -> re.Pattern[str]:
    """A pattern for paths with slashes; it has no beginning and no end of its own."""
    parts = _normal(text).split("/")
    regex = ""
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if part == "**":
            regex += ".*" if last else "(?:[^/]+/)*"
        else:
            regex += _segment(part) + ("" if last else "/")
    return re.compile(regex, re.DOTALL)


def _segment(part: str) -> str:
    """One folder's or file's name."""
    pieces = re.split(r"(\*+|\?|\[!?[^]/]+\])", part)
    return "".join(_piece(each) for each in pieces)


def _piece(text: str) -> str:
    if text.startswith("*"):
        return "[^/]*"
    if text == "?":
        return "[^/]"
    return _letters(text[1:-1]) if text.startswith("[") and text.endswith("]") and len(text) > 2 else re.escape(text)


def _letters(text: str) -> str:
    """One of some letters, or with a ``!`` before them none of these; ranges as ``a-z``."""
    negated = text.startswith("!") and len(text) > 1
    letters = re.sub(r"([\\^\[&~|]|^-|-(?=-))", r"\\\1", text[1:] if negated else text)
    try:
        re.compile(f"[{letters}]")
    except re.error:  # z-a
        return re.escape(f"[{text}]")
    return f"[^/{letters}]" if negated else f"[{letters}]"
