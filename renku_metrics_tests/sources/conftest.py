"""A simulated RenkuLab and the pulls of its GitLab."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics_tests.sources.gitlab.harvest import NOON, Harvest, World
from renkulab.server import RenkuLab


@pytest.fixture
def gitlab_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit-log", now=NOON) as running:
        monkeypatch.setenv("LAB_GITLAB_TOKEN", running.gitlab_token)
        yield running


@pytest.fixture
def world(gitlab_lab: RenkuLab) -> World:
    return World(gitlab_lab)


@pytest.fixture
def harvest(gitlab_lab: RenkuLab) -> Harvest:
    return Harvest(gitlab_lab)
