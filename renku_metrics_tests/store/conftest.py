"""An empty store of each kind, and its ledger of one deployment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from renku_metrics.object_storage import lease
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the server does not write on condition, each change takes a lease.
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.01)


@pytest.fixture
def store(storage_kind: str, storage_address: str) -> Iterator[Store]:
    """As a pull or a build has it. Where the server does not write on condition, that is a store under a held name."""
    opened = Store.at(storage_address)
    if storage_kind != "swift":
        yield opened
        return
    with opened.alone("tests") as held:
        yield held


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store, "lab")
