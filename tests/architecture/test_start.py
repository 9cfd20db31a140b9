"""Starting stays light: `--help` and `copy` load nothing that only releases, pipelines or servers need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.images import make_image
from tests.support.processes import loaded_modules

HEAVY = {
    "alembic",
    "asyncio",
    "boto3",
    "dbos",
    "email.parser",
    "fastapi",
    "jinja2",
    "pydantic",
    "requests",
    "rich",
    "sqlalchemy",
    "sqlite3",
    "urllib.request",
    "yaml",
}


@pytest.mark.parametrize("arguments", ["--version", "--help", "copy --help", "tag --help", "digest --help"])
def test_help_loads_nothing_heavy(arguments: str) -> None:
    assert set() == HEAVY & loaded_modules(*arguments.split())


def test_a_copy_loads_nothing_heavy(tmp_path: Path) -> None:
    make_image(tmp_path / "from", "v1")

    loaded = loaded_modules("copy", f"oci:{tmp_path / 'from'}:v1", f"oci:{tmp_path / 'to'}:v1")

    assert set() == {*HEAVY, "click"} & loaded
    assert "liftlock.transfer.execute" in loaded
    assert (tmp_path / "to" / "index.json").exists()
