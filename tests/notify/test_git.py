"""Values in a real repository's files: Kustomize, Helm values, manifests; and others who push at the same time."""

from __future__ import annotations

import datetime as dt
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from liftlock.errors import AccessDenied, ConfigError, LiftlockError, NotFound, RefusedError, TransportError
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message
from liftlock.notify.git import Git, GitOptions
from liftlock.notify.testing import sample
from tests.support.git import BareRepository, GitServer, git

WEB = f"prod.example/prod-web@{sample().destinations[0].digest}"
VALUES = """\
# Values of the shop. Keep them sorted.
image:
    repository: prod.example/prod-web   # never by hand
    digest: ''
    tag: "41"

replicas: 3
"""
KUSTOMIZATION = """\
resources:
- deployment.yaml
images:
# ours
- name: web
  newTag: "41"   # was 40
- name: other
  newName: other.example/other
"""
MANIFESTS = """\
kind: Service
metadata: {name: web}
---
# the deployment
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      containers:
      - {name: proxy, image: proxy:1}
      - name: web
        image: old # replaced by Liftlock
"""
CONTAINER = {"file": "web.yaml", "path": "spec.template.spec.containers[name=web].image"}


def send(
    repository: str,
    *updates: dict[str, Any],
    message: Message | None = None,
    environment: dict[str, str] | None = None,
    **options: Any,
) -> None:
    given = GitOptions.model_validate({"repository": repository, "updates": list(updates), **options})
    tools = Tools(folder=Path(), environment={"PATH": os.environ["PATH"], **(environment or {})})
    Git().send(message or sample(), given, tools)


def test_a_manifest_among_several(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS, "README": "as it was\r\n"})

    send(repository.url, CONTAINER)

    assert repository.read("web.yaml") == MANIFESTS.replace("image: old #", f"image: {WEB} #")
    assert repository.log() == ["prod: shop 42", "Start"]
    assert git(repository.folder, "diff", "--name-only", "main~1", "main") == "web.yaml\n"


def test_helm_values(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"charts/shop/values.yaml": VALUES})
    file = "charts/shop/values.yaml"

    send(
        repository.url,
        {"file": file, "path": "image.digest", "value": "{digest}"},
        {"file": file, "path": "image.tag", "value": "{tag}"},
        {"file": file, "path": "image.repository", "value": "{repository}"},
    )

    digest = sample().destinations[0].digest
    assert repository.read(file) == VALUES.replace("''", f"'{digest}'").replace('"41"', '"42"')
    assert repository.log() == ["prod: shop 42", "Start"]


def test_kustomize(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"prod/kustomization.yaml": KUSTOMIZATION})

    send(repository.url, {"file": "prod/kustomization.yaml", "path": "images[name=web]"})

    added = (
        f'  newTag: "42"   # was 40\n  newName: prod.example/prod-web\n  digest: {sample().destinations[0].digest}\n'
    )
    assert repository.read("prod/kustomization.yaml") == KUSTOMIZATION.replace('  newTag: "41"   # was 40\n', added)


def test_several_images_in_one_commit(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": "image: old\n", "worker.yaml": "image: old\n"})
    message = sample(images=("web", "worker"))

    send(
        repository.url,
        {"file": "web.yaml", "path": "image", "image": "web"},
        {"file": "worker.yaml", "path": "image", "image": "worker", "value": "{image}:{tag}"},
        message=message,
        author="Release Bot <bot@example.org>",
    )

    assert repository.read("web.yaml") == f"image: {WEB}\n"
    assert repository.read("worker.yaml") == 'image: "worker:42"\n'.replace('"', "")
    assert repository.message().splitlines()[:2] == ["Release Bot <bot@example.org>", "prod: shop 42"]
    trailers = git(repository.folder, "log", "-1", "--format=%(trailers:only)", "main").splitlines()
    assert trailers[:2] == ["Liftlock-Stage: shop/prod", "Liftlock-Promotion: 17"]
    assert f"Liftlock-Key: {message.key}" in trailers
    assert len(repository.log()) == 2


def test_the_same_message_again_commits_nothing(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})

    send(repository.url, CONTAINER)
    send(repository.url, CONTAINER)

    assert repository.log() == ["prod: shop 42", "Start"]


def test_an_old_message_does_not_undo_a_later_promotion(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})
    later = sample(build="43", at=sample().at + dt.timedelta(hours=1))

    send(repository.url, CONTAINER, message=later)
    repository.push({"README": "by hand"})
    send(repository.url, CONTAINER)

    assert repository.read("web.yaml") == MANIFESTS.replace(
        "image: old #", f"image: prod.example/prod-web@{later.destinations[0].digest} #"
    )
    send(repository.url, CONTAINER, message=sample(at=later.at + dt.timedelta(hours=1)))
    assert WEB in repository.read("web.yaml")


def test_a_push_that_loses_the_race_is_begun_anew(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})
    # Somebody else's commit arrives between our fetch and our push: the first push finds another branch than it saw.
    other = git(repository.folder, "commit-tree", "-p", "main", "-m", "Meanwhile", "main^{tree}").strip()
    repository.hook(
        "pre-receive",
        f"test -e raced && exit 0\ntouch raced\nunset GIT_QUARANTINE_PATH\ngit update-ref refs/heads/main {other}",
    )

    send(repository.url, CONTAINER)

    assert repository.log() == ["prod: shop 42", "Meanwhile", "Start"]
    assert WEB in repository.read("web.yaml")


def test_many_push_at_the_same_time(tmp_path: Path) -> None:
    names = [f"web{number}" for number in range(4)]
    repository = BareRepository(tmp_path, {f"{name}.yaml": "image: old\n" for name in names})
    failures: list[BaseException] = []

    def one(name: str) -> None:
        try:
            send(repository.url, {"file": f"{name}.yaml", "path": "image"})
        except LiftlockError as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(error.temporary for error in failures if isinstance(error, LiftlockError))
    assert len(repository.log()) == 1 + len(names) - len(failures)
    for name in names:
        send(repository.url, {"file": f"{name}.yaml", "path": "image"})
    assert all(repository.read(f"{name}.yaml") == f"image: {WEB}\n" for name in names)
    assert len(repository.log()) == 1 + len(names)


def test_others_that_never_stop_pushing(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})
    repository.hook(
        "pre-receive",
        "unset GIT_QUARANTINE_PATH\n"
        "export GIT_AUTHOR_NAME=o GIT_AUTHOR_EMAIL=o@o GIT_COMMITTER_NAME=o GIT_COMMITTER_EMAIL=o@o\n"
        "git update-ref refs/heads/main $(git commit-tree -p main -m Meanwhile main^{tree})",
    )

    with pytest.raises(TransportError, match="5 times meanwhile") as caught:
        send(repository.url, CONTAINER)

    assert caught.value.temporary
    assert "prod: shop 42" not in repository.log()


def test_the_repositorys_own_rules_are_final(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})
    repository.hook("pre-receive", "exit 1")

    with pytest.raises(RefusedError, match="pre-receive hook declined"):
        send(repository.url, CONTAINER)

    assert repository.log() == ["Start"]


def test_a_password_is_sent_and_never_seen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})
    git(repository.folder, "config", "http.receivepack", "true")
    spy = tmp_path / "bin/git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/argv\nexec {_which("git")} "$@"\n')
    spy.chmod(0o755)
    environment = {"PATH": f"{spy.parent}:{os.environ['PATH']}", "T": "t0ken", "GIT_TRACE_CURL": f"{tmp_path}/trace"}
    with GitServer(tmp_path) as server:
        environment["URL"] = f"http://bot:t0ken@{server.host}/deploy.git"
        send("env:URL", CONTAINER, environment=environment)
        send(f"http://{server.host}/deploy.git", CONTAINER, environment=environment, user="bot", token="env:T")

        assert set(server.authorizations) == {server.expected}
    assert repository.log() == ["prod: shop 42", "Start"]
    argv = (tmp_path / "argv").read_text()
    assert "push --porcelain" in argv
    assert "t0ken" not in argv
    assert server.expected.removeprefix("Basic ") not in argv
    assert not (tmp_path / "trace").exists()
    assert "t0ken" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("form", ["ssh://git@git.example:2222{}", "git@git.example:{}"])
def test_over_ssh(tmp_path: Path, form: str) -> None:
    """A stand-in for ssh carries out here what it is asked to carry out there: git's own half is real."""
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})
    ssh = tmp_path / "ssh"
    ssh.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\nfor last; do :; done\n'
        'case "$*" in *-G*) exit 1;; esac\nexec sh -c "$last"\n'
    )
    ssh.chmod(0o755)

    send(form.format(repository.folder), CONTAINER, environment={"GIT_SSH_COMMAND": str(ssh)})

    assert WEB in repository.read("web.yaml")
    assert "git@git.example" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("status", "kind", "temporary"),
    [
        (302, ConfigError, False),
        (401, AccessDenied, False),
        (403, AccessDenied, False),
        (404, NotFound, False),
        (503, TransportError, True),
    ],
)
def test_what_a_server_answers(tmp_path: Path, status: int, kind: type[LiftlockError], temporary: bool) -> None:
    with GitServer(tmp_path) as server:
        server.status = status
        with pytest.raises(kind) as caught:
            send("env:URL", CONTAINER, environment={"URL": f"http://bot:t0ken@{server.host}/s3cret.git"})

    assert caught.value.temporary is temporary
    assert server.host in str(caught.value)
    assert "t0ken" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_is_gone_is_tried_again(tmp_path: Path) -> None:
    with GitServer(tmp_path) as server:
        host = server.host
    with pytest.raises(TransportError, match="git fetch") as caught:
        send(f"http://{host}/deploy.git", CONTAINER)

    assert caught.value.temporary


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% here",
        "http://git.example/s3cret.git",
        "--upload-pack=touch here",
        "ftp://git.example/x",
        "https://-oProxyCommand=x/y",
        "https://[x/s3cret",
        "",
    ],
)
def test_what_is_no_repository(url: str) -> None:
    with pytest.raises((ConfigError, ValidationError)) as caught:
        send(url, CONTAINER)

    assert isinstance(caught.value, ValidationError) or "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "update", "said"),
    [
        ({"a.yaml": "b: 1\n"}, {"file": "gone.yaml", "path": "b"}, "the file gone.yaml of branch main is not there"),
        ({"a/b.yaml": "b: 1\n"}, {"file": "a", "path": "b"}, "the file a of branch main is a tree"),
        ({"a.yaml": "b: 1\n"}, {"file": "a.yaml", "path": "c.d"}, "a.yaml: there is no c.d"),
        ({"a.yaml": "b:\n  - 1\n"}, {"file": "a.yaml", "path": "b"}, "a.yaml:2: b is no single value"),
        ({"a.yaml": "b: {{ x }}\n"}, {"file": "a.yaml", "path": "b"}, "a.yaml:1: "),
        ({"a.yaml": "b: 1\n"}, {"file": "a.yaml", "path": "b", "image": "worker"}, "there is no image 'worker'"),
        ({"a.yaml": "b: 1\n"}, {"file": "a.yaml", "path": "b", "target": "eu.example/web"}, "which target"),
    ],
)
def test_what_cannot_be_set_is_said(tmp_path: Path, files: dict[str, str], update: dict[str, Any], said: str) -> None:
    repository = BareRepository(tmp_path, files)

    with pytest.raises(LiftlockError) as caught:
        send(repository.url, update)

    assert said in str(caught.value)
    assert not caught.value.temporary
    assert repository.log() == ["Start"]


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.yaml"
    outside.write_text("image: old\n")
    repository = BareRepository(tmp_path, {"web.yaml": "image: old\n"})
    link = git(repository.folder, "hash-object", "-w", "--", str(outside)).strip()
    git(repository.folder, "read-tree", "main")
    git(repository.folder, "update-index", "--add", "--cacheinfo", f"120000,{link},link.yaml")
    tree = git(repository.folder, "write-tree").strip()
    git(repository.folder, "update-ref", "refs/heads/main", git(
        repository.folder, "commit-tree", "-p", "main", "-m", "Link", tree).strip())  # fmt: skip

    with pytest.raises(NotFound, match="is a symbolic link"):
        send(repository.url, {"file": "link.yaml", "path": "image"})

    assert outside.read_text() == "image: old\n"


def test_a_branch_that_is_not_there(tmp_path: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})

    with pytest.raises(NotFound, match="prod"):
        send(repository.url, CONTAINER, branch="prod")


def test_which_image_has_to_be_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web\.yaml: which image") as caught:
        send(str(tmp_path), CONTAINER, message=sample(images=("web", "worker")))

    assert caught.value.hint == "say image: one of web, worker"


def test_only_a_success_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing has"):
        send(str(tmp_path), CONTAINER, message=sample("failure"))


def test_the_users_own_configuration_has_no_say(tmp_path: Path, home: Path) -> None:
    repository = BareRepository(tmp_path, {"web.yaml": MANIFESTS})
    (home / ".gitconfig").write_text('[url "ext::false "]\n\tinsteadOf = file:\n[commit]\n\tgpgSign = true\n')

    send(repository.url, CONTAINER, environment={"HOME": str(home), "GIT_DIR": "/nowhere"})

    assert WEB in repository.read("web.yaml")


def _which(program: str) -> str:
    import shutil

    return shutil.which(program) or program
