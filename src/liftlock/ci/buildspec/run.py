"""Runs a buildspec."""

from __future__ import annotations

from liftlock.ci.buildspec.model import Buildspec
from liftlock.ci.buildspec.result import BuildResult
from liftlock.ci.buildspec.surroundings import Surroundings
from liftlock.errors import ConfigError

__all__ = ["run"]


def run(spec: Buildspec, surroundings: Surroundings) -> BuildResult:
    """Run a buildspec to its end, and tell how it ended: a failed or stopped build is a result, no exception.

    Raises `ConfigError` (a variable or folder that cannot be used; nothing was run), and what `Lookups` raise, with the
    file and line of the variable that wanted it.
    """
    raise ConfigError("buildspecs are not run yet", path=spec.path, hint=str(surroundings.source))
