"""Projects that are gone, or have their repository disabled, and come back without any activity."""

from __future__ import annotations

import pytest

from renku_metrics.sources.gitlab import changes as gitlab_changes
from renku_metrics_tests.sources.gitlab.harvest import DAY, HOUR, Harvest, World
from renkulab import faults
from renkulab.git import Commit
from renkulab.gitlab import Project


@pytest.fixture(params=[403, 404])
def disabled(request: pytest.FixtureRequest, world: World, harvest: Harvest) -> tuple[Project, Commit]:
    """A project whose repository was disabled before a pull saw its last commit, six days ago."""
    world.gitlab.disabled_repository_status = request.param
    project = world.project(commits=1)
    harvest.pull()
    world.lab.clock.advance(DAY)
    commit = world.commit(project)
    project.repository_enabled = False
    for _ in range(2):
        assert harvest.pull().complete
        # Once its activity is that long ago, the project is in no list.
        world.lab.clock.advance(3 * DAY)
    return project, commit


def test_a_repository_enabled_after_days_is_read(
    disabled: tuple[Project, Commit], world: World, harvest: Harvest
) -> None:
    project, commit = disabled
    for _ in range(3):
        world.lab.clock.advance(DAY)
        assert harvest.pull().complete
    project.repository_enabled = True
    world.lab.clock.advance(HOUR)
    assert harvest.pull().complete
    assert harvest.came == [(project.id, commit.sha)]
    # From then on nobody looks at it again.
    world.lab.clock.advance(9 * DAY)
    harvest.pull()
    assert harvest.asked(f"/projects/{project.id}") == 0


@pytest.mark.usefixtures("disabled")
def test_a_disabled_repository_costs_one_request_a_pull(world: World, harvest: Harvest) -> None:
    world.commit(world.project(commits=1))
    harvest.pull()
    listing, rights, look_up, read = 2, 1, 1, 2
    assert len(world.lab.requests) == listing + rights + look_up + read


def test_a_repository_listed_as_disabled_is_not_asked_for(world: World, harvest: Harvest) -> None:
    world.project(commits=1).repository_enabled = False
    assert harvest.pull().complete
    assert harvest.asked("/repository/") == 0


def test_a_project_deleted_while_it_was_listed_and_restored_later_is_read(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    world.before_request("/branches$", 1, lambda: world.gitlab.delete_project(project))
    assert harvest.pull().complete
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull().complete
    world.gitlab.restore_project(project)
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


def test_a_project_deleted_while_it_waited_and_restored_later_is_read(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    world.lab.faults.add("/commits", faults.server_error(500), times=None)
    assert list(harvest.pull().unread) == [project.id]
    world.lab.faults.clear()
    world.lab.clock.advance(9 * DAY)
    world.gitlab.delete_project(project)
    assert harvest.pull().complete
    world.gitlab.restore_project(project)
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull().complete
    assert harvest.of(project) == world.reachable(project)


def test_a_closed_project_that_cannot_be_looked_at_is_a_gap(
    disabled: tuple[Project, Commit], world: World, harvest: Harvest
) -> None:
    project, commit = disabled
    world.lab.faults.add(f"/projects/{project.id}$", faults.server_error(500), times=None)
    assert list(harvest.pull().unread) == [project.id]
    world.lab.faults.clear()
    project.repository_enabled = True
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull().complete
    assert commit.sha in harvest.of(project)


def test_of_many_closed_projects_some_are_looked_at_in_turn(
    world: World, harvest: Harvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_changes, "CLOSED_AT_A_TIME", 3)
    projects = [world.project(commits=1) for _ in range(7)]
    for project in projects:
        project.repository_enabled = False
    harvest.pull()
    looked_at = []
    for _ in range(3):
        world.lab.clock.advance(9 * DAY)
        assert harvest.pull().complete
        looked_at.append([int(request.path.rpartition("/")[2]) for request in world.lab.requests.matching(r"/\d+$")])
    assert [len(some) for some in looked_at] == [3, 3, 3]
    assert {number for some in looked_at for number in some} == {project.id for project in projects}
    # At the latest in the third pull.
    last = projects[-1]
    last.repository_enabled = True
    for _ in range(3):
        world.lab.clock.advance(9 * DAY)
        harvest.pull()
    assert harvest.of(last) == world.reachable(last)
