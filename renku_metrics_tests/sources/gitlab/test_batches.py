"""What a pull costs, and how one that ends before its end goes on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.errors import SourceError
from renku_metrics.sources.gitlab import history as gitlab_history
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.sources.gitlab.keeping import (
    DAY,
    HOUR,
    NOW,
    VARIABLE,
    Keeping,
    make_project,
    person,
    push,
    reachable,
)
from renkulab.faults import unauthorized
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


@pytest.fixture
def keeping(lab: RenkuLab) -> Keeping:
    return Keeping(lab)


# What a pull costs


def test_with_nothing_new_a_pull_lists_projects_and_no_more(lab: RenkuLab, keeping: Keeping) -> None:
    for number in range(30):
        make_project(lab, 5, path=f"p{number}", days_ago=number)
    keeping.pull()
    lab.clock.advance(2 * HOUR)
    keeping.pull()
    before = keeping.commits
    lab.requests.clear()
    summary = keeping.pull()
    assert {request.path for request in lab.requests} == {"/gitlab/api/v4/projects"}
    assert len(lab.requests) == 2
    assert (summary.read, summary.commits, summary.complete) == (0, 0, True)
    pd.testing.assert_frame_equal(keeping.commits, before)


def test_a_pull_costs_what_changed(lab: RenkuLab, keeping: Keeping) -> None:
    projects = [make_project(lab, 2, path=f"p{number}") for number in range(500)]
    keeping.pull()
    # Five pages of projects and the empty one at the end, who asks, and branches and commits of each project.
    assert len(lab.requests) == 6 + 1 + 2 * 500
    lab.clock.advance(7 * DAY)
    for project in projects[::20]:
        for _ in range(3):
            push(lab, project)
    lab.requests.clear()
    summary = keeping.pull()
    assert (summary.listed, summary.read, summary.commits) == (25, 25, 75)
    assert len(lab.requests) == 2 + 1 + 2 * 25 <= 55
    assert all(keeping.shas(project) == reachable(project) for project in projects)


def test_projects_without_a_repository_cost_nothing(lab: RenkuLab, keeping: Keeping) -> None:
    for number in range(10):
        make_project(lab, path=f"p{number}")
    assert keeping.pull().complete
    assert not lab.requests.matching("/repository/")
    assert len(keeping.projects) == 10


# Ends before the end


def test_a_token_refused_in_the_middle_keeps_what_was_read(lab: RenkuLab, keeping: Keeping) -> None:
    projects = [make_project(lab, 3, path=f"p{number}") for number in range(40)]
    lab.faults.add("branches", unauthorized(), at=21, times=None)
    with pytest.raises(SourceError, match=r"^lab: gitlab: the token in LAB_GITLAB_TOKEN was refused \(status 401\)"):
        keeping.pull()
    kept = [project for project in projects if keeping.shas(project)]
    assert len(kept) == 20
    lab.faults.clear()
    lab.requests.clear()
    assert keeping.pull().complete
    assert len(lab.requests.matching("branches")) == 20
    assert all(keeping.shas(project) == reachable(project) for project in projects)


def test_a_pull_stopped_after_any_batch_goes_on_where_it_was(
    lab: RenkuLab, keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_history, "COMMITS_A_BATCH", 4)
    projects = [make_project(lab, 2, path=f"p{number}") for number in range(9)]
    stored = 0
    for _ in range(12):
        history = keeping.history()
        for batch in history.batches():
            keeping.keep_rows(batch)
            if len(keeping.commits) > stored:
                # Killed before what the batch says to remember is stored, later and later.
                stored += 2
                break
            keeping.state = batch.state
        else:
            break
    assert history.summary.complete
    assert all(keeping.shas(project) == reachable(project) for project in projects)


def test_batches_hold_no_more_than_they_should(
    lab: RenkuLab, keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlab_history, "COMMITS_A_BATCH", 10)
    for number in range(30):
        make_project(lab, 4, path=f"p{number}")
    sizes = [len(batch.rows[RAW_GITLAB_COMMITS.name]) for batch in keeping.history().batches()]
    assert sum(sizes) == 120
    assert set(sizes[:-1]) == {12}


def test_what_another_version_remembered_is_read_anew(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 4)
    keeping.state = b'{"redated": {"' + b"0" * 40 + b'": "2026-01-01T00:00:00+00:00"}, "projects": {"1": {}}}'
    keeping.pull()
    assert keeping.shas(project) == reachable(project)
    state = GitLabState.from_json(keeping.state)
    assert state.redated == {"0" * 40: dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}
    assert state.to_json() == keeping.state


def test_a_token_that_sees_only_some_projects_pulls_nothing(
    lab: RenkuLab, keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(lab, 4).visibility = "public"
    lab.gitlab.add_token("plain-token", person(lab))
    monkeypatch.setenv(VARIABLE, "plain-token")
    with pytest.raises(SourceError, match="LAB_GITLAB_TOKEN does not see every project"):
        keeping.pull()
