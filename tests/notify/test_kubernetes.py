"""Images set in a cluster. The cluster is a double (`tests.support.cluster`); no real one was touched."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from liftlock.errors import AccessDenied, Cancelled, ConfigError, LiftlockError, NotFound
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.kubernetes import KubernetesOptions
from liftlock.notify.table import NOTIFIERS
from liftlock.notify.testing import check, sample
from tests.support.certificates import Authority
from tests.support.cluster import STRATEGIC, Cluster, images
from tests.support.receiver import Received, Receiver, Reply

TOKEN = "hunter2"
PATH = "/apis/apps/v1/namespaces/shop/deployments/web"
AT = dt.datetime(2026, 11, 20, 9, 30, tzinfo=dt.UTC)

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: prod
contexts: [{name: other, context: {}}, {name: prod, context: {cluster: c, user: u, namespace: shop}}]
clusters: [{name: c, cluster: {server: SERVER}}]
users: [{name: u, user: {token: hunter2}}]
"""


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(TOKEN)


@pytest.fixture
def receiver(cluster: Cluster) -> Iterator[Receiver]:
    with Receiver() as running:
        running.always(cluster.answer)
        yield running


@pytest.fixture
def web(cluster: Cluster) -> dict[str, Any]:
    return cluster.add("shop/deployments/web", {"web": "prod.example/prod-web:41", "proxy": "proxy:1"})


def send(
    receiver: Receiver,
    folder: Path,
    message: Message | None = None,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    **options: Any,
) -> LiftlockError | None:
    named = {key.replace("_", "-"): value for key, value in options.items()}
    given = {"workload": "deployment/web", "namespace": "shop", "allow-private": True, **named}
    if "kubeconfig" not in options:
        given = {"server": receiver.url, "token": "env:TOKEN", **given}
    tools = Tools(folder=folder, environment={"TOKEN": TOKEN}, cancelled=cancelled)
    return check(NOTIFIERS.get("kubernetes"), given, tools, secrets=[TOKEN], message=message or sample())


def patches(receiver: Receiver) -> list[Received]:
    return [each for each in receiver.requests if each.method == "PATCH"]


def reference(message: Message) -> str:
    return f"prod.example/prod-web@{message.destinations[0].digest}"


def test_the_image_is_set_by_its_digest_and_nothing_else(
    receiver: Receiver, web: dict[str, Any], tmp_path: Path
) -> None:
    assert send(receiver, tmp_path) is None

    (request,) = patches(receiver)
    assert request.target == f"{PATH}?fieldManager=liftlock"
    assert request.headers["content-type"] == STRATEGIC
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.json() == {
        "metadata": {
            "resourceVersion": "1",
            "annotations": {"liftlock-stage": "shop/prod", "liftlock-at": "2026-11-20T09:30:00+00:00"},
        },
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": reference(sample())}]}}},
    }
    assert images(web) == {"web": reference(sample()), "proxy": "proxy:1"}
    assert web["spec"]["template"]["spec"]["containers"][0]["tty"] is True


def test_an_image_that_is_there_is_not_set_again(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    assert send(receiver, tmp_path) is None
    assert send(receiver, tmp_path) is None

    assert [each.method for each in receiver.requests] == ["GET", "PATCH", "GET"]


def test_the_same_image_again_rolls_nothing_out_and_is_noted(
    receiver: Receiver, web: dict[str, Any], tmp_path: Path
) -> None:
    assert send(receiver, tmp_path) is None
    assert send(receiver, tmp_path, sample(at=AT + dt.timedelta(hours=2))) is None

    assert "spec" not in patches(receiver)[1].json()
    assert web["metadata"]["generation"] == 2
    assert send(receiver, tmp_path, sample(build="43", at=AT + dt.timedelta(hours=1))) is None
    assert images(web)["web"] == reference(sample())


def test_a_late_message_undoes_no_later_promotion(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    later = sample(build="43", at=AT + dt.timedelta(seconds=1))
    assert send(receiver, tmp_path, later) is None
    assert send(receiver, tmp_path, sample()) is None

    assert images(web)["web"] == reference(later)


def test_images_go_into_the_containers_that_are_named(receiver: Receiver, cluster: Cluster, tmp_path: Path) -> None:
    message = sample(images=("web", "worker"))
    found = cluster.add("shop/statefulsets/web", {"app": "old", "side": "old"}, init={"migrate": "old"})

    assert send(receiver, tmp_path, message, workload="statefulset/web", containers={"web": ["app", "migrate"]}) is None
    assert images(found) == {"app": reference(message), "side": "old", "migrate": reference(message)}


def test_a_container_that_is_not_there_is_not_added(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    error = send(receiver, tmp_path, containers={"web": "wbe"})

    assert isinstance(error, ConfigError)
    assert str(error) == "deployment/web has no container 'wbe'"
    assert error.hint == "it has proxy, web: say containers: {image: container}"
    assert patches(receiver) == []


def test_an_image_that_the_release_has_not(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    error = send(receiver, tmp_path, containers={"wbe": "web"})

    assert (str(error), error and error.hint) == ("kubernetes: there is no image 'wbe'", "there are web")


def test_somebody_who_was_faster_is_not_overwritten(
    receiver: Receiver, cluster: Cluster, web: dict[str, Any], tmp_path: Path
) -> None:
    cluster.conflicts = 2
    assert send(receiver, tmp_path) is None
    assert len(patches(receiver)) == 3
    assert images(web)["web"] == reference(sample())

    cluster.conflicts = 99
    error = send(receiver, tmp_path, sample(build="43", at=AT + dt.timedelta(hours=1)))
    assert error is not None
    assert error.temporary


@pytest.mark.parametrize(
    ("reply", "kind", "temporary", "said"),
    [
        (Reply(401), AccessDenied, False, "the cluster does not take the token"),
        (
            Reply(403, b'{"kind": "Status", "reason": "Forbidden"}'),
            AccessDenied,
            False,
            "it needs the right to get and patch deployments in the namespace shop",
        ),
        (Reply(404), NotFound, False, "there is no deployment/web in the namespace shop"),
        (Reply(422), LiftlockError, False, ""),
        (Reply(429, headers={"Retry-After": "7"}), LiftlockError, True, ""),
        (Reply(503), LiftlockError, True, ""),
        (Reply(200, b"<html>"), LiftlockError, True, ""),
        (Reply(200, b'{"kind": "Status"}'), LiftlockError, True, ""),
        (Reply(200, b'{"kind": "Deployment", "spec": {"template": {"spec": []}}}'), LiftlockError, True, ""),
    ],
    ids=str,
)
def test_what_the_cluster_refuses(
    reply: Reply, kind: type[LiftlockError], temporary: bool, said: str, *, receiver: Receiver, tmp_path: Path
) -> None:
    receiver.always(reply)
    error = send(receiver, tmp_path)

    assert isinstance(error, kind)
    assert (error.temporary, said in error.hint) == (temporary, True)
    assert ("(Forbidden)" in str(error)) is (reply.status == 403)


def _rolled_out(web: dict[str, Any], **status: Any) -> None:
    web["status"] = {
        "observedGeneration": web["metadata"]["generation"],
        "replicas": 2,
        "updatedReplicas": 2,
        "availableReplicas": 2,
        "readyReplicas": 2,
        "updateRevision": "b",
        "currentRevision": "b",
        "desiredNumberScheduled": 2,
        "updatedNumberScheduled": 2,
        "numberAvailable": 2,
        **status,
    }


@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
def test_it_waits_until_the_rollout_is_done(kind: str, receiver: Receiver, cluster: Cluster, tmp_path: Path) -> None:
    web = cluster.add(f"shop/{kind}s/web", {"web": "old"})
    looks: list[str] = []

    def answer(request: Received) -> Reply:
        if request.method == "GET" and web["metadata"]["generation"] == 2:
            looks.append(request.path)
            if len(looks) == 2:
                _rolled_out(web, updatedReplicas=1, readyReplicas=1, updatedNumberScheduled=1, currentRevision="a")
            if len(looks) == 3:
                _rolled_out(web)
        return cluster.answer(request)

    receiver.always(answer)
    assert send(receiver, tmp_path, workload=f"{kind}/web", wait="1m") is None
    assert len(looks) == 3


def test_a_rollout_that_takes_longer_is_waited_for_again(
    receiver: Receiver, web: dict[str, Any], tmp_path: Path
) -> None:
    error = send(receiver, tmp_path, wait="1s")

    assert error is not None
    assert error.temporary
    assert str(error) == "the rollout of deployment/web is not done: the cluster has not looked at it yet"
    _rolled_out(web)
    assert send(receiver, tmp_path, wait="1s") is None
    assert len(patches(receiver)) == 1


def test_a_rollout_that_fails_is_final(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    assert send(receiver, tmp_path) is None
    _rolled_out(web, updatedReplicas=1, conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}])
    error = send(receiver, tmp_path, wait="1m")

    assert str(error) == ("the rollout of deployment/web has failed: it makes no progress (ProgressDeadlineExceeded)")
    assert error is not None
    assert not error.temporary


def test_waiting_can_be_stopped(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    error = send(receiver, tmp_path, wait="15m", cancelled=lambda: len(receiver.requests) >= 3)

    assert isinstance(error, Cancelled)


def kubeconfig(folder: Path, receiver: Receiver, **changes: Any) -> str:
    content = yaml.safe_load(KUBECONFIG.replace("SERVER", receiver.url))
    content["clusters"][0]["cluster"] |= changes.get("cluster", {})
    if "user" in changes:
        content["users"][0]["user"] = changes["user"]
    (folder / "deploy").mkdir(exist_ok=True)
    (folder / "deploy/kubeconfig").write_text(yaml.safe_dump(content))
    return "file:deploy/kubeconfig"


def test_a_kubeconfigs_current_context(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    assert send(receiver, tmp_path, kubeconfig=kubeconfig(tmp_path, receiver), namespace="") is None

    assert images(web)["web"] == reference(sample())


def test_a_token_in_a_file_of_its_own(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    written = kubeconfig(tmp_path, receiver, user={"tokenFile": "token", "token": "old"})
    (tmp_path / "deploy/token").write_text(f"{TOKEN}\n")

    assert send(receiver, tmp_path, kubeconfig=written) is None


@pytest.mark.parametrize("inline", [True, False], ids=["data", "files"])
def test_a_client_certificate(inline: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.client()
    named = {"certificate-authority": authority.ca, "client-certificate": pair.certificate, "client-key": pair.key}
    given = {
        (f"{key}-data" if inline else key): (
            base64.b64encode(file.read_bytes()).decode() if inline else f"../{file.name}"
        )
        for key, file in named.items()
    }
    trusted = {key: value for key, value in given.items() if key.startswith("certificate-authority")}
    cluster = Cluster()
    web = cluster.add("shop/deployments/web", {"web": "old"})
    with Receiver(tls=authority, mutual=True) as receiver:
        receiver.always(cluster.answer)
        user = {key: value for key, value in given.items() if key not in trusted}
        written = kubeconfig(tmp_path, receiver, cluster=trusted, user=user)

        assert send(receiver, tmp_path, kubeconfig=written) is None

    assert images(web)["web"] == reference(sample())
    assert "authorization" not in receiver.requests[0].headers


def test_a_clusters_own_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cluster = Cluster(TOKEN)
    cluster.add("shop/deployments/web", {"web": "old"})
    with Receiver(tls=authority) as receiver:
        receiver.always(cluster.answer)
        distrusted = send(receiver, tmp_path)
        assert distrusted is not None
        assert "certificate" in str(distrusted)
        assert receiver.requests == []
        assert send(receiver, tmp_path, ca_file="ca.crt") is None


@pytest.mark.parametrize(
    ("changes", "said", "hint"),
    [
        (
            {"user": {"exec": {"command": "kubelogin", "env": [{"value": TOKEN}]}}},
            "the kubeconfig cannot be used: its user has 'exec'",
            "it would run a program: give a token instead, as a secret reference",
        ),
        ({"user": {"username": "admin", "password": TOKEN}}, "its user has 'password'", "takes no passwords"),
        ({"user": {"token": TOKEN, "as": "root"}}, "its user has 'as'", "its keys are"),
        ({"user": {}}, "has neither a token nor a client certificate", ""),
        ({"user": {"client-key-data": TOKEN}}, "client-key-data is not base64", ""),
        ({"cluster": {"insecure-skip-tls-verify": True}}, "'insecure-skip-tls-verify'", "certificate-authority"),
        ({"cluster": {"proxy-url": "http://p"}}, "its cluster has 'proxy-url'", "HTTPS_PROXY"),
        ({"cluster": {"server": ""}}, "its cluster has no server", ""),
        ({"cluster": {"server": "http://cluster.example"}}, "a token is not sent without TLS", "write https://"),
        ({"cluster": {"server": f"nothing {TOKEN}"}}, "the url is no http or https URL", ""),
    ],
    ids=str,
)
def test_a_kubeconfig_that_cannot_be_used(
    changes: dict[str, Any], said: str, hint: str, *, receiver: Receiver, tmp_path: Path
) -> None:
    error = send(receiver, tmp_path, kubeconfig=kubeconfig(tmp_path, receiver, **changes))

    assert isinstance(error, ConfigError)
    assert said in str(error)
    assert hint in error.hint
    assert TOKEN not in error.hint
    assert receiver.requests == []


@pytest.mark.parametrize("content", [f"- {TOKEN}", f"a: [{TOKEN}", f"!!python/object:{TOKEN} {{}}", "{}"])
def test_what_is_no_kubeconfig(content: str, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(content)

    assert isinstance(send(receiver, tmp_path, kubeconfig="file:kubeconfig"), ConfigError)


def test_a_kubeconfig_in_a_variable_has_no_folder(receiver: Receiver, tmp_path: Path) -> None:
    content = KUBECONFIG.replace("SERVER", receiver.url).replace("token: hunter2", "tokenFile: token")
    tools = Tools(folder=tmp_path, environment={"KUBE": content})
    given = {"workload": "deployment/web", "kubeconfig": "env:KUBE"}
    error = check(NOTIFIERS.get("kubernetes"), given, tools, secrets=[TOKEN])

    assert str(error) == "the kubeconfig names a relative path, and is no file"


def test_a_cluster_of_ones_own_network_is_meant(receiver: Receiver, web: dict[str, Any], tmp_path: Path) -> None:
    error = send(receiver, tmp_path, allow_private=False)

    assert "is a private address: refused" in str(error)
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workload": "pod/web"}, "write deployment/NAME"),
        ({"server": "http://k.example"}, "not sent without TLS"),
        ({"workload": "deployment/../secrets/x"}, "workload"),
        ({"namespace": "a/b"}, "namespace"),
        ({"token": None}, "say server and token, or kubeconfig"),
        ({"kubeconfig": "env:KUBE"}, "leave these out"),
        ({"containers": {"web": ["a", "a"]}}, "the container a is named twice"),
        ({"containers": {"web": "A b"}}, "containers"),
    ],
)
def test_options_that_mean_nothing(options: dict[str, Any], said: str) -> None:
    given = {"workload": "deployment/web", "server": "https://k.example", "token": "env:TOKEN", **options}
    with pytest.raises(ValueError, match=said):
        KubernetesOptions.model_validate(given)
