"""`liftlock worker`."""

from __future__ import annotations

import logging
import sys
import time

import click

from liftlock.cli.invocation import Invocation, pass_invocation
from liftlock.cli.lazy import Verb
from liftlock.cli.options import debug_option
from liftlock.cli.output import printable
from liftlock.cli.project import file_option, images_for, opened

__all__ = ["worker"]

EXAMPLES = (
    "liftlock worker",
    "LIFTLOCK_DATABASE_URL=postgresql+psycopg://liftlock@db/liftlock liftlock worker",
    "liftlock worker --until-idle",
)


@click.command(cls=Verb, examples=EXAMPLES)
@click.option("--queues", "only", metavar="NAMES", help="Take work only from these: promotions,copy,looks,notify.")
@click.option(
    "--until-idle", is_flag=True, help="End when nothing is due: for cron, and for one command after another."
)
@file_option
@debug_option
@pass_invocation
def worker(invocation: Invocation, only: str | None, until_idle: bool, file: str | None) -> None:
    """Do what is due, until it is stopped.

    Promotions are carried out, gates asked, notifications delivered, schedules kept and events listened to, until
    SIGTERM or SIGINT. Any number of workers may share the database of LIFTLOCK_DATABASE_URL. What one is at when it is
    stopped or killed, another takes over. A line on stderr tells each thing that happens.
    """
    from liftlock.services.work import queues, work

    chosen = queues(only) if only else None
    _log_to_stderr()
    with opened(invocation, file) as (project, _):
        work(project, images_for(invocation, project), only=chosen, until_idle=until_idle, cancel=invocation.cancel)


class _Lines(logging.Formatter):
    """One printable line for each: the time (UTC), how bad it is where it is, what happened."""

    def format(self, record: logging.LogRecord) -> str:
        grave = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        text = printable(" ".join(record.getMessage().split()))
        return f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(record.created))} {grave}{text}"


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logger = logging.getLogger("liftlock")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
