"""Options that many commands share. They are kept in the `Invocation`, not passed to the command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from liftlock.cli.invocation import Invocation

__all__ = ["debug_option", "network_options", "output_option"]

F = TypeVar("F", bound=Callable[..., Any])


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    if value is not None:
        setattr(ctx.ensure_object(Invocation), str(param.name), value)


def output_option(*formats: str) -> Callable[[F], F]:
    """``-o FORMAT``; errors follow it too, as one JSON object on stderr."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        # Read before all others, so that an error in those is already written in this format.
        is_eager=True,
        expose_value=False,
        callback=_keep,
        help="How the result is written; errors too.",
    )


debug_option = click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    help="Show a traceback when something fails.",
    expose_value=False,
    callback=_keep,
)

_NETWORK = (
    click.option(
        "--plain-http",
        metavar="HOST",
        multiple=True,
        help="Speak unencrypted HTTP with this registry (repeatable). Loopback hosts need no asking.",
        expose_value=False,
        callback=_keep,
    ),
    click.option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False),
        help="Trust the certificate authorities in this PEM file as well.",
        expose_value=False,
        callback=_keep,
    ),
    click.option(
        "--client-cert",
        type=click.Path(exists=True, dir_okay=False),
        help="Client certificate (PEM) for registries that ask for one.",
        expose_value=False,
        callback=_keep,
    ),
    click.option(
        "--client-key",
        type=click.Path(exists=True, dir_okay=False),
        help="Key of the client certificate (PEM), when it is not in the same file.",
        expose_value=False,
        callback=_keep,
    ),
    click.option(
        "-v",
        "--verbose",
        is_flag=True,
        help="Show each request on stderr (no secrets), and at the end what was moved.",
        expose_value=False,
        callback=_keep,
    ),
    debug_option,
)


def network_options(function: F) -> F:
    """What every command takes that talks to a registry."""
    for option in reversed(_NETWORK):
        function = option(function)
    return function
