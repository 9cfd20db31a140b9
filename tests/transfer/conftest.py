"""Copies for tests: survey, plan and execute in one call, with a home of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from liftlock.services.session import Session
from liftlock.transfer.events import Cancel, OnEvent, ignore
from liftlock.transfer.execute import execute
from liftlock.transfer.model import CopyRequest, Options, Plan, Result
from liftlock.transfer.plan import make_plan
from liftlock.transfer.survey import survey


class Copier:
    """Copies as one user does, time after time; each copy opens its targets anew."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def plan(self, *requests: CopyRequest, options: Options | None = None) -> Plan:
        with Session(os.environ) as session:
            return make_plan(survey(requests, session.targets, options or Options()))

    def __call__(
        self,
        *requests: CopyRequest,
        options: Options | None = None,
        on_event: OnEvent = ignore,
        cancel: Cancel | None = None,
    ) -> Result:
        with Session(os.environ) as session:
            plan = make_plan(survey(requests, session.targets, options or Options(), cancel=cancel))
            return execute(plan, session.targets, state=str(self.state), on_event=on_event, cancel=cancel)


@pytest.fixture
def copy(tmp_path: Path) -> Copier:
    return Copier(tmp_path / "state")
