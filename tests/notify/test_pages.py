"""The pages about notifiers show what is there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from liftlock.notify import text
from liftlock.notify.table import NOTIFIERS
from liftlock.notify.testing import sample

ROOT = Path(__file__).parent.parent.parent
HOW_TO = ROOT / "docs/how-to"
BUILT_IN = (
    "app-service",
    "apprise",
    "command",
    "container-apps",
    "container-instances",
    "git",
    "kubernetes",
    "registry-push",
    "webhook",
)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_page_about_writing_one_shows_the_example() -> None:
    example = (ROOT / "examples/notifier-plugin/src/liftlock_ntfy.py").read_text()
    page = HOW_TO / "write-a-notifier.md"

    assert blocks(page, "python")[0] == example
    assert blocks(page, "toml")[0] in (ROOT / "examples/notifier-plugin/pyproject.toml").read_text()


def test_the_test_that_the_page_shows_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples/notifier-plugin/src"))
    namespace: dict[str, object] = {}
    exec(blocks(HOW_TO / "write-a-notifier.md", "python")[1], namespace)
    test = namespace["test_a_server_that_is_gone"]
    assert callable(test)
    test()
    sys.modules.pop("liftlock_ntfy", None)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_option_is_on_its_kinds_page(name: str) -> None:
    page = (HOW_TO / f"notify-{name}.md").read_text()
    options = NOTIFIERS.get(name).options.model_json_schema()["properties"]

    assert [option for option in options if f"`{option}`" not in page] == []


def test_the_words_that_the_page_shows() -> None:
    message = sample("approval-needed")
    said = f"{text.title(message)}\n\n{text.body(message)}\n"
    said = re.sub(r"sha256:[0-9a-f]{12}", "sha256:9b2c6f0d41aa", said).replace(" (42, stable)", " (42)")

    assert blocks(HOW_TO / "notify-apprise.md", "text") == [said]
