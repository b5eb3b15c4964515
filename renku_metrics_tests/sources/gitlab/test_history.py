"""A pull of commits from its first batch to its last: what it stores, and how one that ended early goes on."""

from __future__ import annotations

import datetime as dt
import random

import pytest

from renku_metrics.sources.gitlab import history as gitlab_history
from renku_metrics.sources.gitlab import project_reader as gitlab_project
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.sources.gitlab.world import ADA, BOB, DAY, HOUR, MINUTE, NOON, Pulls, World, repository_of
from renkulab.gitlab import Project


def test_the_four_everyday_cases(world: World, pulls: Pulls) -> None:
    project = world.project(250)
    pulls.pull()
    assert pulls.of(project) == world.reachable(project)
    world.advance(7 * DAY)
    now = world.now
    new = world.commit(project)
    dated_long_ago = world.commit(project, dated=now - 30 * DAY)
    other = world.commit(project, "feature")
    imported = world.project(50, created_at=NOON - 300 * DAY)
    imported.created_at = imported.last_activity_at = now
    pulls.pull()
    assert {new.sha, dated_long_ago.sha, other.sha} <= pulls.of(project)
    assert pulls.of(project) == world.reachable(project)
    assert pulls.of(imported) == world.reachable(imported)
    assert pulls.row(project, dated_long_ago)["event_day"] == (now - 30 * DAY).date().isoformat()
    # Two pages of projects, one question who asks, and for each project its branches; two heads, one history.
    assert len(world.lab.requests) == 3 + 2 + 2 + 1


def test_a_fork_holds_the_same_commits_under_its_own_id(world: World, pulls: Pulls) -> None:
    project = world.project(120)
    pulls.pull()
    world.advance(DAY)
    fork = world.gitlab.fork(project, world.gitlab.add_group("institute"), world.ada, world.now)
    own = world.commit(fork)
    pulls.pull()
    assert pulls.of(fork) == pulls.of(project) | {own.sha}
    row = pulls.projects[pulls.projects["project_id"] == fork.id].iloc[0]
    assert row["forked_from_id"] == project.id


def test_days_before_the_deployments_start_are_left_out(world: World, pulls: Pulls) -> None:
    project = world.project(3, created_at=NOON - 30 * DAY)
    new = world.commit(project)
    pulls.start = NOON.date()
    pulls.pull(with_pushes=True)
    assert pulls.of(project) == {new.sha}
    assert set(pulls.pushes["event_day"]) == {"2026-11-16"}
    assert list(pulls.projects["project_id"]) == [project.id]


def test_a_start_that_moves_earlier_brings_what_was_left_out(world: World, pulls: Pulls) -> None:
    project = world.project(3, created_at=NOON - 30 * DAY)
    pulls.start = NOON.date()
    pulls.pull()
    assert pulls.of(project) == set()
    world.advance(90 * DAY)
    pulls.start = (NOON - 100 * DAY).date()
    pulls.pull()
    assert pulls.of(project) == world.reachable(project)


def test_a_pull_ends_with_one_line_of_what_it_did(world: World, pulls: Pulls) -> None:
    world.project(commits=3)
    said: list[str] = []
    pulls.say = said.append
    pulls.pull()
    [line] = said
    assert line.startswith("lab: gitlab: 1 of 1 projects, 3 new commits, ")


# Batches


def test_batches_hold_no_more_than_they_should(world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gitlab_history, "COMMITS_A_BATCH", 10)
    for _ in range(30):
        world.project(4)
    sizes = [len(batch.rows[RAW_GITLAB_COMMITS.name]) for batch in pulls.history().batches()]
    assert sum(sizes) == 120
    assert set(sizes[:-1]) == {12}


def test_a_huge_project_comes_in_parts_and_its_heads_move_with_the_last(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_project, "HELD_AT_MOST", 150)
    monkeypatch.setattr(gitlab_project, "COMMITS_A_PART", 100)
    monkeypatch.setattr(gitlab_history, "COMMITS_A_BATCH", 100)
    project = world.project(commits=700)
    pulling = pulls.history().batches()
    first = next(pulling)
    assert len(first.rows[RAW_GITLAB_COMMITS.name]) == 100
    assert GitLabState.from_json(first.state).projects == {}
    pulling.close()
    assert pulls.pull().complete
    assert pulls.batches >= 6
    assert pulls.of(project) == world.reachable(project)
    assert len(pulls.came) == 700


# Ends before the end


def test_a_pull_stopped_after_any_batch_goes_on_where_it_was(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_history, "COMMITS_A_BATCH", 4)
    projects = [world.project(2) for _ in range(9)]
    stored = 0
    for _ in range(12):
        history = pulls.history()
        for batch in history.batches():
            pulls.keep_rows(batch)
            if len(pulls.commits) > stored:
                # Killed before what the batch says to remember is stored, later and later.
                stored += 2
                break
            pulls.state = batch.state
        else:
            break
    assert history.summary.complete
    assert all(pulls.of(project) == world.reachable(project) for project in projects)


def test_a_pull_killed_before_its_state_was_stored_brings_the_same_rows_again(world: World, pulls: Pulls) -> None:
    project = world.project(commits=5)
    ahead = world.commit(project, dated=world.now + 9 * DAY)
    pulling = pulls.history().batches()
    # First comes what no later pull may decide otherwise, then the rows.
    assert next(pulling).rows[RAW_GITLAB_COMMITS.name].empty
    pulling = pulls.history().batches()
    pulls.state = next(pulling).state
    killed = next(pulling)
    assert len(killed.rows[RAW_GITLAB_COMMITS.name]) == 6
    first = world.now
    world.advance(DAY)
    assert pulls.pull().complete
    assert len(pulls.came) == 6
    assert pulls.row(project, ahead)["dated_at"] == first


@pytest.mark.parametrize("rows_stored", [True, False])
def test_a_pull_killed_at_its_last_batch_dates_nothing_twice_and_loses_nothing(
    world: World, pulls: Pulls, rows_stored: bool
) -> None:
    project = world.project(2)
    future = world.commit(project, dated=NOON + 9 * DAY, at=NOON - 29 * DAY)
    for batch in pulls.history().batches():
        if len(batch.rows[RAW_GITLAB_COMMITS.name]):
            # Killed here, before what the batch says to remember is stored.
            if rows_stored:
                pulls.keep_rows(batch)
            break
        pulls.state = batch.state
    world.advance(2 * DAY)
    pulls.pull()
    assert pulls.row(project, future)["dated_at"] == NOON
    assert pulls.of(project) == world.reachable(project)


def test_what_another_version_remembered_is_read_anew(world: World, pulls: Pulls) -> None:
    project = world.project(4)
    pulls.state = b'{"redated": {"' + b"0" * 40 + b'": "2026-01-01T00:00:00+00:00"}, "projects": {"1": {}}}'
    pulls.pull()
    assert pulls.of(project) == world.reachable(project)
    state = GitLabState.from_json(pulls.state)
    assert state.redated == {"0" * 40: dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    assert state.to_json() == pulls.state


# Whatever happens


@pytest.mark.parametrize("seed", range(8))
def test_after_every_pull_all_is_there_that_any_branch_held_at_a_pull(world: World, pulls: Pulls, seed: int) -> None:
    """Random deeds of people between pulls, some of which are killed before what they remember is stored."""
    chance = random.Random(seed)
    made = [world.project(4, created_at=NOON - 40 * DAY) for _ in range(3)]
    expected: dict[int, set[str]] = {}
    for _ in range(12):
        for _ in range(chance.randint(0, 5)):
            world.advance(chance.choice([MINUTE, 20 * MINUTE, HOUR, 3 * HOUR, 2 * DAY]))
            do_something(world, chance, made)
        keep = chance.random() < 0.8
        state = pulls.state
        assert pulls.pull(with_pushes=chance.random() < 0.5).complete
        if not keep:
            pulls.state = state
        for project in made:
            held = expected.setdefault(project.id, set())
            if not project.deleted and project.repository_enabled:
                held |= world.reachable(project)
            assert pulls.of(project) == held


def do_something(world: World, chance: random.Random, made: list[Project]) -> None:
    project = chance.choice(made)
    repository = repository_of(project)
    now, branch = world.now, chance.choice(["master", "one", "two"])
    deed = chance.random()
    if deed < 0.5:
        dated = now + chance.choice([0, 0, 0, -30, -700, 2]) * DAY
        world.commit(project, branch, dated=dated, author=chance.choice([ADA, BOB]))
    elif deed < 0.6:
        base = chance.choice(sorted(repository.commits))
        world.gitlab.push(project, world.ada, {branch: base}, now)
    elif deed < 0.7 and branch != project.default_branch and branch in repository.branches:
        world.gitlab.push(project, world.ada, {branch: None}, now)
    elif deed < 0.75:
        repository.collect_garbage()
    elif deed < 0.8:
        project.default_branch = chance.choice(sorted(repository.branches))
    elif deed < 0.87 and len(made) < 6:
        made.append(world.gitlab.fork(project, world.gitlab.add_group(f"g{len(made)}"), world.ada, now))
    elif deed < 0.93 and "one" in repository.branches:
        parents = [repository.branches["master"], repository.branches["one"]] if "master" in repository.branches else []
        merge = repository.commit("merge", BOB, now, parents=parents)
        world.gitlab.push(project, world.ada, {"master": merge.sha}, now)
