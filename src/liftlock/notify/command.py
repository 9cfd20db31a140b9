"""``command``: a program of your own, given the message."""

from __future__ import annotations

import json
import os
from typing import Annotated, ClassVar

from pydantic import Field

from liftlock.errors import LiftlockError, TransportError
from liftlock.kinds.options import Variables
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.options import Timeout
from liftlock.pipeline.kinds import Options
from liftlock.release.durations import seconds

__all__ = ["Command", "CommandOptions"]


class CommandOptions(Options):
    """Which program, and for how long."""

    shorthand = "run"

    run: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = Field(
        description="The program and its arguments. No shell reads them. It runs in the pipeline file's folder."
    )
    env: Variables = Field(default={}, description="Variables that the program gets beside PATH, HOME and LIFTLOCK_*.")
    timeout: Timeout = Field(default="5m", description="How long it may take.")


class Command:
    """Runs the program with the message as JSON on its standard input, and the main parts of it in ``LIFTLOCK_*``.

    Exit status 0 says that the message was delivered, 75 (``EX_TEMPFAIL`` of sysexits.h) that another try may help.
    """

    api_version: ClassVar[int] = 1
    options = CommandOptions

    def send(self, message: Message, options: CommandOptions, tools: Tools) -> None:
        from liftlock.kinds.process import run, surroundings

        done = run(
            options.run,
            tools,
            timeout=seconds(options.timeout),
            stdin=json.dumps(message.to_json(), ensure_ascii=False).encode(),
            environment=surroundings(tools, options.env, _variables(message)),
        )
        if done.status == 0:
            return
        ending = f"is ended by signal {-done.status}" if done.status < 0 else f"ends with status {done.status}"
        said = f"the command {os.path.basename(options.run[0])} {ending}"
        if done.status == os.EX_TEMPFAIL:
            raise TransportError(said, temporary=True)
        raise LiftlockError(said, hint=f"status {os.EX_TEMPFAIL} would ask for another try")


def _variables(message: Message) -> dict[str, str]:
    return {
        "LIFTLOCK_OCCASION": message.occasion,
        "LIFTLOCK_KEY": message.key,
        "LIFTLOCK_PIPELINE": message.release.pipeline.name,
        "LIFTLOCK_STAGE": message.stage,
        "LIFTLOCK_RELEASE": message.release.name,
        "LIFTLOCK_PROMOTION": str(message.promotion),
        "LIFTLOCK_STATE": message.state,
    }
