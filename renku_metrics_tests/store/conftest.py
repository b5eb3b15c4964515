"""An empty store of each kind."""

from __future__ import annotations

import pytest

from renku_metrics.store.store import Store


@pytest.fixture
def store(storage_address: str) -> Store:
    return Store.at(storage_address)
