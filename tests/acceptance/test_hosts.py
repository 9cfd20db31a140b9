"""A promotion has arrived when its hosts run it: a cluster, a container app and a site, all of them doubles."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.workshop import Workshop
from tests.support import images
from tests.support.arm import GROUP, Arm
from tests.support.azure import SECRET, Entra
from tests.support.certificates import Authority
from tests.support.cluster import Cluster
from tests.support.cluster import images as running
from tests.support.receiver import Receiver
from tests.support.registry import Registry

pytestmark = pytest.mark.acceptance

TOKEN, PASSWORD = "cluster-token-never-seen", "site-password-never-seen"
APP = f"{GROUP}/Microsoft.App/containerApps/shop"

PIPELINE = """\
    pipeline: shop
    images: [web]
    stages:
      - name: prod
        to: {registry}/{repo}
        tags: ["{{build}}", stable]
        notify:
          - kubernetes: {{workload: deployment/web, server: {cluster}, token: env:TOKEN, allow-private: true}}
            required: true
          - container-apps: {{resource: {app}, allow-private: true}}
            required: true
          - app-service: {{webhook: env:HOOK, allow-private: true}}
            required: true
"""


def test_the_hosts_run_what_was_promoted_and_nothing_secret_is_written(
    *, registry: Registry, repo: str, authority: Authority, home: Path, tmp_path: Path
) -> None:
    image = images.make_image(tmp_path / "build", "v", platforms=("linux/amd64", "linux/arm64"))
    cluster, arm = Cluster(TOKEN), Arm()
    web = cluster.add("default/deployments/web", {"web": "old", "proxy": "proxy:1"})
    template = {"containers": [{"name": "web", "image": "old"}]}
    arm.resources[APP] = {"id": APP, "name": "shop", "location": "north", "properties": {"template": template}}
    arm.looks = 2
    with Receiver() as api, Receiver() as azure, Receiver() as site, Entra(authority) as entra:
        arm.url = azure.url
        api.always(cluster.answer)
        azure.always(arm.answer)
        workshop = Workshop(
            tmp_path / "project", PIPELINE.format(registry=registry.host, repo=repo, cluster=api.url, app=APP)
        )
        env = {
            **entra.env,
            "AZURE_RESOURCE_MANAGER_ENDPOINT": azure.url,
            "TOKEN": TOKEN,
            "HOOK": f"http://$shop:{PASSWORD}@{site.host}/api/registry/webhook",
        }
        workshop.release("42", web=f"oci:{image.layout}:v")
        results = [workshop.run("promote", "42", "--to", "prod", "-v", "--debug", env=env)]

        reference = f"{registry.host}/{repo}@{image.digest}"
        assert running(web) == {"web": reference, "proxy": "proxy:1"}
        assert arm.resources[APP]["properties"]["template"]["containers"][0]["image"] == reference
        assert [each.json()["target"]["digest"] for each in site.requests] == [image.digest] * 2

        del cluster.workloads["/apis/apps/v1/namespaces/default/deployments/web"]
        workshop.release("43", web=f"oci:{image.layout}:v")
        results.append(workshop.run("promote", "43", "--to", "prod", "--debug", check=False, env=env))
        assert results[-1].code == 1, str(results[-1])
        assert "404 (NotFound)" in results[-1].err

    written = [file.read_bytes() for folder in (workshop.folder, home) for file in folder.rglob("*") if file.is_file()]
    written += [f"{result.out}{result.err}".encode() for result in results]
    for secret in (TOKEN, PASSWORD, SECRET, "eyJ"):
        assert not any(secret.encode() in text for text in written), secret
