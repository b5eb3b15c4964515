"""Keycloak's ids that are no UUIDs may name people: they are kept as keyed hashes, the same from every source."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.pipeline.building import store_events
from renku_metrics.pipeline.erasing import erasing
from renku_metrics.schema import month_of
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.registry import raw_tables
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS
from renku_metrics_tests.pipeline.mortal_storage import MortalStorage
from renku_metrics_tests.pipeline.pulls import HARVESTS, pull_once
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.served import served

START = dt.date(2026, 11, 16)
BOOK = AddressBook(b"a key of tests", [])
UUID = "0a0a0a0a-1111-4222-8333-444455556666"
FEDERATED = f"f:{UUID}:ada.lovelace"


def test_a_uuid_is_kept_and_anything_else_hashed_once() -> None:
    assert BOOK.keycloak_id(UUID) == UUID
    hashed = BOOK.keycloak_id(FEDERATED)
    assert len(hashed) == 64
    assert BOOK.keycloak_id(hashed) == hashed
    # An address as id is not the address as address.
    assert BOOK.keycloak_id("ada@uni.example") not in ("ada@uni.example", BOOK.hash("ada@uni.example"))


@pytest.mark.parametrize("own_id", [FEDERATED, "ada.lovelace", "ada@uni.example"])
def test_a_person_whose_keycloak_id_is_a_name_is_one_person_and_not_named(
    own_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SmallLab("lab", tmp_path, START - ONE_DAY)
    users = small.lab.keycloak.users
    users[own_id] = users.pop(small.login.id)
    small.login.id = small.ada.keycloak_id = own_id
    small.live(START)
    small.lab.amalthea.restart(midnight(START + ONE_DAY))
    small.lab.clock.set(midnight(START + ONE_DAY))
    store = Store(MortalStorage())
    with served([small.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        lab = deployments["lab"]
        for harvest in HARVESTS:
            pull_once(store, lab, harvest, clock=lambda: midnight(START + ONE_DAY))
        for table in raw_tables():
            text = store.read(table, store.partitions(table, "lab")).to_csv()
            assert own_id not in text, table.name
            assert "lovelace" not in text, table.name
        month = month_of(START.isoformat())
        store_events(store, lab, [month])
        events = store.read(EVENTS, [("lab", month)])
        events = events[events["event_day"] == START.isoformat()]
        assert {"login", "commit", "session_started"} <= set(events["event_type"])
        hashed = BOOK.keycloak_id(own_id)
        assert set(events["user_id"]) == {hashed}
        # Whoever asks to be erased may be named as Keycloak does.
        assert hashed in erasing(store, lab, [own_id], []).user_ids
