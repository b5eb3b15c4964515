from __future__ import annotations

import pytest

from renku_metrics.events.cleaning import days_without_users
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS
from renku_metrics_tests.events.raw_rows import Row, at, build, links, login, session_lines


def test_a_login_is_an_event_of_its_keycloak_user() -> None:
    built = build(logins=[login("l")])
    assert links(built) == {"login:l": ("k-ada", "keycloak_id")}
    assert list(built.events["source"]) == ["keycloak"]
    assert built.events["project_id"].isna().all()


def test_a_session_starts_once_at_its_creation_whatever_its_lines_say() -> None:
    lines = [
        *session_lines("u", "2026-11-16T10:00:07", None, "starting", created_at="2026-11-16T10:00:00"),
        *session_lines("u", "2026-11-16T10:01", "starting", "running", created_at="2026-11-16T10:00:00"),
        *session_lines("u", "2026-11-16T12:00", "running", "stopping", created_at="2026-11-16T10:00:00"),
    ]
    built = build(sessions=lines)
    assert list(built.events["event_key"]) == ["session_started:renku/u"]
    assert list(built.events["occurred_at"]) == [at("2026-11-16T10:00:00")]
    assert built.dropped["session line that neither starts nor resumes"] == 2
    assert built.corrected["start of a session whose own line was lost"] == 0


def test_a_start_whose_line_was_lost_is_known_from_a_later_day() -> None:
    lines = session_lines("u", "2026-11-18T09:00", "running", "stopping", created_at="2026-11-16T10:00")
    built = build(sessions=lines)
    assert list(built.events["event_key"]) == ["session_started:renku/u"]
    assert list(built.events["event_day"]) == ["2026-11-16"]
    assert built.corrected["start of a session whose own line was lost"] == 1
    assert built.dropped["session line that neither starts nor resumes"] == 1


def test_a_resume_is_another_event_on_its_own_day() -> None:
    lines = [
        *session_lines("u", "2026-11-16T10:00"),
        *session_lines("u", "2026-11-18T09:00:00.250", "hibernated", "starting", created_at="2026-11-16T10:00"),
    ]
    built = build(sessions=lines)
    resumed = "session_resumed:renku/u/1794992400250"
    assert dict(zip(built.events["event_key"], built.events["event_day"], strict=True)) == {
        "session_started:renku/u": "2026-11-16",
        resumed: "2026-11-18",
    }
    assert built.derived == 0
    assert built.dropped["session line that counts on another day"] == 1


def test_a_resume_that_is_all_that_is_left_of_a_session_tells_its_start_too() -> None:
    same_day = build(sessions=session_lines("u", "2026-11-16T12:00", "hibernated", "running", "2026-11-16T10:00"))
    assert sorted(same_day.events["event_type"]) == ["session_resumed", "session_started"]
    assert same_day.derived == 1
    later = build(sessions=session_lines("u", "2026-11-18T12:00", "hibernated", "running", "2026-11-16T10:00"))
    assert sorted(later.events["event_day"]) == ["2026-11-16", "2026-11-18"]
    assert later.derived == 0


def test_a_resume_told_twice_is_one() -> None:
    lines = [
        *session_lines("u", "2026-11-16T10:00"),
        *session_lines("u", "2026-11-16T12:00", "hibernated", "starting", "2026-11-16T10:00"),
        *session_lines("u", "2026-11-16T12:00", "hibernated", "running", "2026-11-16T10:00"),
        *session_lines("u", "2026-11-16T12:01", "starting", "running", "2026-11-16T10:00"),
    ]
    built = build(sessions=lines)
    assert sorted(built.events["event_type"]) == ["session_resumed", "session_started"]
    assert built.dropped["session line that comes twice"] == 1


def test_a_resume_that_failed_to_start_is_none() -> None:
    lines = [
        *session_lines("u", "2026-11-16T10:00"),
        *session_lines("u", "2026-11-16T12:00", "hibernated", "stopping", "2026-11-16T10:00"),
    ]
    assert list(build(sessions=lines).events["event_type"]) == ["session_started"]


def test_an_anonymous_session_is_an_event_without_user() -> None:
    built = build(sessions=session_lines("u", keycloak_id=None, anonymous=True))
    assert links(built) == {"session_started:renku/u": (None, None)}
    assert built.linked["nobody"] == 1


def test_the_user_and_project_of_a_session_are_the_first_that_its_lines_name() -> None:
    lines = [
        *session_lines("u", "2026-11-16T10:02", "running", "stopping", "2026-11-16T10:00", "k-bob"),
        *session_lines("u", "2026-11-16T10:01", "starting", "running", "2026-11-16T10:00", "k-ada"),
        *session_lines("u", "2026-11-16T10:00", keycloak_id=None, renku_project_id="01J"),
    ]
    built = build(sessions=lines)
    assert links(built) == {"session_started:renku/u": ("k-ada", "keycloak_id")}
    assert list(built.events["project_id"]) == ["renku:01J"]


def test_a_resume_is_by_whoever_its_own_line_names() -> None:
    lines = [
        *session_lines("u", "2026-11-16T12:00", "hibernated", "starting", "2026-11-16T10:00", "k-ada"),
        *session_lines("u", "2026-11-16T13:00", "running", "hibernated", "2026-11-16T10:00", "k-bob"),
        *session_lines("u", "2026-11-16T14:00", "hibernated", "starting", "2026-11-16T10:00", None),
        *session_lines("u", "2026-11-16T15:00", "hibernated", "starting", "2026-11-16T10:00", "k-bob"),
    ]
    events = build(sessions=lines).events.sort_values(["occurred_at"])
    assert list(zip(events["event_type"], events["user_id"], strict=True)) == [
        ("session_started", "k-ada"),
        ("session_resumed", "k-ada"),
        ("session_resumed", "k-ada"),
        ("session_resumed", "k-bob"),
    ]


def test_the_gitlab_project_goes_before_the_renku_project() -> None:
    built = build(sessions=session_lines("u", gitlab_project_id=12, renku_project_id="01J"))
    assert list(built.events["project_id"]) == ["gitlab:12"]


def test_sessions_of_two_namespaces_are_two_even_without_a_namespace() -> None:
    lines = [*session_lines("u"), *session_lines("u", namespace="other"), *session_lines("u", namespace=None)]
    assert sorted(build(sessions=lines).events["event_key"]) == [
        "session_started:/u",
        "session_started:other/u",
        "session_started:renku/u",
    ]


def of_nobody(uid: str, at: str = "2026-11-16T10:00", **fields: object) -> list[Row]:
    return session_lines(uid, at, keycloak_id=None, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], set(), id="nothing"),
        pytest.param(session_lines("a"), set(), id="labelled"),
        pytest.param(of_nobody("a"), {"2026-11-16"}, id="no label"),
        pytest.param(of_nobody("a", anonymous=True), set(), id="anonymous"),
        pytest.param(
            [*of_nobody("a"), *session_lines("a", "2026-11-16T11:00", "starting", "running")],
            set(),
            id="another line of the session names the user",
        ),
        pytest.param(
            [line for n in range(19) for line in session_lines(f"s{n}")] + of_nobody("a"), set(), id="one of twenty"
        ),
        pytest.param(
            [line for n in range(18) for line in session_lines(f"s{n}")] + of_nobody("a"),
            {"2026-11-16"},
            id="one of nineteen",
        ),
        pytest.param(
            [*of_nobody("a"), *(line for n in range(99) for line in of_nobody(f"s{n}", anonymous=True))],
            {"2026-11-16"},
            id="anonymous ones beside it do not help",
        ),
        # The session began before labels were switched on, and counts on the day it began.
        pytest.param(
            of_nobody("a", "2026-11-17T10:00", old_status="running", status="stopping", created_at="2026-11-16T10:00"),
            {"2026-11-16"},
            id="only the day of the creation",
        ),
    ],
)
def test_days_whose_sessions_name_nobody_are_not_known(lines: list[Row], expected: set[str]) -> None:
    assert days_without_users(RAW_AMALTHEA_SESSIONS.frame(lines)) == expected
