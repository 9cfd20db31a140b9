"""Chat and e-mail through the apprise library, into a real receiver and a real mail server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from liftlock.errors import ConfigError, TransportError
from liftlock.kinds.tools import Tools
from liftlock.notify.apprise import Apprise, AppriseOptions
from liftlock.notify.base import Message
from liftlock.notify.testing import sample
from tests.support.mail import MailServer
from tests.support.receiver import Receiver, Reply


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def send(*urls: str, message: Message | None = None, folder: Path | None = None, **options: Any) -> None:
    secrets = {f"URL_{number}": url for number, url in enumerate(urls)}
    given = AppriseOptions.model_validate({"urls": [f"env:{name}" for name in secrets], **options})
    environment = {name: os.environ[name] for name in ("PATH", "HOME")} | secrets
    Apprise().send(message or sample(), given, Tools(folder=folder or Path(), environment=environment))


def test_a_chat_gets_words(receiver: Receiver, tmp_path: Path) -> None:
    # What lies in the pipeline file's folder is not imported.
    (tmp_path / "apprise.py").write_text("raise SystemExit('not mine')\n")
    send(f"json://{receiver.host}/s3cret", message=sample("approval-needed"), folder=tmp_path)

    said = receiver.requests[0].json()
    assert said["title"] == "shop: 42 needs approval for prod"
    digest = sample().destinations[0].digest
    assert said["message"].splitlines() == [
        "Promotion 17 of 42 to prod: waiting.",
        "",
        "Waiting for:",
        "- 2 approvals of release-managers",
        "",
        "Images:",
        f"- prod.example/prod-web@sha256:{digest.short} (42, stable)",
        "",
        "From build 42, commit 2f1c6e0.",
        "",
        "To approve: liftlock approve 42 --to prod",
        "To refuse: liftlock reject 42 --to prod",
    ]


def test_a_mail(receiver: Receiver) -> None:
    with MailServer() as server:
        address = f"mailto://{server.host}?from=liftlock@example.org&to=team@example.org&mode=insecure"
        send(address, message=sample("failure"))

        (mail,) = server.mails
    assert mail["Subject"] == "shop: 42 did not get into prod"
    assert "team@example.org" in mail["To"]
    text = mail.get_body(("plain", "html"))
    assert text is not None
    assert "the registry does not answer" in text.get_content()
    assert "liftlock promote 42 --to prod" in text.get_content()


def test_own_words_to_every_service(receiver: Receiver) -> None:
    urls = [f"json://{receiver.host}/one", f"json://{receiver.host}/two"]
    send(*urls, title="{pipeline}/{stage}", body="{release}: {state} {occasion} #{promotion}")

    assert [request.path for request in receiver.requests] == ["/one", "/two"]
    for request in receiver.requests:
        assert request.json()["title"] == "shop/prod"
        assert request.json()["message"] == "42: succeeded success #17"


def test_a_service_that_does_not_take_it_is_tried_again(receiver: Receiver) -> None:
    receiver.next(Reply(), Reply(500))

    with pytest.raises(TransportError, match=r"could not deliver it through json$") as caught:
        send(f"json://{receiver.host}/one", f"json://me:s3cret@{receiver.host}/s3cret")

    assert caught.value.temporary
    assert "s3cret" not in str(caught.value)


def test_mail_that_is_refused_is_tried_again() -> None:
    with MailServer() as server:
        server.refuse = True
        with pytest.raises(TransportError, match="through mailto") as caught:
            send(f"mailto://{server.host}?from=liftlock@example.org&to=team@example.org&mode=insecure")

        assert server.mails == []
    assert caught.value.temporary


def test_what_is_no_url_is_final_and_nothing_is_sent(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="does not understand the URL number 2 of 2") as caught:
        send(f"json://{receiver.host}/one", "s3cret://nowhere")

    assert "s3cret" not in str(caught.value)
    assert receiver.requests == []


def test_a_service_that_hangs_is_left_at_the_deadline(receiver: Receiver) -> None:
    receiver.always(Reply(how="hang"))

    with pytest.raises(TransportError, match="does not end within 2 s") as caught:
        send(f"json://{receiver.host}/s3cret", timeout="2s")

    assert caught.value.temporary


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(ValidationError, match=r"\{nothing\} has no value here"):
        AppriseOptions.model_validate({"urls": "env:CHAT", "title": "{nothing}"})


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match="not installed") as caught:
        send("json://127.0.0.1:1/x")

    assert caught.value.hint == "pip install 'liftlock[notify]', where the worker runs"
