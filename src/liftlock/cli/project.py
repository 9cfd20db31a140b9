"""What commands about releases share: the pipeline file they work on, and words of the form NAME=VALUE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from liftlock.cli.invocation import Invocation
from liftlock.errors import UsageError

if TYPE_CHECKING:
    from liftlock.services.project import Project
    from liftlock.services.session import Session

__all__ = ["assignments", "file_option", "opened", "variable_option"]

F = TypeVar("F", bound=Callable[..., Any])


def file_option(function: F) -> F:
    """``-f FILE``: the pipeline file."""
    return click.option(
        "-f", "--file", metavar="FILE", help="The pipeline file; liftlock.yaml by default. State is kept beside it."
    )(function)


def variable_option(function: F) -> F:
    """``--var NAME=VALUE``, repeatable."""
    return click.option(
        "--var", "variables", metavar="NAME=VALUE", multiple=True, help="The value of a variable (repeatable)."
    )(function)


@contextmanager
def opened(invocation: Invocation, file: str | None) -> Iterator[tuple[Project, Session]]:
    """The project of a file, and a session that talks to registries as its pipeline says."""
    from liftlock.services.project import Project

    with Project(file) as project:
        pipeline = project.known_pipeline
        registries = pipeline.registries if pipeline else {}
        with invocation.session(
            plain_http=[host for host, options in registries.items() if options.plain_http],
            ca_files={
                host: str(project.folder / options.ca_file) for host, options in registries.items() if options.ca_file
            },
        ) as session:
            yield project, session


def assignments(words: Iterable[str], what: str) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping; raises `UsageError` for another shape, and for a name given twice."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name or not value:
            raise UsageError(f"{what} {word!r} is not NAME=VALUE")
        if name in found:
            raise UsageError(f"{what} {name!r} is given twice")
        found[name] = value
    return found
