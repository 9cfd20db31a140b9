"""A folder with a pipeline file, and commands run in it as a user would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from subprocess import Popen
from textwrap import dedent
from typing import Any

from liftlock.release.people import Actor
from liftlock.services.project import Project
from liftlock.services.publish import Build, publish
from liftlock.services.releases import create_release
from liftlock.services.session import Session
from liftlock.services.status import status
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

    def started(self, *words: str | Path, env: Mapping[str, str] | None = None) -> AbstractContextManager[Popen[bytes]]:
        return processes.started(*words, cwd=self.folder, home=self.home, env=env)

    def project(self) -> Project:
        """The project, for calls without a process: those take half a second each. Close it."""
        return Project(str(self.folder / "liftlock.yaml"))

    def release(self, build: str, **sources: str) -> None:
        """Publish an artifact of these images, and make a release of it."""
        with self.project() as project, Session(processes.environment(self.home)) as session:
            by = Actor(person="workshop")
            publish(project, session, sources, Build(id=build), by)
            create_release(project, build, {}, by)

    def states(self) -> dict[str, dict[str, str]]:
        """By release name and stage, what `status` says."""
        with self.project() as project:
            return {
                row.created.release.name: {cell.stage: cell.state for cell in row.cells} for row in status(project).rows
            }

    @contextmanager
    def killed(self, *words: str | Path, env: Mapping[str, str] | None = None) -> Iterator[Popen[bytes]]:
        """Start a command; it is killed (SIGKILL) at the end of the block, where it has to be running still."""
        with self.started(*words, env=env) as process:
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
