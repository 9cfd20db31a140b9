"""Files in which a promotion's result is left for the CI system: ``--summary`` and ``--variables``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from liftlock.errors import LiftlockError

if TYPE_CHECKING:
    from liftlock.release.release import Release
    from liftlock.services.promote import Promoted

__all__ = ["Report", "reported", "results_options"]

F = TypeVar("F", bound=Callable[..., Any])


def results_options(function: F) -> F:
    """``--summary FILE`` and ``--variables FILE``; `reported` writes them."""
    function = click.option(
        "--variables",
        "variables_file",
        metavar="FILE",
        help="Append the result as lines of NAME=VALUE, whatever it is: for the jobs that follow.",
    )(function)
    return click.option(
        "--summary", "summary_file", metavar="FILE", help="Append the result as Markdown, whatever it is."
    )(function)


@dataclass(kw_only=True)
class Report:
    """What is known so far of a promotion."""

    stage: str = ""
    release: Release | None = None
    promoted: Promoted | None = None

    def about(self, release: Release, stage: str) -> None:
        """Which release shall go where."""
        self.release, self.stage = release, stage


@contextmanager
def reported(
    file: str | None, stage: str | None, *, summary_file: str | None, variables_file: str | None
) -> Iterator[Report]:
    """Write the results of what is done inside, also when it fails; ``file`` is the pipeline file.

    Raises `LiftlockError`, before anything is done, for a file that cannot be written.
    """
    report = Report(stage=stage or "")
    with ExitStack() as opened:
        summary = opened.enter_context(_appended(summary_file)) if summary_file else None
        variables = opened.enter_context(_appended(variables_file)) if variables_file else None
        error: LiftlockError | None = None
        try:
            yield report
        except LiftlockError as raised:
            error = raised
            raise
        except Exception:
            # Its text may hold anything, and only goes where people look for it.
            error = LiftlockError("this is a mistake in liftlock", hint="its log says more")
            raise
        finally:
            if summary or variables:
                _write(file, report, error, summary, variables)


def _appended(path: str) -> IO[str]:
    try:
        return open(path, "a", encoding="utf-8")
    except OSError as error:
        raise LiftlockError(f"{path} cannot be written: {error.strerror}") from None


def _write(
    file: str | None, report: Report, error: LiftlockError | None, summary: IO[str] | None, variables: IO[str] | None
) -> None:
    from liftlock.ci import results
    from liftlock.release.build_facts import build_facts

    if report.promoted is None and report.release is not None:
        report.promoted = _known(file, report.release, report.stage)
    result = results.Result(
        stage=report.stage,
        link=build_facts(os.environ).url,
        release=report.release or (report.promoted.release if report.promoted else None),
        promoted=report.promoted,
        error=error,
    )
    if summary:
        summary.write(results.summary(result))
    if variables:
        variables.write(results.variables(result))


def _known(file: str | None, release: Release, stage: str) -> Promoted | None:
    """What is on record, where the command that failed cannot say it any more."""
    from liftlock.services.project import Project
    from liftlock.services.promote import latest

    try:
        with Project(file) as project:
            return latest(project, release, stage)
    except LiftlockError:
        return None  # the error that is told is the one that ended the command
