"""The demo: the main job on this machine alone."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from liftlock.auth.secret import Secret
from liftlock.cli.demo import BUILD, IMAGES, STAGES, _compare, _require_told, _Shell
from liftlock.cli.demo_receiver import Receiver, Told
from liftlock.errors import CorruptContent, LiftlockError
from liftlock.notify.webhook import sign
from tests.acceptance.workshop import Workshop
from tests.support import images
from tests.support.processes import liftlock

ROOT = Path(__file__).parents[2]
PROOF = "The same images at every level, as the manifests in each stage's layout hash to:"
TOLD = "What the receiver was told; each signature is right for DEPLOY_SECRET (Standard Webhooks):"
PATIENCE = 150.0
"""Seconds: it starts ten processes, on a machine that has other work."""

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(240)]


def _digests(output: str) -> dict[str, dict[str, str]]:
    """The table at the end: by image and stage."""
    found: dict[str, dict[str, str]] = {}
    for image, stage, digest in re.findall(
        r"^  (\w+) +(\w+) +(sha256:[0-9a-f]{64})$", output.partition(PROOF)[2], re.MULTILINE
    ):
        found.setdefault(image, {})[stage] = digest
    return found


def _commands(output: str) -> list[tuple[str, str]]:
    """Each command as it was typed, without its further words, with the exit code it is said to have ended with."""
    shown = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", output, re.MULTILINE)
    return [
        (" ".join(typed.split()[:4]), "".join(re.findall(r"^\(exit (\d+)\)$", said, re.MULTILINE)))
        for typed, said in shown
    ]


def test_it_shows_equal_digests_and_leaves_nothing_behind(home: Path, tmp_path: Path) -> None:
    """Even where a CI system and somebody else's settings surround it."""
    surrounding = {"GITHUB_RUN_ID": "1", "LIFTLOCK_USER": "lead", "TMPDIR": str(tmp_path)}

    shown = liftlock("demo", env=surrounding, cwd=tmp_path, timeout=PATIENCE)

    found = _digests(shown.out)
    assert set(found) == {"web", "worker"}
    for stages in found.values():
        assert tuple(stages) == STAGES
        assert len(set(stages.values())) == 1
    assert _commands(shown.out) == [
        ("LIFTLOCK_USER=anna liftlock artifact publish", ""),
        ("liftlock release watch 42", ""),
        ("LIFTLOCK_USER=anna liftlock promote 42", "8"),
        ("LIFTLOCK_USER=anna liftlock approve 42", "3"),
        ("LIFTLOCK_USER=lead liftlock approve 42", ""),
        ("liftlock release watch 42", ""),
        ("liftlock status", ""),
        ("liftlock trace oci:prod/web:stable", ""),
        ("liftlock ledger verify", ""),
    ]
    signatures, _, message = shown.out.partition(TOLD)[2].partition("\n  {")
    assert re.findall(r"^  (promotion\.\S+) +v1,\S{44}$", signatures, re.MULTILINE) == [
        "promotion.approval-needed",
        "promotion.success",
    ]
    told = json.loads("{" + message)
    assert {each["image"]: each["digest"] for each in told["images"]} == {
        name: stages["prod"] for name, stages in found.items()
    }
    assert "build url" not in shown.out
    assert "whsec_" not in shown.out
    assert shown.err == ""
    assert all(len(line) <= 170 for line in shown.out.splitlines())
    assert list(tmp_path.iterdir()) == []
    assert list(home.iterdir()) == []


@pytest.mark.slow
def test_what_it_keeps_can_be_played_with(home: Path, tmp_path: Path) -> None:
    """Through `script/demo`, in a checkout whose environment `script/test` has made."""
    words = ["demo", "--keep", str(tmp_path / "kept")]
    if (ROOT / ".venv" / "stamp-base").exists():
        done = subprocess.run(
            [ROOT / "script" / "demo", *words[1:]],
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        shown = done.stdout
    else:
        shown = liftlock(*words, timeout=PATIENCE).out

    kept = Workshop(tmp_path / "kept")
    assert kept.states() == {"42": {"dev": "here", "test": "here", "prod": "here"}}
    tags = images.tags(tmp_path / "kept" / "prod" / "web")
    assert {blob.digest for blob in tags.values()} == {_digests(shown)["web"]["prod"]}
    assert kept.run("promote", "42", "--to", "test").code == 0

    again = liftlock(*words, check=False)
    assert (again.code, "exists already" in again.err) == (2, True)


def test_its_receiver_takes_nothing_that_is_wrong_or_old() -> None:
    """The example of Standard Webhooks' own documentation: right for its secret, and of a time long past."""
    told = Told(
        headers={
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        body=b'{"test": 2432232314}',
    )
    with Receiver() as receiver:
        with pytest.raises(CorruptContent, match="signature is wrong"):
            receiver.verify(told)
        receiver._key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        with pytest.raises(CorruptContent, match="signed at 1614265330, which is not now"):
            receiver.verify(told)
        with pytest.raises(CorruptContent, match="signature is wrong"):
            receiver.verify(replace(told, body=told.body + b" "))


def _layouts(folder: Path, *, odd: str = "") -> None:
    """What the demo leaves behind; ``odd`` names a stage whose worker is another image."""
    for name in IMAGES:
        for stage in STAGES:
            seed = f"another {name}" if (stage, name) == (odd, "worker") else name
            images.make_image(folder / stage / name, BUILD, seed=seed)


def test_it_fails_where_a_stage_holds_another_image(tmp_path: Path) -> None:
    _layouts(tmp_path / "same")
    _layouts(tmp_path / "odd", odd="prod")

    assert set(_compare(tmp_path / "same")) == set(IMAGES)
    with pytest.raises(LiftlockError, match="worker is not the same image in every stage"):
        _compare(tmp_path / "odd")


def test_it_fails_where_a_command_ends_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = _Shell(tmp_path, {})

    with pytest.raises(LiftlockError, match="liftlock status ended with 5 instead of 0"):
        shell.run("status")
    assert "$ liftlock status\nerror: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("types", "digest", "said"),
    [
        (["promotion.success"], "sha256:1", "was told"),
        (["promotion.approval-needed", "promotion.success"], "sha256:2", "was told of"),
    ],
)
def test_it_fails_where_the_receiver_knows_something_else(types: list[str], digest: str, said: str) -> None:
    with Receiver() as receiver:
        for number, kind in enumerate(types):
            _post(receiver, {"type": kind, "images": [{"image": "web", "digest": "sha256:1"}]}, key=f"key-{number}")
        with pytest.raises(LiftlockError, match=said):
            _require_told(receiver, {"web": digest})


def _post(receiver: Receiver, message: object, *, key: str) -> None:
    body = json.dumps(message).encode()
    now = int(time.time())
    headers = {
        "webhook-id": key,
        "webhook-timestamp": str(now),
        "webhook-signature": sign([Secret(receiver.secret)], key=key, at=now, body=body),
    }
    with urllib.request.urlopen(urllib.request.Request(receiver.url, body, headers)) as answer:
        assert answer.status == 204
