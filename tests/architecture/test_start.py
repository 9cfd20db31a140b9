"""Starting stays light: `--help` and `copy` load nothing that only releases, pipelines or servers need."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import remote
from tests.support.images import make_image
from tests.support.processes import loaded_modules
from tests.support.registry import Registry

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

SPARED = {
    *HEAVY,
    "binascii",
    "click",
    "dataclasses",
    "datetime",
    "hashlib",
    "ipaddress",
    "logging",
    "pathlib",
    "shutil",
    "socket",
    "ssl",
    "subprocess",
    "typing",
    "urllib.parse",
}
"""What plain commands do without where no byte of a blob passes: each would be felt in what they take in all."""


@pytest.mark.parametrize("arguments", ["--version", "--help", "copy --help", "tag --help", "digest --help"])
def test_help_loads_nothing_heavy(arguments: str) -> None:
    assert set() == HEAVY & loaded_modules(*arguments.split())


def test_a_copy_loads_nothing_heavy(tmp_path: Path) -> None:
    make_image(tmp_path / "from", "v1")

    loaded = loaded_modules("copy", f"oci:{tmp_path / 'from'}:v1", f"oci:{tmp_path / 'to'}:v1")

    assert set() == {*HEAVY, "click"} & loaded
    assert "liftlock.transfer.execute" in loaded
    assert (tmp_path / "to" / "index.json").exists()


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        ("digest {host}/{repo}:v1", "liftlock.targets.registry_upload"),
        ("tag {host}/{repo}:v1 stable", "liftlock.targets.registry_upload"),
        ("copy {host}/{repo}:v1 {host}/{repo}/copied:v1", "liftlock.targets.registry_download"),
    ],
)
def test_plain_commands_load_what_they_use(
    arguments: str, unused: str, registry: Registry, repo: str, tmp_path: Path
) -> None:
    make_image(tmp_path / "image", "v1")
    remote.push(tmp_path / "image", "v1", registry, repo)

    loaded = loaded_modules(*arguments.format(host=registry.host, repo=repo).split())

    assert set() == {*SPARED, unused} & loaded
    assert "liftlock.targets.registry" in loaded
