"""An empty storage of each kind, and leases that are quicker than in earnest."""

from __future__ import annotations

import pytest

from renku_metrics.object_storage import ObjectStorage, file_lock, interface, lease, open_storage


@pytest.fixture
def storage(storage_address: str) -> ObjectStorage:
    return open_storage(storage_address)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "LONGEST_POLL_SECONDS", 0.001)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.001)


@pytest.fixture
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is held is an error at once."""
    monkeypatch.setattr(interface, "LONGEST_WAIT_SECONDS", -1.0)
