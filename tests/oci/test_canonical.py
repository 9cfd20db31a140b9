"""Canonical JSON (RFC 8785): one document, one text."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.oci.canonical import MAX_SAFE_INTEGER, canonical_json

texts = st.text(st.characters(blacklist_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | texts
documents = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=8)


@given(documents)
def test_it_reads_back_as_the_same_document(document: Any) -> None:
    text = canonical_json(document)
    assert json.loads(text) == document
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(texts, scalars, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(document: dict[str, Any], shuffle: random.Random) -> None:
    items = list(document.items())
    shuffle.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(document)


def test_keys_are_sorted_as_the_rfc_sorts_them() -> None:
    """RFC 8785, section 3.2.3: by UTF-16 code units, so that U+1F600 comes before U+FB33."""
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    expected = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(canonical_json(dict.fromkeys(keys)))) == expected


def test_strings_are_escaped_as_the_rfc_escapes_them() -> None:
    """RFC 8785, section 3.2.2.2: its example, and the characters on both sides of what is escaped."""
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/\x08\t\x0c\r\x1f\x7f"
    expected = '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/\\b\\t\\f\\r\\u001f\x7f"'
    assert canonical_json(text) == expected.encode()


def test_there_is_no_space_between_things() -> None:
    assert canonical_json({"b": [1, 2, {}], "a": ("x", None, True)}) == b'{"a":["x",null,true],"b":[1,2,{}]}'


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        1.0,
        float("nan"),
        MAX_SAFE_INTEGER + 1,
        -MAX_SAFE_INTEGER - 1,
        "\ud800",
        {"\udfff": 1},
        {1: "one"},
        {None: 1},
        [{"deep": [0.5]}],
    ],
)
def test_what_has_no_canonical_form(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # its subclass for surrogates words it in its own way
        canonical_json(value)


def test_what_is_no_json_is_an_error() -> None:
    with pytest.raises(TypeError):
        canonical_json({"a": object()})
