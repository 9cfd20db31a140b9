"""CloudFormation's YAML and JSON become nodes that know their lines."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liftlock.ci.codepipeline import template
from liftlock.ci.codepipeline.template import Call, Listing, Node, Nothing, Table, Text, read
from liftlock.errors import ConfigError


def refusal(text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as raised:
        read(text.encode() if isinstance(text, str) else text, "t.yaml")
    return raised.value


def plain(node: Node) -> Any:
    """A node without its lines."""
    match node:
        case Table(items=items):
            return {key: plain(value) for key, value in items.items()}
        case Listing(items=items):
            return [plain(each) for each in items]
        case Call(function=function, argument=argument):
            return (function, plain(argument))
        case Nothing():
            return None
    assert isinstance(node, Text)
    return node.text


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("!Ref Name", "{Ref: Name}"),
        ("!Sub 'a${B}'", "{'Fn::Sub': 'a${B}'}"),
        ("!Sub ['a${B}', {B: c}]", "{'Fn::Sub': ['a${B}', {B: c}]}"),
        ("!GetAtt A.B", "{'Fn::GetAtt': A.B}"),
        ("!If [C, !Ref A, !Ref 'AWS::NoValue']", "{'Fn::If': [C, {Ref: A}, {Ref: 'AWS::NoValue'}]}"),
        ("!FindInMap [M, '1', B]", "{'Fn::FindInMap': [M, '1', B]}"),
    ],
)
def test_a_function_is_the_same_in_both_spellings(short: str, long: str) -> None:
    found = read(f"Value: {short}".encode(), "t.yaml")

    assert plain(found) == plain(read(f"Value: {long}".encode(), "t.yaml"))
    assert isinstance(found, Table)
    assert isinstance(found.items["Value"], Call)


def test_every_value_knows_the_line_of_its_key_or_dash() -> None:
    found = read(b"A:\n  B: 1\n  C:\n    - x\n    - D: !Sub |\n        one\n        two\n", "t.yaml")

    assert isinstance(found, Table)
    inner = found.items["A"]
    assert isinstance(inner, Table)
    listing = inner.items["C"]
    assert isinstance(listing, Listing)
    last = listing.items[1]
    assert isinstance(last, Table)
    call = last.items["D"]
    assert isinstance(call, Call)
    assert isinstance(call.argument, Text)
    assert [inner.line, inner.items["B"].line, listing.line, listing.items[0].line, last.line, call.line] == [
        1, 2, 3, 4, 5, 5,
    ]  # fmt: skip
    assert (call.argument.text, call.argument.begins) == ("one\ntwo\n", 6)


def test_numbers_and_booleans_are_text_and_what_yaml_would_change_is_known() -> None:
    found = read(b"{a: 1, b: true, c: False, d: 1.10, e: 0123, f: 2024-05-01, g: 'on', h: on, i: 1_0}", "t.yaml")

    assert isinstance(found, Table)
    values = {key: (value.text, value.taken_for) for key, value in found.items.items() if isinstance(value, Text)}
    assert values == {
        "a": ("1", ""),
        "b": ("true", ""),
        "c": ("false", ""),
        "d": ("1.10", "a number"),
        "e": ("0123", "a number"),
        "f": ("2024-05-01", "a date"),
        "g": ("on", ""),
        "h": ("on", "a boolean"),
        "i": ("1_0", "a number"),
    }


def test_json_with_tabs_and_characters_beyond_the_basic_plane_is_read() -> None:
    found = read(b'{\n\t"Resources":\t{"A": {"Type": "x", "Description": "\\ud83d\\ude80 a\\/b"}}\n}', "t.json")

    assert plain(found) == {"Resources": {"A": {"Type": "x", "Description": "\N{ROCKET} a/b"}}}


def test_keys_that_are_numbers_stay_text() -> None:
    assert plain(read(b"Map: {123456789012: {on: x}}", "t.yaml")) == {"Map": {"123456789012": {"on": "x"}}}


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("", 0, "it is empty"),
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' is here twice"),
        ("a: &x {b: 1}\nc:\n  <<: *x", 3, "merge keys (<<) are not taken here"),
        ("a:\n  ? [1, 2]\n  : b", 2, "this key is not text"),
        ("a:\n  !Ref b: c", 2, "this key is not text"),
        ("a: 1\nb: [", 2, "it is not YAML"),
        ("a: 1\n\tb: 2", 2, "it is not YAML"),
        ("a: b\nc: !!binary aGFsbG8=", 2, "a value of the kind 'binary' is not taken here"),
        ("a: b\n---\nc: d", 2, "it is not YAML"),
        ('a: "\\ud83d"', 1, "half a character"),
        ("&a [*a]", 1, "it is nested too deeply"),
        ("[" * 5000 + "]" * 5000, 0, "it is nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    error = refusal(text)

    assert said in error.message
    assert (error.path, error.line) == ("t.yaml", line)


def test_bytes_that_are_not_utf_8_are_refused() -> None:
    assert "not UTF-8" in refusal(b"a: 1\nb: \xff").message


def test_a_file_has_a_limit() -> None:
    assert "the limit is 1048576" in refusal(b"#" * (template.MAX_BYTES + 1)).message


def test_a_bomb_of_aliases_is_refused_before_it_goes_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MAX_VALUES", 5_000)
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    assert "more than 5000 values" in refusal("\n".join(lines)).message


def test_aliases_within_reason_are_fine() -> None:
    assert plain(read(b"a: &x {b: 1}\nc: *x", "t.yaml")) == {"a": {"b": "1"}, "c": {"b": "1"}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)


def as_read(value: Any) -> Any:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case list():
            return [as_read(each) for each in value]
        case dict():
            items = {key: as_read(each) for key, each in value.items()}
            if len(items) == 1 and (next(iter(items)) == "Ref" or next(iter(items)).startswith("Fn::")):
                return next(iter(items.items()))
            return items
    return value


@given(json_values, st.sampled_from([None, 2, "\t"]))
def test_whatever_json_says_is_read_as_it_is(value: Any, indent: int | str | None) -> None:
    assert plain(read(json.dumps(value, indent=indent).encode(), "t.json")) == as_read(value)


@given(st.text(alphabet="ab:{}[]-!&*'\"|>?#\n \t01<", max_size=40) | st.text(max_size=20))
def test_no_text_is_more_than_a_refusal(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(read(text.encode("utf-8", "surrogatepass"), "t.yaml"), Node)
