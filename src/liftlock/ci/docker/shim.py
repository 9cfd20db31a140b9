"""Docker's name on a ``PATH``: a folder in which ``docker`` is this program."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

__all__ = ["docker_on_path"]


def docker_on_path(folder: Path) -> None:
    """Put an executable ``docker`` into ``folder``, which is made if it is not there; one that is there is replaced.

    It runs ``liftlock-docker`` with this interpreter, so it works whether or not the console script is installed.

    Raises OSError: the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Through a shell, because a shebang line can neither hold a blank in its path nor more than 127 characters.
    # -P: a folder named "liftlock" where the script runs must not be taken for the program.
    script = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m liftlock.ci.docker.main "$@"\n'
    made = folder / f".docker.{os.getpid()}"
    made.write_text(script, encoding="utf-8")
    made.chmod(0o755)
    made.replace(folder / "docker")
