from __future__ import annotations

import pytest

from renku_metrics_tests.events.raw_rows import ONE_PROJECT, Rows, build, commit, project


def projects_of_events(commits: Rows, projects: Rows) -> dict[str, str]:
    events = build(commits=commits, projects=projects).events
    return dict(zip(events["event_key"], events["project_id"], strict=True))


def reasons(commits: Rows, projects: Rows = ONE_PROJECT) -> dict[str, int]:
    return {reason: count for reason, count in build(commits=commits, projects=projects).dropped.items() if count}


def test_a_commit_is_an_event_at_its_date() -> None:
    events = build(commits=[commit("c", "2026-11-16T23:59:59")]).events
    assert events.drop(columns="user_id").to_dict("records") == [
        {
            "deployment": "renkulab-io",
            "month": "2026-11-01",
            "event_type": "commit",
            "occurred_at": commit("c", "2026-11-16T23:59:59")["dated_at"],
            "event_day": "2026-11-16",
            "user_link": "address_hash",
            "project_id": "gitlab:1",
            "source": "gitlab",
            "event_key": "commit:c",
        }
    ]


def test_a_commit_of_several_projects_counts_once_in_the_oldest() -> None:
    rows = [commit("c", project_id=id_) for id_ in (1, 2, 3)]
    projects = [project(1, "2022-01-01"), project(2, "2021-01-01"), project(3, "2021-01-01")]
    assert projects_of_events(rows, projects) == {"commit:c": "gitlab:2"}
    assert reasons(rows, projects) == {"same commit in another project": 2}


def test_a_project_younger_than_the_commit_does_not_hold_it() -> None:
    rows = [commit("c", "2026-11-16T09:30", project_id=id_) for id_ in (1, 2)]
    projects = [project(1, "2026-11-17"), project(2, "2026-11-16")]
    assert projects_of_events(rows, projects) == {"commit:c": "gitlab:2"}


def test_a_commit_older_than_every_project_that_holds_it_is_imported_history() -> None:
    rows = [commit("c", "2026-11-16T09:30", project_id=id_) for id_ in (1, 2)]
    assert reasons(rows, [project(1, "2026-11-17"), project(2, "2026-11-18")]) == {"imported history": 2}


@pytest.mark.parametrize(
    ("committed", "created", "counts"),
    [
        ("2026-11-16T09:30:00", "2026-11-16T09:30:00.999", True),
        ("2026-11-16T09:30:00", "2026-11-16T09:30:01.000", False),
        ("2026-11-16T09:30:01", "2026-11-16T09:30:00.001", True),
    ],
)
def test_older_means_by_whole_seconds(committed: str, created: str, counts: bool) -> None:
    # GitLab writes the first commit of a project within the second in which it makes the project.
    assert bool(projects_of_events([commit("c", committed)], [project(1, created)])) is counts


def test_what_is_nobodys_work_is_dropped_and_counted() -> None:
    rows = [
        commit("autosave", autosave=True),
        commit("bot", author_address_kind="bot"),
        commit("migrated", renku_surface="cli", renku_helper="migrated workflow"),
        commit("unknown", project_id=9),
        commit("work"),
    ]
    assert reasons(rows) == {
        "autosave of a session": 1,
        "commit by a bot": 1,
        "migrated workflow": 1,
        "project is not known": 1,
    }


@pytest.mark.parametrize("helper", ["adding files", "structural changes", "final mutation"])
def test_other_helper_commits_of_renku_are_commits_and_nothing_else(helper: str) -> None:
    events = build(commits=[commit("c", renku_surface="cli", renku_helper=helper)]).events
    assert list(events["event_key"]) == ["commit:c"]


def test_merge_commits_count() -> None:
    assert projects_of_events([commit("c", parent_count=2)], [project(1)]) == {"commit:c": "gitlab:1"}


def test_commits_that_are_dated_at_their_pull_are_counted_where_they_are_events() -> None:
    rows = [
        commit("late", "2026-11-24"),
        commit("own", "2026-11-16"),
        commit("older", "2026-10-31"),
        commit("saved", "2026-11-24", autosave=True),
    ]
    built = build(commits=rows, projects=ONE_PROJECT)
    assert built.corrected["commit dated later than it was pulled"] == 1
    assert built.of_month("2026-11-01").corrected["commit dated later than it was pulled"] == 1
    assert built.of_month("2026-10-01").corrected["commit dated later than it was pulled"] == 0
