"""What to copy where: pairs of words, lines of a file, and the tags that follow from them."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.errors import ConfigError, UsageError
from liftlock.oci.digest import Digest
from liftlock.services.pairs import Pair, parse_pairs, want

DIGEST = Digest(f"sha256:{'a' * 64}")
OTHER = Digest(f"sha256:{'b' * 64}")

words = st.text(st.characters(exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=1).filter(
    lambda word: not word.startswith("#")
)
comments = st.sampled_from(["", "# a comment", "   ", "#", "  # b c d"])


@given(st.lists(st.tuples(words, words, comments)))
def test_quoted_words_come_back(rows: list[tuple[str, str, str]]) -> None:
    lines = [f"{shlex.quote(source)} {shlex.quote(destination)} {comment}" for source, destination, comment in rows]

    pairs = list(parse_pairs(lines, "images.txt"))

    assert [(pair.source, pair.destination) for pair in pairs] == [row[:2] for row in rows]
    assert [pair.line for pair in pairs] == list(range(1, len(rows) + 1))


@given(st.lists(st.text()))
def test_any_line_is_understood_or_named(lines: list[str]) -> None:
    where = [0]
    try:
        where += [pair.line for pair in parse_pairs(lines, "images.txt")]
    except ConfigError as error:
        where.append(error.line)

    assert where == sorted(set(where))
    assert where[-1] <= len(lines)


@pytest.mark.parametrize("line", ["one", "one two three", "one 'two", "one # two"])
def test_a_line_is_two_words(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        list(parse_pairs(["", "# fine", line], "images.txt"))

    assert str(caught.value).startswith("images.txt:3: ")


@pytest.mark.parametrize(
    ("source", "destination", "reference", "tags"),
    [
        ("a.example/app:1", "b.example/app", "1", ("1",)),
        ("a.example/app:1", "b.example/app:2", "1", ("2",)),
        ("a.example/app", "b.example/app", "latest", ("latest",)),
        (f"a.example/app@{DIGEST}", "b.example/app", DIGEST, ()),
        (f"a.example/app:1@{DIGEST}", "b.example/app", DIGEST, ("1",)),
        ("a.example/app:1", f"b.example/app@{DIGEST}", "1", ()),
        ("a.example/app:1", f"b.example/app:2@{DIGEST}", "1", ("2",)),
        ("oci:build:1", "b.example/app", "1", ("1",)),
        ("oci:build", "b.example/app:1", "", ("1",)),
        ("docker-archive:app.tar:localhost:5000/app:1", "b.example/app", "localhost:5000/app:1", ("1",)),
        ("docker-archive:app.tar:app", "b.example/app", "app", ("latest",)),
        ("a.example/app:1", "oci:build", "1", ("1",)),
    ],
)
def test_the_destinations_tag(source: str, destination: str, reference: str, tags: tuple[str, ...]) -> None:
    request = want(Pair(source, destination)).request

    assert (request.reference, request.tags) == (reference, tags)


def test_further_tags_come_after_and_once() -> None:
    wanted = want(Pair("a.example/app:1", "b.example/app"), tags=["stable", "1", "stable"], expect=DIGEST)

    assert wanted.request.tags == ("1", "stable")
    assert wanted.request.expect == DIGEST


def test_a_pinned_destination_is_remembered() -> None:
    assert want(Pair("a.example/app:1", f"b.example/app@{DIGEST}")).pinned == DIGEST
    assert want(Pair("a.example/app:1", "b.example/app:1")).pinned is None


def test_contradicting_pins_are_seen_before_anything_is_asked() -> None:
    with pytest.raises(UsageError, match="another digest"):
        want(Pair(f"a.example/app@{DIGEST}", f"b.example/app@{OTHER}"))


def test_in_a_file_its_line_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        want(Pair("a.example/App", "b.example/app", "images.txt", 7))

    assert str(caught.value).startswith("images.txt:7: ")
    assert caught.value.hint
