"""The simulated Keycloak against docs/sources/keycloak.md, asked over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from renkulab.keycloak import User, Version
from renkulab.server import RenkuLab

NOON = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RenkuLab]:
    with RenkuLab("one", tmp_path / "audit", now=NOON) as lab:
        yield lab


@pytest.fixture
def person(lab: RenkuLab) -> User:
    return lab.keycloak.add_user("person-0001@university.example", NOON)


def ask_for_token(lab: RenkuLab, client: str, secret: str) -> requests.Response:
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    return requests.post(f"{lab.keycloak_url}/realms/Renku/protocol/openid-connect/token", form, timeout=5)


def get(lab: RenkuLab, path: str, token: str | None = None, **query: Any) -> requests.Response:
    token = token or lab.keycloak.new_token(lab.keycloak_client_id)
    headers = {"Authorization": f"Bearer {token}"}
    return requests.get(f"{lab.keycloak_url}/admin/realms/Renku/{path}", query, headers=headers, timeout=5)


def logins(lab: RenkuLab, **query: Any) -> list[int]:
    return [event["time"] for event in get(lab, "events", type="LOGIN", **query).json()]


def milliseconds(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)


def test_a_token_is_given_for_the_right_secret_and_ends_with_its_time(lab: RenkuLab) -> None:
    wrong = ask_for_token(lab, lab.keycloak_client_id, "wrong")
    assert (wrong.status_code, wrong.json()["error"]) == (401, "unauthorized_client")
    unknown = ask_for_token(lab, "nobody", "wrong")
    assert (unknown.status_code, unknown.json()["error"]) == (401, "invalid_client")
    given = ask_for_token(lab, lab.keycloak_client_id, lab.keycloak_secret).json()
    assert given["expires_in"] == 300
    assert get(lab, "events", given["access_token"]).status_code == 200
    lab.clock.advance(dt.timedelta(seconds=300))
    late = get(lab, "events", given["access_token"])
    assert (late.status_code, late.json()) == (401, {"error": "HTTP 401 Unauthorized"})


def test_a_token_can_be_made_to_end_after_some_uses(lab: RenkuLab) -> None:
    lab.keycloak.token_uses = 2
    token = lab.keycloak.new_token(lab.keycloak_client_id)
    assert [get(lab, "users", token).status_code for _ in range(3)] == [200, 200, 401]


def test_events_come_newest_first_a_hundred_at_a_time(lab: RenkuLab, person: User) -> None:
    for number in range(130):
        lab.keycloak.log_in(person, NOON + number * HOUR, clients=("renku",))
    times = [milliseconds(NOON + number * HOUR) for number in reversed(range(130))]
    assert logins(lab) == times[:100]
    assert logins(lab, first=100) == times[100:]
    assert logins(lab, first=120, max=5) == times[120:125]
    assert get(lab, "events", type="NO_SUCH").status_code == 500
    assert {event["type"] for event in get(lab, "events", type=["LOGIN", "REGISTER"], max=500).json()} == {
        "LOGIN",
        "REGISTER",
    }


def test_one_browser_login_is_several_events_of_one_session(lab: RenkuLab, person: User) -> None:
    lab.keycloak.log_in(person, NOON)
    lab.keycloak.fail_to_log_in(None, NOON)
    events = get(lab, "events", type="LOGIN").json()
    assert {event["clientId"] for event in events} == {"renku", "renku-cli", "gitlab"}
    assert {event["sessionId"] for event in events} == {events[0]["sessionId"]}
    assert {event["userId"] for event in events} == {person.id}
    [failure] = get(lab, "events", type="LOGIN_ERROR").json()
    assert "userId" not in failure


@pytest.mark.parametrize(
    ("version", "day_itself", "next_day", "has_id"),
    [
        ((20, 0, 1), 0, 1, False),
        ((26, 0, 0), 1, 1, False),
        ((26, 2, 0), 0, 0, True),
        ((26, 7, 1), 1, 1, True),
    ],
)
def test_date_to_is_read_as_the_version_does(
    lab: RenkuLab, person: User, version: Version, day_itself: int, next_day: int, has_id: bool
) -> None:
    lab.keycloak.version = version
    lab.keycloak.log_in(person, NOON, clients=("renku",))
    assert len(logins(lab, dateTo="2026-11-16")) == day_itself
    assert len(logins(lab, dateTo="2026-11-17")) == next_day
    assert len(logins(lab, dateFrom="2026-11-16")) == 1
    # 26.2.0 takes the day for a time in 1970.
    assert len(logins(lab, dateFrom="2026-11-17")) == (1 if version == (26, 2, 0) else 0)
    assert ("id" in get(lab, "events").json()[0]) is has_id


def test_milliseconds_and_direction_came_with_26_2(lab: RenkuLab, person: User) -> None:
    for number in range(2):
        lab.keycloak.log_in(person, NOON + number * HOUR, clients=("renku",))
    first, second = milliseconds(NOON), milliseconds(NOON + HOUR)
    assert get(lab, "events", dateFrom=str(second)).status_code == 400
    assert logins(lab, direction="asc") == [second, first]
    lab.keycloak.version = (26, 2, 0)
    assert logins(lab, dateFrom=str(second)) == [second]
    assert logins(lab, direction="asc") == [first, second]
    assert get(lab, "events", direction="up").status_code == 400


def test_old_versions_read_days_in_the_zone_of_the_server(lab: RenkuLab, person: User) -> None:
    lab.keycloak.log_in(person, dt.datetime(2026, 11, 15, 23, 30, tzinfo=dt.UTC), clients=("renku",))
    assert logins(lab, dateFrom="2026-11-16") == []
    lab.keycloak.time_zone = dt.timezone(HOUR)
    assert len(logins(lab, dateFrom="2026-11-16")) == 1
    lab.keycloak.version = (26, 7, 1)
    assert logins(lab, dateFrom="2026-11-16") == []


def test_events_are_forgotten_by_a_job_every_quarter_of_an_hour(lab: RenkuLab, person: User) -> None:
    lab.keycloak.events_expiration = DAY
    lab.keycloak.log_in(person, NOON + dt.timedelta(minutes=5), clients=("renku",))
    lab.clock.set(NOON + DAY + dt.timedelta(minutes=14))
    assert len(logins(lab)) == 1
    lab.clock.advance(dt.timedelta(minutes=1))
    assert logins(lab) == []
    lab.keycloak.events_expiration = None
    assert logins(lab) == []


def test_a_realm_that_saves_no_events_has_none(lab: RenkuLab, person: User) -> None:
    lab.keycloak.events_enabled = False
    lab.keycloak.log_in(person, NOON)
    assert logins(lab) == []
    assert get(lab, "events/config").json()["eventsEnabled"] is False
    assert "eventsExpiration" not in get(lab, "events/config").json()
    lab.keycloak.events_expiration = DAY
    assert get(lab, "events/config").json()["eventsExpiration"] == 86400


def test_roles_decide_what_is_seen(lab: RenkuLab, person: User) -> None:
    client = lab.keycloak.clients[lab.keycloak_client_id]
    client.roles = ("query-users",)
    refused = get(lab, "events")
    assert (refused.status_code, refused.json()) == (403, {"error": "HTTP 403 Forbidden"})
    assert get(lab, "users").json() == []
    client.roles = ("view-events",)
    assert get(lab, "events").status_code == 200
    assert get(lab, "users").status_code == 403


def test_users_come_without_service_accounts_unless_a_field_is_asked_for(lab: RenkuLab, person: User) -> None:
    [user] = get(lab, "users", briefRepresentation="false").json()
    assert user["id"] == person.id
    assert user["createdTimestamp"] == milliseconds(NOON)
    assert get(lab, "users/count").json() == 1
    assert len(get(lab, "users", enabled="true").json()) == 2
    assert get(lab, "users", first=1).json() == []


def test_another_realm_and_no_token_are_refused(lab: RenkuLab) -> None:
    token = lab.keycloak.new_token(lab.keycloak_client_id)
    headers = {"Authorization": f"Bearer {token}"}
    other = requests.get(f"{lab.keycloak_url}/admin/realms/Other/events", headers=headers, timeout=5)
    assert (other.status_code, other.json()) == (404, {"error": "Realm not found."})
    assert requests.get(f"{lab.keycloak_url}/admin/realms/Renku/events", timeout=5).status_code == 401
