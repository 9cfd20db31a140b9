"""``--help``, in docker's form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from liftlock.ci.docker.commands import GLOBAL, Command
from liftlock.ci.docker.flags import Flag
from liftlock.ci.docker.run import Run

__all__ = ["one", "overview"]

ABOUT = """\
The part of Docker's command line that scripts promote images with, served by Liftlock without a daemon."""


def overview(current: Run, commands: Mapping[str, Command]) -> None:
    """The commands, and the options before them."""
    top = current.path == "docker"
    lines = [f"Usage:  {current.path} {'[OPTIONS] ' if top else ''}COMMAND", "", ABOUT if top else "Manage images"]
    lines += ["", "Commands:", *(f"  {name:<11} {command.summary}" for name, command in commands.items())]
    if top:
        lines += [f"  {'image':<11} Manage images", "", "Global Options:", *_options(GLOBAL)]
    current.say("\n".join([*lines, "", f"Run '{current.path} COMMAND --help' for more information on a command."]))


def one(current: Run, command: Command) -> None:
    """One command and its options."""
    lines = [f"Usage:  {current.path} {command.synopsis}", "", command.summary]
    if command.flags:
        lines += ["", "Options:", *_options(command.flags)]
    current.say("\n".join(lines))


def _options(flags: Sequence[Flag]) -> list[str]:
    shown = [flag for flag in flags if not flag.refused]
    names = [
        (f"-{flag.short}, " if flag.short else "    ") + f"--{flag.name}" + (" string" if flag.kind == "string" else "")
        for flag in shown
    ]
    width = max(map(len, names))
    return [f"  {name:<{width}}   {flag.help}" for name, flag in zip(names, shown, strict=True)]
