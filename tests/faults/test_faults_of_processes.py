"""The same as a user meets it: the real command, its exit code, one message, and nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import MakeCopying
from tests.faults.table import TEMPORARY, points
from tests.faults.world import BLOB, TAG, UPLOAD, UPLOADS, Copying
from tests.support import faults, images
from tests.support.front import Action
from tests.support.processes import Result, liftlock

pytestmark = [pytest.mark.fault, pytest.mark.acceptance]


def run(copying: Copying, **env: str) -> Result:
    """`liftlock copy --from …` of all images of the kind, to `v1` and `stable`."""
    listing = copying.home / "images.txt"
    listing.write_text(
        "".join(
            f"{copying.source.host}/{copying.cargo.repository(name)}:v1 {copying.destination.host}/{repository}:v1\n"
            for name, repository in copying.repositories.items()
        )
    )
    done = liftlock(
        "copy", "--from", listing, "--tag", "stable", "-o", "json", "--progress", "plain",
        home=copying.home, env={**copying.env, **env}, check=False,
    )  # fmt: skip
    copying.leaks_no_credentials()
    assert not list(copying.temporary.iterdir())
    assert "Traceback" not in done.err
    for side in copying.sides:
        assert not any(secret in done.out + done.err for secret in side.secrets)
    return done


def failure(done: Result) -> dict[str, Any]:
    """The error document, which is the last thing that is said."""
    found = json.loads(done.err.splitlines()[-1])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("kind", "name", "side"),
    [
        ("single", "401", "source"),
        ("index", "503 that says when", "destination"),
        ("several", "cut before the response", "destination"),
        pytest.param("several", "401", "destination", marks=pytest.mark.slow),
        pytest.param("several", "503 that says when", "source", marks=pytest.mark.slow),
    ],
)
def test_what_passes_is_survived(make_copying: MakeCopying, kind: str, name: str, side: str) -> None:
    copying = make_copying(kind)
    rules = [
        copying.front(side).rule(point.method, point.pattern, TEMPORARY[name](), nth=point.nth)
        for point in points(side, kind)
    ]

    done = run(copying, LIFTLOCK_ATTEMPTS="20")
    assert done.code == 0, str(done)
    assert all(rule.hits for rule in rules)
    copying.is_complete()


LASTING: dict[str, tuple[str, str, str, Callable[[], Action], str, int]] = {
    "absent": ("source", "GET", TAG, lambda: faults.error(404, "MANIFEST_UNKNOWN"), "not-found", 5),
    "corrupt": ("source", "GET", BLOB, lambda: faults.corrupt_response(60), "corrupt", 1),
    "cut": ("source", "GET", BLOB, lambda: faults.cut_response(1), "transport", 1),
    "circle": ("source", "GET", BLOB, faults.redirect_to_itself, "transport", 1),
    "huge": ("source", "GET", TAG, lambda: faults.huge(64 << 20), "corrupt", 1),
    "denied": ("destination", "POST", UPLOADS, lambda: faults.error(403, "DENIED"), "denied", 4),
    "unauthorized": ("destination", "PUT", UPLOAD, faults.unauthorized, "denied", 4),
    "failing": ("destination", "PUT", UPLOAD, lambda: faults.error(500), "registry", 1),
    "throttling": ("destination", "POST", UPLOADS, lambda: faults.error(429, retry_after="0"), "throttled", 1),
    "immutable": ("destination", "PUT", TAG, faults.immutable_tag, "conflict", 6),
}


ORDINARY = {"absent", "corrupt", "denied", "throttling", "immutable"}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, marks=() if kind == "single" and name in ORDINARY else pytest.mark.slow)
        for name in LASTING
        for kind in ("single", "several")
    ],
)
def test_what_stays_is_one_error(make_copying: MakeCopying, name: str, kind: str) -> None:
    copying = make_copying(kind)
    side, method, pattern, action, code, exit_code = LASTING[name]
    copying.front(side).rule(method, pattern, action(), times=None)

    done = run(copying, LIFTLOCK_ATTEMPTS="2")
    assert done.code == exit_code, str(done)
    assert done.out == ""
    said = failure(done)
    assert (said["code"], said["exitCode"], said["side"]) == (code, exit_code, side)
    assert copying.front(side).host in said["message"]
    assert all(copying.holds(*key) == old for key, old in copying.before.items())
    assert not copying.journals()

    copying.front(side).clear()
    assert run(copying).code == 0
    copying.is_complete()


def test_tags_that_moved_only_in_part_are_said(make_copying: MakeCopying) -> None:
    copying = make_copying("several")
    repository = list(copying.repositories.values())[-1]
    copying.destination.rule("PUT", f"{repository}/manifests/stable", faults.error(403, "DENIED"), times=None)
    copying.destination.rule("PUT", f"{repository}/manifests/stable", None, nth=1)

    done = run(copying)
    said = failure(done)
    moved = [key for key, old in copying.before.items() if copying.holds(*key) != old]
    assert done.code in (1, 4)
    for name, tag in moved:
        assert tag == "v1", "what held something was put back"
        assert f"{name}:{tag}" in said["message"]

    copying.destination.clear()
    assert run(copying).code == 0
    copying.is_complete()


def test_a_layout_as_destination_has_no_tag_after_a_failure(make_copying: MakeCopying, tmp_path: Path) -> None:
    copying = make_copying("index")
    copying.source.rule("GET", BLOB, faults.error(404, "BLOB_UNKNOWN"), nth=2, times=None)
    layout = tmp_path / "out"

    done = liftlock(
        "copy", f"{copying.source.host}/{copying.cargo.repository('web')}:v1", f"oci:{layout}:v1",
        home=copying.home, env=copying.env, check=False,
    )  # fmt: skip
    assert done.code == 5, str(done)
    assert "error: source: " in done.err
    if (layout / "index.json").exists():
        assert not images.tags(layout)
    assert not [path for path in layout.rglob("*") if path.name.startswith(".") or path.name.endswith(".partial")]
