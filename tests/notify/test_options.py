"""What a pipeline file may say to notifiers, and what it hears when it says something else."""

from __future__ import annotations

import pytest

from liftlock.errors import ConfigError
from liftlock.gates.table import GATES
from liftlock.notify.table import NOTIFIERS
from liftlock.pipeline.load import load
from liftlock.release.stage import NotifyRule

FILE = """\
pipeline: shop
images: [web]
stages:
  - name: prod
    to: prod.example/prod-{image}
    tags: ["{build}"]
    notify:
"""
APP = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/a/providers/Microsoft.App/containerApps/shop"
IN_CLUSTER = "server: https://cluster.example, token: env:T"
UPDATES = "updates: [{file: a.yaml, path: image}]"


def rule(text: str) -> NotifyRule:
    return load(f"{FILE}      - {text}\n", "liftlock.yaml", GATES, NOTIFIERS).stage("prod").notify[0]


@pytest.mark.parametrize(
    ("text", "kind", "options"),
    [
        ("webhook: env:HOOK", "webhook", {"url": "env:HOOK"}),
        ("registry-push: env:HOOK", "registry-push", {"url": "env:HOOK"}),
        ("app-service: env:HOOK", "app-service", {"webhook": "env:HOOK"}),
        (f"container-apps: {APP}", "container-apps", {"resource": APP}),
        (
            "kubernetes: {workload: deployment/web, kubeconfig: file:kubeconfig, containers: {web: [app, migrate]}}",
            "kubernetes",
            {
                "workload": "deployment/web",
                "kubeconfig": "file:kubeconfig",
                "containers": {"web": ["app", "migrate"]},
            },
        ),
        ("command: [./tell, now]", "command", {"run": ["./tell", "now"]}),
        ("apprise: env:CHAT", "apprise", {"urls": "env:CHAT"}),
        ("apprise: [env:CHAT, env:MAIL]", "apprise", {"urls": ["env:CHAT", "env:MAIL"]}),
    ],
)
def test_a_lone_value_is_enough(text: str, kind: str, options: dict[str, object]) -> None:
    found = rule(text)

    assert (found.kind, found.options, found.on) == (kind, options, ("success",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("webhook: hook.example/x", "it is no http or https URL"),
        ("webhook: {url: env:U, secret: hunter2}", "secret is a secret, written out"),
        ("webhook: {url: env:U, timeout: 0s}", "0s is not between 1s and 15m"),
        ("webhook: {url: env:U, timeout: 1h}", "1h is not between 1s and 15m"),
        ("webhook: {url: env:U, retries: 3}", "'retries' is not a key"),
        ("registry-push: {url: env:U, format: quay}", "should be acr, docker-hub or distribution"),
        ("app-service: https://$shop:hunter2@shop.scm.azurewebsites.net/api", "webhook is a secret, written out"),
        ("app-service: {webhook: env:HOOK, slot: green}", "slot goes with resource"),
        ("app-service: {image: web}", "say webhook, or resource"),
        ("container-apps: shop", "write /subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.App/"),
        ("kubernetes: {workload: deployment/web}", "say server and token, or kubeconfig"),
        ("kubernetes: {workload: deployment/web, server: env:S, token: hunter2}", "token is a secret, written out"),
        (f"kubernetes: {{workload: pod/web, {IN_CLUSTER}}}", "workload: write deployment/NAME"),
        (f"kubernetes: {{workload: deployment/web, {IN_CLUSTER}, containers: {{web: [a, a]}}}}", "a is named twice"),
        ("command: {run: []}", "run is empty"),
        ("apprise: slack://T1/B2/hunter2", "urls is a secret, written out"),
        ("apprise: [env:U, slack://T1/B2/hunter2]", "is a secret, written out"),
        ("apprise: {urls: env:U, body: '{nothing}'}", "{nothing} has no value here"),
        (f"git: {{repository: git.example/x, {UPDATES}}}", "the repository's URL cannot be used"),
        (f"git: {{repository: file:///srv/x.git, {UPDATES}}}", "file: begins a secret reference"),
        (f"git: {{repository: env:R, author: me, {UPDATES}}}", "'me' is no author"),
        (f"git: {{repository: http://git.example/x.git, {UPDATES}}}", "the repository's URL cannot be used"),
        (f"git: {{repository: env:R, token: hunter2, {UPDATES}}}", "token is a secret, written out"),
        *(
            (f"git: {{repository: env:R, branch: {name}, {UPDATES}}}", f"'{name}' is no branch")
            for name in ("a b", "-f", "a..b", "x.lock", "x:y", "x/", "HEAD~1")
        ),
        *(
            (f"git: {{repository: env:R, updates: [{{file: {name}, path: a}}]}}", f"'{name}' is no file")
            for name in ("/a.yaml", "a/../b.yaml", ".git/config")
        ),
        ("git: {repository: env:R, updates: []}", "updates is empty"),
        ("git: {repository: env:R, updates: [{file: a, path: a, value: '{nothing}'}]}", "{nothing} has no value"),
        ("git: {repository: env:R, updates: [{file: ../a.yaml, path: a}]}", "'../a.yaml' is no file"),
        ("git: {repository: env:R, updates: [{file: a.yaml, path: 'a[x'}]}", "'a[x' is no path"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rule(text)

    assert said in str(caught.value)
    assert str(caught.value).startswith("liftlock.yaml:8: ")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
