"""A folder with a pipeline file, and commands run in it as a user would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import Popen
from textwrap import dedent
from typing import Any

from tests.support import images, processes
from tests.support.images import Image
from tests.support.processes import Result


class Workshop:
    """Runs commands in its folder; the home is that of the test unless another is given."""

    def __init__(self, folder: Path, pipeline: str = "", *, home: Path | None = None) -> None:
        self.folder = folder
        self.home = home
        folder.mkdir(parents=True, exist_ok=True)
        if pipeline:
            self.write(pipeline)

    def write(self, pipeline: str) -> None:
        """Replace the pipeline file."""
        (self.folder / "liftlock.yaml").write_text(dedent(pipeline))

    def run(self, *words: str | Path, check: bool = True, env: Mapping[str, str] | None = None) -> Result:
        return processes.liftlock(*words, cwd=self.folder, home=self.home, check=check, env=env)

    def json(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Any:
        """What a command that ends well prints as JSON."""
        return self.run(*words, "-o", "json", env=env).json()

    def fails(self, code: int, *words: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What a command says on stderr that ends with this exit code."""
        result = self.run(*words, check=False, env=env)
        assert result.code == code, str(result)
        assert "Traceback" not in result.err
        return result.err

    def started(self, *words: str | Path) -> AbstractContextManager[Popen[bytes]]:
        return processes.started(*words, cwd=self.folder, home=self.home)

    def states(self) -> dict[str, dict[str, str]]:
        """By release name and stage, what `status` says."""
        return {
            row["name"]: {stage: cell["state"] for stage, cell in row["stages"].items()}
            for row in self.json("status")["releases"]
        }

    @contextmanager
    def killed(self, *words: str | Path) -> Iterator[Popen[bytes]]:
        """Start a command; it is killed (SIGKILL) at the end of the block, where it has to be running still."""
        with self.started(*words) as process:
            yield process
            assert process.poll() is None, "it ended before it could be killed"
            process.kill()
            process.wait()


def two_images(folder: Path, seed: object = 0, *, platforms: tuple[str, ...] = ("linux/amd64",)) -> dict[str, Image]:
    """`web` and `worker`, which share a layer; each in a layout of its own, under the tag `build`."""
    return {
        name: images.make_image(
            folder / name, "build", layers=2, shared_layers=1, seed=f"{seed} {name}", platforms=platforms
        )
        for name in ("web", "worker")
    }
