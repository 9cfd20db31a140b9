"""What became of a promotion, as CI systems take it: Markdown for the run's page, variables for the jobs that follow.

Both are appended to files. Markdown fits ``$GITHUB_STEP_SUMMARY`` and Azure's ``task.uploadsummary``. Variables are
lines of ``NAME=VALUE``, and fit ``$GITHUB_OUTPUT``, a GitLab ``dotenv`` report, ``set -a; . FILE`` of a shell, and a
loop that reads lines: no value needs quotes in any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from liftlock.errors import ConfigError, LiftlockError
from liftlock.release.place import LAYOUT

if TYPE_CHECKING:
    from liftlock.release.conditions import Condition
    from liftlock.release.release import Release
    from liftlock.services.promote import Promoted

__all__ = ["Result", "image_words", "summary", "variables"]

BARE = "._:/@%+=,#?-"
"""What stays as it is, besides letters and digits: none of these means anything to a shell within an assignment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a command ended that was to bring a release into a stage."""

    stage: str
    """Empty where it failed before that was known."""
    link: str = ""
    """The CI run's own page."""
    release: Release | None = None
    promoted: Promoted | None = None
    """What it has come to; None where nothing was asked for."""
    error: LiftlockError | None = None

    @property
    def state(self) -> str:
        """The promotion's own word. Where there is none, or it is not the last word: ``refused`` or ``errored``."""
        if self.error is None or (self.promoted and self.promoted.promotion.state != "succeeded"):
            return self.promoted.promotion.state if self.promoted else "errored"
        return "refused" if self.error.exit_code == 3 else "errored"


def image_words(images: Iterable[str]) -> dict[str, str]:
    """By image, its word in names of variables; raises `ConfigError` where two images would share one."""
    found: dict[str, str] = {}
    for image in images:
        word = re.sub(r"[^A-Z0-9]", "_", image.upper())
        other = next((each for each, taken in found.items() if taken == word), None)
        if other is not None:
            raise ConfigError(
                f"the digests of the images {other!r} and {image!r} would both be the variable LIFTLOCK_DIGEST_{word}",
                hint="give one of them another name, or take the digests from -o json",
            )
        found[image] = word
    return found


def variables(result: Result) -> str:
    """The lines of ``NAME=VALUE``. What is not known is empty; what would be said of an image is left out then.

    ``LIFTLOCK_IMAGE_…`` is the reference, with digest, of an image that has arrived in a registry: of the first, where
    the stage has several. ``LIFTLOCK_IMAGES`` has them all, as ``--image`` takes them.
    """
    release = result.release
    digests: Mapping[str, str] = release.artifact.digests if release else {}
    values = {
        "LIFTLOCK_RELEASE": str(release.id) if release else "",
        "LIFTLOCK_BUILD": release.artifact.build if release else "",
        "LIFTLOCK_STAGE": result.stage,
        "LIFTLOCK_STATE": result.state,
        "LIFTLOCK_PROMOTION": str(result.promoted.promotion.id) if result.promoted else "",
        "LIFTLOCK_LINK": result.link,
    }
    words = image_words(digests)
    values |= {f"LIFTLOCK_DIGEST_{words[image]}": digest for image, digest in digests.items()}
    if result.promoted and result.state == "succeeded":
        arrived: dict[str, str] = {}
        for each in result.promoted.destinations:
            if not each.target.startswith(LAYOUT):
                arrived.setdefault(each.image, f"{each.target}@{each.digest}")
        values["LIFTLOCK_IMAGES"] = ",".join(f"{image}={reference}" for image, reference in arrived.items())
        values |= {f"LIFTLOCK_IMAGE_{words[image]}": reference for image, reference in arrived.items()}
    return "".join(f"{name}={quote(value, safe=BARE)}\n" for name, value in values.items())


def summary(result: Result) -> str:
    """The Markdown: a heading, what is known of the promotion, what it waits for, and where each image is."""
    release, promoted = result.release, result.promoted
    name = f"{release.pipeline.name} {release.name}" if release else "Promotion"
    lines = [f"### {_text(name)} → {_text(result.stage or 'no stage')}: {result.state}", ""]
    if release:
        lines.append(f"- Release {_code(release.id)}")
    if promoted:
        lines += [f"- Promotion {promoted.promotion.id}", *_moved(promoted.result)]
    if result.link:
        lines.append(f"- Run <{quote(result.link, safe=BARE + '&;')}>")
    if result.error:
        lines += ["", f"**{_text(str(result.error))}**"]
        lines += ["", f"Hint: {_text(result.error.hint)}"] if result.error.hint else []
    if promoted and promoted.standing.unmet:
        rows = [_condition(each) for each in promoted.standing.unmet]
        lines += ["", *_table(["waits for", "why", "clears"], rows)]
    lines += ["", *_images(result)]
    notes = [*promoted.result.get("notes", ()), *promoted.untold] if promoted else []
    lines += [f"- {_text(note)}" for note in notes]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).rstrip()) + "\n\n"


def _moved(done: Mapping[str, object]) -> list[str]:
    blobs = done.get("blobs")
    if not isinstance(blobs, Mapping):
        return []
    counts = f"{blobs['copied']} copied, {blobs['mounted']} mounted, {blobs['present']} present"
    return [f"- Blobs: {counts}; {done['copiedBytes']} bytes sent"]


def _condition(condition: Condition) -> list[str]:
    name = condition.kind if condition.name in ("", condition.kind) else f"{condition.kind} {condition.name}"
    at = condition.clears_at.strftime("at %Y-%m-%d %H:%M UTC") if condition.clears_at else ""
    cleared = ", ".join(part for part in (condition.clears_by and f"by {condition.clears_by}", at) if part)
    return [_text(name), _text(condition.reason), _text(cleared)]


def _images(result: Result) -> list[str]:
    if result.promoted:
        rows = [
            [
                _text(each.image),
                _code(each.digest),
                "<br>".join(_code(reference) for reference in each.references),
                result.promoted.strategy(each),
            ]
            for each in result.promoted.destinations
        ]
        return _table(["image", "digest", "tags", "how"], rows)
    if result.release:
        return _table(["image", "digest"], [[_text(n), _code(d)] for n, d in result.release.artifact.digests.items()])
    return []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _text(text: str) -> str:
    """Text that somebody else may have written, as nothing but text: on one line, without markup."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return re.sub(r"([\\`*_\[\]<>|~#&!])", r"\\\1", line)


def _code(text: str) -> str:
    """A reference or digest. A folder may be called anything, and has its backticks and bars taken away."""
    return f"`{re.sub(r'[^ -_a-{}~]', '?', text)}`"
