"""Checks that read the store: all of history is looked at, but no deployment twice that did not change."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from renku_metrics.events import union
from renku_metrics.metrics.dictionary import CORE_ACTIONS
from renku_metrics.pipeline.checking import changed_deployments, check_numbers, event_keys_are_unique, nothing_personal
from renku_metrics.pipeline.publishing import Numbers, read_numbers, write_published
from renku_metrics.schema import Table, month_of
from renku_metrics.sources.registry import read_deployments
from renku_metrics.store.files import Partition
from renku_metrics.store.ledger import RULES, Built, Ledger, Of
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, USER_DAYS, PeriodKind
from renku_metrics_tests.pipeline.mortal_storage import KilledError, MortalStorage
from renku_metrics_tests.pipeline.planted import write_deployment_file

AT = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def put(store: Store, day: str, *keys: str, deployment: str = "lab") -> None:
    """These are the events of the day from now on, and its user days are none; other days stay as they are."""
    place = (deployment, month_of(day))
    row = {"deployment": deployment, "event_type": "login", "occurred_at": AT, "source": "keycloak"}
    there = store.read_if_there(EVENTS, [place])
    new = EVENTS.frame(row | {"event_day": day, "event_key": f"login:{hashed(key)}"} for key in keys)
    events = store.write(EVENTS, pd.concat([there[there["event_day"] != day], new], ignore_index=True), [place])
    user_days = store.ensure(USER_DAYS, [place])
    ledger = Ledger(store, deployment)

    def note(built: Built) -> None:
        known = built.tables.setdefault(EVENTS.name, {})
        serial = known[place[1]].serial + 1 if place[1] in known else 1
        ledger.record(known, EVENTS, events, {place[1]: {"raw_keycloak_logins": serial, RULES: union.RULES_VERSION}})
        of: dict[str, Of] = {place[1]: {EVENTS.name: known[place[1]].serial, RULES: union.RULES_VERSION}}
        ledger.record(built.tables.setdefault(USER_DAYS.name, {}), USER_DAYS, user_days, of)

    ledger.change_built(note)


@pytest.fixture
def history() -> Store:
    """Other events on a day of each of four months."""
    store = Store(MortalStorage())
    for month in range(5, 9):
        put(store, f"2026-0{month}-02", f"{month}a", f"{month}b")
    return store


def test_an_event_that_is_on_two_days_is_found_however_old_it_is(history: Store) -> None:
    assert event_keys_are_unique(history, ["lab"]).passed
    put(history, "2026-11-24", "6b", "new")
    found = event_keys_are_unique(history, ["lab", "other"])
    assert not found.passed
    assert found.blocking
    assert found.facts == {"days": {"lab": ["2026-06-02", "2026-11-24"]}}
    # Until it is not so any more.
    assert not event_keys_are_unique(history, ["lab"]).passed
    put(history, "2026-06-02", "6a")
    assert event_keys_are_unique(history, ["lab"]).passed


def test_two_days_of_one_month_are_two_days(history: Store) -> None:
    put(history, "2026-06-03", "6b")
    assert event_keys_are_unique(history, ["lab"]).facts["days"] == {"lab": ["2026-06-02", "2026-06-03"]}


def test_the_same_event_of_two_deployments_is_two(history: Store) -> None:
    put(history, "2026-06-02", "6a", deployment="other")
    assert event_keys_are_unique(history, ["lab", "other"]).passed


@pytest.fixture
def deployments(tmp_path: Path) -> Path:
    for name in ("lab", "other"):
        write_deployment_file(tmp_path / "deployments", name)
    return tmp_path / "deployments"


def numbers_of(store: Store, deployments: Path) -> dict[PeriodKind, Numbers]:
    return read_numbers(store, read_deployments(deployments), CORE_ACTIONS, AT)


def publish(store: Store, deployments: Path) -> None:
    write_published(store, numbers_of(store, deployments), CORE_ACTIONS, AT)


def test_only_deployments_that_changed_since_they_were_published_are_read(
    history: Store, deployments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Partition] = []
    read_columns = Store.read_columns

    def remembering(store: Store, table: Table, places: Sequence[Partition], columns: Sequence[str]) -> pa.Table:
        read.extend(places)
        return read_columns(store, table, places, columns)

    monkeypatch.setattr(Store, "read_columns", remembering)

    def look() -> bool:
        findings = check_numbers(history, numbers_of(history, deployments), CORE_ACTIONS)
        return next(found.passed for found in findings if found.name == "event_keys_are_unique")

    assert look()
    assert len(read) == 4
    # Until it is published nothing of it is settled.
    assert look()
    assert len(read) == 8
    publish(history, deployments)
    assert look()
    assert len(read) == 8
    put(history, "2026-11-24", "new", deployment="other")
    assert look()
    assert read[8:] == [("other", "2026-11-01")]
    publish(history, deployments)
    # Of a deployment that changed all of it is read: what is new may be there for years.
    put(history, "2026-11-24", "6b")
    assert not look()
    assert read[9:] == [("lab", f"2026-{month}-01") for month in ("05", "06", "07", "08", "11")]


def test_a_publication_that_is_killed_settles_nothing_that_was_not_looked_at(deployments: Path) -> None:
    deaths = 0
    for writes in range(13):
        storage = MortalStorage()
        store = Store(storage)
        put(store, "2026-08-01", "1")
        storage.writes_left = writes
        try:
            publish(store, deployments)
        except KilledError:
            deaths += 1
        storage.writes_left = None
        put(store, "2026-08-02", "1")
        numbers = numbers_of(store, deployments)
        assert changed_deployments(numbers) == ["lab"]
        findings = {found.name: found for found in check_numbers(store, numbers, CORE_ACTIONS)}
        assert not findings["event_keys_are_unique"].passed, writes
    assert deaths == 12


def test_what_is_published_of_texts_is_looked_through() -> None:
    rows = pd.DataFrame({"definition": ["1", "of ada@uni.example", None], "users": [1, 2, 3]})
    found = nothing_personal([rows, rows])
    assert (found.passed, found.blocking, found.facts) == (False, True, {"values": 2})
    assert nothing_personal([rows[rows["users"] == 1]]).passed
