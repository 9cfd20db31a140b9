"""Which release may go where, and what is where now.

The history that these rules read is every promotion of one pipeline, in any order. What it does not hold did not
happen: missing history never lets anything pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from liftlock.errors import NotFound, UsageError
from liftlock.oci.digest import Digest
from liftlock.release.promotion import Attempt, Execution, Promotion
from liftlock.release.release import Release

__all__ = ["choose", "current", "has_succeeded", "next_stages", "unmet"]

MIN_PREFIX = 4
"""Hexadecimal digits of an id that may stand for it."""


def current(history: Iterable[Promotion], stage: str) -> Promotion | None:
    """What is in a stage now: the promotion whose arrival is the last. Versions and build ids don't count."""
    best: Promotion | None = None
    latest = -1
    for promotion in history:
        arrived = promotion.arrived if promotion.stage == stage else None
        if arrived is not None and arrived.order is not None and arrived.order > latest:
            best, latest = promotion, arrived.order
    return best


def has_succeeded(history: Iterable[Promotion], release: Digest, stage: str) -> bool:
    """Whether the last thing that ended for this release in this stage is a success.

    A later attempt that failed, errored or was canceled takes an earlier success back: what it left is not proven.
    """
    ended: list[Attempt] = [
        attempt
        for promotion in history
        if promotion.release == release and promotion.stage == stage
        for attempt in promotion.attempts
        if attempt.order is not None and attempt.started_at is not None
    ]
    if not ended:
        return False
    return max(ended, key=lambda attempt: attempt.order or 0).execution is Execution.SUCCEEDED


def unmet(
    release: Release, stage: str, history: Sequence[Promotion], *, proven: frozenset[str] = frozenset()
) -> tuple[str, ...]:
    """The earlier stages in which this release has yet to succeed; raises `NotFound` for an unknown stage.

    A stage of ``proven``, whose registries hold this release, counts as long as nothing is on record about it.
    """
    rule = release.pipeline.stage(stage)
    missing = tuple(
        earlier
        for earlier in rule.after
        if not has_succeeded(history, release.id, earlier)
        and not (earlier in proven and not _was_tried(history, release.id, earlier))
    )
    return () if rule.after_any and len(missing) < len(rule.after) else missing


def _was_tried(history: Iterable[Promotion], release: Digest, stage: str) -> bool:
    return any(each.attempts for each in history if each.release == release and each.stage == stage)


def next_stages(release: Release, history: Sequence[Promotion]) -> tuple[str, ...]:
    """The stages that this release may go to and has not succeeded in, in the pipeline's order."""
    return tuple(
        stage.name
        for stage in release.pipeline.stages
        if not has_succeeded(history, release.id, stage.name) and not unmet(release, stage.name, history)
    )


def choose(text: str, releases: Iterable[Release]) -> Release:
    """The release that a text names: by build id, by id, or by at least four hexadecimal digits its id begins with.

    Raises `NotFound` when it names none, `UsageError` when it names several: a guess could promote the wrong one.
    """
    found = {release.id: release for release in releases if _names(text, release)}
    if not found:
        hint = "see: liftlock release list; one is made of what was published with: liftlock release create ARTIFACT"
        raise NotFound(f"there is no release {text!r}", hint=hint)
    if len(found) > 1:
        listed = ", ".join(f"{each.id.short} (build {each.artifact.build or 'none'})" for each in found.values())
        raise UsageError(f"{text!r} names {len(found)} releases: {listed}", hint="use the beginning of its id")
    return next(iter(found.values()))


def _names(text: str, release: Release) -> bool:
    if text == release.artifact.build:
        return True
    prefix = text.removeprefix("sha256:")
    return len(prefix) >= MIN_PREFIX and release.id.hex.startswith(prefix)
