"""Reading everything again, whatever is known: what it finds, costs and changes."""

from __future__ import annotations

import pandas as pd

from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.sources.gitlab.world import DAY, NOON, Pulls, World
from renkulab.faults import server_error


def test_a_reconciliation_reads_every_branch_whole_and_changes_nothing_that_is_stored(
    world: World, pulls: Pulls
) -> None:
    projects = [world.project(commits=3) for _ in range(4)]
    side = world.commit(projects[0], "side")
    pulls.pull(with_pushes=True)
    stored = pulls.commits
    world.advance(9 * DAY)
    assert pulls.pull(with_pushes=True, anew=True).complete
    assert len(pulls.came) == 4 * 3 + 1
    assert pulls.asked("/branches") == 4
    pd.testing.assert_frame_equal(pulls.commits, stored)
    assert pulls.row(projects[0], side)["pulled_at"] == NOON
    world.advance(DAY)
    pulls.pull(with_pushes=True)
    assert (pulls.came, pulls.asked("/branches")) == ([], 0)


def test_a_reconciliation_finds_what_the_increments_could_not_see(world: World, pulls: Pulls) -> None:
    """A restored project whose last activity is as old as before it was deleted."""
    project = world.project(commits=1)
    pulls.pull()
    world.advance(DAY)
    missed = world.commit(project)
    world.gitlab.delete_project(project)
    world.advance(2 * DAY)
    world.project(commits=1, created_at=world.now)
    pulls.pull()
    world.advance(9 * DAY)
    world.gitlab.restore_project(project)
    pulls.pull()
    assert missed.sha not in pulls.of(project)
    assert pulls.pull(anew=True).complete
    assert missed.sha in pulls.of(project)


def test_a_reconciliation_that_fails_for_a_project_forgets_nothing_of_it(world: World, pulls: Pulls) -> None:
    project = world.project(commits=2)
    pulls.pull()
    world.lab.faults.add("/commits", server_error(500), times=None)
    world.advance(DAY)
    assert list(pulls.pull(anew=True).unread) == [project.id]
    world.lab.faults.clear()
    assert pulls.pull().complete
    assert pulls.came == []


def test_what_was_pushed_since_the_last_pull_is_told_from_what_was_missed(world: World, pulls: Pulls) -> None:
    at_rest, active = world.project(commits=1), world.project(commits=1)
    pulls.pull()
    world.advance(DAY)
    world.commit(active)
    overdue = [
        (table, project, sha)
        for batch in pulls.history(anew=True).batches()
        for table, rows in batch.overdue.items()
        for project, sha in zip(rows["project_id"], rows["sha"], strict=True)
    ]
    assert overdue == [(RAW_GITLAB_COMMITS.name, at_rest.id, world.head(at_rest))]
