"""The ledger is one unbroken chain for each pipeline, and whatever is changed in it is found."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from liftlock.errors import CorruptContent
from liftlock.oci.canonical import canonical_json
from liftlock.oci.digest import Digest
from liftlock.store.chain import Chain, Entry, Head, check, check_export, line_of
from liftlock.store.store import Store
from tests.store.support import ANN, BOB, Clock, at_once


def append(store: Store, *kinds: str, pipeline: str = "demo") -> None:
    for kind in kinds:
        with store.begin() as tx:
            tx.ledger.append(pipeline, kind, ANN, {"stage": "dev", "note": "ü\n\u2028 'quoted' \\"})


def chain_of(length: int, pipeline: str = "demo") -> tuple[list[Entry], Head]:
    """What `Ledger.append` would have written."""
    entries: list[Entry] = []
    previous = ""
    for number in range(1, length + 1):
        entry = canonical_json(
            {"pipeline": pipeline, "number": number, "previous": previous, "kind": "test", "data": {"n": [number]}}
        )
        previous = Digest.of(entry)
        entries.append(Entry(number, entry.decode(), str(previous)))
    return entries, Head(length, str(previous))


def signed(entry: Entry, **changes: Any) -> Entry:
    """The entry with other content and the digest of that: what somebody would write who knows how it is made."""
    content = canonical_json({**json.loads(str(entry.text)), **changes})
    return Entry(json.loads(content)["number"], content.decode(), str(Digest.of(content)))


class TestChain:
    def test_entries_follow_each_other_and_say_who_did_what_when(self, store: Store) -> None:
        append(store, "requested", "approved")
        with store.begin() as tx:
            digest = tx.ledger.append("demo", "admitted", BOB, {"promotion": 7})
            at = tx.now

        with store.read() as tx:
            entries = list(tx.ledger.entries("demo"))
            assert tx.ledger.check("demo") == Chain("demo", 1, 3, digest)
            assert tx.ledger.head("demo") == (3, digest)
            assert [entry.number for entry in tx.ledger.entries("demo", after=1)] == [2, 3]
        last = json.loads(str(entries[-1].text))
        assert last == {
            "pipeline": "demo",
            "number": 3,
            "previous": entries[1].digest,
            "at": at.isoformat(),
            "by": "bob@example.org",
            "asserted": False,
            "kind": "admitted",
            "data": {"promotion": 7},
        }
        assert canonical_json(last).decode() == entries[-1].text
        assert json.loads(str(entries[0].text))["asserted"] is True

    def test_each_pipeline_has_a_chain_of_its_own(self, store: Store) -> None:
        append(store, "a", "b")
        append(store, "c", pipeline="other")

        with store.read() as tx:
            assert tx.ledger.pipelines() == ["demo", "other"]
            assert [tx.ledger.check(name).entries for name in tx.ledger.pipelines()] == [2, 1]
            assert tx.ledger.check("none") == Chain("none", 1, 0, "")

    def test_what_is_undone_leaves_no_gap(self, store: Store) -> None:
        append(store, "a")

        def fail() -> None:
            with store.begin() as tx:
                tx.ledger.append("demo", "undone", ANN, {})
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        append(store, "b")
        with store.read() as tx:
            assert tx.ledger.check("demo").entries == 2

    def test_floats_have_no_place_in_it(self, store: Store) -> None:
        with pytest.raises(ValueError, match="no floats"), store.begin() as tx:
            tx.ledger.append("demo", "a", ANN, {"seconds": 0.5})

    def test_many_who_append_at_once_neither_fork_it_nor_leave_a_gap(self, store: Store, other: Store) -> None:
        """The first entry of all is raced for as well."""

        def write(opened: Store) -> None:
            for number in range(8):
                append(opened, f"number {number}")
                append(opened, f"number {number}", pipeline="other")

        assert not at_once(*[lambda opened=opened: write(opened) for opened in (store, other) * 2])
        with store.read() as tx:
            for pipeline in ("demo", "other"):
                found = tx.ledger.check(pipeline)
                assert (found.intact, found.entries) == (True, 32)

    def test_one_transaction_may_append_several(self, store: Store) -> None:
        with store.begin() as tx:
            for number in range(3):
                tx.ledger.append("demo", f"{number}", ANN, {})
        with store.read() as tx:
            assert tx.ledger.check("demo").entries == 3


class TestTampering:
    """On rows in memory, so that there can be many: `check` sees exactly what the database holds."""

    @pytest.mark.parametrize(
        ("change", "wrong", "said"),
        [
            (lambda e: e[:2] + e[3:], 3, "entry 4 is in its place"),
            (lambda e: e[:-1], 6, "it is missing: the chain went on to entry 6"),
            (lambda e: [], 1, "it is missing"),
            (lambda e: e[1:], 1, "entry 2 is in its place"),
            (lambda e: [*e[:2], e[3], e[2], *e[4:]], 3, "entry 4 is in its place"),
            (lambda e: [*e[:2], e[3]._replace(number=3), e[2]._replace(number=4), *e[4:]], 3, "that it is entry 4"),
            (lambda e: [*e[:2], e[1]._replace(number=3), *e[3:]], 3, "it says that it is entry 2"),
            (lambda e: [*e[:2], signed(e[2], kind="forged"), *e[3:]], 4, "it does not follow"),
            (lambda e: [*e[:2], signed(e[2], previous=e[0].digest), *e[3:]], 3, "it does not follow"),
            (lambda e: [*e[:2], signed(e[2], pipeline="other"), *e[3:]], 3, "of 'other'"),
            (lambda e: [*e[:2], signed(e[2], number=True), *e[3:]], 3, "entry True is in its place"),
            (lambda e: [*e[:2], signed(e[2], number=True)._replace(number=3), *e[3:]], 3, "it says"),
            (lambda e: [*e, signed(e[5], number=7, previous=e[5].digest)], 7, "behind the chain's head"),
            (lambda e: [*e[:5], signed(e[5], kind="forged")], 6, "not the one that the head"),
            (lambda e: [*e[:2], Entry(3, " " + e[2].text, str(Digest.of(b" " + e[2].text.encode())))], 3, "canonical"),
            (lambda e: [*e[:2], Entry(3, "[]", str(Digest.of(b"[]")))], 3, "not canonical"),
            (lambda e: [*e[:2], Entry(3, "1.5", str(Digest.of(b"1.5")))], 3, "cannot be read"),
            (lambda e: [*e[:2], Entry(3, "[" * 9**5, str(Digest.of(b"[" * 9**5)))], 3, "cannot be read"),
            (lambda e: [*e[:2], e[2]._replace(text=None)], 3, "no text"),
            (lambda e: [*e[:2], e[2]._replace(number="3")], 3, "in its place"),
            (lambda e: [*e[:2], e[2]._replace(digest=None)], 3, "not what its digest was made of"),
        ],
    )
    def test_the_first_wrong_entry_is_named(
        self, change: Callable[[list[Any]], list[Any]], wrong: int, said: str
    ) -> None:
        entries, head = chain_of(6)
        found = check("demo", change(list(entries)), head)

        assert not found.intact
        assert found.last + 1 == wrong
        assert said in found.reason

    @pytest.mark.parametrize(
        "head", [Head(5, "x"), Head(7, "x"), Head(6, "x"), Head("6", "x"), Head(0, ""), Head(None, None)]
    )
    def test_a_head_that_is_not_the_last_entrys_is_found(self, head: Head) -> None:
        assert not check("demo", chain_of(6)[0], head).intact

    @given(seed=st.integers(min_value=0, max_value=2**32), length=st.integers(min_value=1, max_value=12))
    def test_whatever_is_done_to_rows_is_found(self, seed: int, length: int) -> None:
        """Any of: a row changed, removed, inserted, two swapped, the end cut off; never the same as before."""
        rng = random.Random(seed)
        entries, head = chain_of(length)
        rows = list(entries)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(rows) + 1)
            match rng.randrange(4):
                case 0 if rows:
                    del rows[at - 1]
                case 1:
                    rows.insert(at, signed(entries[rng.randrange(length)], kind=rng.choice(["x", "y"])))
                case 2 if rows:
                    rows = rows[:at]
                case _:
                    rng.shuffle(rows)
        assert check("demo", rows, head).intact == (rows == entries)

    @given(data=st.data())
    def test_a_changed_byte_of_any_column_is_found(self, data: st.DataObject) -> None:
        entries, head = chain_of(4)
        at = data.draw(st.integers(0, 3))
        column = data.draw(st.sampled_from(["text", "digest"]))
        old = str(getattr(entries[at], column)).encode()
        position = data.draw(st.integers(0, len(old) - 1))
        byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != old[position]))
        new = (old[:position] + bytes([byte]) + old[position + 1 :]).decode(errors="surrogateescape")
        entries[at] = entries[at]._replace(**{column: new})

        found = check("demo", entries, head)
        assert (found.intact, found.last) == (False, at)


class TestTamperedDatabase:
    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_any_byte_of_any_row_of_a_file(self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
        """SQLite takes whatever is put into it: bytes that are no text, and texts in a column of numbers."""
        path = tmp_path_factory.mktemp("ledger") / "liftlock.db"
        path.write_bytes(self._made(tmp_path_factory))
        with sqlite3.connect(path) as raw:
            number = data.draw(st.integers(1, 3))
            column = data.draw(st.sampled_from(["entry", "digest", "number"]))
            (old,) = raw.execute(f"SELECT CAST({column} AS BLOB) FROM ll_ledger WHERE number = ?", [number]).fetchone()
            position = data.draw(st.integers(0, len(old) - 1))
            byte = data.draw(st.integers(1, 255).filter(lambda byte: byte != old[position]))
            new = old[:position] + bytes([byte]) + old[position + 1 :]
            how = data.draw(st.sampled_from(["?", "CAST(? AS TEXT)"]))
            raw.execute(f"UPDATE OR REPLACE ll_ledger SET {column} = {how} WHERE number = ?", [new, number])
        raw.close()

        store = Store(path, Clock())
        with store.read() as tx:
            found = tx.ledger.check("demo")
        store.close()
        assert not found.intact
        if column != "number":
            assert found.last + 1 == number

    _bytes = b""

    def _made(self, folders: pytest.TempPathFactory) -> bytes:
        if not TestTamperedDatabase._bytes:
            path = folders.mktemp("made") / "liftlock.db"
            store = Store(path, Clock())
            append(store, "a", "b", "c")
            store.close()
            TestTamperedDatabase._bytes = path.read_bytes()
        return TestTamperedDatabase._bytes

    @pytest.mark.parametrize(
        ("statement", "wrong"),
        [
            ("UPDATE ll_ledger SET entry = replace(entry, 'ann', 'eve') WHERE number = 2", 2),
            ("UPDATE ll_ledger SET digest = 'x' WHERE number = 3", 3),
            ("DELETE FROM ll_ledger WHERE number = 1", 1),
            ("DELETE FROM ll_ledger WHERE number = 2", 2),
            ("DELETE FROM ll_ledger WHERE number = 3", 3),
            ("DELETE FROM ll_ledger", 1),
            ("UPDATE ll_ledger SET number = number + 1 WHERE number = 3", 3),
            ("INSERT INTO ll_ledger SELECT pipeline, 0, entry, digest FROM ll_ledger WHERE number = 1", 1),
            ("INSERT INTO ll_ledger SELECT pipeline, -7, entry, digest FROM ll_ledger WHERE number = 1", 1),
            ("UPDATE ll_ledger SET pipeline = 'other' WHERE number = 2", 2),
            ("DELETE FROM ll_ledger_heads", 1),
            ("UPDATE ll_ledger_heads SET number = 2", 3),
            ("UPDATE ll_ledger_heads SET number = 4", 4),
            ("UPDATE ll_ledger_heads SET digest = 'x'", 3),
        ],
    )
    def test_what_a_statement_changes_is_found(self, store: Store, statement: str, wrong: int) -> None:
        append(store, "a", "b", "c")
        with store.begin() as tx:
            tx.connection.execute(text(statement))

        with store.read() as tx:
            found = {name: tx.ledger.check(name) for name in tx.ledger.pipelines()}
        assert not found["demo"].intact
        assert found["demo"].last + 1 == wrong
        assert all(not each.intact for each in found.values())


class TestExport:
    def lines(self, length: int = 5, after: int = 0) -> list[str]:
        return [f"{line_of(entry)}\n" for entry in chain_of(length)[0][after:]]

    def test_what_is_exported_is_canonical_json_and_holds(self, store: Store) -> None:
        append(store, "a", "b", "c")
        with store.read() as tx:
            lines = [line_of(entry) for entry in tx.ledger.entries("demo")]
            assert check_export(lines) == tx.ledger.check("demo")
            assert check_export(lines[1:]) == tx.ledger.check("demo")._replace(first=2)
        for line in lines:
            assert canonical_json(json.loads(line)).decode() == line
            assert Digest.of(canonical_json(json.loads(line)["entry"])) == json.loads(line)["digest"]

    def test_parts_of_an_export_are_each_whole_and_together_one(self) -> None:
        lines = self.lines()
        assert check_export(lines[:2]).entries == 2
        assert check_export(self.lines(after=2)) == Chain("demo", 3, 5, str(chain_of(5)[1].digest))
        assert check_export([*lines[:2], *self.lines(after=2)]) == check_export(lines)

    def test_a_missing_line_is_found(self) -> None:
        lines = self.lines()
        found = check_export([*lines[:2], *lines[3:]])
        assert (found.last, found.reason) == (2, "entry 4 is in its place")

    @given(data=st.data())
    def test_a_changed_byte_is_found(self, data: st.DataObject) -> None:
        lines = self.lines(3)
        at = data.draw(st.integers(0, 2))
        old = lines[at].rstrip("\n")
        position = data.draw(st.integers(0, len(old) - 1))
        character = data.draw(st.characters(codec="utf-8").filter(lambda c: c not in {old[position], "\n", "\r"}))
        lines[at] = old[:position] + character + old[position + 1 :] + "\n"

        try:
            intact = check_export(lines).intact
        except CorruptContent:
            intact = False
        assert not intact

    @pytest.mark.parametrize(
        "line", ["", "{}", "[]", "7", '{"entry":{}}', '{"digest":"x","entry":[]}', "{" * 9**5, "\x00"]
    )
    def test_what_is_no_export_is_said_so(self, line: str) -> None:
        with pytest.raises(CorruptContent, match="line 2 is no line"):
            check_export([self.lines()[0], f"{line}\n"])

    def test_an_empty_export_is_none(self) -> None:
        with pytest.raises(CorruptContent, match="is empty"):
            check_export([])
