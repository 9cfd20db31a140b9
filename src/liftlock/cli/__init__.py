"""The command line: click commands, one file each; rendering, progress and exit codes. No rules inside.

`main` is the console script. It imports as little as the answer needs: a version costs an interpreter, help costs
click and one table, a command costs its own module.
"""

from __future__ import annotations

import os
import sys

from liftlock.typed import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run `liftlock` with the arguments of this process, and end the process with its exit code."""
    # Python has None for what was closed by who started us.
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - open until the end
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if sys.argv[1:] == ["--version"]:
        from liftlock import __version__

        try:
            sys.stdout.write(f"liftlock {__version__}\n")
            sys.stdout.flush()
        except OSError:
            pass  # the long way says what is wrong with stdout
        else:
            sys.exit(0)
    import gc

    # Nearly all that start-up makes lives to the end: looking through it for garbage costs 4 ms.
    gc.set_threshold(50_000)
    from liftlock.cli.ahead import connect

    begun = connect(sys.argv[1:], os.environ)
    import atexit
    from contextlib import suppress

    from liftlock.cli.run import run

    code = run(sys.argv[1:], begun)
    with suppress(OSError):  # of what was written before a failure; the failure has been told
        sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way to run them before `os._exit`
    # Everything is closed by now. That the interpreter takes itself apart piece by piece would cost another 15 ms.
    os._exit(code)
