"""Leases by the database's clock, and the schedules of stages."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from liftlock.store.store import Store
from tests.store.support import NOON


class TestWorkers:
    def test_a_worker_lives_as_long_as_its_lease(self, store: Store) -> None:
        with store.begin() as tx:
            tx.workers.beat("one", "host-a", 60)
            tx.workers.beat("gone", "host-c", -0.001)
        with store.read() as tx:
            assert "one" in tx.workers.alive()
            assert "gone" not in tx.workers.alive()
            assert "gone" in tx.workers.dead()
            assert "one" not in tx.workers.dead()

    def test_a_beat_renews_and_good_bye_ends_it(self, store: Store) -> None:
        with store.begin() as tx:
            tx.workers.beat("one", "host-a", -60)
            tx.workers.beat("two", "host-a", -60)
            assert tx.workers.dead() == ["one", "two"]
            tx.workers.beat("one", "host-a", 60)
            assert (tx.workers.alive(), tx.workers.dead()) == (frozenset({"one"}), ["two"])
            tx.workers.drop("one")
            tx.workers.drop("two")
            tx.workers.drop("never heard of")
            assert (tx.workers.alive(), tx.workers.dead()) == (frozenset(), [])

    def test_the_clocks_of_the_workers_machines_do_not_matter(self, where: Path | str) -> None:
        """One is an hour ahead, one a day behind; both see the same lease."""
        ahead = Store(where, lambda: dt.datetime.now(dt.UTC) + dt.timedelta(hours=1))
        behind = Store(where, lambda: dt.datetime.now(dt.UTC) - dt.timedelta(days=1))
        with behind.begin() as tx:
            tx.workers.beat("behind", "host-b", 60)
        with ahead.begin() as tx:
            tx.workers.beat("dead", "host-a", -1)
        for opened in (ahead, behind):
            with opened.read() as tx:
                assert (tx.workers.alive(), tx.workers.dead()) == (frozenset({"behind"}), ["dead"])
            opened.close()

    def test_a_lease_ends_when_it_says_to_the_millisecond(self, store: Store) -> None:
        """Whatever the database's own way of writing times, an end is compared as a time."""
        with store.begin() as tx:
            for seconds in (30.9, 99.9, 159.999, 3600.0, 86_400.0):
                tx.workers.beat(f"in {seconds}", "host", seconds)
                tx.workers.beat(f"{seconds} ago", "host", -seconds)
            assert len(tx.workers.alive()) == 5
            assert len(tx.workers.dead()) == 5


class TestSchedules:
    def test_what_is_due_is_found_and_advanced_by_one(self, store: Store, other: Store) -> None:
        with store.begin() as tx:
            soon, later = tx.now + dt.timedelta(minutes=1), tx.now + dt.timedelta(days=1)
            tx.schedules.register("demo", {"dev": ("0 6 * * *", soon), "test": ("0 7 * * *", later)})
            assert tx.schedules.due() == []
        with store.read() as tx:
            (mine,) = tx.schedules.due()
        assert (mine.pipeline, mine.stage, mine.text, mine.next_at) == ("demo", "dev", "0 6 * * *", soon)

        with store.begin() as tx:
            assert tx.schedules.advance(mine, later)
        with other.begin() as tx:
            assert not tx.schedules.advance(mine, later)
            assert tx.schedules.due() == []

    def test_registering_keeps_the_time_of_what_stayed_and_forgets_what_went(self, store: Store) -> None:
        first, second = NOON + dt.timedelta(days=1), NOON + dt.timedelta(days=2)
        with store.begin() as tx:
            tx.schedules.register("demo", dict.fromkeys(("stays", "changes", "goes"), ("0 6 * * *", first)))
            tx.schedules.register("other", {"goes": ("0 6 * * *", first)})
        with store.begin() as tx:
            tx.schedules.register(
                "demo",
                {"stays": ("0 6 * * *", second), "changes": ("0 7 * * *", second), "comes": ("0 8 * * *", second)},
            )

        with store.read() as tx:
            found = {each.stage: (each.text, each.next_at) for each in tx.schedules.of("demo")}
            assert found == {
                "stays": ("0 6 * * *", first), "changes": ("0 7 * * *", second), "comes": ("0 8 * * *", second),
            }  # fmt: skip
            assert len(tx.schedules.of("other")) == 1
