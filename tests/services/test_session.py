"""The composition root: what it builds, when, and how it is stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from liftlock.errors import Cancelled
from liftlock.services import images
from liftlock.services.session import Session
from tests.conftest import MakeFront, MakeRegistry
from tests.support import faults, remote
from tests.support import images as support
from tests.support.certificates import Authority
from tests.support.registry import Registry


def test_nothing_is_built_before_it_is_used(home: Path) -> None:
    with Session({"HOME": str(home)}) as session:
        assert session.requests == 0

    assert list(home.iterdir()) == []


def test_flags_come_before_variables(home: Path) -> None:
    env = {"HOME": str(home), "LIFTLOCK_PLAIN_HTTP": "a.example"}
    env |= {"LIFTLOCK_CA_FILE": "/env/ca", "LIFTLOCK_CLIENT_CERT": "/env/c"}

    with Session(env, plain_http=("b.example:5000",), ca_file="/flag/ca") as session:
        settings = session.transport.settings

    assert settings.plain_http == {"a.example", "b.example:5000"}
    assert settings.default_tls.ca_file == "/flag/ca"
    assert settings.default_tls.client_cert == "/env/c"


def test_what_was_learnt_of_a_host_is_kept_for_the_next(home: Path, registry: Registry) -> None:
    with Session({"HOME": str(home)}) as session:
        session.transport.memory.put(registry.host, "fact", 1)

    with Session({"HOME": str(home)}) as session:
        assert session.transport.memory.get(registry.host, "fact") == 1
    assert (home / ".cache" / "liftlock" / "hosts.json").exists()


def test_tls_files_reach_the_wire(
    make_registry: MakeRegistry, authority: Authority, home: Path, tmp_path: Path
) -> None:
    secure = make_registry(tls=authority)
    made = support.make_image(tmp_path / "l", "v1")
    remote.push(tmp_path / "l", "v1", secure, "app")

    with Session({"HOME": str(home)}, ca_file=str(secure.ca)) as session:
        assert images.digest(session, f"{secure.host}/app:v1").digest == made.digest


def test_requests_are_told_without_secrets(home: Path, registry: Registry) -> None:
    said: list[str] = []

    with Session({"HOME": str(home)}, on_request=said.append) as session:
        assert images.ls(session, registry.host).name == registry.host
        list(images.ls(session, registry.host).names)
        assert session.requests == len(said) == 1

    assert said == [f"GET http://{registry.host}/v2/_catalog?n=1000 → 200"]


def test_abort_wakes_what_is_stalled(home: Path, registry: Registry, make_front: MakeFront) -> None:
    front = make_front(registry)
    stalled = front.rule("HEAD", "/manifests/", faults.Stall())
    caught: list[BaseException] = []

    with Session({"HOME": str(home)}) as session:

        def ask() -> None:
            try:
                images.digest(session, f"{front.host}/app:v1")
            except Cancelled as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        stalled.wait()
        session.abort()
        thread.join(20)

    assert len(caught) == 1


def test_what_is_built_after_an_abort_is_aborted_too(home: Path, registry: Registry) -> None:
    with Session({"HOME": str(home)}) as session:
        session.abort()

        with pytest.raises(Cancelled):
            images.digest(session, f"{registry.host}/app:v1")
