"""The gate that asks a server: what it sends, what it makes of the answer, and where it does not go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from liftlock.gates.ask import ask
from liftlock.gates.http import HttpOptions
from liftlock.gates.testing import question
from liftlock.kinds.tools import Tools
from liftlock.release.conditions import Outcome, Verdict
from liftlock.release.stage import GateRule
from tests.support.receiver import Receiver, Reply

PASS, WAIT, FAIL = Outcome.PASS, Outcome.WAIT, Outcome.FAIL


@pytest.fixture
def server() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def asked(url: str, options: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Verdict:
    """The gate's answer about build 42 with the label risk=low, when it may go to loopback."""
    rule = GateRule(kind="http", options={"url": url, "allow-private": True, **(options or {})})
    tools = Tools(folder=Path(), environment=environment or {})
    return ask(question(labels={"risk": "low"}), [rule], tools)[0]


def body(value: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def test_a_200_passes(server: Receiver) -> None:
    verdict = asked(f"{server.url}/ready?of=web")

    assert verdict == Verdict(outcome=PASS, reason=f"{server.host} answers with status 200: status == 200")
    [request] = server.requests
    assert (request.method, request.target, request.body) == ("GET", "/ready?of=web", b"")


@pytest.mark.parametrize("status", [201, 204, 302, 404, 429, 500, 503])
def test_anything_else_waits(server: Receiver, status: int) -> None:
    server.always(Reply(status))

    verdict = asked(server.url)

    assert verdict.outcome is WAIT
    assert verdict.reason == f"{server.host} answers with status {status}, and it is not true that status == 200"


@pytest.mark.parametrize(
    ("expression", "outcome"),
    [
        ("json.state == 'ready'", PASS),
        ("json.state == 'done'", WAIT),
        ("status == 200 && json.checks.all(check, check.ok)", PASS),
        ("json.checks.exists(check, !check.ok)", WAIT),
        ("headers['x-state'] == 'a, b' && headers['content-type'].startsWith('application/json')", PASS),
        ("body.contains('ready') && size(body) > 5", PASS),
        ("artifact.build == '42' && labels.risk == 'low' && stage == 'prod' && has(release.id)", PASS),
        ("images.web.startsWith('sha256:') && json.build == artifact.build", PASS),
    ],
)
def test_what_is_asked_of_the_answer(server: Receiver, expression: str, outcome: Outcome) -> None:
    reply = body({"state": "ready", "build": "42", "checks": [{"ok": True}, {"ok": True}]})
    server.always(Reply(200, reply.body, {**reply.headers, "X-State": "a", "x-state": "b"}))

    assert asked(server.url, {"pass": expression}).outcome is outcome


@pytest.mark.parametrize(("state", "outcome"), [("ready", PASS), ("broken", FAIL), ("busy", WAIT)])
def test_pass_fail_and_wait(server: Receiver, state: str, outcome: Outcome) -> None:
    server.always(body({"state": state}))

    options = {"pass": "json.state == 'ready'", "fail-when": "json.state == 'broken'"}

    assert asked(server.url, options).outcome is outcome


@pytest.mark.parametrize(
    ("expression", "reply"),
    [
        ("json.state == 'ready'", Reply(200, b"<html>ready</html>")),
        ("json.state == 'ready'", body({})),
        ("json.state == 'ready'", body(["ready"])),
        ("json.state != 7", body({"state": "7"})),
        ("json.state", body({"state": "true"})),
        ("headers['x-missing'] != 'no'", body({})),
        ("json.state == 1", Reply(200, b'{"state": ' + b"9" * 40 + b"}")),
        ("json.state == 1", Reply(200, b"[" * 100_000)),
    ],
)
def test_an_answer_that_the_expression_does_not_fit_waits(server: Receiver, expression: str, reply: Reply) -> None:
    server.always(reply)

    verdict = asked(server.url, {"pass": expression})

    assert verdict.outcome is WAIT
    assert "the expression" in verdict.reason


def test_what_is_sent(server: Receiver) -> None:
    options = {
        "method": "POST",
        "headers": {"Authorization": "env:TOKEN", "Accept": "application/json"},
        "body": "env:BODY",
    }

    verdict = asked(
        "env:URL", options, {"URL": f"{server.url}/key/s3cr3t-in-path", "TOKEN": "Bearer t0k3n", "BODY": "{}"}
    )

    assert verdict.outcome is PASS
    [request] = server.requests
    assert (request.method, request.target, request.body) == ("POST", "/key/s3cr3t-in-path", b"{}")
    assert (request.headers["authorization"], request.headers["accept"]) == ("Bearer t0k3n", "application/json")


def test_without_a_body_the_question_is_posted(server: Receiver) -> None:
    asked(server.url, {"method": "POST"})

    [request] = server.requests
    assert request.headers["content-type"] == "application/json"
    sent = request.json()
    assert (sent["stage"], sent["artifact"]["build"], sent["artifact"]["labels"]) == ("prod", "42", {"risk": "low"})
    assert sent["release"]["id"] == str(question(labels={"risk": "low"}).release.id)


@pytest.mark.parametrize(
    "reply", [Reply(500), Reply(200, b"t0k3n is wrong"), Reply(how="cut"), Reply(302, b"", {"Location": "/t0k3n"})]
)
def test_no_secret_is_in_any_reason(server: Receiver, reply: Reply) -> None:
    server.always(reply)
    host = server.url.replace("http://", "http://user:passw0rd@")

    verdict = asked(
        "env:URL",
        {"headers": {"X-Token": "env:TOKEN"}, "pass": "json.x == 1"},
        {"URL": f"{host}/p4th?q=qu3ry", "TOKEN": "t0k3n"},
    )

    assert verdict.outcome is WAIT
    assert not [secret for secret in ("t0k3n", "passw0rd", "p4th", "qu3ry") if secret in verdict.reason]


def test_a_redirect_takes_no_credentials_anywhere(server: Receiver) -> None:
    with Receiver() as other:
        server.redirect(other.url)

        assert asked(server.url, {"headers": {"Authorization": "env:TOKEN"}}, {"TOKEN": "t0k3n"}).outcome is WAIT
        assert other.requests == []


def test_private_addresses_are_for_those_who_ask(server: Receiver) -> None:
    refused = asked(server.url, {"allow-private": False})

    assert refused.outcome is WAIT
    assert "is a private address: refused (if that is meant, say allow-private: true)" in refused.reason
    assert server.requests == []


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data", "http://metadata.google.internal/"])
def test_a_clouds_credentials_are_out_of_reach(url: str) -> None:
    verdict = asked(url)

    assert verdict.outcome is WAIT
    assert "credentials: refused" in verdict.reason


def test_a_server_that_hangs_waits(server: Receiver) -> None:
    server.always(Reply(how="hang"))

    verdict = asked(server.url, {"timeout": "1s"})

    assert verdict == Verdict(outcome=WAIT, reason=f"{server.host} does not answer within 1 s")


def test_an_answer_without_end_waits(server: Receiver) -> None:
    server.always(Reply(200, b"x" * (1024 * 1024 + 1)))

    verdict = asked(server.url)

    assert verdict.outcome is WAIT
    assert "longer than 1048576 bytes" in verdict.reason


def test_nobody_there_waits(server: Receiver) -> None:
    server.stop()

    assert asked(server.url).outcome is WAIT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://checks.example/ready"}, "it is no http or https URL"),
        ({"pass": "status = 200"}, "it is not an expression"),
        ({"fail-when": "stauts >= 500"}, "there is no 'stauts'"),
        ({"method": "DELETE"}, "'GET' or 'POST'"),
        ({"timeout": "0s"}, "between 1s and 5m"),
        ({"timeout": "6m"}, "between 1s and 5m"),
        ({"expect": "true"}, "not permitted"),
        ({"allow_private": True}, "not permitted"),
    ],
)
def test_mistakes_are_found_when_the_pipeline_is_read(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HttpOptions.model_validate({"url": "https://checks.example", **options})
