"""Events of Amazon ECR, through EventBridge and SQS: a push is a hint to look whether a whole release has come.

What an event says is not believed: the source's references are asked for anew, all of them, and what they hold now is
published as `liftlock artifact publish` would. So it does not matter that events are delivered twice, late or out of
order; that one may be lost is what a schedule is for. A message is deleted once it was handled: who dies before leaves
it to be delivered again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from liftlock.auth import aws
from liftlock.errors import (
    Cancelled,
    ConfigError,
    Conflict,
    CorruptContent,
    LiftlockError,
    NotFound,
    RefusedError,
    UsageError,
)
from liftlock.oci.reference import Reference
from liftlock.release.arrival import Push, queue_region, read_push, variables_of
from liftlock.release.people import ENGINE
from liftlock.release.pipeline import Pipeline
from liftlock.release.release import sources
from liftlock.release.stage import Trigger
from liftlock.services.project import Project
from liftlock.services.publish import Build, publish
from liftlock.services.releases import create_release
from liftlock.services.session import Session
from liftlock.targets.locate import Location
from liftlock.transfer.events import Cancel
from liftlock.transfer.pool import gather

__all__ = ["Arrivals", "look_again"]

log = logging.getLogger(__name__)

LONG_POLL = 20
"""Seconds that SQS waits for a message, the most it offers: one request each, where nothing comes."""
BATCH = 10
AGAIN = 30.0
"""Seconds after which a queue that did not answer is asked again."""
LEAVE = 5.0
"""Seconds that what is being handled has to notice that the worker ends."""

_FINAL = (Conflict, CorruptContent, NotFound, RefusedError, UsageError)
"""Errors that another delivery of the same message would meet again."""


def look_again(project: Project, session: Session, push: Push, cancel: Cancel | None = None) -> str:
    """Publish and release what the pipeline's source names now, where all of it is there; what came of it, in words.

    The same digests again make no other release, and ask for nothing. Raises what `publish` raises: the registry's own
    errors too.
    """
    pipeline = project.pipeline
    said = variables_of(pipeline, push)
    if said is None:
        return "it is nothing of this pipeline's source"
    variables = {name: value for name, value in said.items() if name not in ("build", "commit")}
    build = Build(id=said.get("build", ""), commit=said.get("commit", ""))
    try:
        references = sources(pipeline, variables=variables, build=build.id, commit=build.commit)
    except (ConfigError, UsageError) as error:
        return f"it makes no reference: {error}"
    missing = _missing(session, references, cancel)
    if missing:
        return f"{' and '.join(missing)} did not come yet: their own push says when"
    used = {name: value for name, value in variables.items() if name in pipeline.stage_variables}
    by_itself = any(stage.trigger is Trigger.ON_PUBLISH for stage in pipeline.stages)
    texts = {name: str(reference) for name, reference in references.items()}
    made = publish(project, session, texts, build, ENGINE, variables=used if by_itself else {}, cancel=cancel)
    release = made.release or create_release(project, made.published.artifact.id, used, ENGINE).release
    asked = ", ".join(each.promotion.stage for each in made.asked)
    return f"release {release.name}{f', asked for in {asked}' if asked else ''}"


def _missing(session: Session, references: Mapping[str, Reference], cancel: Cancel | None) -> list[str]:
    """The images that are not there."""

    def is_there(reference: Reference) -> bool:
        location = Location.parse(str(reference))
        return session.targets.open(location.target).resolve(location.reference or "") is not None

    there = gather(is_there, references.values(), cancel=cancel)
    return [name for name, found in zip(references, there, strict=True) if not found]


class Arrivals:
    """Listens to a pipeline's queue, in a thread, from the beginning of the block to its end.

    Raises `ConfigError` when this environment cannot speak to AWS at all; later trouble is logged, and passes.
    """

    def __init__(self, project: Project, images: Callable[[Pipeline], Session]) -> None:
        self._project = project
        self._images = images
        self._queue = project.pipeline.events
        self._sqs = _client(self._queue, project.env)
        self._cancel = Cancel()
        self._handling = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="arrivals", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is being handled; a request that waits for messages is left alone, and takes none with it."""
        self.stop()
        if self._handling.acquire(timeout=LEAVE):
            self._handling.release()

    def stop(self) -> None:
        """Take nothing more, and stop what is being handled: it is delivered again."""
        self._cancel.request()

    def drain(self) -> None:
        """Handle what is in the queue now."""
        while self._round(wait=1):
            pass

    def _listen(self) -> None:
        while not self._cancel.requested:
            try:
                self._round(wait=LONG_POLL)
            except Cancelled:
                return
            except Exception as error:  # noqa: BLE001 - whatever it is: a queue that nobody reads any more is lost
                hint = f" ({error.hint})" if isinstance(error, LiftlockError) and error.hint else ""
                log.warning("events: %s%s", error, hint)
                with suppress(Cancelled):
                    self._cancel.wait(AGAIN)

    def _round(self, wait: int) -> bool:
        """Take messages once, and handle them; whether there were any."""
        with aws.calling(self._queue, "sqs:ReceiveMessage"):
            answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=BATCH, WaitTimeSeconds=wait)
        messages = answer.get("Messages", [])
        with self._handling:
            for message in messages:
                self._cancel.check()
                if self._handled(message["Body"]):
                    with aws.calling(self._queue, "sqs:DeleteMessage"):
                        self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return bool(messages)

    def _handled(self, body: str) -> bool:
        """Whether all was done that this message asks for; a registry that does not answer has it delivered again."""
        try:
            push = read_push(body)
        except ValueError as error:
            log.warning("events: a message is dropped: %s", error)
            return True
        if push is None:
            return True
        try:
            with self._images(self._project.pipeline) as session, self._cancel.waking(session.abort):
                said = look_again(self._project, session, push, self._cancel)
        except Cancelled:
            raise
        except LiftlockError as error:
            log.warning("events: %s: %s", push, error)
            return isinstance(error, _FINAL)
        log.info("events: %s: %s", push, said)
        return True


def _client(queue: str, env: Mapping[str, str]) -> Any:
    action = "sqs:ReceiveMessage"
    with aws.calling(queue, action):
        session = aws.find_session(env)
        if session is None:
            raise aws.no_credentials(queue, action)
        return aws.client(session, "sqs", queue_region(queue), env)
