"""An empty store of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from renku_metrics.store.store import Store


@pytest.fixture
def store(storage_kind: str, storage_address: str) -> Iterator[Store]:
    """As a pull or a build has it. Where the server does not write on condition, that is a store under a held name."""
    opened = Store.at(storage_address)
    if storage_kind != "swift":
        yield opened
        return
    with opened.alone("tests") as held:
        yield held
