"""A kind's one request: its deadline, its bounds, where it may lead, and what is shown of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from liftlock.auth.secret import Secret
from liftlock.errors import Cancelled, ConfigError, CorruptContent, LiftlockError, Throttled, TransportError
from liftlock.kinds.http import MAX_ANSWER, Answer, Call, call
from liftlock.kinds.tools import Tools
from tests.support.certificates import Authority
from tests.support.receiver import Receiver, Reply


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def ask(url: str, *, timeout: float = 20, allow_private: bool = True, tools: Tools | None = None) -> Answer:
    tools = tools or Tools(folder=Path(), environment={})
    return call(
        Call(method="POST", url=Secret(url), timeout=timeout, body=b"hello", allow_private=allow_private), tools
    )


def test_any_status_is_an_answer(receiver: Receiver) -> None:
    receiver.next(Reply(404, b"nothing here", {"X-Why": "gone"}))

    answer = ask(f"{receiver.url}/hook?a=1")

    assert (answer.status, answer.body, answer.headers.get("x-why")) == (404, b"nothing here", "gone")
    assert answer.host == receiver.host
    assert (receiver.requests[0].target, receiver.requests[0].body) == ("/hook?a=1", b"hello")


def test_user_and_password_of_the_url_become_authorization(receiver: Receiver) -> None:
    ask(f"http://$site:p%40ss@{receiver.host}/docker/hook")

    assert receiver.requests[0].headers["authorization"] == "Basic JHNpdGU6cEBzcw=="
    assert receiver.requests[0].target == "/docker/hook"


@pytest.mark.parametrize(
    ("status", "temporary"),
    [
        *((status, None) for status in (200, 202, 204)),
        *((status, False) for status in (301, 400, 401, 404, 410)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503)),
    ],
)
def test_which_statuses_are_worth_another_try(receiver: Receiver, status: int, temporary: bool | None) -> None:
    receiver.next(Reply(status))
    answer = ask(receiver.url)
    if temporary is None:
        answer.require_success()
        return

    with pytest.raises(LiftlockError, match=str(status)) as caught:
        answer.require_success()

    assert caught.value.temporary is temporary


def test_a_host_says_how_long_to_wait(receiver: Receiver) -> None:
    receiver.next(Reply(503, headers={"Retry-After": "120"}))

    with pytest.raises(Throttled) as caught:
        ask(receiver.url).require_success()

    assert caught.value.retry_after == 120


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    with Receiver() as other:
        receiver.redirect(f"{other.url}/inner")
        answer = ask(receiver.url)

        assert (answer.status, other.requests) == (307, [])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x",
        "http://localhost:9/x",
        "http://10.1.2.3/x",
        "http://[::1]:9/x",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://user:pw@127.1:9/",
    ],
)
def test_a_private_address_is_refused_unless_allowed(url: str) -> None:
    with pytest.raises(TransportError, match="is a private address: refused") as caught:
        ask(url, allow_private=False)

    assert (caught.value.temporary, caught.value.hint) == (False, "if that is meant, say allow-private: true")


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    here = ("127.0.0.1", int(receiver.host.rpartition(":")[2]))

    def getaddrinfo(host: bytes, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", here)]

    monkeypatch.setattr("liftlock.transport.addresses.socket.getaddrinfo", getaddrinfo)
    with pytest.raises(TransportError, match=r"^hook\.example.* is a private address"):
        ask("http://hook.example:8080/", allow_private=False)
    assert (len(asked), receiver.requests) == (1, [])

    assert ask("http://hook.example:8080/").status == 200
    assert len(asked) == 2


def test_a_host_that_nobody_knows_is_not_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(host: bytes, port: int, **_: object) -> list[tuple[object, ...]]:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr("liftlock.transport.addresses.socket.getaddrinfo", getaddrinfo)
    with pytest.raises(TransportError, match=r"hook\.example: the host cannot be found") as caught:
        ask("http://hook.example/s3cret")

    assert caught.value.temporary


@pytest.mark.parametrize("host", ["169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]", "168.63.129.16"])
def test_a_machines_credentials_are_never_asked_for(host: str) -> None:
    with pytest.raises(TransportError, match="credentials: refused") as caught:
        ask(f"http://{host}/latest/meta-data")

    assert not caught.value.temporary


def test_a_silent_host_is_left_at_the_deadline(receiver: Receiver) -> None:
    receiver.always(Reply(how="hang"))

    with pytest.raises(TransportError, match=r"does not answer within 0\.3 s") as caught:
        ask(f"{receiver.url}/s3cret", timeout=0.3)

    assert caught.value.temporary
    assert "s3cret" not in str(caught.value)


def test_a_cut_answer_is_temporary(receiver: Receiver) -> None:
    receiver.always(Reply(how="cut"))

    with pytest.raises(TransportError) as caught:
        ask(f"{receiver.url}/s3cret")

    assert caught.value.temporary
    assert str(caught.value).startswith(receiver.host)
    assert "s3cret" not in str(caught.value)


def test_nobody_listens() -> None:
    with Receiver() as gone:
        url = f"http://me:pw0rd@{gone.host}/s3cret?sig=s3cret"

    with pytest.raises(TransportError, match="refuses connections") as caught:
        ask(url)

    assert caught.value.temporary
    assert "s3cret" not in str(caught.value)
    assert "pw0rd" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_an_endless_answer_is_refused(receiver: Receiver) -> None:
    receiver.always(Reply(200, b"x" * (MAX_ANSWER + 1)))

    with pytest.raises(CorruptContent, match="longer than"):
        ask(receiver.url)


@pytest.mark.parametrize("url", ["s3cret", "ftp://s3cret/", "http://[s3cret", "http://a/\ns3cret", "https:///s3cret"])
def test_what_is_no_url_is_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="no http or https URL") as caught:
        ask(url)

    assert "s3cret" not in f"{caught.value} {caught.value.hint} {caught.value.__context__!r}"


def test_somebody_who_asks_to_stop_is_heard(receiver: Receiver) -> None:
    receiver.always(Reply(how="hang"))
    stop = threading.Event()
    tools = Tools(folder=Path(), environment={}, cancelled=stop.is_set)
    caught: list[BaseException] = []

    def run() -> None:
        with pytest.raises(Cancelled) as raised:
            ask(receiver.url, tools=tools)
        caught.append(raised.value)

    thread = threading.Thread(target=run)
    thread.start()
    receiver.wait()
    stop.set()
    thread.join()

    assert len(caught) == 1


def test_tls_is_checked(authority: Authority) -> None:
    with Receiver(tls=authority) as secured:
        trusting = Tools(folder=Path(), environment={"SSL_CERT_FILE": str(authority.ca)})

        assert ask(secured.url, tools=trusting).status == 200
        with pytest.raises(TransportError, match="certificate"):
            ask(secured.url)
