"""Signed webhooks: what arrives, and that whoever has the secret can tell where it comes from."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liftlock.auth.secret import Secret
from liftlock.errors import ConfigError, LiftlockError, Throttled
from liftlock.kinds.tools import Tools
from liftlock.notify.testing import sample
from liftlock.notify.webhook import Webhook, WebhookOptions, sign
from tests.support.receiver import Received, Receiver, Reply

PAGE = Path(__file__).parent.parent.parent / "docs/how-to/notify-webhook.md"
KEY = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def send(receiver: Receiver, environment: dict[str, str] | None = None, **options: Any) -> Received:
    given = WebhookOptions.model_validate({"url": f"{receiver.url}/hook", "allow-private": True, **options})
    Webhook().send(sample(), given, Tools(folder=Path(), environment=environment or {}))
    return receiver.requests[-1]


def test_the_specifications_own_example() -> None:
    """https://github.com/standard-webhooks/standard-webhooks/blob/main/libraries/python/tests/test_webhooks.py."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    made = sign([secret], key="msg_p5jXN8AQM9LWM0D4loKWxJek", at=1614265330, body=b'{"test": 2432232314}')

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_what_arrives(receiver: Receiver) -> None:
    earliest = int(time.time())
    request = send(receiver, {"KEY": KEY, "TOKEN": "t0ken"}, secret="env:KEY", headers={"Authorization": "env:TOKEN"})

    assert (request.method, request.path) == ("POST", "/hook")
    assert request.json() == sample().to_json()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "t0ken"
    assert request.headers["webhook-id"] == request.headers["idempotency-key"] == sample().key
    assert earliest <= int(request.headers["webhook-timestamp"]) <= time.time()
    expected = sign([Secret(KEY)], key=sample().key, at=int(request.headers["webhook-timestamp"]), body=request.body)
    assert request.headers["webhook-signature"] == expected


def test_while_a_secret_is_being_changed_both_are_signed_with(receiver: Receiver) -> None:
    request = send(receiver, {"OLD": "plain old", "NEW": KEY}, secret=["env:OLD", "env:NEW"])

    signed = f"{sample().key}.{request.headers['webhook-timestamp']}.".encode() + request.body
    signatures = request.headers["webhook-signature"].split(" ")
    keys = (b"plain old", b"0123456789abcdef01234567")
    assert signatures == [
        "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() for key in keys
    ]


def test_the_body_is_the_same_in_every_try(receiver: Receiver) -> None:
    first, second = send(receiver), send(receiver)

    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])
    assert "webhook-signature" not in first.headers


def test_own_headers_do_not_replace_the_signature(receiver: Receiver) -> None:
    own = {"Webhook-Id": "mine", "WEBHOOK-SIGNATURE": "mine", "X-Mine": "mine"}
    request = send(receiver, {"S": "s"}, secret="env:S", headers=own)

    assert request.headers["webhook-id"] == sample().key
    assert request.headers["webhook-signature"].startswith("v1,")
    assert request.headers["x-mine"] == "mine"


def test_a_host_that_asks_for_patience(receiver: Receiver) -> None:
    receiver.always(Reply(429, headers={"Retry-After": "90"}))

    with pytest.raises(Throttled) as caught:
        send(receiver)

    assert caught.value.retry_after == 90


@pytest.mark.parametrize(("status", "temporary"), [(500, True), (400, False), (302, False)])
def test_other_answers(receiver: Receiver, status: int, temporary: bool) -> None:
    receiver.always(Reply(status))

    with pytest.raises(LiftlockError, match=str(status)) as caught:
        send(receiver)

    assert caught.value.temporary is temporary


def test_a_private_address_has_to_be_allowed(receiver: Receiver) -> None:
    with pytest.raises(LiftlockError, match="private address"):
        send(receiver, None, **{"allow-private": False})

    assert receiver.requests == []


def test_a_secret_that_is_cut_is_not_shown(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="not base64") as caught:
        send(receiver, {"KEY": "whsec_c3VwZXJ-cut"}, secret="env:KEY")

    assert "c3VwZXJ" not in f"{caught.value} {caught.value.hint}"
    assert receiver.requests == []


def test_a_secret_is_looked_up_when_it_is_sent(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="the environment variable KEY is not set"):
        send(receiver, secret="env:KEY")


def test_the_five_lines_of_the_page_verify_it(receiver: Receiver) -> None:
    script = next(block for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    assert len([line for line in script.splitlines() if line and not line.startswith(("import", "from"))]) <= 6
    namespace: dict[str, Any] = {}
    exec(script, namespace)
    request = send(receiver, {"OLD": "other", "KEY": KEY}, secret=["env:OLD", "env:KEY"])

    assert namespace["verified"](request.headers, request.body, KEY)
    assert not namespace["verified"](request.headers, request.body + b" ", KEY)
    assert not namespace["verified"](request.headers, request.body, "whsec_AAAA")
    assert not namespace["verified"]({**request.headers, "webhook-id": "other"}, request.body, KEY)
    late = {**request.headers, "webhook-timestamp": str(int(request.headers["webhook-timestamp"]) - 3600)}
    signature = sign([Secret(KEY)], key=sample().key, at=int(late["webhook-timestamp"]), body=request.body)
    assert not namespace["verified"]({**late, "webhook-signature": signature}, request.body, KEY)
    assert json.loads(request.body)["type"] == "promotion.success"
