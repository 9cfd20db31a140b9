"""Kinds are found by name: ours first, those of packages after that, and never one that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.errors import ConfigError
from liftlock.kinds import table
from liftlock.kinds.table import Table
from liftlock.pipeline.kinds import Options

GOOD = """
from liftlock.pipeline.kinds import Options

class Kind:
    api_version = 1
    options = Options
"""


class Ours:
    api_version = 1
    options = Options


class Site:
    """A folder on `sys.path` to which packages are installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def install(self, package: str, name: str, code: str = GOOD) -> None:
        about = self._folder / f"{package}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[liftlock.gates]\n{name} = {package}_kind:Kind\n")
        (self._folder / f"{package}_kind.py").write_text(code)
        table._points.cache_clear()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    table._points.cache_clear()
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if name.endswith("_kind"):
            del sys.modules[name]
    table._points.cache_clear()
    table._loaded.cache_clear()


def ours() -> Table[object]:
    return Table("liftlock.gates", {"ours": f"{__name__}:Ours"})


def test_ours_are_found_and_nobody_stands_in_for_them(site: Site) -> None:
    site.install("shadow", "ours", "raise RuntimeError('loaded')")
    kinds = Table[object]("liftlock.gates", {"ours": "liftlock.gates.labels:Labels"})

    assert type(kinds.get("ours")).__module__ == "liftlock.gates.labels"
    assert kinds.get("ours") is kinds.get("ours")


def test_those_of_packages_are_found(site: Site) -> None:
    site.install("first", "theirs")

    assert type(ours().get("theirs")).__module__ == "first_kind"
    assert list(ours().names()) == ["ours", "theirs"]


def test_what_nobody_brings_is_not_there(site: Site) -> None:
    assert ours().find("nothing") is None
    with pytest.raises(ConfigError, match="there is no gate of the kind 'nothing' here") as caught:
        ours().get("nothing")
    assert "install the package that brings it" in caught.value.hint


def test_what_two_packages_bring_is_neither_ones(site: Site) -> None:
    site.install("first", "theirs")
    site.install("second", "theirs")

    with pytest.raises(ConfigError, match="'theirs' is brought by several packages: first, second"):
        ours().find("theirs")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nothing_of_that_name", "does not load: ModuleNotFoundError"),
        ("Other = 1", "does not load: AttributeError"),
        ("class Kind:\n    def __init__(self, needed): pass", "does not load: TypeError"),
        (GOOD.replace("= 1", "= 2"), "is written for version 2 of this interface, not 1"),
        (GOOD.replace("api_version = 1", "pass"), "is written for version None"),
        (GOOD.replace("options = Options", "options = dict"), "does not say its options"),
        (GOOD.replace("options = Options", "options = Options()"), "does not say its options"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_package(site: Site, code: str, message: str) -> None:
    site.install("broken", "theirs", code)

    with pytest.raises(ConfigError) as caught:
        ours().find("theirs")

    assert "'theirs' (broken_kind:Kind, of broken)" in str(caught.value)
    assert message in str(caught.value)
