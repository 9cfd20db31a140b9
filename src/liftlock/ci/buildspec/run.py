"""Runs a buildspec: phases, what follows a failed one, and what is left of the build.

CodeBuild's rules, from "Build phase transitions" (https://docs.aws.amazon.com/codebuild/latest/userguide/
view-build-details-phases.html) and the buildspec reference:

- A failing command skips the phase's other commands, not its ``finally``. One failing command fails the phase, and a
  failed phase the build.
- After a failed INSTALL or PRE_BUILD no phase follows; after a failed BUILD, POST_BUILD does, with
  ``CODEBUILD_BUILD_SUCCEEDING=0``. ``on-failure: ABORT`` lets none follow, ``CONTINUE`` the next one.
- UPLOAD_ARTIFACTS is tried whenever BUILD began.
- Exported variables have the value that they have when POST_BUILD is over.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from liftlock.ci.buildspec import shell
from liftlock.ci.buildspec.artifacts import UncollectableError, collect
from liftlock.ci.buildspec.environment import environment, on_path
from liftlock.ci.buildspec.log import Log
from liftlock.ci.buildspec.masking import Mask
from liftlock.ci.buildspec.model import ArtifactsSection, Buildspec, Command, OnFailure, Phase, PhaseName
from liftlock.ci.buildspec.result import BuildResult, BuildStatus, CollectedArtifact, Failure, PhaseResult
from liftlock.ci.buildspec.surroundings import Surroundings
from liftlock.errors import Cancelled, ConfigError

__all__ = ["run"]

UPLOAD_ARTIFACTS = "UPLOAD_ARTIFACTS"
_NAME = "LIFTLOCK_ARTIFACT_NAME"
_STORE = "LIFTLOCK_DOCKER_STORE"


def run(spec: Buildspec, surroundings: Surroundings) -> BuildResult:
    """Run a buildspec to its end, and tell how it ended: a failed or stopped build is a result, no exception.

    Raises `ConfigError` (a variable or folder that cannot be used; nothing was run), and what `Lookups` raise, with the
    file and line of the variable that wanted it.
    """
    _check_folders(surroundings)
    begin = environment(spec, surroundings)
    mask = Mask(begin.secrets)
    log = Log(surroundings.output, mask, surroundings.clock)
    with tempfile.TemporaryDirectory(prefix="liftlock-build-", ignore_cleanup_errors=True) as room:
        variables = begin.variables
        if surroundings.docker == "liftlock":
            # A machine of CodeBuild begins without images, so that `push -a` finds only what this build has tagged.
            variables = {_STORE: str(Path(room) / "images"), **variables}
            variables = on_path(variables, _with_docker(Path(room) / "bin"))
        build = _Build(spec, surroundings, log, mask)
        try:
            with shell.opened(
                spec.env.shell,
                room=Path(room),
                folder=surroundings.source,
                environment=variables,
                output=log.printed,
                cancel=surroundings.cancel,
            ) as session:
                build.run_phases(session)
            build.upload()
        except Cancelled:
            log.end_of_command()
            build.stop()
    return build.result()


class _Build:
    """One build under way."""

    def __init__(self, spec: Buildspec, surroundings: Surroundings, log: Log, mask: Mask) -> None:
        self._spec, self._surroundings, self._log, self._mask = spec, surroundings, log, mask
        self._phases: list[PhaseResult] = []
        self._under_way = ("", 0.0)
        """The phase that was entered last, and when."""
        self._last = 0
        self._stopped = False
        self._exported: Mapping[str, str] = {}
        self._names: dict[str, str] = {}
        self._artifacts: dict[str, CollectedArtifact] = {}

    @property
    def _succeeding(self) -> bool:
        return all(phase.status is BuildStatus.SUCCEEDED for phase in self._phases)

    def run_phases(self, session: shell.ShellSession) -> None:
        """All phases that are due; at the end, what of the shell is still needed is kept."""
        self._introduce()
        for name in PhaseName:
            phase = self._spec.phases.get(name) or Phase(name=name, line=0)
            failure = self._phase(phase, session)
            if failure and not _goes_on(phase):
                break
        self._log.end_of_command()
        if self._phases[-1].name == PhaseName.POST_BUILD.name:
            left = session.environment
            wanted = [each.text for each in self._spec.env.exported_variables]
            self._exported = {each: left[each] for each in wanted if each in left}
            for each in wanted:
                if each not in left:
                    self._log.container(f"The exported variable {each} is not set")
        if self._uploads:
            self._names = {
                identifier: self._expanded(section, session)
                for identifier, section, _ in self._wanted()
                if section.name
            }
        session.finish()
        self._log.end_of_command()

    def upload(self) -> None:
        """Collect the artifacts."""
        if not self._uploads:
            return
        self._enter(UPLOAD_ARTIFACTS)
        failure = None
        for identifier, section, target in self._wanted():
            try:
                self._artifacts[identifier] = collect(
                    section,
                    source=self._surroundings.source,
                    target=target,
                    leave_out=[each for _, _, each in self._wanted()],
                    name=self._names.get(identifier, ""),
                    say=self._log.container,
                    check=self._surroundings.cancel.check,
                )
            except UncollectableError as error:
                failure = failure or self._failure(UPLOAD_ARTIFACTS, str(error), error.line)
        for identifier in self._left_out():
            self._log.container(f"Not collected, because no folder is named for it: artifact {identifier or 'primary'}")
        self._leave(failure, "CLIENT_ERROR")

    def stop(self) -> None:
        """Somebody asked to stop: the phase under way is over."""
        self._stopped = True
        name, since = self._under_way
        if name and (not self._phases or self._phases[-1].name != name):
            self._phases.append(PhaseResult(name=name, status=BuildStatus.STOPPED, seconds=time.monotonic() - since))
            self._log.container(f"Phase complete: {name} State: STOPPED")

    def result(self) -> BuildResult:
        """How it ended."""
        ended = BuildStatus.SUCCEEDED if self._succeeding else BuildStatus.FAILED
        return BuildResult(
            status=BuildStatus.STOPPED if self._stopped else ended,
            identity=self._surroundings.identity,
            phases=tuple(self._phases),
            exported=self._exported,
            artifacts=self._artifacts,
            mask=self._mask.text,
        )

    def _introduce(self) -> None:
        say, phases = self._log.container, self._spec.phases
        say(f"YAML location is {self._spec.path}")
        say("Processing environment variables")
        say(f"Moving to directory {self._surroundings.source.absolute()}")
        say(f"Phases found in YAML: {len(phases)}")
        for name, phase in phases.items():
            say(f" {name.name}: {len(phase.commands)} commands")

    def _phase(self, phase: Phase, session: shell.ShellSession) -> Failure | None:
        """The phase's first failure."""
        self._enter(phase.name.name)
        failure = self._commands(phase, phase.commands, "", session, self._succeeding)
        last = self._commands(phase, phase.finally_, "finally-", session, self._succeeding and not failure)
        failure = failure or last
        self._leave(failure, "COMMAND_EXECUTION_ERROR")
        return failure

    def _commands(
        self, phase: Phase, commands: tuple[Command, ...], kind: str, session: shell.ShellSession, succeeding: bool
    ) -> Failure | None:
        """Run commands until one fails."""
        for number, command in enumerate(commands, 1):
            text = command.text.rstrip("\n")
            self._log.container(f"Running command {text}")
            name = f"{phase.name}-{kind}{number}.sh"
            self._last = session.run(command.text, name, succeeding=succeeding, last=self._last)
            self._log.end_of_command()
            if self._last:
                self._log.container(f"Command did not exit successfully {text} exit status {self._last}")
                message = f"Error while executing command: {text}. Reason: exit status {self._last}"
                return self._failure(phase.name.name, message, command.line, command=text, exit_status=self._last)
        return None

    def _enter(self, name: str) -> None:
        self._under_way = (name, time.monotonic())
        self._log.container(f"Entering phase {name}")

    def _leave(self, failure: Failure | None, code: str) -> None:
        name, since = self._under_way
        status = BuildStatus.FAILED if failure else BuildStatus.SUCCEEDED
        self._phases.append(PhaseResult(name=name, status=status, seconds=time.monotonic() - since, failure=failure))
        self._log.container(f"Phase complete: {name} State: {status}")
        said = f"{code} Message: {failure.message}" if failure else " Message: "
        self._log.container(f"Phase context status code: {said}".rstrip())

    def _failure(self, phase: str, message: str, line: int, *, command: str = "", exit_status: int = 0) -> Failure:
        return Failure(
            phase=phase,
            message=self._mask.text(message),
            path=self._spec.path,
            line=line,
            command=self._mask.text(command),
            exit_status=exit_status,
        )

    @property
    def _uploads(self) -> bool:
        return any(phase.name == PhaseName.BUILD.name for phase in self._phases)

    def _wanted(self) -> list[tuple[str, ArtifactsSection, Path]]:
        """The artifacts for which there is a folder: identifier, what the file says, folder."""
        folders = dict(self._surroundings.secondary_artifacts)
        if self._surroundings.artifacts:
            folders[""] = self._surroundings.artifacts
        return [(each, section, folders[each]) for each, section in self._sections().items() if each in folders]

    def _left_out(self) -> list[str]:
        """The artifacts for which there is none."""
        wanted = {identifier for identifier, _, _ in self._wanted()}
        return [identifier for identifier in self._sections() if identifier not in wanted]

    def _sections(self) -> dict[str, ArtifactsSection]:
        """All that the file says of artifacts, by identifier; the primary one has none."""
        primary = {"": self._spec.artifacts} if self._spec.artifacts else {}
        return {**primary, **self._spec.secondary_artifacts}

    def _expanded(self, section: ArtifactsSection, session: shell.ShellSession) -> str:
        """An artifact's name as the shell expands it: as in a text, so that quotes in it are just characters."""
        text = section.name.text if section.name else ""
        command = f"{_NAME}=$(cat <<LIFTLOCK_END_OF_NAME\n{text}\nLIFTLOCK_END_OF_NAME\n)"
        session.run(command, "artifact-name.sh", succeeding=self._succeeding, last=self._last)
        return session.environment.pop(_NAME, "")


def _goes_on(phase: Phase) -> bool:
    """Whether the next phase follows this one, which failed."""
    if phase.on_failure is None:
        return phase.name is PhaseName.BUILD
    return phase.on_failure is OnFailure.CONTINUE


def _check_folders(surroundings: Surroundings) -> None:
    sources = (surroundings.source, *surroundings.extra_sources.values())
    targets = (surroundings.artifacts, *surroundings.secondary_artifacts.values())
    for folder in sources:
        if not folder.is_dir():
            raise ConfigError(f"the source folder {folder} is not there")
    for target in targets:
        if target and target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ConfigError(
                f"the folder for artifacts {target} is not empty", hint="name a new folder, or remove what is in it"
            )


def _with_docker(folder: Path) -> Path:
    """A folder in which ``docker`` is Liftlock's."""
    from liftlock.ci.docker.shim import docker_on_path

    docker_on_path(folder)
    return folder
