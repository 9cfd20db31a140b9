"""What every kind of notifier keeps to, those of other packages too: `liftlock.notify.testing` has the suite's core."""

from __future__ import annotations

import functools
import os
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from liftlock.errors import ConfigError, LiftlockError
from liftlock.kinds import table
from liftlock.kinds.tools import Tools
from liftlock.notify.base import Message, Notifier
from liftlock.notify.table import NOTIFIERS
from liftlock.notify.testing import check, sample
from liftlock.pipeline.kinds import Options
from tests.notify.conftest import Azure
from tests.support.azure import SECRET as AZURE_SECRET
from tests.support.cluster import Cluster
from tests.support.git import BareRepository, GitServer, git
from tests.support.receiver import Receiver, Reply

pytestmark = pytest.mark.contract

EXAMPLE = Path(__file__).parent.parent.parent / "examples/notifier-plugin"
SECRET = "hunter2"
KINDS = (
    "app-service",
    "apprise",
    "command",
    "container-apps",
    "container-instances",
    "git",
    "kubernetes",
    "ntfy",
    "registry-push",
    "webhook",
)


@dataclass
class Case:
    """One kind at work: how it is set up, what its receiver got, and how to make that receiver fail."""

    options: dict[str, Any]
    carried: Callable[[], list[str]]
    """What was delivered so far: for each delivery, by what the receiver can tell that it has seen it."""
    break_for_now: Callable[[], None]
    break_for_good: Callable[[], None]
    environment: dict[str, str] = field(default_factory=dict)
    secret: str = SECRET
    final: bool = True
    """Whether a receiver that refuses for good is told from one that refuses for now."""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example is installed: its module can be imported, and its metadata has its entry points."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    metadata = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
        for group, points in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(EXAMPLE / "src"))
    table._points.cache_clear()
    yield
    table._points.cache_clear()
    sys.modules.pop("liftlock_ntfy", None)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, outside: None) -> Notifier:
    return NOTIFIERS.get(request.param)


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    name = request.node.callspec.params["kind"]
    if name == "command":
        yield _command(tmp_path)
    elif name.startswith("container-"):
        yield _on_azure(name, request)
    elif name == "git":
        with GitServer(tmp_path, password=SECRET) as server:
            yield _git(tmp_path, server)
    else:
        with Receiver() as receiver:
            yield _kubernetes(receiver) if name == "kubernetes" else _over_http(name, receiver)


def _over_http(name: str, receiver: Receiver) -> Case:
    header = {"ntfy": "x-sequence-id", "webhook": "webhook-id"}.get(name, "idempotency-key")
    chat = name == "apprise"
    own: Mapping[str, dict[str, Any]] = {
        "webhook": {"url": "env:URL", "secret": "env:KEY", "headers": {"X-Token": "env:KEY"}},
        "ntfy": {"url": "env:URL", "token": "env:KEY"},
        "apprise": {"urls": "env:URL"},
        "app-service": {"webhook": "env:URL"},
    }
    options = own.get(name, {"url": "env:URL"})
    if not chat:
        options = {**options, "allow-private": True}
    return Case(
        options=options,
        environment={
            "URL": f"{'json' if chat else 'http'}://user:{SECRET}@{receiver.host}/{SECRET}?a={SECRET}",
            "KEY": SECRET,
        },
        carried=lambda: [each.json()["message"] if chat else each.headers[header] for each in receiver.requests],
        break_for_now=functools.partial(receiver.always, Reply(503, body=SECRET.encode())),
        break_for_good=functools.partial(receiver.always, Reply(403, body=SECRET.encode())),
        final=not chat,
    )


def _on_azure(name: str, request: pytest.FixtureRequest) -> Case:
    azure: Azure = request.getfixturevalue("azure")
    resource = request.getfixturevalue("app" if name == "container-apps" else "group")
    return Case(
        options={"resource": resource["id"], "allow-private": True},
        environment=azure.environment,
        carried=lambda: [each.body.decode() for each in azure.sent()],
        break_for_now=functools.partial(azure.receiver.always, Reply(503, body=SECRET.encode())),
        break_for_good=functools.partial(azure.receiver.always, Reply(403, body=SECRET.encode())),
        secret=AZURE_SECRET,
    )


def _kubernetes(receiver: Receiver) -> Case:
    cluster = Cluster(SECRET)
    cluster.add("default/deployments/web", {"web": "old"})
    receiver.always(cluster.answer)
    return Case(
        options={"workload": "deployment/web", "server": receiver.url, "token": "env:URL", "allow-private": True},
        environment={"URL": SECRET},
        carried=lambda: [each.body.decode() for each in receiver.requests if each.method == "PATCH"],
        break_for_now=functools.partial(receiver.always, Reply(503, body=SECRET.encode())),
        break_for_good=functools.partial(receiver.always, Reply(403, body=SECRET.encode())),
    )


def _command(folder: Path) -> Case:
    script = (
        "import os, pathlib, sys; print(os.environ['SECRET']); print(os.environ['SECRET'], file=sys.stderr);"
        "broken = pathlib.Path('broken'); broken.exists() and sys.exit(int(broken.read_text()));"
        "open('out', 'a').write(os.environ['LIFTLOCK_KEY'] + '\\n')"
    )
    return Case(
        options={"run": [sys.executable, "-c", script], "env": {"SECRET": "env:URL"}},
        environment={"URL": SECRET},
        carried=lambda: (folder / "out").read_text().split(),
        break_for_now=functools.partial(_write, folder / "broken", "75"),
        break_for_good=functools.partial(_write, folder / "broken", "1"),
    )


def _write(file: Path, text: str) -> None:
    file.write_text(text)


def _git(folder: Path, server: GitServer) -> Case:
    repository = BareRepository(folder, {"web.yaml": "image: old\n"})
    git(repository.folder, "config", "http.receivepack", "true")
    show = "%(trailers:key=Liftlock-Key,valueonly,separator=%x2C)"
    return Case(
        options={"repository": "env:URL", "updates": [{"file": "web.yaml", "path": "image"}]},
        environment={"URL": f"http://bot:{SECRET}@{server.host}/deploy.git"},
        carried=lambda: git(repository.folder, "log", f"--format={show}", "main").split(),
        break_for_now=lambda: setattr(server, "status", 503),
        break_for_good=lambda: setattr(server, "status", 403),
    )


def sent(kind: Notifier, case: Case, folder: Path, message: Message | None = None) -> LiftlockError | None:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **case.environment}
    return check(
        kind, case.options, Tools(folder=folder, environment=environment), secrets=[case.secret], message=message
    )


def test_it_delivers_and_says_nothing(
    kind: Notifier, case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert sent(kind, case, tmp_path) is None
    assert case.carried()
    assert capfd.readouterr() == ("", "")


def test_the_same_message_is_known_again(kind: Notifier, case: Case, tmp_path: Path) -> None:
    assert sent(kind, case, tmp_path) is None
    once = case.carried()
    assert sent(kind, case, tmp_path) is None

    assert set(case.carried()) == set(once)
    assert sent(kind, case, tmp_path, sample(build="43")) is None
    assert set(case.carried()) > set(once)


def test_a_receiver_that_fails_is_tried_again(kind: Notifier, case: Case, tmp_path: Path) -> None:
    case.break_for_now()
    error = sent(kind, case, tmp_path)

    assert error is not None
    assert error.temporary
    assert SECRET not in error.hint


def test_a_receiver_that_refuses_is_not(kind: Notifier, case: Case, tmp_path: Path) -> None:
    case.break_for_good()
    error = sent(kind, case, tmp_path)

    assert error is not None
    assert error.temporary is not case.final


def test_a_secret_is_looked_up_when_it_is_sent(kind: Notifier, case: Case, tmp_path: Path) -> None:
    takes_secrets = "x-secret" in str(kind.options.model_json_schema())
    case.environment.pop("URL", None)
    error = sent(kind, case, tmp_path)

    assert (error is None) is not takes_secrets
    assert error is None or (isinstance(error, ConfigError) and "variable URL is not set" in str(error))


def test_each_option_is_described(kind: Notifier) -> None:
    schema = kind.options.model_json_schema()

    assert [name for name, each in schema["properties"].items() if not each.get("description")] == []
    assert schema["additionalProperties"] is False


def test_every_kind_is_under_this_contract(outside: None) -> None:
    assert tuple(NOTIFIERS.names()) == KINDS


class _Wrong:
    api_version: ClassVar[int] = 1
    options = Options

    def __init__(self, fail: Callable[[], None]) -> None:
        self._fail = fail

    def send(self, message: Message, options: Any, tools: Tools) -> None:
        self._fail()


def _raise(error: BaseException) -> None:
    raise error


def _caused() -> None:
    try:
        _raise(OSError(SECRET))
    except OSError as error:
        raise LiftlockError("no") from error


def _logs() -> None:
    import logging

    logging.getLogger("some.library").debug("url %s", SECRET)


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (lambda: _raise(KeyError("x")), "it raises KeyError"),
        (lambda: _raise(LiftlockError(f"no {SECRET}")), "a secret is in"),
        (lambda: _raise(LiftlockError("no", hint=SECRET)), "a secret is in"),
        (_caused, "a secret is in"),
        (_logs, "a secret is in"),
        (lambda: print(SECRET), "a secret is in"),
    ],
)
def test_the_suite_notices(fail: Callable[[], None], said: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=said):
        check(_Wrong(fail), {}, Tools(folder=tmp_path, environment={}), secrets=[SECRET])
