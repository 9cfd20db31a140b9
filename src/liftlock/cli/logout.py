"""`liftlock logout`."""

from __future__ import annotations

import os
import sys

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, line

__all__ = ["logout"]

EXAMPLES = ("liftlock logout prod.example",)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("registry")
@output_option("text", "json")
@debug_option
@pass_invocation
def logout(invocation: Invocation, registry: str) -> None:
    """Remove the stored credentials of a registry."""
    from liftlock.auth.login import logout as forget

    forgotten = forget(registry, env=os.environ)
    for place in forgotten.remaining:
        sys.stderr.write(f"warning: {place} still has credentials for {forgotten.registry}\n")
    if invocation.output == "json":
        content = {"places": list(forgotten.places), "remaining": list(forgotten.remaining)}
        document("Logout", {"registry": forgotten.registry, **content})
    elif forgotten.places:
        line(f"removed the credentials of {forgotten.registry} from {', '.join(forgotten.places)}")
    else:
        line(f"no credentials of {forgotten.registry} were stored")
