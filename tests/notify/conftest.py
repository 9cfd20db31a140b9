"""Azure's hosts for the notifiers of its kinds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from liftlock.errors import LiftlockError
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.table import NOTIFIERS
from liftlock.notify.testing import check, sample
from tests.support.arm import GROUP, Arm
from tests.support.azure import SECRET, Entra
from tests.support.certificates import Authority
from tests.support.receiver import Received, Receiver


@dataclass
class Azure:
    """Doubles of Resource Manager and of Entra ID, and somebody with an identity there."""

    arm: Arm
    receiver: Receiver
    environment: dict[str, str]
    folder: Path

    def send(self, kind: str, message: Message | None = None, **options: Any) -> LiftlockError | None:
        """Send by a notifier of this kind; nothing secret may be said."""
        given = {"allow-private": True, **{key.replace("_", "-"): value for key, value in options.items()}}
        tools = Tools(folder=self.folder, environment=self.environment)
        return check(NOTIFIERS.get(kind), given, tools, secrets=[SECRET, "eyJ"], message=message or sample())

    def sent(self) -> list[Received]:
        """The requests that change something, so far."""
        return [each for each in self.receiver.requests if each.method != "GET"]


@pytest.fixture(scope="session")
def entra(authority: Authority) -> Iterator[Entra]:
    with Entra(authority) as running:
        yield running


@pytest.fixture
def azure(entra: Entra, tmp_path: Path) -> Iterator[Azure]:
    arm = Arm()
    with Receiver() as receiver:
        arm.url = receiver.url
        receiver.always(arm.answer)
        environment = {**entra.env, "AZURE_RESOURCE_MANAGER_ENDPOINT": receiver.url}
        yield Azure(arm=arm, receiver=receiver, environment=environment, folder=tmp_path)


@pytest.fixture
def app(azure: Azure) -> dict[str, Any]:
    """A container app ``shop`` with an image to be set, and one beside it."""
    name = f"{GROUP}/Microsoft.App/containerApps/shop"
    azure.arm.resources[name] = {
        "id": name,
        "name": "shop",
        "type": "Microsoft.App/containerApps",
        "location": "westeurope",
        "tags": {"team": "shop"},
        "properties": {
            "configuration": {"secrets": [{"name": "key"}]},
            "template": {
                "containers": [
                    {"name": "web", "image": "prod.example/prod-web:41", "env": [{"name": "K", "secretRef": "key"}]},
                    {"name": "proxy", "image": "proxy:1", "resources": {"cpu": 0.5}},
                ],
                "scale": {"minReplicas": 1},
            },
        },
    }
    return azure.arm.resources[name]


@pytest.fixture
def group(azure: Azure) -> dict[str, Any]:
    """A container group ``batch`` that has nothing which cannot be read."""
    name = f"{GROUP}/Microsoft.ContainerInstance/containerGroups/batch"
    pulling = "/subscriptions/1/resourceGroups/live/providers/Microsoft.ManagedIdentity/userAssignedIdentities/pull"
    azure.arm.resources[name] = {
        "id": name,
        "name": "batch",
        "type": "Microsoft.ContainerInstance/containerGroups",
        "location": "westeurope",
        "identity": {
            "type": "UserAssigned",
            "userAssignedIdentities": {pulling: {"principalId": "p", "clientId": "c"}},
        },
        "properties": {
            "osType": "Linux",
            "containers": [
                {
                    "name": "web",
                    "properties": {
                        "image": "prod.example/prod-web:stable",
                        "environmentVariables": [{"name": "MODE", "value": "batch"}],
                        "instanceView": {"restartCount": 0},
                    },
                },
                {"name": "side", "properties": {"image": "side:1"}},
            ],
            "imageRegistryCredentials": [{"server": "prod.example", "identity": pulling}],
            "ipAddress": {"type": "Public", "ports": [{"port": 80}], "ip": "192.0.2.1", "fqdn": "batch.example"},
            "instanceView": {"state": "Running", "events": []},
        },
    }
    return azure.arm.resources[name]


@pytest.fixture
def site(azure: Azure) -> dict[str, Any]:
    """The configuration of the site ``shop``."""
    name = f"{GROUP}/Microsoft.Web/sites/shop/config/web"
    azure.arm.resources[name] = {
        "id": name,
        "name": "shop",
        "type": "Microsoft.Web/sites/config",
        "properties": {"linuxFxVersion": "DOCKER|prod.example/prod-web:41", "alwaysOn": True},
    }
    return azure.arm.resources[name]
