"""Keycloak's ids that are no UUIDs may name people: they are kept as keyed hashes, the same from every source."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
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


def lab_of_a_person(own_id: str, folder: Path) -> SmallLab:
    """A deployment where this person logs in, commits and starts a session."""
    small = SmallLab("lab", folder, START - ONE_DAY)
    users = small.lab.keycloak.users
    users[own_id] = users.pop(small.login.id)
    small.login.id = small.ada.keycloak_id = own_id
    small.live(START)
    small.lab.amalthea.restart(midnight(START + ONE_DAY))
    small.lab.clock.set(midnight(START + ONE_DAY))
    return small


@pytest.mark.parametrize("own_id", [FEDERATED, "ada.lovelace", "ada@uni.example"])
def test_a_person_whose_keycloak_id_is_a_name_is_one_person_and_not_named(
    own_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = lab_of_a_person(own_id, tmp_path)
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


@pytest.mark.parametrize("own_id", [FEDERATED, f"f:{UUID}:ada@uni.example", f"f:{UUID}:Ada Lovelace"])
def test_a_person_who_is_read_from_a_directory_is_erased_by_their_id(
    own_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = lab_of_a_person(own_id, tmp_path)
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    store = Store.at(str(tmp_path / "store"))
    hashed = BOOK.keycloak_id(own_id)

    def named() -> list[str]:
        stored = {table.name: store.read(table, store.partitions(table, "lab")).to_csv() for table in raw_tables()}
        return [name for name, text in stored.items() if hashed in text]

    with served([small.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        lab = deployments["lab"]
        for harvest in HARVESTS:
            pull_once(store, lab, harvest, clock=lambda: midnight(START + ONE_DAY))
        assert {"raw_keycloak_users", "raw_keycloak_logins", "raw_amalthea_sessions"} <= set(named())
        erased = CliRunner().invoke(renku_metrics, ["erase", "--deployment", "lab", "--user", own_id, "--yes"])
    assert erased.exit_code == 0, erased.output
    assert named() == []
