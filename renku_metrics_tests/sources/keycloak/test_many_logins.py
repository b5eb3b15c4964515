"""Many logins: pages in which they have no order, and pulls that end half way."""

from __future__ import annotations

import datetime as dt

import pytest

from renku_metrics.merging import merge
from renku_metrics.sources.http import Patience
from renku_metrics.sources.keycloak import realm as keycloak
from renku_metrics.sources.keycloak.realm import LoginsState
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.sources.keycloak.keycloak_pulls import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    kept_of_failed,
    pull_logins,
    source,
    united,
)
from renkulab.faults import server_error, too_many_requests
from renkulab.server import RenkuLab

MILLISECOND = dt.timedelta(milliseconds=1)


def log_in(lab: RenkuLab, times: list[dt.datetime]) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 90 * DAY)
    for number, time in enumerate(times):
        lab.keycloak.record("LOGIN", time, ada.id, "renku", session_id=str(number))


# A course logs in: three, twelve or sixty within one millisecond, wherever pages of a hundred end.
@pytest.mark.parametrize("at_once", [3, 12, 60])
@pytest.mark.parametrize("before", [0, 1, 50, 98, 99])
def test_logins_of_one_millisecond_are_all_pulled(lab: RenkuLab, at_once: int, before: int) -> None:
    alone = [NOW - HOUR + number * MILLISECOND for number in range(before)]
    log_in(lab, [*alone, *(NOW - 2 * HOUR - number // at_once * MILLISECOND for number in range(300))])

    for _ in range(5):
        assert len(pull_logins(lab).rows) == before + 300


def test_without_logins_of_one_millisecond_no_page_is_read_for_them(lab: RenkuLab) -> None:
    log_in(lab, [NOW - minutes * MINUTE for minutes in range(1000)])

    assert len(pull_logins(lab).rows) == 1000
    # Each page after the first begins with the login that ended the one before.
    assert [int(request.query["first"][0]) for request in lab.requests.matching("/events$")] == list(range(0, 991, 99))


def test_more_logins_of_one_millisecond_than_a_page_holds_end_the_reading_all_the_same(lab: RenkuLab) -> None:
    log_in(lab, [NOW - HOUR] * 350)

    assert len(pull_logins(lab).rows) <= 350
    assert len(lab.requests.matching("/events$")) == 4


def test_what_came_before_a_fault_is_kept_and_what_did_not_comes_with_the_next_pull(
    lab: RenkuLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keycloak, "LOGINS_A_BATCH", 400)
    log_in(lab, [NOW - hours * HOUR for hours in range(900)])
    lab.faults.add("/events$", server_error(502), at=7, times=None)
    kept = kept_of_failed(source(lab).pull_logins(LoginsState(), NOW))

    # Six pages were read, each but the first beginning with the end of the one before.
    assert sorted(kept["occurred_at"], reverse=True) == [NOW - hours * HOUR for hours in range(6 * 99 + 1)]

    lab.faults.clear()
    lab.clock.advance(HOUR)
    again = united(source(lab).pull_logins(LoginsState(), lab.clock.now()))
    merged = merge(RAW_KEYCLOAK_LOGINS, kept, again.rows)
    assert len(merged) == len(again.rows) == 900
    assert again.seen is not None
    assert (again.seen.start, again.seen.end) == (NOW - 899 * HOUR, NOW + HOUR)


def test_progress_is_told_to_the_log(lab: RenkuLab) -> None:
    log_in(lab, [NOW - minutes * MINUTE for minutes in range(250)])
    for number in range(350):
        lab.keycloak.add_user(f"person-{number:03}@example.org", NOW)
    said: list[str] = []
    three_seconds_a_request = Patience(sleep=lambda seconds: None, clock=lambda: 3.0 * len(lab.requests))

    # After the token and the settings three pages.
    united(source(lab, three_seconds_a_request, said.append).pull_logins(LoginsState(), NOW))
    assert said == [
        "lab: keycloak: 199 logins so far, 4 requests, 1 requests/s",
        "lab: keycloak: 250 of 250 logins, 5 requests, 1 requests/s",
    ]

    # Ada is one of them; their count, four pages, and the count again.
    said.clear()
    source(lab, three_seconds_a_request, said.append).pull_users(NOW)
    assert said == [
        "lab: keycloak: 100 of 351 users, 3 requests, 0 requests/s, about 23 seconds left",
        "lab: keycloak: 300 of 351 users, 5 requests, 0 requests/s, about 3 seconds left",
        "lab: keycloak: 351 of 351 users, 7 requests, 0 requests/s",
    ]


def test_a_wait_that_keycloak_asks_for_is_told_to_the_log(lab: RenkuLab) -> None:
    said: list[str] = []
    lab.faults.add("/users$", too_many_requests(30))
    source(lab, say=said.append).pull_users(NOW)
    assert said[0] == "lab: keycloak: the server asks to wait 30 s"
