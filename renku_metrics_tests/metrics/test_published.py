"""The published rows, and what is told of each period's coverage."""

from __future__ import annotations

import datetime as dt

import pandas as pd

from renku_metrics.metrics.coverage import Coverage
from renku_metrics.metrics.published import cover, publish
from renku_metrics.tables import active_users_table, core_action_table, published_table
from renku_metrics_tests.metrics.published_rows import ACTION, COUNTED_AT, WEEKS, acted, active, published
from renku_metrics_tests.metrics.rows import ALWAYS, DEPLOYMENT, EVERYTHING, NOW, covered, span


def test_a_row_says_count_denominator_share_and_how_far_to_trust_them() -> None:
    rows = published([active("2026-11-16", 8, 2)], [acted("2026-11-16", 6)])
    assert rows.to_dict("records") == [
        {
            "deployment": DEPLOYMENT,
            "period": "2026-W47",
            "period_start": dt.date(2026, 11, 16),
            "period_end": dt.date(2026, 11, 22),
            "core_action": "running_a_workflow",
            "users": 6,
            "active_users": 8,
            "share": 0.75,
            "complete": True,
            "missing": "",
            "unlinked": 0.25,
            "definition": "running_a_workflow 3; active_users 1",
            "computed_at": pd.Timestamp(COUNTED_AT),
        }
    ]
    assert published_table("week").conform(rows).equals(rows)


def test_a_week_in_which_nobody_was_active_has_no_share() -> None:
    [row] = published([active("2026-11-16", 0)], [acted("2026-11-16", 0)]).to_dict("records")
    assert (row["users"], row["active_users"]) == (0, 0)
    assert pd.isna(row["share"])
    assert pd.isna(row["unlinked"])


def test_months_are_named_by_year_and_month() -> None:
    month = active_users_table("month").frame([active("", 4) | {"month": "2026-02-01"}])
    action = core_action_table("running_a_workflow", "", "month").frame([acted("", 1) | {"month": "2026-02-01"}])
    [row] = publish("month", month, {"running_a_workflow": action}, {DEPLOYMENT: EVERYTHING}, NOW).to_dict("records")
    assert (row["period"], row["period_end"], row["share"]) == ("2026-02", dt.date(2026, 2, 28), 0.25)


def test_only_what_has_both_numbers_is_published() -> None:
    rows = published(
        [active("2026-11-09", 1), active("2026-11-16", 2)], [acted("2026-11-16", 1), acted("2026-11-23", 1)]
    )
    assert list(rows["period"]) == ["2026-W47"]
    assert published([], []).empty
    assert published([active("2026-11-09", 1)], []).empty


def test_rows_are_sorted_by_deployment_period_and_core_action() -> None:
    weeks = ["2026-11-16", "2026-11-09"]
    action = ACTION.frame([acted(week, 1, deployment=name) for name in (DEPLOYMENT, "epfl") for week in weeks])
    denominator = WEEKS.frame([active(week, 1, deployment=name) for name in (DEPLOYMENT, "epfl") for week in weeks])
    coverage = {DEPLOYMENT: EVERYTHING, "epfl": EVERYTHING}
    rows = publish("week", denominator, {"b_action": action, "a_action": action}, coverage, NOW)
    keys = list(rows[["deployment", "period", "core_action"]].itertuples(index=False, name=None))
    assert keys == sorted(keys)
    assert len(keys) == 8


def test_a_deployment_without_sessions_is_never_complete() -> None:
    coverage: Coverage = {"logins": ALWAYS, "commits": ALWAYS, "sessions": None}
    [row] = published([active("2026-11-16", 1)], [acted("2026-11-16", 1)], coverage).to_dict("records")
    assert (row["complete"], row["missing"]) == (False, "sessions:not configured")


def test_coverage_tells_the_days_of_each_activity_and_how_active_users_are_linked() -> None:
    logins, sessions = [span("2026-11-19", "2026-12-01")], [span("2026-11-01", "2026-11-22T12:00")]
    [row] = cover(
        "week", WEEKS.frame([active("2026-11-16", 8, 2)]), {DEPLOYMENT: covered(logins, ALWAYS, sessions)}
    ).to_dict("records")
    assert {name: value for name, value in row.items() if not str(name).startswith("linked_by_")} == {
        "deployment": DEPLOYMENT,
        "period": "2026-W47",
        "period_start": dt.date(2026, 11, 16),
        "period_end": dt.date(2026, 11, 22),
        "days": 7,
        "logins_days": 4,
        "commits_days": 7,
        "sessions_days": 6,
        "active_users": 8,
    }
    assert (row["linked_by_address_hash"], row["linked_by_push"]) == (2, 0)


def test_coverage_of_an_activity_that_a_deployment_does_not_have_is_empty() -> None:
    coverage: Coverage = {"logins": ALWAYS, "commits": [], "sessions": None}
    [row] = cover("week", WEEKS.frame([active("2026-11-16", 8)]), {DEPLOYMENT: coverage}).to_dict("records")
    assert (row["logins_days"], row["commits_days"]) == (7, 0)
    assert pd.isna(row["sessions_days"])
