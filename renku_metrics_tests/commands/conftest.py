from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics.store.store import Store
from renku_metrics_tests.commands.pulled_store import PulledStore, pulled_store


@pytest.fixture(scope="module")
def pulled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulledStore]:
    with pytest.MonkeyPatch.context() as patch, pulled_store(tmp_path_factory.mktemp("pulled"), patch) as pulled:
        yield pulled


@pytest.fixture
def pulled(pulled_once: PulledStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PulledStore:
    """The simulated deployment with a store that is this test's own."""
    address = str(tmp_path / "store")
    shutil.copytree(pulled_once.store.storage.address(), address)
    monkeypatch.setenv("RENKU_METRICS_STORE", address)
    return PulledStore(pulled_once.lab, Store.at(address), pulled_once.deployments, pulled_once.people)
