"""The command line: click commands, one file each; rendering, progress and exit codes. No rules inside.

`main` is the console script. It imports as little as the answer needs: a version costs an interpreter, help costs
click and one table, a command costs its own module.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `liftlock` with these arguments (those of the process when None); the exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given == ["--version"]:
        from liftlock import __version__

        sys.stdout.write(f"liftlock {__version__}\n")
        return 0
    from liftlock.cli.run import run

    return run(given)
