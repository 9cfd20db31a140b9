"""``docker info`` and ``docker ps``: what scripts and other tools run to learn whether docker answers at all."""

from __future__ import annotations

from liftlock.ci.docker.flags import Flags
from liftlock.ci.docker.platforms import host
from liftlock.ci.docker.run import Run
from liftlock.ci.docker.words import VERSION

__all__ = ["info", "ps"]

CONTAINERS = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"


def info(run: Run, given: Flags) -> None:
    """What scripts ask before they begin: whether docker answers, and where its images are."""
    here = host()
    found = {
        "ServerVersion": VERSION,
        "Images": len(run.store.images()),
        "OSType": here.os,
        "Architecture": here.architecture,
        "DockerRootDir": run.store.path,
    }
    template = given.values.get("format")
    if template is not None:
        from liftlock.ci.docker.template import render

        run.say(render(template, found))
        return
    run.say(f"Client:\n Version:    {VERSION}\n\nServer: liftlock-docker (no daemon)\n Images: {found['Images']}")
    run.say(f" Server Version: {VERSION}\n OSType: {here.os}\n Architecture: {here.architecture}")
    run.say(f" Docker Root Dir: {run.store.path}")


def ps(run: Run, given: Flags) -> None:
    """List containers, of which there are none. ``az acr login`` does nothing before this has worked."""
    if "quiet" not in given.on:
        run.say(CONTAINERS)
