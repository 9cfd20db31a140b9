"""Plain commands are understood without click, and exactly as click understands them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.cli import images
from liftlock.cli.commands import liftlock
from liftlock.cli.invocation import Invocation
from liftlock.cli.plain import FLAGS, read

WORDS = st.one_of(
    st.sampled_from(
        ["copy", "tag", "digest", "ls", "host/app:1", "stable", "", "-", "--", "-o", "json", "--tag", "-v"]
    ),
    st.sampled_from(["--output=json", "--debug", "--progress", "none", "--no-ref", "-h", "--help", *FLAGS]),
    st.text("a-/:= ", max_size=4),
)


class Calls:
    """Stands before the actions, and keeps what they are called with, their defaults filled in."""

    def __init__(self) -> None:
        self.made: list[object] = []

    def before(self, action: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(action)

        def called(invocation: Invocation, *values: Any, **options: Any) -> None:
            bound = signature.bind(invocation, *values, **options)
            bound.apply_defaults()
            del bound.arguments["invocation"]
            asked = {name: value for name, value in vars(invocation).items() if name not in ("_begun", "cancel")}
            self.made.append((action.__name__, bound.arguments, asked))

        return called


@pytest.fixture(scope="module")
def calls() -> Iterator[Calls]:
    with pytest.MonkeyPatch.context() as patch:
        calls = Calls()
        for name in ("copy", "tag", "digest"):
            patch.setattr(images, name, calls.before(getattr(images, name)))
        yield calls


def _by_click(arguments: list[str], calls: Calls) -> object:
    calls.made.clear()
    try:
        with liftlock.make_context("liftlock", arguments, obj=Invocation()) as context:
            liftlock.invoke(context)
    except (click.ClickException, click.exceptions.Exit) as error:
        return error
    return list(calls.made)


def _plainly(arguments: list[str], calls: Calls) -> object:
    calls.made.clear()
    action = read(arguments)
    if action is None:
        return None
    action(Invocation())
    return list(calls.made)


@given(command=st.sampled_from(["copy", "tag", "digest"]), words=st.lists(WORDS, max_size=5))
def test_what_is_read_plainly_is_what_click_reads(command: str, words: list[str], calls: Calls) -> None:
    plain = _plainly([command, *words], calls)

    if plain is not None:
        assert plain == _by_click([command, *words], calls)


@pytest.mark.parametrize(
    "arguments",
    [
        ["copy", "a.example/app:1", "b.example/app"],
        ["copy", "--no-referrers", "a.example/app:1", "b.example/app", "--dry-run", "--no-clobber"],
        ["tag", "a.example/app:1", "stable", "latest"],
        ["digest", "a.example/app:1"],
    ],
)
def test_the_usual_forms_are_plain(arguments: list[str], calls: Calls) -> None:
    assert _plainly(arguments, calls) == _by_click(arguments, calls)


@pytest.mark.parametrize(
    "arguments",
    [[], ["copy"], ["tag", "a.example/app"], ["digest", "a", "b"], ["copy", "a", "b", "-o", "json"], ["ls", "a"]],
)
def test_everything_else_is_left_to_click(arguments: list[str], calls: Calls) -> None:
    assert _plainly(arguments, calls) is None
