"""Reading everything anew: what it finds, costs and changes; and what a long pull tells on its way."""

from __future__ import annotations

import pytest

from renku_metrics.sources.gitlab import project_reader as gitlab_project
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.progress import Progress
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.sources.gitlab.harvest import DAY, Harvest, World
from renkulab.faults import server_error


def test_a_reconciliation_reads_every_branch_whole_and_changes_nothing_that_is_stored(
    world: World, harvest: Harvest
) -> None:
    projects = [world.project(commits=3) for _ in range(4)]
    side = world.commit(projects[0], "side")
    harvest.pull(with_pushes=True)
    stored = dict(harvest.commits)
    world.lab.clock.advance(9 * DAY)
    assert harvest.pull(with_pushes=True, anew=True).complete
    assert len(harvest.came) == 4 * 3 + 1
    assert harvest.asked("/branches") == 4
    assert harvest.commits.keys() == stored.keys()
    assert harvest.row(projects[0], side)["pulled_at"] == stored[projects[0].id, side.sha]["pulled_at"]
    world.lab.clock.advance(DAY)
    harvest.pull(with_pushes=True)
    assert (harvest.came, harvest.asked("/branches")) == ([], 0)


def test_a_reconciliation_finds_what_the_increments_could_not_see(world: World, harvest: Harvest) -> None:
    """A restored project whose last activity is as old as before it was deleted."""
    project = world.project(commits=1)
    harvest.pull()
    world.lab.clock.advance(DAY)
    missed = world.commit(project)
    world.gitlab.delete_project(project)
    world.lab.clock.advance(2 * DAY)
    world.project(commits=1, created_at=world.lab.clock.now())
    harvest.pull()
    world.lab.clock.advance(9 * DAY)
    world.gitlab.restore_project(project)
    harvest.pull()
    assert missed.sha not in harvest.of(project)
    assert harvest.pull(anew=True).complete
    assert missed.sha in harvest.of(project)


def test_what_was_pushed_since_the_last_pull_is_told_from_what_was_missed(world: World, harvest: Harvest) -> None:
    at_rest, active = world.project(commits=1), world.project(commits=1)
    harvest.pull()
    world.lab.clock.advance(DAY)
    world.commit(active)
    overdue = [
        (table, project, sha)
        for batch in harvest.history(anew=True).batches()
        for table, rows in batch.overdue.items()
        for project, sha in zip(rows["project_id"], rows["sha"], strict=True)
    ]
    assert overdue == [(RAW_GITLAB_COMMITS.name, at_rest.id, world.head(at_rest))]


def test_a_reconciliation_that_fails_for_a_project_forgets_nothing_of_it(world: World, harvest: Harvest) -> None:
    project = world.project(commits=2)
    harvest.pull()
    world.lab.faults.add("/commits", server_error(500), times=None)
    world.lab.clock.advance(DAY)
    assert list(harvest.pull(anew=True).unread) == [project.id]
    world.lab.faults.clear()
    assert harvest.pull().complete
    assert harvest.came == []


def test_the_pusher_is_told_of_commits_that_were_pulled_without_push_events(world: World, harvest: Harvest) -> None:
    project = world.project(commits=1)
    harvest.pull(with_pushes=True)
    world.lab.clock.advance(DAY)
    commit = world.commit(project)
    harvest.pull()
    world.lab.clock.advance(30 * DAY)
    harvest.pull(with_pushes=True, anew=True)
    assert harvest.row(project, commit)["pusher_id"] == world.person.id


def test_a_huge_project_comes_in_parts_and_its_heads_move_with_the_last(
    world: World, harvest: Harvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_project, "HELD_AT_MOST", 150)
    monkeypatch.setattr(gitlab_project, "COMMITS_A_PART", 100)
    monkeypatch.setattr("renku_metrics.sources.gitlab.history.COMMITS_A_BATCH", 100)
    project = world.project(commits=700)
    pulling = harvest.history().batches()
    first = next(pulling)
    assert len(first.rows[RAW_GITLAB_COMMITS.name]) == 100
    assert GitLabState.from_json(first.state).projects == {}
    pulling.close()
    assert harvest.pull().complete
    assert harvest.batches >= 6
    assert harvest.of(project) == world.reachable(project)
    assert len(harvest.came) == 700


class Clock:
    """Goes on by so many seconds at each look."""

    def __init__(self, step: float) -> None:
        self.seconds, self._step = 0.0, step

    def __call__(self) -> float:
        self.seconds += self._step
        return self.seconds


def test_progress_is_told_every_few_seconds_and_no_oftener() -> None:
    said: list[str] = []
    progress = Progress("lab: gitlab", said.append, Clock(1))
    for done in range(1, 13):
        progress.tell(done, 60 if done > 6 else None, 100 * done, 10 * done)
    assert said == [
        "lab: gitlab: 5 projects so far, 500 new commits, 50 requests, 10 requests/s",
        "lab: gitlab: 10 of 60 projects, 1000 new commits, 100 requests, 10 requests/s, about 50 s left",
    ]


@pytest.mark.parametrize(
    ("total", "left"), [(1_000, "about 16 min 30 s left"), (100_000, "about 27 h 46 min left"), (10, None)]
)
def test_the_rest_is_told_in_hours_and_minutes(total: int, left: str | None) -> None:
    said: list[str] = []
    Progress("lab: gitlab", said.append, Clock(10)).tell(10, total, 0, 10)
    assert said[0].endswith(left or "10 requests, 1 requests/s")


def test_a_pull_ends_with_one_line_of_what_it_did(world: World, harvest: Harvest) -> None:
    world.project(commits=3)
    harvest.pull(say=harvest.said.append)
    [line] = harvest.said
    assert line.startswith("lab: gitlab: 1 of 1 projects, 3 new commits, ")
