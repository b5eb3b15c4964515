"""What several change at the same time is not lost."""

from __future__ import annotations

import subprocess
import sys

import pytest

from renku_metrics.errors import StoreError
from renku_metrics.store.ledger import Erasures, Ledger
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_USERS
from renku_metrics_tests.store.rows import user

# One document that is changed by another process: adds so many tombstones, each alone, as `python -c`.
CHANGER = """
import sys
from renku_metrics.object_storage import lease
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store

address, name, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
lease.POLL_SECONDS = lease.SETTLE_SECONDS = 0.01
ledger = Ledger(Store.at(address), "lab")
for number in range(times):
    ledger.change_erased(lambda erased: erased.tombstones.append(f"{name}-{number}"))
"""


def test_a_change_that_came_in_between_is_not_lost(ledger: Ledger, storage_address: str) -> None:
    changed: list[list[str]] = []

    def change(erased: Erasures) -> None:
        changed.append(list(erased.tombstones))
        if len(changed) == 1:
            command = [sys.executable, "-c", CHANGER, storage_address, "other", "2"]
            subprocess.run(command, check=True, timeout=120)
        erased.tombstones.append("ours")

    ledger.change_erased(change)

    # Made again to what was there then.
    assert changed == [[], ["other-0", "other-1"]]
    assert ledger.erased().tombstones == ["other-0", "other-1", "ours"]


def test_nothing_that_two_processes_change_at_once_is_lost(
    storage_kind: str, ledger: Ledger, storage_address: str
) -> None:
    if storage_kind == "swift":
        pytest.skip("each change takes a lease there, and 40 of them minutes")
    if storage_kind == "moto":
        pytest.skip("moto itself loses a write now and then; see s3_conditions.py")
    commands = [[sys.executable, "-c", CHANGER, storage_address, name, "20"] for name in ("one", "other")]
    changers = [subprocess.Popen(command) for command in commands]
    assert [changer.wait(timeout=120) for changer in changers] == [0, 0]

    found = ledger.erased().tombstones
    assert sorted(found) == sorted(f"{name}-{number}" for name in ("one", "other") for number in range(20))
    for name in ("one", "other"):
        of_one = [int(tombstone.split("-")[1]) for tombstone in found if tombstone.startswith(f"{name}-")]
        assert of_one == list(range(20))


def test_who_loses_again_and_again_is_told_so(ledger: Ledger) -> None:
    def lose(erased: Erasures) -> None:
        erased.tombstones.append("ours")
        Ledger(ledger.store, "lab").change_erased(lambda other: other.tombstones.append("other"))

    with pytest.raises(StoreError) as error:
        ledger.change_erased(lose)
    address = ledger.store.storage.address("state/deployment=lab/erased.json")
    assert str(error.value) == f"{address}: other processes keep writing this; run this again later"


def test_rows_that_another_merges_at_the_same_time_are_not_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, others = store.storage.replace, iter(range(2, 5))

    def after_another(key: str, content: bytes, version: str | None) -> str:
        if key.startswith("raw/") and (number := next(others, None)):
            with monkeypatch.context() as undone:
                undone.setattr(store.storage, "replace", replace)
                store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(number), user(1, "a")]))
        return replace(key, content, version)

    monkeypatch.setattr(store.storage, "replace", after_another)
    store.merge(RAW_GITLAB_USERS, RAW_GITLAB_USERS.frame([user(1, "b"), user(9)]))

    users = store.read(RAW_GITLAB_USERS, [("lab",)])
    assert list(users["gitlab_user_id"]) == [1, 2, 3, 4, 9]
    assert list(users["address_hashes"][0]) == [user(1, name)["address_hashes"][0] for name in ("a", "b")]
