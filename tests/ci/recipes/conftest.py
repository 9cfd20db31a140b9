"""Machines for the steps of recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ci.recipes.machines import PASSWORD, USER, Machines
from tests.conftest import MakeRegistry


@pytest.fixture
def machines(tmp_path: Path, make_registry: MakeRegistry) -> Machines:
    """With a registry for dev and test, and one for prod."""
    return Machines(tmp_path, *(make_registry(user=USER, password=PASSWORD) for _ in range(2)))
