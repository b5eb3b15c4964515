"""A simulated RenkuLab whose Keycloak is pulled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics_tests.sources.keycloak.keycloak_pulls import NOW
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit-log", now=NOW) as running:
        monkeypatch.setenv("LAB_KEYCLOAK_SECRET", running.keycloak_secret)
        yield running
