"""A simulated RenkuLab whose GitLab is pulled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics_tests.sources.gitlab.world import DAY, NOON, TOKEN, Pulls, World, check_commits_asked
from renkulab.gitlab import User
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit-log", now=NOON) as running:
        monkeypatch.setenv(TOKEN, running.gitlab_token)
        yield running
        check_commits_asked(running)


@pytest.fixture
def world(lab: RenkuLab) -> World:
    return World(lab)


@pytest.fixture
def pulls(lab: RenkuLab) -> Pulls:
    return Pulls(lab)


@pytest.fixture
def people(world: World) -> list[User]:
    """Seven, each with a second address, and active on another day."""
    made = [world.gitlab.add_user(f"u{number}", f"u{number}@x.example", NOON - 90 * DAY) for number in range(7)]
    for number, user in enumerate(made):
        world.gitlab.add_email(user, f"u{number}@home.example", NOON - 80 * DAY)
        user.last_activity_on = (NOON - number * DAY).date()
    return made
