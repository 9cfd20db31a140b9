"""Runs a stage: its actions by their order, each a build in folders of its own."""

from __future__ import annotations

import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from liftlock.ci.buildspec.masking import Mask
from liftlock.ci.buildspec.model import Buildspec
from liftlock.ci.buildspec.read import read
from liftlock.ci.buildspec.result import BuildResult, BuildStatus
from liftlock.ci.buildspec.run import run as run_buildspec
from liftlock.ci.buildspec.surroundings import Identity, Lookups, Output, Stream, Surroundings, Variable
from liftlock.ci.codepipeline.results import ActionResult, StageResult, Status
from liftlock.ci.codepipeline.stage import Action, Stage, fill
from liftlock.errors import LiftlockError, UsageError
from liftlock.transfer.events import Cancel

__all__ = ["Log", "Workplace", "check", "run"]

Log = Callable[[str, str], None]
"""Takes a line of an action's log: the action's name, and the line, secrets masked. Called from many threads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What a stage is run with."""

    inputs: Mapping[str, Path]
    """Folders by artifact; they are copied, so that no build changes them."""
    outputs: Path | None
    """Where the folders of output artifacts are made; None: they last as long as the run."""
    log: Log
    lookups: Callable[[str], Lookups]
    """AWS, for the secrets of an action in this region; empty for that of the environment."""
    clock: Callable[[], datetime]
    environment: Mapping[str, str]
    """What the commands inherit."""
    account: str = ""
    region: str = ""
    """Empty where nothing says them."""
    secrets: frozenset[str] = frozenset()
    """Values of the templates that no log may show."""
    docker: Literal["liftlock"] | None = None
    cancel: Cancel = field(default_factory=Cancel)


def check(stage: Stage, place: Workplace) -> dict[str, Buildspec]:
    """The buildspecs that can be read before the run, by action; those of earlier actions' outputs cannot.

    Raises `ConfigError` naming file and line, and `UsageError` for a folder that is not there, or not free.
    """
    for name, folder in place.inputs.items():
        if not folder.is_dir():
            raise UsageError(f"{folder}, the input artifact {name}, is no folder")
    for name in (name for action in stage.actions for name in action.outputs if place.outputs):
        folder = (place.outputs or Path()) / name
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise UsageError(
                f"{folder}, where the output artifact {name} goes, is there already", hint="remove it, or say another"
            )
    return {
        action.name: _buildspec(action, place.inputs)
        for action in stage.actions
        if action.primary in place.inputs or not action.buildspec.file
    }


def run(stage: Stage, place: Workplace) -> StageResult:
    """Run a stage to its end. A failed or stopped action is a result, no exception; raises what `check` does."""
    specs = check(stage, place)
    results: list[ActionResult] = []
    with tempfile.TemporaryDirectory(prefix="liftlock-stage-", ignore_cleanup_errors=True) as scratch:
        running = _Run(stage, place, specs, Path(scratch))
        for group in stage.groups:
            results += running.group(group)
            if any(each.status is not Status.SUCCEEDED for each in results):
                break
        done = {each.action.name for each in results}
        results += [_untouched(action) for action in stage.actions if action.name not in done]
        return StageResult(
            stage=stage, execution=running.execution, actions=tuple(results), stopped=place.cancel.requested
        )


class _Run:
    """One execution: what its actions have left for those after them."""

    def __init__(self, stage: Stage, place: Workplace, specs: Mapping[str, Buildspec], scratch: Path) -> None:
        self._stage = stage
        self._place = place
        self._specs = specs
        self._scratch = scratch
        self._folders = dict(place.inputs)
        self._secrets = set(place.secrets)
        self._mask = Mask(self._secrets)
        self.execution = str(uuid.uuid4())
        self._variables = {**stage.variables, "codepipeline.PipelineExecutionId": self.execution}

    def group(self, actions: tuple[Action, ...]) -> list[ActionResult]:
        """Actions side by side, all to their end: one that fails does not stop those beside it."""
        with ThreadPoolExecutor(len(actions), thread_name_prefix="action") as pool:
            futures = [pool.submit(self._guarded, action) for action in actions]
        results = [future.result() for future in futures]
        for result in results:
            self._folders |= result.outputs
            if result.build is not None and result.action.namespace:
                self._remember(result.action.namespace, result.build)
        return results

    def _remember(self, namespace: str, build: BuildResult) -> None:
        for name, value in build.exported.items():
            self._variables[f"{namespace}.{name}"] = value
            if build.mask(value) != value:
                self._secrets.add(value)
        self._mask = Mask(self._secrets)

    def _guarded(self, action: Action) -> ActionResult:
        """An action that cannot begin, or whose log nobody takes, has failed; nothing of it is left running."""
        try:
            return self._action(action)
        except LiftlockError as error:
            return ActionResult(action=action, status=Status.FAILED, error=error, mask=self._mask.text)
        except BaseException:
            self._place.cancel.request()
            raise

    def _action(self, action: Action) -> ActionResult:
        if self._place.cancel.requested:
            return ActionResult(action=action, status=Status.STOPPED, mask=self._mask.text)
        spec = self._specs.get(action.name) or _buildspec(action, self._folders)
        folder = self._scratch / f"{action.order}-{action.name}"
        outputs = {name: _made((self._place.outputs or folder / "output") / name) for name in action.outputs}
        surroundings = self._surroundings(action, spec, folder, outputs)
        with (
            self._place.cancel.waking(surroundings.cancel.request),
            _deadline(action.timeout, surroundings.cancel) as late,
        ):
            build = run_buildspec(spec, surroundings)
        return ActionResult(
            action=action,
            status=_status(build, late=late.is_set() and not self._place.cancel.requested),
            build=build,
            outputs=outputs,
            mask=self._mask.text,
        )

    def _surroundings(self, action: Action, spec: Buildspec, folder: Path, outputs: Mapping[str, Path]) -> Surroundings:
        sources = {name: self._copied(name, folder / "input" / name) for name in action.inputs}
        secondary = {name: path for name, path in outputs.items() if name in spec.secondary_artifacts}
        return Surroundings(
            source=sources.pop(action.primary),
            extra_sources=sources,
            output=self._output(action),
            lookups=self._place.lookups(action.region),
            clock=self._place.clock,
            environment=self._place.environment,
            project=action.project.variables,
            overrides=tuple(map(self._filled, action.variables)),
            identity=self._identity(action),
            artifacts=next((path for name, path in outputs.items() if name not in secondary), None),
            secondary_artifacts=secondary,
            docker=self._place.docker,
        )

    def _output(self, action: Action) -> Output:
        def write(line: str, stream: Stream) -> None:  # noqa: ARG001 - both are one log
            self._place.log(action.name, self._mask.text(line))

        return write

    def _identity(self, action: Action) -> Identity:
        identity = Identity(
            project=action.project.name,
            id=str(uuid.uuid4()),
            initiator=f"codepipeline/{self._stage.pipeline}",
            region=action.region or self._place.region,
            image=action.project.image,
        )
        return replace(identity, account=self._place.account) if self._place.account else identity

    def _copied(self, name: str, to: Path) -> Path:
        """A folder of one's own with the content of an artifact, but not of the outputs that may be inside of it."""
        outputs = self._place.outputs and self._place.outputs.resolve()

        def skipped(folder: str, names: list[str]) -> Iterable[str]:
            inside = outputs is not None and outputs.name in names and Path(folder).resolve() == outputs.parent
            return [outputs.name] if outputs is not None and inside else []

        try:
            shutil.copytree(self._folders[name], to, symlinks=True, ignore=skipped)
        except shutil.Error as error:
            path, _, why = error.args[0][0]
            raise LiftlockError(f"the artifact {name} cannot be copied: {path}: {why}") from None
        return to

    def _filled(self, variable: Variable) -> Variable:
        """A variable whose ``#{…}`` are replaced by what earlier actions exported."""
        try:
            return replace(variable, value=fill(variable.value, self._variables))
        except KeyError as error:
            raise LiftlockError(
                f"{variable.path}:{variable.line}: #{{{error.args[0]}}} has no value: no action has exported it",
                hint="the buildspec says which variables it exports: env: exported-variables",
            ) from None


@contextmanager
def _deadline(seconds: float, cancel: Cancel) -> Iterator[threading.Event]:
    """Asks to stop after this time; the event says that it did."""
    late = threading.Event()

    def end() -> None:
        late.set()
        cancel.request()

    timer = threading.Timer(seconds, end)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def _buildspec(action: Action, folders: Mapping[str, Path]) -> Buildspec:
    said = action.buildspec
    if not said.file:
        return read(said.text.encode(), said.node.path, first_line=said.begins)
    path = folders[action.primary] / said.file
    try:
        return read(path.read_bytes(), str(path))
    except OSError as error:
        raise said.node.error(
            f"the buildspec {said.file} cannot be read from the input artifact {action.primary}: {error.strerror}"
        ) from None


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _status(build: BuildResult, *, late: bool) -> Status:
    if build.status is BuildStatus.STOPPED:
        return Status.TIMED_OUT if late else Status.STOPPED
    return Status.SUCCEEDED if build.status is BuildStatus.SUCCEEDED else Status.FAILED


def _untouched(action: Action) -> ActionResult:
    return ActionResult(action=action, status=Status.NOT_RUN)
