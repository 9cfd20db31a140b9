"""The unit and the manifests say what they mean, and agree with the page that names them."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from liftlock.cli.commands import liftlock

ROOT = Path(__file__).parents[2]
MANIFESTS = sorted((ROOT / "examples" / "kubernetes").glob("*.yaml"))
PAGE = (ROOT / "docs" / "how-to" / "scale-out.md").read_text()

Document = dict[str, Any]


def documents() -> list[Document]:
    return [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]


def of_kind(kind: str) -> Document:
    (found,) = [document for document in documents() if document["kind"] == kind]
    return found


def pods() -> list[Document]:
    return [of_kind("Job")["spec"]["template"]["spec"], of_kind("Deployment")["spec"]["template"]["spec"]]


def test_every_command_that_is_started_is_one_of_ours() -> None:
    started = [container["args"] for pod in pods() for container in pod["containers"]]
    unit = re.search(r"^ExecStart=\S+/liftlock (.*)$", SERVICE.read_text(), re.MULTILINE)
    assert unit is not None
    started.append(unit[1].split())

    assert sorted(started) == [["db", "upgrade"], ["worker"], ["worker"]]
    for name, *arguments in started:
        with liftlock.make_context("liftlock", [name], resilient_parsing=True) as context:
            command = liftlock.get_command(context, name)
            assert command is not None
            for argument in arguments:
                assert argument in getattr(command, "commands", {})


SERVICE = ROOT / "examples" / "systemd" / "liftlock-worker.service"


def test_a_selector_finds_its_pods() -> None:
    deployment = of_kind("Deployment")["spec"]
    wanted = deployment["selector"]["matchLabels"]
    assert wanted.items() <= deployment["template"]["metadata"]["labels"].items()
    assert not wanted.items() <= of_kind("Job")["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("pod", pods(), ids=["upgrade", "worker"])
def test_a_pod_mounts_what_it_has_and_may_do_little(pod: Document) -> None:
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        (url,) = [each for each in container["env"] if each["name"] == "LIFTLOCK_DATABASE_URL"]
        assert "value" not in url  # the password is in it
        assert url["valueFrom"]["secretKeyRef"] == {"name": "liftlock", "key": "database-url"}


def test_the_page_makes_everything_that_the_manifests_refer_to() -> None:
    assert "create secret generic liftlock --from-literal=database-url=" in PAGE
    worker = of_kind("Deployment")["spec"]["template"]["spec"]
    referred = {key: value for volume in worker["volumes"] for key, value in volume.items() if key != "name"}
    assert f"create secret generic {referred['secret']['secretName']} " in PAGE
    assert f"create configmap {referred['configMap']['name']} " in PAGE
    assert referred["persistentVolumeClaim"]["claimName"] == of_kind("PersistentVolumeClaim")["metadata"]["name"]
    assert f"job/{of_kind('Job')['metadata']['name']}" in PAGE
    for path in MANIFESTS:
        assert f"examples/kubernetes/{path.name}" in PAGE


def test_workers_of_two_versions_never_run_at_once() -> None:
    assert of_kind("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_the_unit_is_well_formed_and_keeps_the_password_out_of_itself() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names of settings are as they are written
    unit.read_string(SERVICE.read_text())

    assert unit.sections() == ["Unit", "Service", "Install"]
    assert unit["Service"]["EnvironmentFile"] == "/etc/liftlock/worker.env"
    assert unit["Service"]["Restart"] == "always"
    assert "postgresql" not in SERVICE.read_text()
    assert "/etc/liftlock/worker.env" in PAGE
