"""Who acts, where nobody signs in: the user of this machine, at their word."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping

from liftlock.errors import ConfigError
from liftlock.release.build_facts import build_facts
from liftlock.release.names import is_clean
from liftlock.release.people import Actor

__all__ = ["local_actor", "publisher"]

MAX_PERSON = 254
"""Characters; an e-mail address has no more (RFC 5321, 4.5.3.1.3)."""


def local_actor(env: Mapping[str, str]) -> Actor:
    """``LIFTLOCK_USER``, else the user that this process belongs to: by its number, since ``USER`` is anybody's to set.

    Raises `ConfigError` for a name that could not be written into a group.
    """
    person = env.get("LIFTLOCK_USER", "")
    if not person:
        try:
            person = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a container that runs with a number of its own
            person = str(os.getuid())
    if not is_clean(person, MAX_PERSON):
        raise ConfigError("LIFTLOCK_USER is not one line of at most 254 characters", hint="set it to a name")
    return Actor(person=person, asserted=True)


def publisher(env: Mapping[str, str]) -> Actor:
    """Who publishes: as `local_actor`, but in CI, where the user is a machine's, whoever started the build."""
    started_by = "" if env.get("LIFTLOCK_USER") else build_facts(env).started_by
    return Actor(person=started_by) if started_by and is_clean(started_by, MAX_PERSON) else local_actor(env)
