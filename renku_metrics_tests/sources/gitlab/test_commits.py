"""What is kept of a commit, and when it counts as made."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from renku_metrics.sources.gitlab.commits import READER_VERSION
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.sources.gitlab.world import ADA, BOOK, DAY, HOUR, NOON, Pulls, World, repository_of
from renkulab import gitlab_entities
from renkulab.git import Identity


def test_a_commit_becomes_a_row_with_nothing_personal_in_clear(world: World, pulls: Pulls) -> None:
    project = world.project(1)
    zone = dt.timezone(-7 * HOUR)
    at = dt.datetime(2026, 11, 15, 20, 30, tzinfo=zone)
    commit = repository_of(project).commit(
        "renku dataset create flights --title secret",
        ADA,
        at,
        branch="master",
        committer=Identity("renku 2.9.4", "https://github.com/swissdatasciencecenter/renku-python/tree/v2.9.4"),
    )
    pulls.pull()
    pd.testing.assert_frame_equal(
        pulls.commits[pulls.commits["sha"] == commit.sha].reset_index(drop=True),
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
                    "pulled_at": NOON,
                }
            ]
        ),
    )


def test_nothing_personal_is_remembered(world: World, pulls: Pulls) -> None:
    project = world.project(2, path="flights")
    world.commit(project, message="a secret message", branch="renku/autosave/ada/master/1234567/89abcde")
    pulls.pull()
    remembered = (pulls.state or b"").decode()
    assert repository_of(project).branches["master"] in remembered
    for clear in ("master", "autosave", "secret", "ada", "flights", "university"):
        assert clear not in remembered.replace('"autosave":', "")


def test_a_commit_of_the_future_is_dated_at_the_pull_that_first_saw_it_for_good(world: World, pulls: Pulls) -> None:
    project = world.project(2)
    future = world.commit(project, dated=NOON + 3 * DAY)
    pulls.pull()
    assert pulls.row(project, future)["dated_at"] == NOON
    world.advance(10 * DAY)
    fork = world.gitlab.fork(project, world.gitlab.add_group("institute"), world.ada, world.now)
    pulls.pull()
    rows = pulls.commits[pulls.commits["sha"] == future.sha]
    assert list(rows["project_id"]) == [project.id, fork.id]
    assert set(rows["dated_at"]) == {pd.Timestamp(NOON)}
    assert set(rows["event_day"]) == {"2026-11-16"}


def test_a_commit_made_while_the_pull_runs_keeps_its_date(
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(range(10_000))
    monkeypatch.setattr("renku_metrics.sources.gitlab.project_reader.time.monotonic", lambda: 3600.0 * next(hours))
    project = world.project(2)
    during = world.commit(project, dated=NOON + HOUR)
    pulls.pull()
    assert pulls.row(project, during)["dated_at"] == NOON + HOUR


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
    world: World, pulls: Pulls, monkeypatch: pytest.MonkeyPatch, date: str, rows: int
) -> None:
    project = world.project(1)
    written = gitlab_entities.commit_entity
    monkeypatch.setattr(
        gitlab_entities, "commit_entity", lambda *args, **kwargs: {**written(*args, **kwargs), "committed_date": date}
    )
    assert pulls.pull().complete
    assert len(pulls.of(project)) == rows
    assert all(pulls.commits["dated_at"] == NOON)
