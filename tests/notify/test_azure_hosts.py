"""Azure's hosts that are told through Resource Manager: container apps, container groups, sites.

Resource Manager and Entra ID are doubles (`tests.support.arm`, `tests.support.azure`); the real ones were not touched.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import pytest

from liftlock.errors import AccessDenied, ConfigError, LiftlockError, NotFound
from liftlock.notify.base import Message
from liftlock.notify.container_apps import ContainerAppsOptions
from liftlock.notify.testing import sample
from tests.notify.conftest import Azure
from tests.support.arm import GROUP
from tests.support.receiver import Receiver, Reply

APP = f"{GROUP}/Microsoft.App/containerApps/shop"
BATCH = f"{GROUP}/Microsoft.ContainerInstance/containerGroups/batch"
SITE = f"{GROUP}/Microsoft.Web/sites/shop"
AT = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)
NOTED = {"liftlock-stage": "shop/prod", "liftlock-at": "2026-11-20T09:30:00+00:00"}
KINDS = {"container-apps": APP, "container-instances": BATCH, "app-service": SITE}
Way = Literal["operation", "location", "state"]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, app: Any, group: Any, site: Any) -> str:
    return str(request.param)


def reference(message: Message | None = None) -> str:
    return f"prod.example/prod-web@{(message or sample()).destinations[0].digest}"


def later() -> Message:
    return sample(build="43", at=AT + dt.timedelta(seconds=1))


# --- container apps ---------------------------------------------------------------------------------------------------


def test_an_app_gets_a_revision_with_the_digest(azure: Azure, app: dict[str, Any]) -> None:
    assert azure.send("container-apps", resource=APP) is None

    (request,) = azure.sent()
    assert (request.method, request.target) == ("PATCH", f"{APP}?api-version=2024-03-01")
    assert request.headers["content-type"] == "application/json"
    web, proxy = request.json()["properties"]["template"]["containers"]
    assert request.json() == {
        "location": "westeurope",
        "tags": {"team": "shop", **NOTED},
        "properties": {"template": {"containers": [web, proxy]}},
    }
    assert web == {"name": "web", "image": reference(), "env": [{"name": "K", "secretRef": "key"}]}
    assert proxy == {"name": "proxy", "image": "proxy:1", "resources": {"cpu": 0.5}}


def test_a_revisions_own_name_is_not_used_again(azure: Azure, app: dict[str, Any]) -> None:
    app["properties"]["template"]["revisionSuffix"] = "v1"
    assert azure.send("container-apps", resource=APP) is None

    assert azure.sent()[0].json()["properties"]["template"]["revisionSuffix"] is None
    assert "revisionSuffix" not in app["properties"]["template"]


def test_a_revision_that_failed_is_tried_again(azure: Azure, app: dict[str, Any]) -> None:
    assert azure.send("container-apps", resource=APP) is None
    app["properties"]["provisioningState"] = "Failed"
    error = azure.send("container-apps", resource=APP)

    assert str(error) == "Azure could not bring shop to its new image: Failed"
    assert azure.sent()[1].json()["properties"]["template"]["containers"][0]["image"] == reference()


# --- container groups -------------------------------------------------------------------------------------------------


def test_a_group_is_put_with_the_digest_and_nothing_that_only_azure_says(azure: Azure, group: dict[str, Any]) -> None:
    pulling = group["properties"]["imageRegistryCredentials"][0]["identity"]
    assert azure.send("container-instances", resource=BATCH) is None

    (request,) = azure.sent()
    assert (request.method, request.target) == ("PUT", f"{BATCH}?api-version=2023-05-01")
    assert request.json() == {
        "location": "westeurope",
        "tags": NOTED,
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {pulling: {}}},
        "properties": {
            "osType": "Linux",
            "containers": [
                {
                    "name": "web",
                    "properties": {
                        "image": reference(),
                        "environmentVariables": [{"name": "MODE", "value": "batch"}],
                    },
                },
                {"name": "side", "properties": {"image": "side:1"}},
            ],
            "imageRegistryCredentials": [{"server": "prod.example", "identity": pulling}],
            "ipAddress": {"type": "Public", "ports": [{"port": 80}]},
        },
    }


SECRETS: list[tuple[dict[str, Any], str]] = [
    ({"imageRegistryCredentials": [{"server": "prod.example", "username": "u"}]}, "the password of the registry prod"),
    ({"volumes": [{"name": "data", "azureFile": {"shareName": "s"}}]}, "the storage key of the volume data"),
    ({"volumes": [{"name": "keys", "secret": {}}]}, "the secret volume keys"),
    ({"extensions": [{"name": "kube-proxy"}]}, "the protected settings of the extension kube-proxy"),
    ({"diagnostics": {"logAnalytics": {"workspaceId": "w"}}}, "the key of its log workspace"),
    (
        {"initContainers": [{"name": "i", "properties": {"image": "i", "environmentVariables": [{"name": "KEY"}]}}]},
        "the secure value of KEY",
    ),
]


@pytest.mark.parametrize(("properties", "said"), SECRETS, ids=[said for _, said in SECRETS])
def test_a_group_with_secrets_is_not_put(
    properties: dict[str, Any], said: str, *, azure: Azure, group: dict[str, Any]
) -> None:
    group["properties"] |= properties
    error = azure.send("container-instances", resource=BATCH)

    assert isinstance(error, ConfigError)
    assert said in str(error)
    assert "restart: true" in error.hint
    assert azure.sent() == []


def test_a_group_with_secrets_is_restarted_to_pull_its_tag(azure: Azure, group: dict[str, Any]) -> None:
    group["properties"] |= SECRETS[0][0]
    azure.arm.looks = 2
    assert azure.send("container-instances", resource=BATCH, restart=True) is None

    (request,) = azure.sent()
    assert (request.method, request.target, request.body) == ("POST", f"{BATCH}/restart?api-version=2023-05-01", b"")


def test_a_restart_that_would_pull_something_else_is_refused(azure: Azure, group: dict[str, Any]) -> None:
    group["properties"]["containers"][0]["properties"]["image"] = "prod.example/prod-web:41"
    error = azure.send("container-instances", resource=BATCH, restart=True)

    assert isinstance(error, ConfigError)
    assert "runs prod.example/prod-web:41: no restart brings it what was promoted" in str(error)
    assert error.hint == "let it run prod.example/prod-web:42 or prod.example/prod-web:stable"
    assert azure.sent() == []


def test_a_group_that_has_ended_cannot_be_changed(azure: Azure, group: dict[str, Any]) -> None:
    group["properties"]["instanceView"]["state"] = "Succeeded"
    error = azure.send("container-instances", resource=BATCH)

    assert "has ended" in str(error)
    assert azure.sent() == []


# --- sites ------------------------------------------------------------------------------------------------------------


def test_a_site_gets_the_digest(azure: Azure, site: dict[str, Any]) -> None:
    assert azure.send("app-service", resource=SITE) is None

    (request,) = azure.sent()
    assert (request.method, request.target) == ("PATCH", f"{SITE}/config/web?api-version=2023-12-01")
    assert request.json() == {"properties": {"linuxFxVersion": f"DOCKER|{reference()}"}}
    assert site["properties"]["alwaysOn"] is True


def test_a_slot_of_a_site(azure: Azure, site: dict[str, Any]) -> None:
    azure.arm.resources[f"{SITE}/slots/green/config/web"] = site
    assert azure.send("app-service", resource=SITE, slot="green") is None

    assert azure.sent()[0].path == f"{SITE}/slots/green/config/web"


@pytest.mark.parametrize("runs", ["PYTHON|3.12", "sitecontainers", "COMPOSE|dmVyc2lvbg==", ""])
def test_a_site_that_runs_something_else_is_left_alone(runs: str, azure: Azure, site: dict[str, Any]) -> None:
    site["properties"]["linuxFxVersion"] = runs
    error = azure.send("app-service", resource=SITE)

    assert isinstance(error, ConfigError)
    assert f"runs {runs or 'no Linux container'}" in str(error)
    assert azure.sent() == []


def test_a_sites_webhook_is_told_as_by_its_registry(azure: Azure) -> None:
    with Receiver() as hook:
        azure.environment["HOOK"] = f"http://$shop:hunter2@{hook.host}/api/registry/webhook"
        message = sample(images=("web", "worker"))
        assert azure.send("app-service", message, webhook="env:HOOK", image="worker") is None

        told = [each.json()["target"] for each in hook.requests]
        assert [(each["repository"], each["tag"]) for each in told] == [
            ("prod-worker", "42"),
            ("prod-worker", "stable"),
        ]
        assert hook.requests[0].target == "/api/registry/webhook"
        assert hook.requests[0].headers["authorization"].startswith("Basic ")
    assert azure.receiver.requests == []


def test_a_site_has_one_image(azure: Azure, site: dict[str, Any]) -> None:
    several = sample(images=("web", "worker"))
    error = azure.send("app-service", several, resource=SITE)
    assert (str(error), error and error.hint) == ("app-service: which image?", "say image: one of web, worker")

    error = azure.send("app-service", several, resource=SITE, image="wbe")
    assert str(error) == "app-service: there is no image 'wbe'"


# --- all of them ------------------------------------------------------------------------------------------------------


def test_what_is_there_is_not_sent_again(kind: str, azure: Azure) -> None:
    assert azure.send(kind, resource=KINDS[kind]) is None
    assert azure.send(kind, resource=KINDS[kind]) is None
    assert len(azure.sent()) == 1

    assert azure.send(kind, later(), resource=KINDS[kind]) is None
    assert reference(later()) in azure.sent()[1].body.decode()


@pytest.mark.parametrize("kind", ["container-apps", "container-instances"])
def test_a_late_message_undoes_no_later_promotion(kind: str, azure: Azure, app: Any, group: Any) -> None:
    assert azure.send(kind, later(), resource=KINDS[kind]) is None
    assert azure.send(kind, sample(), resource=KINDS[kind]) is None

    assert len(azure.sent()) == 1


@pytest.mark.parametrize("kind", ["container-apps", "container-instances"])
def test_the_same_image_again_is_noted_without_a_new_start(kind: str, azure: Azure, app: Any, group: Any) -> None:
    assert azure.send(kind, resource=KINDS[kind]) is None
    assert azure.send(kind, sample(at=AT + dt.timedelta(hours=1)), resource=KINDS[kind]) is None

    noted = azure.sent()[1]
    assert noted.method == "PATCH"
    assert noted.json()["tags"]["liftlock-at"] == "2026-11-20T10:30:00+00:00"
    assert "properties" not in noted.json()


@pytest.mark.parametrize("way", ["operation", "location", "state"])
@pytest.mark.parametrize("kind", ["container-apps", "container-instances"])
def test_it_waits_until_azure_is_done(kind: str, way: Way, *, azure: Azure, app: Any, group: Any) -> None:
    azure.arm.way, azure.arm.looks = way, 3
    assert azure.send(kind, resource=KINDS[kind]) is None

    after = azure.receiver.requests[2:]
    looked = [each for each in after if each.path.startswith("/operations/") is not (way == "state")]
    assert len(looked) == 3
    assert {each.headers["authorization"] for each in after} == {azure.sent()[0].headers["authorization"]}


@pytest.mark.parametrize("kind", ["container-apps", "container-instances"])
def test_what_azure_cannot_do_is_final(kind: str, azure: Azure, app: Any, group: Any) -> None:
    azure.arm.looks, azure.arm.outcome = 1, "Failed"
    error = azure.send(kind, resource=KINDS[kind])

    assert error is not None
    assert "Failed (InaccessibleImage)" in str(error)
    assert not error.temporary


@pytest.mark.parametrize("kind", ["container-apps", "container-instances"])
def test_what_takes_longer_is_waited_for_again(kind: str, azure: Azure, app: Any, group: Any) -> None:
    azure.receiver.next(
        azure.arm.answer,
        Reply(202, headers={"Azure-AsyncOperation": f"{azure.receiver.url}/operations/1", "Retry-After": "600"}),
    )
    error = azure.send(kind, resource=KINDS[kind], timeout="5m")

    assert str(error) == f"Azure is not done with {KINDS[kind].rpartition('/')[2]} within 300 s"
    assert error is not None
    assert error.temporary


def test_nobody_else_gets_the_token(azure: Azure, app: Any) -> None:
    with Receiver() as other:
        azure.receiver.next(
            azure.arm.answer, Reply(202, headers={"Azure-AsyncOperation": other.url, "Retry-After": "0"})
        )
        error = azure.send("container-apps", resource=APP)

        assert f"sends us to {other.host}: refused" in str(error)
        assert other.requests == []


REFUSALS: list[tuple[Reply, type[LiftlockError], bool]] = [
    (Reply(401), AccessDenied, False),
    (Reply(403, b'{"error": {"code": "AuthorizationFailed", "message": "eyJ"}}'), AccessDenied, False),
    (Reply(404, b'{"error": {"code": "ResourceNotFound"}}'), NotFound, False),
    (Reply(409, b'{"error": {"code": "ContainerGroupTransitioning"}}'), LiftlockError, True),
    (Reply(400, b'{"error": {"code": "InaccessibleImage"}}'), LiftlockError, False),
    (Reply(429, headers={"Retry-After": "17"}), LiftlockError, True),
    (Reply(500, b"eyJ"), LiftlockError, True),
    (Reply(503), LiftlockError, True),
    (Reply(307, headers={"Location": "https://elsewhere.example"}), LiftlockError, False),
]


@pytest.mark.parametrize("at", [0, 1], ids=["read", "change"])
@pytest.mark.parametrize(("reply", "error", "temporary"), REFUSALS, ids=[str(each[0].status) for each in REFUSALS])
def test_what_azure_refuses(
    reply: Reply, error: type[LiftlockError], temporary: bool, *, at: int, kind: str, azure: Azure
) -> None:
    azure.receiver.next(*([azure.arm.answer] * at), reply)
    raised = azure.send(kind, resource=KINDS[kind])

    assert isinstance(raised, error)
    assert raised.temporary is temporary
    assert f"status {reply.status}" in str(raised)
    assert getattr(raised, "retry_after", None) == (17 if reply.status == 429 else None)
    assert ("(AuthorizationFailed)" in str(raised)) is (reply.status == 403)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"properties": {"template": {"containers": [1]}}}'])
def test_what_is_no_such_resource(body: bytes, kind: str, azure: Azure) -> None:
    azure.receiver.always(Reply(200, body))

    assert azure.send(kind, resource=KINDS[kind]) is not None


def test_somebody_without_an_identity(kind: str, azure: Azure) -> None:
    azure.environment = {"AZURE_RESOURCE_MANAGER_ENDPOINT": azure.receiver.url}
    error = azure.send(kind, resource=KINDS[kind])

    assert isinstance(error, ConfigError)
    assert "no identity in Azure" in str(error)
    assert azure.receiver.requests == []


def test_a_private_resource_manager_is_meant(kind: str, azure: Azure) -> None:
    error = azure.send(kind, resource=KINDS[kind], allow_private=False)

    assert "is a private address: refused" in str(error)
    assert azure.receiver.requests == []


def test_a_token_is_not_sent_in_the_open(azure: Azure) -> None:
    azure.environment["AZURE_RESOURCE_MANAGER_ENDPOINT"] = "http://management.example"

    assert "a token is not sent without TLS" in str(azure.send("container-apps", resource=APP))


@pytest.mark.parametrize("name", [APP.upper(), BATCH, f"{APP}/../x", f"{APP}?x", "shop", APP.replace("1/r", "/r")])
def test_only_a_resource_of_the_kind_is_one(name: str) -> None:
    if name == APP.upper():
        assert ContainerAppsOptions.model_validate({"resource": name}).resource == name  # Azure's ids have no case
        return
    with pytest.raises(ValueError, match=r"write /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft\.App"):
        ContainerAppsOptions.model_validate({"resource": name})
