"""Opens connections before the command line is understood.

Loading the rest of the program takes as long as opening a connection to a registry: done at the same time, only one of
both is waited for. Nothing is sent; a connection that turns out not to be needed is closed with the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from liftlock.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from liftlock.transport.client import Transport

__all__ = ["connect"]

CONNECTIONS: Mapping[str, int] = {"copy": 4, "delete": 1, "digest": 1, "inspect": 1, "tag": 1}
"""Command → how many connections are opened to each registry that it names."""


def connect(arguments: Sequence[str], env: Mapping[str, str]) -> Transport | None:
    """A transport that connects to the registries among the arguments; None where there are none.

    Its settings are those of the environment alone: options may want others, and then it must not be used.
    """
    connections = CONNECTIONS.get(arguments[0], 0) if arguments else 0
    places = _places(arguments) if connections else ()
    if not places:
        return None
    from liftlock.errors import LiftlockError
    from liftlock.services.session import transport

    try:
        begun = transport(env)
        for host in dict.fromkeys(place.partition("/")[0] for place in places):
            begun.warm(begun.base_url(host), connections)
    except LiftlockError:
        return None  # it is said in its own time
    return begun


def _places(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments that name a place in a registry, host and all.

    A word that follows another word cannot be an option's value, since an option takes one at most.
    """
    found = []
    for before, word in pairwise(arguments):
        host, slash, _ = word.partition("/")
        if before.startswith("-") or word.startswith("-") or not slash or "://" in word:
            continue
        prefix = host.partition(":")[0] in ("oci", "oci-archive", "docker-archive")
        if not prefix and ("." in host.strip(".") or ":" in host or host == "localhost"):
            found.append(word)
    return found
