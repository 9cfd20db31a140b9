"""Copies without a fault: what the others are measured by."""

from __future__ import annotations

import pytest

from tests.faults.conftest import MakeCopying

pytestmark = pytest.mark.fault


@pytest.mark.parametrize("mount", [False, True], ids=["across", "within"])
def test_without_a_fault(make_copying: MakeCopying, kind: str, mount: bool) -> None:
    copying = make_copying(kind, mount=mount)

    copying.survives()
    copying.succeeds_again()
