"""For who writes a kind of notifier: a message to send, and what every kind has to keep to.

def test_it_keeps_to_the_contract():
    error = check(Chime(), {"file": "out"}, tools, secrets=["hunter2"])
    assert error is None
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import logging
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from liftlock.errors import LiftlockError
from liftlock.kinds.table import API_VERSION
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message, Notifier
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Descriptor
from liftlock.pipeline.kinds import Options
from liftlock.release.artifact import Artifact
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import Release
from liftlock.release.stage import Stage
from liftlock.release.template import Template

__all__ = ["check", "sample"]

_AT = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)


def sample(
    occasion: str = "success",
    *,
    images: tuple[str, ...] = ("web",),
    to: str = "prod.example/prod-{image}",
    build: str = "42",
    at: dt.datetime = _AT,
) -> Message:
    """A message such as a worker would send: release ``build`` of the pipeline ``shop``, its promotion to ``prod``."""
    stage = Stage(name="prod", to=(Template(text=to),), tags=(Template(text="{build}"), Template(text="stable")))
    release = Release.create(
        Artifact(
            images={
                name: Descriptor("application/vnd.oci.image.index.v1+json", Digest.of(f"{name} {build}".encode()), 856)
                for name in images
            },
            build=build,
            commit="2f1c6e0",
        ),
        Pipeline(name="shop", images=images, stages=(stage,)),
        created=at,
    )
    waiting = ("2 approvals of release-managers",) if occasion in ("waiting", "approval-needed") else ()
    return Message(
        key=Digest.of(f"{occasion} {build}".encode()).hex[:32],
        occasion=occasion,
        release=release,
        stage="prod",
        promotion=17,
        state={"success": "succeeded", "failure": "failed"}.get(occasion, "waiting"),
        at=at,
        reason="the registry does not answer" if occasion == "failure" else "",
        waiting_for=waiting,
        destinations=release.destinations("prod"),
    )


def check(
    kind: Notifier,
    options: Mapping[str, Any],
    tools: Tools,
    *,
    secrets: Iterable[str] = (),
    message: Message | None = None,
) -> LiftlockError | None:
    """Send once, and return the error that was raised, if any.

    Raises `AssertionError` when the kind does not say what it is, raises something else than `LiftlockError`, or when
    one of ``secrets`` is in the error (its hint and its causes, too), in a log of any level, or on an output.
    """
    _require(kind.api_version == API_VERSION, f"api_version is {kind.api_version}, and should be {API_VERSION}")
    _require(issubclass(kind.options, Options), "options is no subclass of liftlock.pipeline.kinds.Options")
    given = kind.options.model_validate(dict(options))
    raised: BaseException | None = None
    with _overheard() as heard:
        try:
            kind.send(message or sample(), given, tools)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            raised = error
    seen = heard.getvalue()
    if raised is not None:
        seen += "".join(traceback.format_exception(raised)) + getattr(raised, "hint", "")
    for secret in secrets:
        _require(secret not in seen, "a secret is in an error, a log or an output")
    _require(raised is None or isinstance(raised, LiftlockError), f"it raises {type(raised).__name__}: {raised}")
    return raised if isinstance(raised, LiftlockError) else None


@contextlib.contextmanager
def _overheard() -> Iterator[io.StringIO]:
    """Everything that is logged, at any level, or printed meanwhile."""
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.NOTSET)
    try:
        with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
            yield heard
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
