"""The library's page runs as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import images, remote
from tests.support.registry import Registry

PAGE = Path(__file__).parent.parent.parent / "docs/how-to/use-as-a-library.md"


def test_the_examples_run(
    registry: Registry,
    other_registry: Registry,
    repo: str,
    tmp_path: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    image = images.make_image(tmp_path / "app", "1.4", platforms=("linux/amd64", "linux/arm64"), seed=repo)
    remote.push(image.layout, "1.4", registry, repo)
    monkeypatch.chdir(tmp_path)
    copying, looking = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    places = {"staging.example/app": f"{registry.host}/{repo}", "prod.example/app": f"{other_registry.host}/{repo}"}
    opening, closing = copying[: copying.index("request =")], copying[copying.index("targets.close()") :]
    # The second example is shown after the first one has closed its connections.
    for shown in (copying, opening + looking + closing):
        code = shown
        for name, place in places.items():
            code = code.replace(name, place)
        exec(compile(code, str(PAGE), "exec"), {})

    assert remote.walk(other_registry, repo, "stable") == remote.walk(registry, repo, "1.4")
    said = capsys.readouterr().out
    assert f"{len(image.blobs)} blobs copied, 0 mounted" in said
    assert f"{image.digest} ['linux/amd64', 'linux/arm64']" in said
