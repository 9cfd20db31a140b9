"""`liftlock.typed` behaves as `typing` does, as far as it is used."""

from __future__ import annotations

import copy
import pickle
import typing
from collections.abc import Callable
from typing import Any, get_args

import pytest

from liftlock import typed


class Theirs(typing.NamedTuple):
    name: str
    size: int = 0
    parts: tuple[str, ...] = ()

    def doubled(self) -> int:
        return 2 * self.size


class Ours(typed.NamedTuple):
    name: str
    size: int = 0
    parts: tuple[str, ...] = ()

    def doubled(self) -> int:
        return 2 * self.size


@pytest.mark.parametrize(
    "use",
    [
        lambda kind: kind("a"),
        lambda kind: kind("a", 1, ("b",)),
        lambda kind: kind("a", parts=("b",)),
        lambda kind: kind(size=2, name="a"),
        lambda kind: kind("a", 3).doubled(),
        lambda kind: (kind("a").name, kind("a").size, kind("a").parts),
        lambda kind: repr(kind("a", 1)).partition("(")[2],
        lambda kind: [*kind("a", 1)],
        lambda kind: kind("a")._replace(size=4),
        lambda kind: kind("a")._asdict(),
        lambda kind: {kind("a", 1): "found"}[kind("a", 1)],
        lambda kind: sorted([kind("b"), kind("a", 2), kind("a", 1)]),
        lambda kind: copy.deepcopy(kind("a", 1)),
        lambda kind: pickle.loads(pickle.dumps(kind("a", 1))) == kind("a", 1),
        lambda kind: kind.__match_args__,
    ],
)
def test_named_tuples_do_what_typing_s_do(use: Callable[[Any], object]) -> None:
    assert use(Ours) == use(Theirs)


@pytest.mark.parametrize(
    ("misuse", "error"),
    [
        (lambda kind: kind(), TypeError),
        (lambda kind: kind("a", 1, (), 2), TypeError),
        (lambda kind: kind("a", name="b"), TypeError),
        (lambda kind: kind("a", colour="red"), TypeError),
        (lambda kind: kind(size=1), TypeError),
        (lambda kind: setattr(kind("a"), "name", "b"), AttributeError),
        (lambda kind: setattr(kind("a"), "colour", "red"), AttributeError),
    ],
)
def test_named_tuples_refuse_what_typing_s_refuse(misuse: Callable[[Any], object], error: type[Exception]) -> None:
    for kind in (Theirs, Ours):
        with pytest.raises(error):
            misuse(kind)


def test_a_literal_tells_its_values() -> None:
    assert get_args(typed.Literal["a", "b"]) == ("a", "b")


def test_every_name_is_there_at_run_time_and_one_of_typing_s() -> None:
    for name in typed.__all__:
        assert hasattr(typed, name)
        assert hasattr(typing, name)
