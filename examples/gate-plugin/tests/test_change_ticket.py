"""The gate keeps the contract of all gates, and does what it is for: against a ticket system on loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from liftlock.gates.ask import ask
from liftlock.gates.table import GATES
from liftlock.gates.testing import GateContract, question
from liftlock.kinds.tools import Tools
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.stage import GateRule

from liftlock_change_ticket import ChangeTicket, ChangeTicketOptions

TICKETS = {"/CHG-1": b'{"state": "approved"}', "/CHG-2": b'{"state": "in review"}', "/CHG-3": b'{"state": "rejected"}'}


class TestContract(GateContract):
    gate = ChangeTicket
    online = True
    labels: ClassVar = {"ticket": "CHG-1"}
    examples = (
        {"url": "http://127.0.0.1:9/"},
        {"url": "http://127.0.0.1:9/", "token": "env:SECRET", "approved": ["ready", "done"], "allow-private": True},
    )


class Tickets(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.path in TICKETS and self.headers["Authorization"] == "Bearer t0k3n"
        body = TICKETS[self.path] if known else b"{}"
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Tickets) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def asked(url: str, labels: dict[str, str]) -> Verdict:
    options = {"url": url, "token": "env:TOKEN", "allow-private": True}
    tools = Tools(folder=Path(), environment={"TOKEN": "t0k3n"})
    return ask(question(labels=labels), [GateRule(kind="change-ticket", options=options)], tools)[0]


@pytest.mark.parametrize(
    ("ticket", "outcome", "reason"),
    [
        ("CHG-1", Outcome.PASS, "CHG-1 is approved"),
        ("CHG-2", Outcome.WAIT, "CHG-2 is in review, and has to be approved"),
        ("CHG-3", Outcome.FAIL, "CHG-3 is rejected"),
    ],
)
def test_the_tickets_state_is_the_answer(url: str, ticket: str, outcome: Outcome, reason: str) -> None:
    assert asked(url, {"ticket": ticket}) == Verdict(outcome=outcome, reason=reason)


@pytest.mark.parametrize("ticket", ["CHG-9", "../CHG-1", "CHG-1/..", "CHG-1?x="])
def test_a_ticket_that_is_not_there_waits(url: str, ticket: str) -> None:
    verdict = asked(url, {"ticket": ticket})

    assert verdict.outcome is Outcome.WAIT
    assert f"knows no ticket {ticket}" in verdict.reason


def test_without_a_ticket_it_fails(url: str) -> None:
    assert asked(url, {}).outcome is Outcome.FAIL


def test_it_is_found_by_its_name() -> None:
    assert isinstance(GATES.get("change-ticket"), ChangeTicket)
    assert GATES.get("change-ticket").options is ChangeTicketOptions
