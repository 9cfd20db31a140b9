"""What commands about releases share: the pipeline file they work on, and words of the form NAME=VALUE."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from liftlock.cli.invocation import Invocation
from liftlock.errors import UsageError

if TYPE_CHECKING:
    from liftlock.auth.access import RegistryAccess
    from liftlock.release.pipeline import Pipeline
    from liftlock.services.project import Project
    from liftlock.services.promote import Wait
    from liftlock.services.session import Session

__all__ = [
    "assignments",
    "file_option",
    "images_for",
    "opened",
    "to_option",
    "variable_option",
    "wait_of",
    "wait_options",
]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

F = TypeVar("F", bound=Callable[..., Any])


def file_option(function: F) -> F:
    """``-f FILE``: the pipeline file."""
    return click.option(
        "-f", "--file", metavar="FILE", help="The pipeline file; liftlock.yaml by default. State is kept beside it."
    )(function)


def wait_options(function: F) -> F:
    """``--wait[=DURATION]`` and ``--no-wait``; `wait_of` reads them."""
    function = click.option("--no-wait", is_flag=True, help="Only ask for it: a worker, or a later command, does it.")(
        function
    )
    return click.option(
        "--wait",
        metavar="DURATION",
        is_flag=False,
        flag_value="",
        default=None,
        help="Wait for people and time too; with a duration (--wait=90s, 15m, 2h) at most so long.",
    )(function)


def wait_of(wait: str | None, *, no_wait: bool) -> Wait:
    """What ``--wait`` asks for; raises `UsageError` for what is no duration, or contradicts ``--no-wait``."""
    from liftlock.services.promote import Wait

    if wait is not None and no_wait:
        raise UsageError("--wait and --no-wait contradict each other")
    return Wait(people=wait is not None, seconds=_seconds(wait) if wait else None)


def _seconds(text: str) -> float:
    # Without a unit it is no duration: `--wait 42 --to prod` would take the release for one.
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if not match or not float(match[1]):
        raise UsageError(f"--wait: {text!r} is no duration", hint="write --wait=90s, --wait=15m or --wait=2h")
    return float(match[1]) * _UNITS[match[2]]


def to_option(function: F) -> F:
    """``--to STAGE``, which is always a stage."""
    return click.option("--to", "stage", metavar="STAGE", required=True, help="The stage that the release goes into.")(
        function
    )


def variable_option(function: F) -> F:
    """``--var NAME=VALUE``, repeatable."""
    return click.option(
        "--var", "variables", metavar="NAME=VALUE", multiple=True, help="The value of a variable (repeatable)."
    )(function)


@contextmanager
def opened(invocation: Invocation, file: str | None) -> Iterator[tuple[Project, Session]]:
    """The project of a file, and a session that talks to registries as its pipeline says."""
    from liftlock.services.project import Project

    if invocation.output != "text":
        # Who reads JSON expects nothing but errors on stderr; logging would write warnings there by itself.
        logging.getLogger("liftlock").addHandler(logging.NullHandler())
    with Project(file) as project, invocation.session(registries=_registries(project)) as session:
        yield project, session


def images_for(invocation: Invocation, project: Project) -> Callable[[Pipeline], Session]:
    """Opens registries for a worker, with this run's options.

    How a registry is talked to from here is said by the file here; a release's own snapshot counts for the registries
    that the file does not name any more.
    """

    def open_images(pipeline: Pipeline) -> Session:
        return invocation.new_session(registries=_registries(project, pipeline))

    return open_images


def _registries(project: Project, snapshot: Pipeline | None = None) -> Mapping[str, RegistryAccess]:
    here = project.known_pipeline
    registries = {**(snapshot.registries if snapshot else {}), **(here.registries if here else {})}
    return {host: project.access(options) for host, options in registries.items()}


def assignments(words: Iterable[str], what: str, *, empty: bool = False) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping; raises `UsageError` for another shape, and for a name given twice.

    ``empty`` says that a value may be empty.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not (value or empty):
            raise UsageError(f"{what} {word!r} is not NAME=VALUE")
        if name in found:
            raise UsageError(f"{what} {name!r} is given twice")
        found[name] = value
    return found
