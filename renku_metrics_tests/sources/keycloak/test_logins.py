"""What is kept of a login, and that each is found once, in the versions that RenkuLab has run on."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd
import pytest

from renku_metrics.merging import merge
from renku_metrics.periods import Span
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.keycloak.realm import KeycloakSource
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.sources.keycloak.keycloak_pulls import (
    DAY,
    HOUR,
    IMPATIENT,
    KEY,
    NOW,
    START,
    pull_logins,
    source,
    united,
)
from renkulab.keycloak import Version
from renkulab.server import RenkuLab

VERSIONS: list[Version] = [(15, 1, 1), (20, 0, 1), (25, 0, 0), (26, 0, 0), (26, 2, 0), (26, 4, 0)]


def logins(rows: pd.DataFrame) -> list[tuple[str, str, pd.Timestamp]]:
    return sorted(zip(rows["keycloak_id"], rows["client_id"], rows["occurred_at"], strict=True), key=lambda row: row[2])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_login_is_pulled_with_user_client_and_time(lab: RenkuLab, version: Version) -> None:
    lab.keycloak.version = version
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    at = NOW - 5 * HOUR
    lab.keycloak.log_in(ada, at)
    lab.keycloak.fail_to_log_in(ada, at)
    lab.keycloak.record("LOGIN", at, ada.id, "renku", error="user_disabled")

    pull = pull_logins(lab)

    moments = [at, at + dt.timedelta(milliseconds=700), at + dt.timedelta(milliseconds=1400)]
    assert logins(pull.rows) == [
        (ada.id, client, pd.Timestamp(moment))
        for client, moment in zip(("renku", "renku-cli", "gitlab"), moments, strict=True)
    ]
    assert set(pull.rows["event_day"]) == {"2026-11-20"}
    assert pull.seen == Span(at, NOW)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("zone", [-12, 0, 14])
def test_later_pulls_find_each_login_once(lab: RenkuLab, version: Version, zone: int) -> None:
    lab.keycloak.version = version
    lab.keycloak.time_zone = dt.timezone(zone * HOUR)
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    merged, state = RAW_KEYCLOAK_LOGINS.frame(), None
    seen: list[Span | None] = []
    for hours in range(0, 70, 7):
        lab.clock.set(NOW + hours * HOUR)
        for minutes in (5, 100, 359):
            lab.keycloak.log_in(ada, lab.clock.now() - dt.timedelta(minutes=minutes), ("renku",))
        pull = pull_logins(lab, state)
        state, seen = pull.state, [*seen, pull.seen]
        merged = merge(RAW_KEYCLOAK_LOGINS, merged, pull.rows)

    assert len(merged) == 30
    assert merged["occurred_at"].is_unique
    assert seen[0] == Span(NOW - dt.timedelta(minutes=359), NOW)
    assert seen[1:] == [Span(NOW + (hours - 7) * HOUR, NOW + hours * HOUR) for hours in range(7, 70, 7)]


def test_a_later_pull_reads_no_more_than_it_must(lab: RenkuLab) -> None:
    # 26.2.0 ignores dateFrom, so only the client can know when to stop.
    lab.keycloak.version = (26, 2, 0)
    ada = lab.keycloak.add_user("ada@example.org", NOW - 30 * DAY)
    for minutes in range(1000):
        lab.keycloak.log_in(ada, NOW - DAY - minutes * dt.timedelta(minutes=1), ("renku",))
    first = pull_logins(lab)
    assert len(first.rows) == 1000
    assert len(lab.requests.matching("/events$")) == 11

    lab.clock.advance(HOUR)
    pull_logins(lab, first.state)

    last = lab.requests.matching("/events$")[11:]
    assert [(request.query["first"], request.query["dateFrom"]) for request in last] == [(["0"], ["2026-11-19"])]
    assert not any("dateTo" in request.query for request in lab.requests)


def test_an_upgrade_that_brings_ids_doubles_nothing(lab: RenkuLab) -> None:
    lab.keycloak.version = (25, 0, 0)
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - HOUR)
    old = pull_logins(lab)

    lab.keycloak.version = (26, 4, 0)
    new = pull_logins(lab)

    pd.testing.assert_frame_equal(old.rows, new.rows)


def test_the_key_tells_apart_what_happened_apart(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    bob = lab.keycloak.add_user("bob@example.org", NOW - 9 * DAY)
    at = NOW - HOUR
    for user, session, code in ((ada, "s1", "c1"), (ada, "s2", "c1"), (ada, "s1", "c2"), (bob, "s1", "c1")):
        lab.keycloak.record("LOGIN", at, user.id, "renku", session_id=session, details={"code_id": code})
    lab.keycloak.record("LOGIN", at, ada.id, "renku", session_id="s1", details={"code_id": "c1"})

    assert len(pull_logins(lab).rows) == 4


def test_nothing_personal_is_kept(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - HOUR)

    kept = pull_logins(lab).rows.to_csv() + source(lab).pull_users(NOW).to_csv()

    assert not any(word in kept for word in ("ada@", "192.0.2.1", "example.org", "redirect"))


def test_pages_that_shift_repeat_and_lose_nothing(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    for minutes in range(250):
        lab.keycloak.log_in(ada, NOW - minutes * dt.timedelta(minutes=1), ("renku",))
    before = {row[2] for row in logins(pull_logins(lab).rows)}
    events = lab.keycloak.events

    def one_more_each_time() -> Any:
        lab.clock.advance(dt.timedelta(seconds=1))
        lab.keycloak.log_in(ada, lab.clock.now(), ("renku",))
        return events()

    lab.keycloak.events = one_more_each_time  # type: ignore[method-assign]
    after = [row[2] for row in logins(pull_logins(lab).rows)]

    assert len(after) == len(set(after))
    assert before <= set(after)


def test_pulling_again_gives_the_same_rows(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 9 * DAY)
    lab.keycloak.log_in(ada, NOW - HOUR)

    pd.testing.assert_frame_equal(pull_logins(lab).rows, pull_logins(lab).rows)


def test_logins_before_the_deployment_began_are_left_out(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 90 * DAY)
    before, after = dt.datetime(2026, 9, 30, 23, 59, tzinfo=dt.UTC), dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
    for at in (before, after):
        lab.keycloak.log_in(ada, at, ("renku",))

    pull = pull_logins(lab)

    assert logins(pull.rows) == [(ada.id, "renku", pd.Timestamp(after))]
    assert pull.seen == Span(before, NOW)


def test_a_deployment_that_begins_earlier_reads_all_again(lab: RenkuLab) -> None:
    ada = lab.keycloak.add_user("ada@example.org", NOW - 90 * DAY)
    lab.keycloak.log_in(ada, NOW - 60 * DAY, ("renku",))
    state = pull_logins(lab).state

    assert len(pull_logins(lab, state).rows) == 0
    deployment = source(lab)._deployment.model_copy(update={"start": START - 90 * DAY})
    earlier = KeycloakSource(deployment, AddressBook(KEY, []), IMPATIENT)
    assert len(united(earlier.pull_logins(state, NOW)).rows) == 1
