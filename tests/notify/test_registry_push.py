"""What a registry would say after a push: the forms that hosts know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import ConfigError, LiftlockError
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.registry_push import RegistryPush, RegistryPushOptions
from liftlock.notify.testing import sample
from tests.support.receiver import Received, Receiver, Reply


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def send(receiver: Receiver, message: Message | None = None, **options: Any) -> list[Received]:
    url = f"http://$site:p%24ss@{receiver.host}/docker/hook"
    given = RegistryPushOptions.model_validate({"url": "env:HOOK", "allow-private": True, **options})
    RegistryPush().send(message or sample(), given, Tools(folder=Path(), environment={"HOOK": url}))
    return receiver.requests


def test_azure_container_registrys_form(receiver: Receiver) -> None:
    """https://learn.microsoft.com/azure/container-registry/container-registry-webhook-reference#push-event."""
    first, second = send(receiver)
    digest = sample().destinations[0].digest

    event = first.json()
    assert set(event) == {"id", "timestamp", "action", "target", "request"}
    assert (event["action"], event["timestamp"]) == ("push", "2026-11-20T09:30:00.000Z")
    assert event["target"] == {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "size": 856,
        "digest": digest,
        "length": 856,
        "repository": "prod-web",
        "tag": "42",
    }
    assert (event["request"]["host"], event["request"]["method"]) == ("prod.example", "PUT")
    assert second.json()["target"]["tag"] == "stable"
    assert second.json()["id"] != event["id"]
    assert first.headers["content-type"] == "application/json"


def test_the_hosts_credentials_become_authorization(receiver: Receiver) -> None:
    request = send(receiver)[0]

    assert request.headers["authorization"] == "Basic JHNpdGU6cCRzcw=="
    assert (request.target, b"p$ss" in request.body) == ("/docker/hook", False)


def test_docker_hubs_form(receiver: Receiver) -> None:
    request, *_ = send(receiver, sample(to="docker.io/acme/{image}"), format="docker-hub")

    payload = request.json()
    assert payload["push_data"]["tag"] == "42"
    assert payload["push_data"]["pushed_at"] == 1795167000
    assert payload["repository"]["repo_name"] == "acme/web"
    assert (payload["repository"]["namespace"], payload["repository"]["name"]) == ("acme", "web")


def test_docker_hubs_form_for_another_registry_names_it(receiver: Receiver) -> None:
    request, *_ = send(receiver, format="docker-hub")

    assert request.json()["repository"]["repo_name"] == "prod.example/prod-web"


def test_distributions_form(receiver: Receiver) -> None:
    """https://distribution.github.io/distribution/about/notifications/#events."""
    request, *_ = send(receiver, format="distribution")

    assert request.headers["content-type"] == "application/vnd.docker.distribution.events.v1+json"
    (event,) = request.json()["events"]
    target = event["target"]
    assert (event["action"], target["repository"], target["tag"]) == ("push", "prod-web", "42")
    assert target["url"] == f"https://prod.example/v2/prod-web/manifests/{target['digest']}"
    assert event["source"]["addr"] == "prod.example"


def test_one_call_for_each_image_and_tag(receiver: Receiver) -> None:
    requests = send(receiver, sample(images=("web", "worker")))

    targets = [request.json()["target"] for request in requests]
    assert [(target["repository"], target["tag"]) for target in targets] == [
        ("prod-web", "42"),
        ("prod-web", "stable"),
        ("prod-worker", "42"),
        ("prod-worker", "stable"),
    ]


def test_another_try_says_the_same(receiver: Receiver) -> None:
    receiver.next(Reply(), Reply(503))
    with pytest.raises(LiftlockError) as caught:
        send(receiver)
    assert caught.value.temporary
    send(receiver)

    first, refused, again, _ = receiver.requests
    assert again.body == first.body
    assert refused.json()["id"] == receiver.requests[3].json()["id"]
    assert first.headers["idempotency-key"] == json.loads(first.body)["id"]


def test_only_a_success_is_a_push(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="nothing has") as caught:
        send(receiver, sample("failure"))

    assert caught.value.hint == "use registry-push only with on: [success]"
    assert receiver.requests == []


def test_a_layout_is_no_registry(receiver: Receiver) -> None:
    with pytest.raises(ConfigError, match="has no registry"):
        send(receiver, sample(to="oci:out/{image}"))
