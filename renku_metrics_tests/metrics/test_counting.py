from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.metrics.counting import by_group, count
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CONTRIBUTING_TO_A_PROJECT, CORE_ACTIONS, STARTING_A_SESSION
from renku_metrics.periods import Period
from renku_metrics.tables import PeriodKind
from renku_metrics_tests.metrics.rows import DEPLOYMENT, NOW, periods, user_days

MONDAY, SUNDAY = "2026-11-16", "2026-11-22"


def contributors(days: pd.DataFrame, kind: PeriodKind, *dates: str) -> dict[str, int]:
    counted = count(CONTRIBUTING_TO_A_PROJECT, days, DEPLOYMENT, periods(kind, *dates), NOW)
    return dict(zip(counted[kind], counted["users"].astype(int), strict=True))


def test_a_user_counts_once_however_often_they_do_it() -> None:
    days = user_days((MONDAY, "commit", "ada"), (SUNDAY, "commit", "ada"), (MONDAY, "commit", "bob"))
    assert contributors(days, "week", MONDAY) == {MONDAY: 2}


def test_only_the_events_of_the_core_action_count() -> None:
    days = user_days((MONDAY, "login", "ada"), (MONDAY, "session_started", "bob"), (MONDAY, "session_resumed", "eve"))
    assert contributors(days, "week", MONDAY) == {MONDAY: 0}
    counted = count(STARTING_A_SESSION, days, DEPLOYMENT, periods("week", MONDAY), NOW)
    assert counted.to_dict("records") == [
        {
            "deployment": DEPLOYMENT,
            "week": MONDAY,
            "users": 1,
            "definition": STARTING_A_SESSION.version,
            "computed_at": pd.Timestamp(NOW),
        }
    ]


def test_active_users_log_in_commit_or_start_a_session() -> None:
    days = user_days(
        (MONDAY, "login", "ada"),
        (MONDAY, "commit", "ada"),
        (MONDAY, "commit", "email:1f"),
        (MONDAY, "session_started", "eve"),
        (MONDAY, "session_resumed", "resumer"),
        (MONDAY, "dataset_imported", "importer"),
    )
    counted = count(ACTIVE_USERS, days, DEPLOYMENT, periods("week", MONDAY, "2026-11-23"), NOW)
    assert counted[["deployment", "week", "users", "unlinked_users", "definition"]].to_dict("records") == [
        {
            "deployment": DEPLOYMENT,
            "week": MONDAY,
            "users": 3,
            "unlinked_users": 1,
            "definition": ACTIVE_USERS.version,
        },
        {
            "deployment": DEPLOYMENT,
            "week": "2026-11-23",
            "users": 0,
            "unlinked_users": 0,
            "definition": ACTIVE_USERS.version,
        },
    ]


def test_weeks_run_from_monday_to_sunday() -> None:
    days = user_days(("2026-11-15", "commit", "a"), (MONDAY, "commit", "b"), (SUNDAY, "commit", "c"))
    assert contributors(days, "week", "2026-11-15", SUNDAY, "2026-11-23") == {
        "2026-11-09": 1,
        MONDAY: 2,
        "2026-11-23": 0,
    }


def test_a_week_belongs_to_one_year_and_a_month_to_another() -> None:
    # 2026 has a week 53: Monday 28 December to Sunday 3 January.
    days = user_days(("2026-12-31", "commit", "a"), ("2027-01-03", "commit", "b"), ("2027-01-04", "commit", "c"))
    assert contributors(days, "week", "2026-12-31", "2027-01-04") == {"2026-12-28": 2, "2027-01-04": 1}
    assert contributors(days, "month", "2026-12-31", "2027-01-04") == {"2026-12-01": 1, "2027-01-01": 2}


@pytest.mark.parametrize(
    ("date", "label", "first", "last"),
    [
        ("2026-12-31", "2026-W53", "2026-12-28", "2027-01-03"),
        ("2027-01-03", "2026-W53", "2026-12-28", "2027-01-03"),
        ("2024-12-30", "2025-W01", "2024-12-30", "2025-01-05"),
        ("2021-01-03", "2020-W53", "2020-12-28", "2021-01-03"),
        ("2023-01-01", "2022-W52", "2022-12-26", "2023-01-01"),
    ],
)
def test_weeks_at_the_turn_of_a_year(date: str, label: str, first: str, last: str) -> None:
    [week] = periods("week", date)
    assert (week.label, week.start.isoformat(), week.end.isoformat()) == (label, first, last)


def test_months_end_with_their_last_day() -> None:
    days = user_days(("2024-02-29", "commit", "a"), ("2024-03-01", "commit", "b"), ("2024-03-31", "commit", "c"))
    assert contributors(days, "month", "2024-02-01", "2024-03-01") == {"2024-02-01": 1, "2024-03-01": 2}


def test_other_deployments_do_not_count() -> None:
    days = pd.concat([user_days((MONDAY, "commit", "a")), user_days((MONDAY, "commit", "b"), deployment="epfl")])
    assert contributors(days, "week", MONDAY) == {MONDAY: 1}


def test_active_users_are_counted_for_each_rule_that_linked_them() -> None:
    days = user_days((MONDAY, "login", "ada"), (SUNDAY, "commit", "email:1f"), (MONDAY, "commit", "email:2e"))
    pushed = user_days((SUNDAY, "commit", "ada"), (MONDAY, "session_resumed", "bob")).assign(user_link="push")
    [counted] = count(ACTIVE_USERS, pd.concat([days, pushed]), DEPLOYMENT, periods("week", MONDAY), NOW).to_dict(
        "records"
    )
    linked = {name: value for name, value in counted.items() if str(name).startswith("linked_by_") and value}
    assert linked == {"linked_by_keycloak_id": 1, "linked_by_push": 1, "linked_by_address_hash": 2}
    assert (counted["users"], counted["unlinked_users"]) == (3, 2)


GROUPED = user_days(
    (MONDAY, "commit", "ada"),
    (MONDAY, "login", "bob"),
    (SUNDAY, "login", "eve"),
    (MONDAY, "commit", "email:1f"),
)
MEMBERS = pd.DataFrame(
    [("ada", "epfl"), ("bob", "epfl"), ("bob", "ethz"), ("gone", "ethz")], columns=["user_id", "group"]
)


def test_groups_are_counted_like_everybody() -> None:
    counted = by_group(GROUPED, MEMBERS, periods("week", MONDAY))
    assert set(counted["core_action"]) == {action.key for action in CORE_ACTIONS}
    assert counted[counted["core_action"] == CONTRIBUTING_TO_A_PROJECT.key].to_dict("records") == [
        {
            "deployment": DEPLOYMENT,
            "period": "2026-W47",
            "group": group,
            "core_action": CONTRIBUTING_TO_A_PROJECT.key,
            "users": users,
            "active_users": active,
            "share": share,
        }
        for group, users, active, share in [("epfl", 1, 2, 0.5), ("ethz", 0, 1, 0.0)]
    ]


def test_groups_of_one_deployment_do_not_spill_into_another() -> None:
    days = pd.concat(
        [user_days((MONDAY, "commit", "ada")), user_days((MONDAY, "commit", "ada"), deployment="epfl-lab")]
    )
    members = pd.DataFrame([("epfl-lab", "ada", "epfl")], columns=["deployment", "user_id", "group"])
    counted = by_group(days, members, periods("week", MONDAY))
    assert set(counted["deployment"]) == {"epfl-lab"}


def test_everybody_as_one_group_is_what_is_published() -> None:
    weeks = periods("week", MONDAY)
    everybody = pd.DataFrame({"user_id": GROUPED["user_id"].unique(), "group": "all"})
    counted = by_group(GROUPED, everybody, weeks)
    active = count(ACTIVE_USERS, GROUPED, DEPLOYMENT, weeks, NOW)
    assert set(counted["active_users"]) == set(active["users"])
    for action in CORE_ACTIONS:
        users = count(action, GROUPED, DEPLOYMENT, weeks, NOW)["users"]
        assert list(counted.loc[counted["core_action"] == action.key, "users"]) == list(users)


@pytest.mark.parametrize("columns", [["user_id"], ["user_id", "institution"], ["user_id", "group", "event_type"]])
def test_groups_with_other_columns_are_refused(columns: list[str]) -> None:
    groups = pd.DataFrame([("ada", "epfl", "x")[: len(columns)]], columns=columns)
    with pytest.raises(ValueError, match=f"^groups has the columns {', '.join(columns)}; it needs user_id and group"):
        by_group(GROUPED, groups, periods("week", MONDAY))


def test_no_group_no_rows() -> None:
    assert by_group(GROUPED, MEMBERS[:0], periods("week", MONDAY)).empty


DATES = st.dates(dt.date(2026, 12, 20), dt.date(2027, 2, 10))
USER_DAY_ROWS = st.lists(
    st.tuples(
        DATES.map(dt.date.isoformat),
        st.sampled_from(["login", "commit", "session_started", "session_resumed", "workflow_run"]),
        st.sampled_from(["ada", "bob", "email:1f", "email:2e"]),
    ),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(USER_DAY_ROWS, st.sampled_from(["week", "month"]), st.sets(DATES, min_size=1, max_size=4))
def test_counts_are_sizes_of_sets(rows: list[tuple[str, str, str]], kind: PeriodKind, dates: set[dt.date]) -> None:
    asked = sorted({Period.of(kind, date) for date in dates})
    days = user_days(*rows)

    def users_of(period: Period, event_types: set[str]) -> set[str]:
        first, last = period.start.isoformat(), period.end.isoformat()
        return {user for date, event_type, user in rows if first <= date <= last and event_type in event_types}

    active = count(ACTIVE_USERS, days, DEPLOYMENT, asked, NOW)
    expected = [users_of(period, {"login", "commit", "session_started"}) for period in asked]
    assert list(active[kind]) == [period.start.isoformat() for period in asked]
    assert list(active["users"]) == [len(users) for users in expected]
    assert list(active["unlinked_users"]) == [sum(user.startswith("email:") for user in users) for users in expected]
    for action in CORE_ACTIONS:
        counted = count(action, days, DEPLOYMENT, asked, NOW)
        assert list(counted["users"]) == [len(users_of(period, set(action.event_types))) for period in asked]
