"""What was learnt of hosts: kept over processes, never needed, never in the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liftlock.transport.memory import LIFETIME, HostMemory
from liftlock.transport.traffic import HostTraffic, Traffic


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "liftlock" / "hosts.json"


def test_a_fact_is_known_to_the_next_process(path: Path) -> None:
    HostMemory(str(path)).put("h:5000", "challenge", {"realm": "https://a", "scopes": [1, None, True]})

    later = HostMemory(str(path))
    assert later.get("h:5000", "challenge") == {"realm": "https://a", "scopes": [1, None, True]}
    assert later.get("h:5000", "other") is None
    assert later.get("other", "challenge") is None
    assert path.stat().st_mode & 0o077 == 0


def test_facts_are_forgotten_when_they_are_old_or_told_so(path: Path) -> None:
    now = [1_000_000.0]
    memory = HostMemory(str(path), clock=lambda: now[0])
    memory.put("h", "old", 1)
    now[0] += LIFETIME - 1
    memory.put("h", "new", 2)
    assert memory.get("h", "old") == 1
    now[0] += 2
    assert [memory.get("h", fact) for fact in ("old", "new")] == [None, 2]
    memory.put("h", "newer", 3)
    assert "old" not in path.read_text()
    memory.put("h", "new", None)
    assert HostMemory(str(path), clock=lambda: now[0]).get("h", "new") is None


def test_a_clock_that_was_set_back_does_not_make_facts_immortal(path: Path) -> None:
    HostMemory(str(path), clock=lambda: 5e9).put("h", "fact", 1)

    assert HostMemory(str(path), clock=lambda: 1e9).get("h", "fact") is None


def test_an_unchanged_fact_is_not_written_again(path: Path) -> None:
    memory = HostMemory(str(path))
    memory.put("h", "fact", True)
    path.unlink()
    memory.put("h", "fact", True)
    assert not path.exists()
    memory.put("h", "fact", 1)
    assert path.exists()


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    memory = HostMemory()
    memory.put("h", "fact", 1)

    assert memory.get("h", "fact") == 1
    assert list(tmp_path.iterdir()) == []


def test_where_the_file_lies() -> None:
    assert HostMemory.from_environment({"HOME": "/h"})._path == "/h/.cache/liftlock/hosts.json"
    assert HostMemory.from_environment({"HOME": "/h", "XDG_CACHE_HOME": "/c"})._path == "/c/liftlock/hosts.json"
    assert HostMemory.from_environment({})._path is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    content=st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["version", "hosts", "h", "fact"]), inner, max_size=3)
        ),
    ).map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"[" * 100_000, b'{"version":1,"hosts":{"h":{"fact":[1e999,1]}}}'])
)
def test_a_damaged_file_is_an_empty_one_and_is_repaired(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hosts.json"
    path.write_bytes(content)
    memory = HostMemory(str(path))

    assert memory.get("h", "fact") is None
    memory.put("h", "fact", "new")
    assert HostMemory(str(path)).get("h", "fact") == "new"


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    memory = HostMemory(str(tmp_path / "file" / "hosts.json"))
    memory.put("h", "fact", 1)

    assert memory.get("h", "fact") == 1


def _learn(path: str, name: str) -> None:
    memory = HostMemory(path)
    for number in range(20):
        memory.put(f"host-{name}", f"fact-{number}", number)


def test_many_processes_and_threads_lose_none_of_each_others_facts(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_learn, args=(str(path), f"p{number}")) for number in range(2)]
    memory = HostMemory(str(path))

    def learn(name: str) -> None:
        for number in range(20):
            memory.put(f"host-{name}", f"fact-{number}", number)

    threads = [threading.Thread(target=learn, args=(f"t{number}",)) for number in range(2)]
    for process in processes:
        process.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    for process in processes:
        process.join(50)

    known = HostMemory(str(path))
    for name in ("p0", "p1", "t0", "t1"):
        assert [known.get(f"host-{name}", f"fact-{number}") for number in range(20)] == list(range(20))
    assert sorted(os.listdir(path.parent)) == ["hosts.json", "hosts.json.lock"]  # noqa: PTH208 - names only


def test_traffic_is_counted_by_host_from_any_thread() -> None:
    traffic = Traffic()
    assert traffic.total() == HostTraffic(0, 0, 0)

    def count(host: str) -> None:
        for _ in range(1000):
            traffic.add(host, requests=1, sent=2, received=3)

    threads = [threading.Thread(target=count, args=(host,)) for host in ("a", "a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert traffic.by_host() == {"a": (2000, 4000, 6000), "b": (1000, 2000, 3000)}
    assert traffic.total() == HostTraffic(3000, 6000, 9000)
