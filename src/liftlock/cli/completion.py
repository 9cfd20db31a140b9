"""`liftlock completion`."""

from __future__ import annotations

import sys

import click

from liftlock.cli.lazy import Verb

__all__ = ["completion"]

EXAMPLES = (
    'eval "$(liftlock completion bash)"                          # in ~/.bashrc',
    'eval "$(liftlock completion zsh)"                           # in ~/.zshrc',
    "liftlock completion fish > ~/.config/fish/completions/liftlock.fish",
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion script."""
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    from liftlock.cli.run import COMPLETION_VARIABLE

    script = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}[shell]
    sys.stdout.write(f"{script(ctx.find_root().command, {}, 'liftlock', COMPLETION_VARIABLE).source()}\n")
