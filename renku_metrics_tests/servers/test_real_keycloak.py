"""Users and logins as a real Keycloak tells them."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.merging import merge
from renku_metrics.periods import ONE_DAY, Span, now
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.check import check_keycloak
from renku_metrics.sources.keycloak.realm import KeycloakSource, LoginsState
from renku_metrics.sources.keycloak.section import Keycloak
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.servers.fetched import NOT_ASKED_FOR, asked_for
from renku_metrics_tests.servers.realm import SECRET, Realm
from renku_metrics_tests.sources.keycloak.keycloak_pulls import LoginsPull, united

if not asked_for():
    pytest.skip(NOT_ASKED_FOR, allow_module_level=True)

pytestmark = pytest.mark.usefixtures("real_clock")
ADA, BOB = "ada@university.example", "Bob@institute.example"
CLIENTS = {
    "renku-metrics": ("view-events", "view-users"),
    "without-roles": (),
    "without-view-users": ("view-events", "query-users"),
}
APPLICATIONS = ("renku", "renku-cli", "gitlab")
BOOK = AddressBook(b"key of the tests", [])
HOUR = dt.timedelta(hours=1)
LONGEST_WAIT_SECONDS = 30.0


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEYCLOAK_SECRET", SECRET)


@pytest.fixture
def realm(keycloak_url: str) -> Realm:
    return Realm(keycloak_url, f"Renku-{uuid.uuid4().hex}", [ADA, BOB], CLIENTS, *APPLICATIONS)


@pytest.fixture(scope="module")
def calm_realm(keycloak_url: str) -> Realm:
    """A realm where nothing happens."""
    return Realm(keycloak_url, "Renku", [ADA], CLIENTS)


def deployment(realm: Realm, /, **changes: str) -> Deployment:
    section = {
        "url": realm.url,
        "realm": realm.name,
        "client_id": "renku-metrics",
        "client_secret": "${LAB_KEYCLOAK_SECRET}",
    } | changes
    start = now().date() - 7 * ONE_DAY
    return Deployment(name="lab", title="Lab", start=start, sources={"keycloak": Keycloak.model_validate(section)})


def source(realm: Realm, /, **changes: str) -> KeycloakSource:
    return KeycloakSource(deployment(realm, **changes), BOOK)


def pull_logins(realm: Realm, state: LoginsState | None = None, at: dt.datetime | None = None) -> LoginsPull:
    return united(source(realm).pull_logins(state or LoginsState(), at or now()))


def begun(pull: LoginsPull) -> dt.datetime:
    assert pull.state.begun is not None
    return pull.state.begun


def who(rows: pd.DataFrame) -> list[tuple[Any, Any]]:
    return sorted(zip(rows["keycloak_id"], rows["client_id"], strict=True))


def test_people_are_pulled_and_service_accounts_are_not(realm: Realm) -> None:
    ids = realm.user_ids()
    realm.administer("PUT", f"/{realm.name}/users/{ids[ADA]}", {"enabled": False})

    users = source(realm).pull_users(now()).set_index("keycloak_id")

    assert set(users.index) == set(ids.values())
    assert {key: list(hashes) for key, hashes in users["address_hashes"].items()} == {
        key: [BOOK.hash(address)] for address, key in ids.items()
    }
    assert users["enabled"].to_dict() == {key: address != ADA for address, key in ids.items()}
    assert (now() - users["created_at"] < HOUR).all()


def test_a_login_is_one_row_for_each_application_and_a_failed_one_is_none(realm: Realm) -> None:
    ids = {address.lower(): key for address, key in realm.user_ids().items()}
    before = now()
    assert realm.log_in(ADA, "renku").ok
    assert not realm.log_in(ADA, "renku", "not the password").ok
    assert not realm.log_in("nobody@university.example", "renku").ok
    realm.log_in_with_browser(BOB, *APPLICATIONS)
    after = now()

    pull = pull_logins(realm, at=after)

    bob = [(ids[BOB.lower()], application) for application in APPLICATIONS]
    assert who(pull.rows) == sorted([(ids[ADA], "renku"), *bob])
    assert before <= pull.rows["occurred_at"].min() <= pull.rows["occurred_at"].max() <= after
    assert pull.seen == Span(pull.rows["occurred_at"].min(), after)
    assert not pull.notes


def test_more_people_and_logins_than_a_page_holds_are_pulled_once_each(keycloak_url: str) -> None:
    people = [f"person-{number}@university.example" for number in range(130)]
    realm = Realm(keycloak_url, "Crowd", people, CLIENTS, "renku")
    for person in people:
        assert realm.log_in(person, "renku").ok
    times = [event["time"] for page in KeycloakAdmin(deployment(realm)).login_pages(None) for event in page]
    assert times == sorted(times, reverse=True)
    first = pull_logins(realm)
    for person in people[:3]:
        assert realm.log_in(person, "renku").ok
    second = pull_logins(realm, LoginsState.from_json(first.state.to_json()))

    ids = realm.user_ids()
    assert set(source(realm).pull_users(now())["keycloak_id"]) == set(ids.values())
    assert who(first.rows) == sorted((key, "renku") for key in ids.values())
    assert second.seen == Span(begun(first), begun(second))
    merged = merge(RAW_KEYCLOAK_LOGINS, first.rows, second.rows)
    assert who(merged) == sorted((ids[person], "renku") for person in [*people, *people[:3]])


def test_the_logins_of_somebody_who_was_deleted_stay(realm: Realm) -> None:
    ids = realm.user_ids()
    assert realm.log_in(ADA, "renku").ok
    realm.administer("DELETE", f"/{realm.name}/users/{ids[ADA]}")

    assert who(pull_logins(realm).rows) == [(ids[ADA], "renku")]
    assert ids[ADA] not in set(source(realm).pull_users(now())["keycloak_id"])


def test_while_event_saving_is_off_nothing_is_seen_and_it_is_said(realm: Realm) -> None:
    first = pull_logins(realm)
    realm.save_events(enabled=False)
    assert realm.log_in(ADA, "renku").ok
    off = pull_logins(realm, first.state)
    realm.save_events()
    assert realm.log_in(BOB, "renku").ok
    # As if that had been long ago: of the time between nobody knows but by a login.
    on = pull_logins(realm, replace(off.state, begun=begun(off) - 2 * HOUR))

    assert (len(off.rows), off.seen) == (0, None)
    assert off.notes == (
        "event saving is switched off, or without LOGIN: turn it on in the realm's settings, LOGIN included",
    )
    assert len(on.rows) == 1
    assert on.seen == Span(on.rows["occurred_at"].min(), begun(on))


def test_what_the_realm_forgot_between_two_pulls_is_not_seen(realm: Realm) -> None:
    realm.save_events(expiration=3600)
    assert realm.log_in(ADA, "renku").ok
    first = pull_logins(realm)
    realm.save_events(expiration=1)
    wait_until(lambda: not realm.events())

    later = begun(first) + HOUR
    second = pull_logins(realm, first.state, later)

    assert len(first.rows) == 1
    assert len(second.rows) == 0
    assert second.seen is None
    [note] = second.notes
    assert note.endswith(" UTC may be forgotten: pull more often than every 1 s")


def wait_until(true: Callable[[], bool]) -> None:
    """Keycloak forgets by a job of its own; nothing tells when it ran."""
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(SourceError) as caught:
        action()
    return str(caught.value)


@pytest.mark.parametrize("client", ["without-roles", "without-view-users"])
def test_a_role_that_is_missing_for_users_is_named(calm_realm: Realm, client: str) -> None:
    assert refusal(lambda: source(calm_realm, client_id=client).pull_users(now())) == (
        f"lab: keycloak: the service account of client {client} lacks the role view-users of realm-management: "
        "add it in realm Renku"
    )


def test_a_role_that_is_missing_for_events_is_named(calm_realm: Realm) -> None:
    assert refusal(lambda: list(source(calm_realm, client_id="without-roles").pull_logins(LoginsState(), now()))) == (
        "lab: keycloak: the service account of client without-roles lacks the role view-events of realm-management: "
        "add it in realm Renku"
    )


@pytest.mark.parametrize("client", ["renku-metrics", "nobody", "without-account"])
def test_a_client_that_gets_no_token_is_named_with_its_variable(
    calm_realm: Realm, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if client == "renku-metrics":
        monkeypatch.setenv("LAB_KEYCLOAK_SECRET", "not the secret")

    assert refusal(lambda: source(calm_realm, client_id=client).pull_users(now())) == (
        f"lab: keycloak: refuses client {client} with the secret in LAB_KEYCLOAK_SECRET: correct them, or turn on the "
        "client's service account"
    )


@pytest.mark.parametrize(("path", "name"), [("", "Elsewhere"), ("/auth", "Renku")])
def test_a_realm_that_is_not_there_is_named(calm_realm: Realm, path: str, name: str) -> None:
    assert refusal(lambda: source(calm_realm, url=calm_realm.url + path, realm=name).pull_users(now())) == (
        f"lab: keycloak: {calm_realm.url}{path} knows no realm {name} (up to version 16, and at Renku, "
        "url ends in /auth); correct realm or url"
    )


def test_the_check_of_a_deployment_finds_all_well(realm: Realm) -> None:
    assert realm.log_in(ADA, "renku").ok

    findings = list(check_keycloak(deployment(realm), now()))

    assert {finding.level for finding in findings} == {"ok"}
    assert len(findings) == 5
