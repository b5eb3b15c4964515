"""The table of projects: that it is whole, and what a row holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.tables import RAW_GITLAB_PROJECTS
from renku_metrics_tests.sources.gitlab.world import DAY, NOON, Pulls, World
from renkulab.server import RenkuLab


def test_every_project_is_pulled_with_what_counting_needs(world: World, pulls: Pulls) -> None:
    first = world.project(3)
    group = world.gitlab.add_group("institute")
    fork = world.gitlab.fork(first, group, world.ada, NOON - DAY)
    fork.archived = True
    fork.visibility = "public"
    pulls.pull_projects()
    expected = [
        {
            "deployment": "lab",
            "project_id": first.id,
            "created_at": NOON - 30 * DAY,
            "creator_id": world.ada.id,
            "namespace_id": world.gitlab.personal_namespace(world.ada).id,
            "namespace_kind": "user",
            "visibility": "private",
            "archived": False,
            "last_activity_at": NOON - 30 * DAY,
            "pulled_at": NOON,
        },
        {
            "deployment": "lab",
            "project_id": fork.id,
            "created_at": NOON - DAY,
            "creator_id": world.ada.id,
            "namespace_id": group.id,
            "namespace_kind": "group",
            "forked_from_id": first.id,
            "visibility": "public",
            "archived": True,
            "last_activity_at": NOON - DAY,
            "pulled_at": NOON,
        },
    ]
    pd.testing.assert_frame_equal(pulls.projects, RAW_GITLAB_PROJECTS.frame(expected))


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_lists_of_every_length_are_whole(world: World, pulls: Pulls, count: int) -> None:
    made = [world.project().id for _ in range(count)]
    pulls.pull_projects()
    assert list(pulls.projects["project_id"]) == made


def test_a_link_to_another_host_is_followed_on_the_host_of_the_deployment_file(
    world: World, pulls: Pulls, tmp_path: Path
) -> None:
    made = [world.project().id for _ in range(150)]
    with RenkuLab("other", tmp_path / "other", now=NOON) as other:
        world.gitlab.external_url = other.gitlab_url
        pulls.pull_projects()
        assert list(pulls.projects["project_id"]) == made
        assert other.requests == []
