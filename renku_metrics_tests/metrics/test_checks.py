"""What must hold of numbers before they are published: each check passing, and failing."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from renku_metrics.metrics.checks import Outcome, checks, personal_values
from renku_metrics.metrics.dictionary import CORE_ACTIONS, STARTING_A_SESSION
from renku_metrics.periods import Period
from renku_metrics.tables import EVENTS, RAW_AMALTHEA_SESSIONS, RAW_GITLAB_USERS, PeriodKind, published_table
from renku_metrics_tests.events.raw_rows import commit, gitlab_user, login, raw, session_lines

MONDAY = dt.date(2026, 11, 2)
CHECK = {check.name: check for check in checks(CORE_ACTIONS)}
Row = dict[str, Any]


def row(period: Period, users: int = 5, active_users: int = 8, **fields: Any) -> Row:
    return {
        "deployment": "lab",
        "period": period.label,
        "period_start": period.start,
        "period_end": period.end,
        "core_action": "running_a_workflow",
        "users": users,
        "active_users": active_users,
        "share": users / active_users if active_users else None,
        "complete": True,
        "missing": "",
        "unlinked": 0.0,
        "definition": "running_a_workflow 1; active_users 1",
        "computed_at": dt.datetime(2026, 12, 24, tzinfo=dt.UTC),
    } | fields


def week(users: int = 5, active_users: int = 8, number: int = 0, **fields: Any) -> Row:
    """The week that is ``number`` after the first one of November."""
    return row(Period.of("week", MONDAY + dt.timedelta(weeks=number)), users, active_users, **fields)


def month(users: int = 5, active_users: int = 8, **fields: Any) -> Row:
    return row(Period.of("month", MONDAY), users, active_users, **fields)


def finding(name: str, *, weeks: list[Row] | None = None, months: list[Row] | None = None) -> Outcome:
    rows: dict[PeriodKind, list[Row]] = {"week": weeks or [], "month": months or []}
    return CHECK[name].of({kind: published_table(kind).frame(given) for kind, given in rows.items()})


@pytest.mark.parametrize("name", CHECK)
def test_every_check_passes_on_nothing_and_on_sound_numbers(name: str) -> None:
    assert finding(name).passed
    assert finding(name, weeks=[week(number=number) for number in range(12)], months=[month(6, 9)]).passed
    assert finding(name, weeks=[week(0, 0, unlinked=None)]).passed


def test_only_what_cannot_be_true_stops_the_publication() -> None:
    assert {check.name for check in CHECK.values() if check.blocking} == {
        "users_are_active_users",
        "shares_are_shares",
        "months_hold_their_weeks",
    }


@pytest.mark.parametrize("name", ["users_are_active_users", "shares_are_shares"])
def test_rows_that_are_not_complete_stop_nothing(name: str) -> None:
    open_day = week(9, 8, complete=False, missing="commits:2026-11-02..2026-11-02")
    found = finding(name, weeks=[week(number=1), open_day])
    assert (found.passed, found.blocking, found.facts["wrong"]) == (False, False, 1)
    found = finding(name, weeks=[week(9, 8, number=1), open_day])
    assert (found.passed, found.blocking, found.facts["wrong"]) == (False, True, 2)


@pytest.mark.parametrize("kind", ["weeks", "months"])
def test_more_users_than_active_users_are_found(kind: str) -> None:
    wrong = week(9, 8) if kind == "weeks" else month(9, 8)
    found = finding("users_are_active_users", **{kind: [week() if kind == "weeks" else month(), wrong]})
    assert not found.passed
    label = "2026-W45" if kind == "weeks" else "2026-11"
    assert found.facts == {"wrong": 1, "first": [f"lab {label} running_a_workflow: users 9, active_users 8"]}


@pytest.mark.parametrize(("column", "value"), [("share", 1.01), ("share", -0.1), ("unlinked", 1.5)])
def test_a_share_that_is_none_is_found(column: str, value: float) -> None:
    found = finding("shares_are_shares", months=[month() | {column: value}])
    assert found.facts["first"] == [f"lab 2026-11 running_a_workflow: {column} {value}"]


@pytest.mark.parametrize(("users", "active_users"), [(4, 8), (5, 7)])
def test_a_month_with_fewer_users_than_a_week_inside_it_is_found(users: int, active_users: int) -> None:
    assert not finding("months_hold_their_weeks", weeks=[week(5, 8)], months=[month(users, active_users)]).passed


@pytest.mark.parametrize(
    "weeks",
    [
        [week(9, 9, complete=False)],
        [week(9, 9, number=-1)],  # 26 October to 1 November
        [week(9, 9, number=4)],  # 30 November to 6 December
        [week(9, 9, deployment="other")],
        [week(9, 9, core_action="creating_a_dataset")],
    ],
    ids=["not complete", "begins before", "ends after", "other deployment", "other core action"],
)
def test_a_month_is_only_compared_with_complete_weeks_of_its_own_inside_it(weeks: list[Row]) -> None:
    assert finding("months_hold_their_weeks", weeks=weeks, months=[month()]).passed


def test_a_month_that_is_not_complete_may_be_smaller() -> None:
    assert finding("months_hold_their_weeks", weeks=[week(9, 9)], months=[month(complete=False)]).passed


USUAL = [20, 22, 21, 19, 20, 23, 18, 20]


@pytest.mark.parametrize(("users", "far"), [(20, False), (25, False), (26, True), (15, False), (14, True), (200, True)])
def test_a_week_far_from_the_eight_before_it_is_shown_with_what_is_usual(users: int, far: bool) -> None:
    # Their median is 20, they lie 1 from it in the middle; so 5 users from it is not far, 6 are.
    weeks = [week(number, 300, index) for index, number in enumerate([*USUAL, users])]
    found = finding("weeks_are_like_their_neighbours", weeks=weeks)
    assert found.passed is not far
    line = f"lab 2026-W53 running_a_workflow: users {users}, usual 20.0, before 20 22 21 19 20 23 18 20"
    assert found.facts["first"] == ([line] if far else [])


def test_only_the_last_eight_weeks_are_looked_at_or_an_old_one_would_be_shown_for_ever() -> None:
    weeks = [week(users, 300, index) for index, users in enumerate([*USUAL, 200, *USUAL])]
    assert finding("weeks_are_like_their_neighbours", weeks=weeks).passed
    assert not finding("weeks_are_like_their_neighbours", weeks=weeks[:-1]).passed


def test_weeks_that_differ_a_lot_may_differ_a_lot() -> None:
    restless = [20, 60, 20, 60, 20, 60, 20, 60]
    weeks = [week(users, 300, index) for index, users in enumerate([*restless, 100])]
    assert finding("weeks_are_like_their_neighbours", weeks=weeks).passed


def test_active_users_are_looked_at_once_for_all_core_actions() -> None:
    actions = ["running_a_workflow", "creating_a_dataset"]
    weeks = [
        week(5, active, index, core_action=action)
        for index, active in enumerate([300, 310, 290, 300, 305, 295, 300, 300, 150])
        for action in actions
    ]
    found = finding("weeks_are_like_their_neighbours", weeks=weeks)
    line = "lab 2026-W53 active_users: users 150, usual 300.0, before 300 310 290 300 305 295 300 300"
    assert found.facts["first"] == [line]


NO_LOGINS = "logins:2026-11-16..2026-11-16"
NO_COMMITS = "commits:2026-11-16..2026-11-16"


@pytest.mark.parametrize(
    ("missing", "compared"),
    [
        ("", True),
        (NO_COMMITS, False),
        ("period not over", False),
        # A workflow is run by commits, so that logins are of no account; nor is what lacks in all weeks alike.
        (NO_LOGINS, True),
        ("sessions:not configured", True),
        (f"{NO_COMMITS}; sessions:not configured", False),
    ],
)
def test_a_week_is_only_compared_with_those_whose_own_source_is_known(missing: str, compared: bool) -> None:
    weeks = [
        week(users, 300, index, complete=not (missing and index in (3, 8)), missing=missing if index in (3, 8) else "")
        for index, users in enumerate([*USUAL, 200])
    ]
    assert finding("weeks_are_like_their_neighbours", weeks=weeks).passed is not compared


def test_the_sources_of_a_core_action_are_those_it_is_declared_with() -> None:
    weeks = [week(users, 300, index, core_action="opening_a_session") for index, users in enumerate([*USUAL, 200])]
    weeks[-1] |= {"complete": False, "missing": NO_COMMITS}
    [neighbours] = [
        check
        for check in checks([replace(STARTING_A_SESSION, key="opening_a_session")])
        if check.name == "weeks_are_like_their_neighbours"
    ]
    # A session needs no commits, but active users do.
    assert neighbours.of({"week": published_table("week").frame(weeks)}).facts["wrong"] == 1


def test_active_users_are_not_compared_with_weeks_that_lack_any_source() -> None:
    active = [300] * 8 + [150]
    weeks = [week(5, number, index) for index, number in enumerate(active)]
    assert not finding("weeks_are_like_their_neighbours", weeks=weeks).passed
    weeks[-1] |= {"complete": False, "missing": NO_LOGINS}
    assert finding("weeks_are_like_their_neighbours", weeks=weeks).passed


def test_what_is_old_is_not_shown_for_ever() -> None:
    strange = [week(users, 300, index, unlinked=0.3) for index, users in enumerate([*USUAL, 200])]
    now = week(20, 300, 17, deployment="other")
    for name in ("weeks_are_like_their_neighbours", "most_users_are_linked"):
        assert not finding(name, weeks=strange).passed
        assert finding(name, weeks=[*strange, now]).passed
    assert finding("most_users_are_linked", months=[month(unlinked=0.3), month(period_end=dt.date(2027, 1, 31))]).passed


def test_too_many_unlinked_users_are_found_once_for_all_core_actions() -> None:
    actions = ["running_a_workflow", "creating_a_dataset"]
    found = finding("most_users_are_linked", weeks=[week(unlinked=0.21, core_action=action) for action in actions])
    assert found.facts["wrong"] == 1
    assert finding("most_users_are_linked", weeks=[week(unlinked=0.2)]).passed


@pytest.mark.parametrize(
    "value",
    [
        "ada@university.example",
        "Ada Lovelace <ADA@uni-bern.ch>",
        "12-ada@users.noreply.gitlab.renkulab.io",
        "gitlab:ada@university.example",
        "ada@uni.рф",
        "ada@пример.рф",
        "root@localhost",
        "ada%40uni.example",
        "https://ada%40uni.example:x/",
        "ada\uff20uni.example",
        "130.60.24.7",
        "login from 10.0.0.255",
        "2001:620:0:40d:0:0:0:1",
        "2001:620::40d:1",
        "::1",
        "from fe80::1",
    ],
)
def test_addresses_are_found_in_texts_and_in_lists(value: str) -> None:
    assert personal_values(pd.DataFrame({"text": ["a", value, None]})) == 1
    assert personal_values(pd.DataFrame({"texts": [["a", value], [], None, [value]]})) == 2
    assert personal_values(pd.DataFrame({"text": pd.array(["a", value, None], dtype="string")})) == 1


@pytest.mark.parametrize(
    "value",
    [
        "8f1a2b3c4d5e6f708192a3b4c5d6e7f808192a3b",
        "commit:8f1a2b3c4d5e6f708192a3b4c5d6e7f808192a3b",
        "session_started:renku/0b1c2d3e-1111-2222-3333-444455556666/1763544000000",
        "session_started:/0b1c2d3e-1111-2222-3333-444455556666",
        "01HZX5W2K8V7E9Q3R4T6Y8U0P1",
        "renku:01HZX5W2K8V7E9Q3R4T6Y8U0P1",
        "2026-11-16T09:30:00.250+00:00",
        "2026-11-16",
        "09:30:00",
        "renku-ui",
        "registry.renkulab.io/ada/flights:8f1a2b3",
        "renku/singleuser:0.3.4",
        "1.2.3",
        "v16.11.0-ee",
        "12.3.4.5.6",
        "dead:beef",
        "gitlab:12",
        "dataset create",
        "jovyan@",
        "s3://renku-metrics-raw/renkulab/amalthea_audit_log_20261116_093000+0000.txt",
        "https://renkulab.io/auth",
        "a%20b",
        "email:9e8d7c6b5a493827160f",
        "@ada",
    ],
)
def test_what_only_resembles_an_address_is_not_found(value: str) -> None:
    assert personal_values(pd.DataFrame({"text": [value], "texts": [[value]]})) == 0


def test_tables_as_they_should_be_hold_nothing_personal() -> None:
    frames = raw(
        commits=[commit("8f1a2b3c", renku_options=["name"])],
        logins=[login("8f1a2b3c")],
        sessions=session_lines("0b1c2d3e", gitlab_project_id=1),
        gitlab_users=[gitlab_user(7, "8f1a2b3c", "9e8d7c6b")],
    )
    assert len(frames[RAW_AMALTHEA_SESSIONS.name]) == len(frames[RAW_GITLAB_USERS.name]) == 1
    for frame in (*frames.values(), EVENTS.frame()):
        assert personal_values(frame) == 0
    assert personal_values(RAW_GITLAB_USERS.frame([gitlab_user(7, "8f1a2b3c", "ada@university.example")])) == 1
