"""What is kept of a commit, and when it counts as made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.sources.gitlab.commits import READER_VERSION
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.sources.gitlab.keeping import (
    ADA,
    BOOK,
    DAY,
    HOUR,
    NOW,
    VARIABLE,
    Keeping,
    make_project,
    push,
    reachable,
    repository_of,
)
from renkulab.git import Identity
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        monkeypatch.setenv(VARIABLE, lab.gitlab_token)
        yield lab


@pytest.fixture
def keeping(lab: RenkuLab) -> Keeping:
    return Keeping(lab)


# What a row holds


def test_a_commit_becomes_a_row_with_nothing_personal_in_clear(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 1)
    zone = dt.timezone(-7 * HOUR)
    at = dt.datetime(2026, 11, 15, 20, 30, tzinfo=zone)
    commit = repository_of(project).commit(
        "renku dataset create flights --title secret",
        ADA,
        at,
        branch="master",
        committer=Identity("renku 2.9.4", "https://github.com/swissdatasciencecenter/renku-python/tree/v2.9.4"),
    )
    keeping.pull()
    pd.testing.assert_frame_equal(
        keeping.commits[keeping.commits["sha"] == commit.sha].reset_index(drop=True),
        RAW_GITLAB_COMMITS.frame(
            [
                {
                    "deployment": "lab",
                    "event_day": "2026-11-16",
                    "project_id": project.id,
                    "sha": commit.sha,
                    "dated_at": dt.datetime(2026, 11, 16, 3, 30, tzinfo=dt.UTC),
                    "parent_count": 1,
                    "author_address_hash": BOOK.hash("ada@university.example"),
                    "author_address_kind": "personal",
                    "renku_surface": "cli",
                    "renku_command": "dataset create",
                    "renku_options": ["--title"],
                    "renku_committer": True,
                    "autosave": False,
                    "read_by": READER_VERSION,
                    "pulled_at": NOW,
                }
            ]
        ),
    )


def test_nothing_personal_is_remembered(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 2)
    push(lab, project, "a secret message", branch="renku/autosave/ada/master/1234567/89abcde")
    keeping.pull()
    remembered = (keeping.state or b"").decode()
    assert repository_of(project).branches["master"] in remembered
    for clear in ("master", "autosave", "secret", "ada", "flights", "university"):
        assert clear not in remembered.replace('"autosave":', "")


def test_days_before_the_deployments_start_are_left_out(lab: RenkuLab) -> None:
    project = make_project(lab, 3, days_ago=30)
    new = push(lab, project)
    late = Keeping(lab, start=NOW.date())
    late.pull(with_pushes=True)
    assert late.shas(project) == [new.sha]
    assert set(late.pushes["event_day"]) == {"2026-11-16"}
    assert list(late.projects["project_id"]) == [project.id]


def test_a_start_that_moves_earlier_brings_what_was_left_out(lab: RenkuLab, keeping: Keeping) -> None:
    project = make_project(lab, 3, days_ago=30)
    keeping.start = NOW.date()
    keeping.pull()
    assert keeping.shas(project) == []
    lab.clock.advance(90 * DAY)
    keeping.start = (NOW - 100 * DAY).date()
    keeping.pull()
    assert keeping.shas(project) == reachable(project)


# Dates


def test_a_commit_of_the_future_is_dated_at_the_pull_that_first_saw_it_for_good(
    lab: RenkuLab, keeping: Keeping
) -> None:
    project = make_project(lab, 2)
    future = push(lab, project, dated=NOW + 3 * DAY)
    keeping.pull()
    assert keeping.commit(future)["dated_at"] == NOW
    lab.clock.advance(10 * DAY)
    fork = lab.gitlab.fork(project, lab.gitlab.add_group("institute"), lab.administrator, lab.clock.now())
    keeping.pull()
    rows = keeping.commits[keeping.commits["sha"] == future.sha]
    assert list(rows["project_id"]) == [project.id, fork.id]
    assert set(rows["dated_at"]) == {pd.Timestamp(NOW)}
    assert set(rows["event_day"]) == {"2026-11-16"}


@pytest.mark.parametrize("rows_stored", [True, False])
def test_a_pull_killed_at_its_last_batch_dates_nothing_twice_and_loses_nothing(
    lab: RenkuLab, keeping: Keeping, rows_stored: bool
) -> None:
    project = make_project(lab, 2)
    future = push(lab, project, dated=NOW + 9 * DAY, at=NOW - 29 * DAY)
    for batch in keeping.history().batches():
        if len(batch.rows[RAW_GITLAB_COMMITS.name]):
            # Killed here, before what the batch says to remember is stored.
            if rows_stored:
                keeping.keep_rows(batch)
            break
        keeping.state = batch.state
    lab.clock.advance(2 * DAY)
    keeping.pull()
    assert keeping.commit(future)["dated_at"] == NOW
    assert keeping.shas(project) == reachable(project)


def test_a_commit_made_while_the_pull_runs_keeps_its_date(
    lab: RenkuLab, keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(10_000))
    monkeypatch.setattr("renku_metrics.sources.gitlab.project_reader.time.monotonic", lambda: 3600.0 * next(hours))
    project = make_project(lab, 2)
    during = push(lab, project, dated=NOW + HOUR)
    keeping.pull()
    assert keeping.commit(during)["dated_at"] == NOW + HOUR


@pytest.mark.parametrize(
    ("date", "rows"),
    [
        ("1969-12-31T23:59:59.000+00:00", 0),
        ("0001-01-01T00:00:00.000+14:00", 0),
        ("-0044-03-15T12:00:00.000+00:00", 0),
        ("9999-12-31T23:59:59.000-12:00", 1),
        ("12026-11-16T12:00:00.000+00:00", 1),
    ],
)
def test_no_date_that_git_takes_stops_a_pull(
    lab: RenkuLab, keeping: Keeping, monkeypatch: pytest.MonkeyPatch, date: str, rows: int
) -> None:
    project = make_project(lab, 1)
    from renkulab import gitlab_entities

    written = gitlab_entities.commit_entity
    monkeypatch.setattr(
        gitlab_entities, "commit_entity", lambda *args, **kwargs: {**written(*args, **kwargs), "committed_date": date}
    )
    assert keeping.pull().complete
    assert len(keeping.shas(project)) == rows
    assert all(keeping.commits["dated_at"] == NOW)
