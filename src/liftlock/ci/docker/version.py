"""``docker version`` and ``docker --version``: which Docker's words these are, and whose program it is."""

from __future__ import annotations

from liftlock import __version__
from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.words import VERSION

__all__ = ["short_version", "version"]


def short_version() -> str:
    """One line, in docker's form."""
    return f"Docker version {VERSION}, build liftlock-{__version__}"


def version(run: Run, given: Flags) -> None:
    """Client and server, which are one program: scripts ask for both."""
    from liftlock.ci.docker.platforms import host

    here = host()
    part = {"Version": VERSION, "GitCommit": f"liftlock-{__version__}", "Os": here.os, "Arch": here.architecture}
    template = given.values.get("format")
    if template is not None:
        from liftlock.ci.docker.template import render

        run.say(render(template, {"Client": part, "Server": part}))
        return
    for name in ("Client: liftlock-docker", "Server: liftlock-docker (no daemon)"):
        run.say(f"{name}\n Version:           {VERSION}\n Git commit:        {part['GitCommit']}")
        run.say(f" OS/Arch:           {here.os}/{here.architecture}\n")
