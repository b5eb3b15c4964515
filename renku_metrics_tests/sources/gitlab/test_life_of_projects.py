"""What happens to projects and branches between two pulls, and what the second pull makes of it."""

from __future__ import annotations

import pytest

from renku_metrics_tests.sources.gitlab.harvest import DAY, HOUR, PERSON, Harvest, World
from renkulab import gitlab_entities as entities
from renkulab.git import Repository
from renkulab.gitlab import Project


@pytest.fixture
def project(world: World, harvest: Harvest) -> Project:
    """Three commits, pulled; a day has passed since."""
    project = world.project(commits=3)
    assert harvest.pull().complete
    world.lab.clock.advance(DAY)
    return project


def everything_is_there(world: World, harvest: Harvest, *projects: Project) -> None:
    assert harvest.pull().complete
    for project in projects:
        assert harvest.of(project) >= world.reachable(project)


def test_an_unrelated_new_default_branch_is_found_whole(project: Project, world: World, harvest: Harvest) -> None:
    first = world.commit(project, "fresh", parents=[])
    second = world.commit(project, "fresh")
    project.default_branch = "fresh"
    everything_is_there(world, harvest, project)
    assert {sha for _, sha in harvest.came} == {first.sha, second.sha}


def test_a_branch_deleted_before_it_was_seen_is_lost_with_what_only_it_held(
    project: Project, world: World, harvest: Harvest
) -> None:
    kept = world.commit(project, "short-lived")
    world.move(project, "master", kept.sha)
    lost = world.commit(project, "short-lived")
    world.move(project, "short-lived", None)
    everything_is_there(world, harvest, project)
    assert kept.sha in harvest.of(project)
    assert lost.sha not in harvest.of(project)


def test_an_empty_project_is_read_once_it_has_commits(world: World, harvest: Harvest) -> None:
    empty = world.project()
    assert harvest.pull().complete
    assert harvest.asked("/branches") == 0
    world.lab.clock.advance(DAY)
    commit = world.commit(empty)
    everything_is_there(world, harvest, empty)
    assert harvest.came == [(empty.id, commit.sha)]


def test_a_repository_that_loses_all_branches_and_gets_others_is_read_on(
    project: Project, world: World, harvest: Harvest
) -> None:
    world.move(project, "master", None)
    everything_is_there(world, harvest, project)
    world.lab.clock.advance(DAY)
    commit = world.commit(project, parents=[])
    everything_is_there(world, harvest, project)
    assert commit.sha in harvest.of(project)


@pytest.mark.parametrize("status", [403, 404])
def test_a_disabled_repository_is_no_gap_and_read_when_it_is_enabled_again(
    status: int, project: Project, world: World, harvest: Harvest
) -> None:
    world.gitlab.disabled_repository_status = 403 if status == 403 else 404
    commit = world.commit(project)
    project.repository_enabled = False
    assert harvest.pull().complete
    assert harvest.came == []
    world.lab.clock.advance(3 * HOUR)
    project.repository_enabled = True
    everything_is_there(world, harvest, project)
    assert harvest.came == [(project.id, commit.sha)]


def test_an_import_that_runs_for_hours_is_read_when_it_is_done(
    world: World, harvest: Harvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitLab does not move last_activity_at when an import ends."""
    imported = world.project(created_at=world.lab.clock.now())
    entity, status = entities.project_entity, {"import_status": "started"}
    monkeypatch.setattr(entities, "project_entity", lambda *facts, **options: entity(*facts, **options) | status)
    assert harvest.pull().complete
    world.lab.clock.advance(5 * HOUR)
    assert harvest.pull().complete
    imported.repository = Repository()
    imported.repository.commit("imported\n", PERSON, world.lab.clock.now() - DAY, branch="master")
    status["import_status"] = "finished"
    world.lab.clock.advance(5 * HOUR)
    everything_is_there(world, harvest, imported)
    assert len(harvest.came) == 1
    world.lab.clock.advance(5 * HOUR)
    harvest.pull()
    assert harvest.asked(f"/projects/{imported.id}") == 0


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_history_that_vanishes_while_it_is_read_is_marked_and_read_next_time(
    page: int, world: World, harvest: Harvest
) -> None:
    project = world.project(commits=250)

    def rewrite() -> None:
        assert project.repository is not None
        world.commit(project, parents=[])
        project.repository.collect_garbage()

    world.before_request("/commits", page, rewrite)
    summary = harvest.pull()
    assert not summary.complete
    assert list(summary.unread) == [project.id]
    everything_is_there(world, harvest, project)


@pytest.mark.parametrize("page", [1, 2, 3])
def test_an_increment_that_vanishes_while_it_is_read_is_marked_and_read_next_time(
    page: int, project: Project, world: World, harvest: Harvest
) -> None:
    root = world.head(project)
    for _ in range(200):
        world.commit(project, "side")
    # More than one parent stays open, so that an empty page may be the end.
    side = world.commit(project, "side", parents=[world.head(project, "side"), world.head(project, "side")])
    world.commit(project, parents=[root])

    def rewrite() -> None:
        assert project.repository is not None
        world.commit(project, "side", parents=[root])
        project.repository.collect_garbage()

    world.before_request("/commits$", page + 1, rewrite)
    summary = harvest.pull()
    assert not summary.complete
    assert side.sha not in world.reachable(project)
    world.lab.clock.advance(HOUR)
    everything_is_there(world, harvest, project)


def test_a_branch_merged_while_the_branches_are_listed_is_not_taken_for_stored(
    project: Project, world: World, harvest: Harvest
) -> None:
    for number in range(120):
        world.commit(project, f"a-{number:03}")
    tip = world.commit(project, "z")
    root = world.head(project)
    # The default branch is on the first page, the branch on the second.
    project.default_branch = "a-000"
    world.before_request("/branches", 2, lambda: world.move(project, "a-000", tip.sha))
    harvest.pull()
    world.move(project, "a-000", root)
    world.lab.clock.advance(HOUR)
    everything_is_there(world, harvest, project)


def test_projects_at_rest_cost_nothing_however_many_there_are(world: World, harvest: Harvest) -> None:
    for _ in range(150):
        world.project(commits=1)
    active = world.project(commits=1)
    harvest.pull()
    world.lab.clock.advance(DAY)
    world.commit(active)
    harvest.pull()
    assert len(harvest.lab.requests) <= 5


@pytest.mark.parametrize("commits", [100, 200, 201])
def test_increments_of_whole_pages_cost_no_empty_page(
    commits: int, project: Project, world: World, harvest: Harvest
) -> None:
    for _ in range(commits):
        world.commit(project)
    assert harvest.pull().complete
    assert len(harvest.came) == commits
    assert harvest.asked("/commits$") == -(-commits // 100)
