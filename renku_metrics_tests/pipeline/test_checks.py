"""Checks that read the store: all of history is looked at, but nothing twice that did not change."""

from __future__ import annotations

import datetime as dt

import pytest

from renku_metrics.pipeline import checking as checks
from renku_metrics.pipeline import unique_keys
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import EVENTS, Table
from renku_metrics_tests.pipeline.mortal_storage import KilledError, MortalStorage

AT = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)


def put(store: Store, day: str, *keys: str) -> None:
    row = {"deployment": "lab", "event_day": day, "event_type": "login", "occurred_at": AT, "source": "keycloak"}
    written = store.write(EVENTS, EVENTS.frame(row | {"event_key": key} for key in keys), [("lab", day)])
    freshness.record_partitions(store, EVENTS, written, {})


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> Store:
    """Four days of other events, looked at two at a time."""
    monkeypatch.setattr(unique_keys, "DAYS_AT_ONCE", 2)
    store = Store(MortalStorage())
    for day in range(1, 5):
        put(store, f"2026-09-0{day}", f"login:{day}a", f"login:{day}b")
    return store


def test_an_event_that_stands_on_two_days_is_found_however_old_it_is(history: Store) -> None:
    assert checks.event_keys_are_unique(history, ["lab"]).passed
    put(history, "2026-11-24", "login:2b", "login:new")
    found = checks.event_keys_are_unique(history, ["lab", "other"])
    assert not found.passed
    assert found.blocking
    assert found.facts == {"days": {"lab": ["2026-09-02", "2026-11-24"]}}
    # Until it is not so any more.
    assert not checks.event_keys_are_unique(history, ["lab"]).passed
    put(history, "2026-09-02", "login:2a")
    assert checks.event_keys_are_unique(history, ["lab"]).passed


def test_the_first_look_finds_what_was_twice_before(history: Store) -> None:
    put(history, "2026-08-01", "login:4a")
    assert checks.event_keys_are_unique(history, ["lab"]).facts["days"] == {"lab": ["2026-08-01", "2026-09-04"]}


def test_only_days_that_changed_are_read(history: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Partition] = []
    read_if_there = Store.read_if_there

    def remembering(store: Store, table: Table, partitions: list[Partition]) -> object:
        read.extend(partitions)
        return read_if_there(store, table, partitions)

    monkeypatch.setattr(Store, "read_if_there", remembering)
    assert checks.event_keys_are_unique(history, ["lab"]).passed
    assert len(read) == 4
    assert checks.event_keys_are_unique(history, ["lab"]).passed
    put(history, "2026-09-03", "login:3b", "login:3c")
    put(history, "2026-09-05", "login:5")
    assert checks.event_keys_are_unique(history, ["lab"]).passed
    assert read[4:] == [("lab", "2026-09-03"), ("lab", "2026-09-05")]
    # The event that day has no longer may be another day's.
    put(history, "2026-09-06", "login:3a")
    assert checks.event_keys_are_unique(history, ["lab"]).passed


def test_two_keys_that_make_the_same_number_are_two(history: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pandas.util.hash_array", lambda keys: [1] * len(keys))
    assert checks.event_keys_are_unique(history, ["lab"]).passed
    put(history, "2026-09-05", "login:1a")
    assert checks.event_keys_are_unique(history, ["lab"]).facts["days"] == {"lab": ["2026-09-01", "2026-09-05"]}


def test_a_look_that_is_killed_is_no_look() -> None:
    for writes in range(3):
        storage = MortalStorage()
        store = Store(storage)
        put(store, "2026-09-01", "login:1")
        storage.writes_left = writes
        try:
            checks.event_keys_are_unique(store, ["lab"])
        except KilledError:
            assert writes < 2
        storage.writes_left = None
        put(store, "2026-09-02", "login:1")
        assert not checks.event_keys_are_unique(store, ["lab"]).passed


def test_state_is_looked_through_where_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(MortalStorage())
    store.write_state("gitlab/deployment=lab/state.json", b'{"projects": {"1": {"heads": ["9e8d7c"]}}}')
    store.write_state("published/finished.txt", b"2026-09-01T00:00:00+00:00")
    assert checks.nothing_personal(store, ["lab"], [], []).passed

    looked_at: list[str] = []
    read_state = Store.read_state

    def remembering(store: Store, name: str) -> bytes | None:
        looked_at.append(name)
        return read_state(store, name)

    monkeypatch.setattr(Store, "read_state", remembering)
    assert checks.nothing_personal(store, ["lab"], [], []).passed
    assert "gitlab/deployment=lab/state.json" not in looked_at
    store.write_state("gitlab/deployment=lab/state.json", b'{"projects": {"1": {"unread": ["of ada@uni.example"]}}}')
    for _ in range(2):
        found = checks.nothing_personal(store, ["lab"], [], [])
        assert (found.passed, found.facts) == (False, {"values": {"state": 1}})
