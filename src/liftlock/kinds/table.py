"""Finding a kind by its name: those that come with Liftlock in a table, others through Python's entry points.

The entry points are scanned only for a name that the table does not have, so that what is not used is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from liftlock.errors import ConfigError
from liftlock.pipeline.kinds import Options

__all__ = ["API_VERSION", "Table"]

API_VERSION = 1
"""What kinds are written for: ``api_version`` of each."""

K = TypeVar("K")

_NOUNS = {"liftlock.gates": "gate", "liftlock.notify": "notifier"}


class Table(Generic[K]):
    """The kinds of one room: ``built_in`` maps a name to ``module:class``, ``group`` names the entry points."""

    def __init__(self, group: str, built_in: Mapping[str, str]) -> None:
        self._group = group
        self._built_in = built_in

    def find(self, name: str) -> K | None:
        """The kind of this name, made; None when there is none.

        Raises `ConfigError` for one from outside that cannot be used: it does not load, is of another version, or
        several packages bring it.
        """
        if name in self._built_in:
            return cast(K, _made(self._built_in[name]))
        points = _points(self._group).get(name, ())
        if len(points) > 1:
            raise ConfigError(
                f"{name!r} is brought by several packages: {', '.join(sorted(map(_package, points)))}",
                hint="uninstall all but one of them",
            )
        return cast(K, _loaded(points[0])) if points else None

    def get(self, name: str) -> K:
        """The kind of this name; raises `ConfigError` when this installation has none."""
        found = self.find(name)
        if found is None:
            raise ConfigError(
                f"there is no {_NOUNS[self._group]} of the kind {name!r} here",
                hint="install the package that brings it, also where the worker runs",
            )
        return found

    def names(self) -> Iterable[str]:
        """Every name, built in and from outside."""
        return sorted({*self._built_in, *_points(self._group)})


@cache
def _made(target: str) -> object:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)()


@cache
def _points(group: str) -> dict[str, list[EntryPoint]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown package"


@cache
def _loaded(point: EntryPoint) -> object:
    where = f"{point.name!r} ({point.value}, of {_package(point)})"
    try:
        kind: Any = point.load()()
    except Exception as error:
        raise ConfigError(f"{where} does not load: {error!r}", hint="reinstall or remove that package") from error
    if getattr(kind, "api_version", None) != API_VERSION:
        raise ConfigError(
            f"{where} is written for version {getattr(kind, 'api_version', None)} of this interface, not {API_VERSION}",
            hint="install a release of that package for this Liftlock",
        )
    options = getattr(kind, "options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise ConfigError(f"{where} does not say its options", hint="its class needs options: a subclass of Options")
    return kind
