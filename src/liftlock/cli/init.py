"""`liftlock init`."""

from __future__ import annotations

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option, output_option
from liftlock.cli.output import document, line
from liftlock.errors import Conflict, LiftlockError

__all__ = ["init"]


@click.command(cls=Verb, examples=("liftlock init", "liftlock init ci/liftlock.yaml"))
@click.argument("file", default="liftlock.yaml", required=False)
@output_option("text", "json")
@debug_option
@pass_invocation
def init(invocation: Invocation, file: str) -> None:
    """Write a pipeline file to begin with. A file that is there stays as it is."""
    from importlib.resources import files

    text = files("liftlock.pipeline").joinpath("initial.yaml").read_text("utf-8")
    try:
        with open(file, "x", encoding="utf-8") as written:
            written.write(text)
    except FileExistsError:
        raise Conflict(f"{file} is there already", hint="name another file, or move that one away") from None
    except OSError as error:
        raise LiftlockError(f"{file} cannot be written: {error.strerror}") from None
    if invocation.output == "json":
        document("Initialized", {"file": file})
    else:
        line(f"wrote {file}: fill in your images and registries, then run liftlock validate")
