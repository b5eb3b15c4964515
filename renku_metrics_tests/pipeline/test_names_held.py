"""Whoever replaces an object holds a name that all others who replace it hold too.

On a server that does not write on condition, nothing else keeps two writers apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from renku_metrics.object_storage import DirectoryStorage, ObjectStorage
from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.pipeline.erasing import erasing
from renku_metrics.store.store import Store
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served

DAY = TODAY - 40 * ONE_DAY
# The first to write these has them; nobody replaces them.
BEGUN_ONCE = {"version.json", "state/hash_key_fingerprint"}


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[set[str]]]:
    """For each object, the names that were held at each of its writes."""
    found: dict[str, list[set[str]]] = {}
    held: list[str] = []
    alone, write = DirectoryStorage.alone, DirectoryStorage.replace

    @contextmanager
    def hold(storage: DirectoryStorage, name: str) -> Iterator[ObjectStorage]:
        with alone(storage, name) as of_holder:
            held.append(name)
            try:
                yield of_holder
            finally:
                held.remove(name)

    def note(storage: DirectoryStorage, key: str, content: bytes, version: str | None) -> str:
        found.setdefault(key, []).append(set(held))
        return write(storage, key, content, version)

    monkeypatch.setattr(DirectoryStorage, "alone", hold)
    monkeypatch.setattr(DirectoryStorage, "replace", note)
    return found


def test_each_object_has_a_name_that_all_its_writers_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holders: dict[str, list[set[str]]]
) -> None:
    small = SmallLab("lab", tmp_path, DAY - ONE_DAY)
    with served([small.lab], tmp_path / "deployments", DAY, monkeypatch) as deployments:
        kept = KeptDeployment(small.lab, deployments["lab"], Store.at(str(tmp_path / "store")))
        for day in (DAY, TODAY - ONE_DAY):
            small.lab.clock.set(midnight(day))
            small.live(day)
            small.lab.clock.set(midnight(day + ONE_DAY))
            kept.bring_up_to_date()
        copytree(tmp_path / "store", tmp_path / "copy")
        copied = replace(kept, store=Store.at(str(tmp_path / "copy")))
        copied.publish()
        copied.bring_up_to_date()
        assert erasing(copied.store, copied.deployment, [small.login.id], []).erase([])

    assert len(holders) > 30
    replaced = {key: names for key, names in holders.items() if key not in BEGUN_ONCE}
    assert {key: names for key, names in replaced.items() if not set.intersection(*names)} == {}
