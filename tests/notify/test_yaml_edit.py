"""One value of YAML text is changed, and not one character besides."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from liftlock.errors import ConfigError, UsageError
from liftlock.notify.yaml_edit import has_key, set_value
from liftlock.notify.yaml_path import Match, Path, parse_path, written

NEW = "registry.example/prod-web@sha256:" + "ab" * 32


def lines(before: str, after: str) -> list[str]:
    """The lines that were taken out and put in."""
    compared = difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True))
    return [each for each in compared if each[0] in "+-"]


DEPLOYMENT = """\
# Keep replicas odd.
apiVersion: apps/v1
kind: Deployment
metadata:
    name:   web          # four spaces, and three
spec:
    replicas: 3
    template:
        spec:
            containers:
            # the proxy first
            - name: proxy
              image: "registry.example/proxy:1"   # never by us
            - image: old/web:1    # ours
              name: web
              args: [ "--port", '8080', ]


            - {name: side, image: old/side:1}
"""


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("spec.template.spec.containers[name=web].image", "image: old/web:1 ", f"image: {NEW} "),
        ("spec.template.spec.containers[1].image", "image: old/web:1 ", f"image: {NEW} "),
        ("spec.template.spec.containers[name=proxy].image", '"registry.example/proxy:1"', f'"{NEW}"'),
        ("spec.template.spec.containers[name=side].image", "image: old/side:1}", f"image: {NEW}}}"),
        ("spec.template.spec.containers[1].args[1]", "'8080'", f"'{NEW}'"),
        ("spec.replicas", "replicas: 3", f"replicas: {NEW}"),
    ],
)
def test_only_the_value_changes(path: str, old: str, new: str) -> None:
    assert DEPLOYMENT.count(old) == 1
    assert set_value(DEPLOYMENT, parse_path(path), NEW) == DEPLOYMENT.replace(old, new)


def test_what_is_there_already_stays() -> None:
    once = set_value(DEPLOYMENT, parse_path("spec.template.spec.containers[name=web].image"), NEW)

    assert set_value(once, parse_path("spec.template.spec.containers[name=web].image"), NEW) is once


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("42", '"42"'),
        ("1.10", '"1.10"'),
        ("1e3", '"1e3"'),
        ("0o17", '"0o17"'),
        ("true", '"true"'),
        ("no", '"no"'),
        ("n", '"n"'),
        ("null", '"null"'),
        ("2026-11-22", '"2026-11-22"'),
        ("v1.2-rc.1", "v1.2-rc.1"),
        ("sha256:" + "0" * 64, "sha256:" + "0" * 64),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("ä\n'\"", '"ä\\n\'\\""'),
        ("", '""'),
    ],
)
def test_a_plain_value_is_quoted_where_it_would_be_no_text(value: str, shown: str) -> None:
    changed = set_value("image:\n  tag: old # here\n", parse_path("image.tag"), value)

    assert changed == f"image:\n  tag: {shown} # here\n"
    assert yaml.safe_load(changed) == {"image": {"tag": value}}


@given(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=40), st.sampled_from(["x", "'x'", '"x"', ""]))
def test_any_value_comes_back_as_it_was_given(value: str, old: str) -> None:
    text = f"a: [1, {{b: {old}, c: 2}}] # c\nd:\n  e: {old}\n  # end\n"
    for path in ("a[1].b", "d.e"):
        try:
            changed = set_value(text, parse_path(path), value)
        except ConfigError:
            assert not value.isprintable()
            continue
        loaded = yaml.safe_load(changed)

        assert (loaded["a"][1]["b"] if path == "a[1].b" else loaded["d"]["e"]) == value
        assert changed.count("\n") == text.count("\n")


WORDS = st.text(st.characters(whitelist_categories=["L", "N", "P", "Zs"], max_codepoint=0x2FFF), max_size=12)
TREES = st.recursive(
    WORDS | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def leaves(tree: Any, path: Path = ()) -> Iterator[Path]:
    """The paths of the single values."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for step, value in items:
        if not isinstance(value, (dict, list)):
            yield (*path, step)
        yield from leaves(value, (*path, step))


@settings(max_examples=60)
@given(
    tree=st.dictionaries(WORDS, TREES, min_size=1, max_size=4),
    value=st.sampled_from([NEW, "42", "no", "it's: #1", ""]),
    layout=st.fixed_dictionaries(
        {
            "default_flow_style": st.sampled_from([True, False, None]),
            "default_style": st.sampled_from([None, "'", '"']),
            "indent": st.integers(2, 6),
            "width": st.just(10_000),
        }
    ),
    data=st.data(),
)
def test_in_any_document_that_value_changes_and_no_other(
    tree: dict[str, Any], value: str, layout: dict[str, Any], data: st.DataObject
) -> None:
    paths = list(leaves(tree))
    if not paths:
        return
    path = data.draw(st.sampled_from(paths))
    text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, **layout)
    if "!!" in text:
        return  # a number in quotes, with its tag: that is refused
    changed = set_value(text, path, value)

    place = tree
    for step in path[:-1]:
        place = place[step]  # type: ignore[index]  # a tree of any shape
    place[path[-1]] = value  # type: ignore[index]
    assert yaml.safe_load(changed) == tree
    assert len(lines(text, changed)) in (0, 2)


@pytest.mark.parametrize(
    ("text", "path", "changed"),
    [
        ("a:\n  b:\nc: 1\n", "a.b", f"a:\n  b: {NEW}\nc: 1\n"),
        ("a:\n- name: x\n  v:   # none\n", "a[name=x].v", f"a:\n- name: x\n  v: {NEW}   # none\n"),
        ("a: &here old\nb: 1\n", "a", f"a: &here {NEW}\nb: 1\n"),
        ("a: !custom old\n", "a", None),
        ("- a\n- b\n", "[1]", f"- a\n- {NEW}\n"),
        ("a:\r\n  b: old\r\nc: 1\r\n", "a.b", f"a:\r\n  b: {NEW}\r\nc: 1\r\n"),
        ("\ufeffa: old\n", "a", f"\ufeffa: {NEW}\n"),
        ("a: 😀\nb: old # 😀", "b", f"a: 😀\nb: {NEW} # 😀"),
        ('labels: {"app.kubernetes.io/version": "1"}', 'labels."app.kubernetes.io/version"', None),
    ],
)
def test_corners_of_layout(text: str, path: str, changed: str | None) -> None:
    if changed is None and "!" in text:
        with pytest.raises(ConfigError, match="cannot be set"):
            set_value(text, parse_path(path), NEW)
        return
    result = set_value(text, parse_path(path), NEW)

    assert changed is None or result == changed
    assert lines(text, result)


@pytest.mark.parametrize(
    ("text", "path", "changed"),
    [
        (
            "images:\n  - name: web # ours\n    newTag: '1'\n# end\n",
            "images[name=web].digest",
            "images:\n  - name: web # ours\n    newTag: '1'\n    digest: new\n# end\n",
        ),
        ("images:\n- {name: web}\n", "images[0].digest", "images:\n- {name: web, digest: new}\n"),
        ("images:\n- { name: web, }\n", "images[0].digest", "images:\n- { name: web, digest: new }\n"),
        ("a: {}\n", "a.b", "a: {b: new}\n"),
        ("a:\n  b: 1", "a.c", "a:\n  b: 1\n  c: new"),
        ("a:\r\n  b: 1\r\nd: 2\r\n", "a.c", "a:\r\n  b: 1\r\n  c: new\r\nd: 2\r\n"),
        ("a:\n  b: 1\n  l:\n  - x\nd: 2\n", "a.c", "a:\n  b: 1\n  c: new\n  l:\n  - x\nd: 2\n"),
    ],
)
def test_a_key_that_is_missing_is_added(text: str, path: str, changed: str) -> None:
    assert set_value(text, parse_path(path), "new") == changed


DOCUMENTS = """\
kind: Service
metadata: {name: web}
---
kind: Deployment
metadata: {name: web}
spec: {image: one}
---
# the second
kind: Deployment
metadata: {name: worker}
spec: {image: two}
"""


def test_among_several_documents_where_chooses() -> None:
    where: dict[Path, str] = {("kind",): "Deployment", ("metadata", "name"): "worker"}

    assert set_value(DOCUMENTS, ("spec", "image"), "new", where) == DOCUMENTS.replace("two", "new")
    with pytest.raises(ConfigError, match="there are several spec") as caught:
        set_value(DOCUMENTS, ("spec", "image"), "new")
    assert caught.value.line == 11
    with pytest.raises(ConfigError, match="there is no spec"):
        set_value(DOCUMENTS, ("spec", "image"), "new", {("kind",): "Job"})


@pytest.mark.parametrize(
    ("text", "path", "said"),
    [
        ("a: 1\n", "b.c", "there is no b.c"),
        ("a: [1]\n", "a[3]", "there is no a"),
        ("a: [{n: x}]\n", "a[n=y].v", "there is no a"),
        ("a: [{n: x}, {n: x}]\n", "a[n=x].v", "there are several a"),
        ("a: 1\na: 2\n", "a", "there are several a"),
        ("a: {b: 1}\n", "a", "is no single value"),
        ("a: |\n  x\n", "a", "is a block"),
        ("b: &x old\na: *x\n", "a", "is an alias"),
        ("b: &x {i: old}\na: *x\n", "a.i", "is an alias"),
        ("l: [&x old, *x]\n", "l[1]", "is an alias"),
        ("l: [[&x old], *x]\n", "l[1]", "is an alias"),
        ("a: {{ .Values.image }}\n", "a", "is not YAML|is no single value"),
        ("a: [\n", "a", "is not YAML"),
        ("a: *nowhere\n", "a", "is not YAML"),
        ("\x01", "a", "is not YAML"),
        ("", "a", "there is no a"),
        ("a: " + "[" * 1000, "a", "is not YAML"),
        ("a: &a [*a]\n", "a[0][0]", "alias|no single"),
    ],
)
def test_what_cannot_be_set_is_said(text: str, path: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        set_value(text, parse_path(path), NEW)


def test_an_anchor_changes_where_it_stands() -> None:
    text = "b: &x old # all\na: *x\n"

    assert set_value(text, ("b",), "new") == "b: &x new # all\na: *x\n"


def test_whether_a_key_is_there() -> None:
    assert has_key("images: [{name: web, newTag: 1}]", parse_path("images[name=web]"), "newTag")
    assert not has_key("images: [{name: web}]", parse_path("images[name=web]"), "newTag")


def test_a_bomb_of_aliases_is_not_unfolded() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{f'*a{n}, ' * 9}]\n" for n in range(40)) + "image: old\n"

    assert set_value(bomb, ("image",), "new") == bomb.replace("old", "new")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("image", ("image",)),
        ("web.image", ("web", "image")),
        ("a[0][1].b", ("a", 0, 1, "b")),
        ("a[name=web].b", ("a", Match("name", "web"), "b")),
        ('a[image="x y=]"].b', ("a", Match("image", "x y=]"), "b")),
        ('a[image="x y"].b', ("a", Match("image", "x y"), "b")),
        ('"a.b".c', ("a.b", "c")),
        ("[0].a", (0, "a")),
        ("a[name=ghcr.io/x/web].b", ("a", Match("name", "ghcr.io/x/web"), "b")),
    ],
)
def test_paths(text: str, steps: Path) -> None:
    assert parse_path(text) == steps
    assert parse_path(written(parse_path(text))) == steps


@pytest.mark.parametrize(
    "text", ["", ".", "a.", ".a", "a..b", "a b", "a[", "a[]", "a[=x]", "a[0", "a]b", "a[0]b", 'a"b"']
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(UsageError, match="is no path"):
        parse_path(text)
