"""The simulated Keycloak answers as a real one of its version does."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from renku_metrics.periods import now
from renku_metrics_tests.servers.fetched import NOT_ASKED_FOR, asked_for
from renku_metrics_tests.servers.keycloak import VERSION
from renku_metrics_tests.servers.realm import SECRET, Realm
from renkulab.server import RenkuLab

if not asked_for():
    pytest.skip(NOT_ASKED_FOR, allow_module_level=True)

ADA, BOB = "ada@university.example", "bob@institute.example"
CLIENTS = {
    "renku-metrics": ("view-events", "view-users"),
    "without-roles": (),
    "lists-users": ("query-users",),
    "sees-users": ("view-users",),
}
APPLICATIONS = ("renku", "renku-cli", "gitlab")
# What has another value on each server, and what the simulation leaves out.
OWN = {"id", "time", "realmId", "userId", "sessionId", "ipAddress", "details", "createdTimestamp", "access_token"}
# Its words are in any order.
OWN |= {"scope"}
LEFT_OUT = {"firstName", "lastName"}


MINUTE = dt.timedelta(minutes=1)


@dataclass(frozen=True)
class Server:
    """One of the two, where Ada logged in, failed to, and Bob logged in at three applications in one browser."""

    url: str

    def token(self, client: str, secret: str = SECRET, realm: str = "Simulated", **form: str) -> requests.Response:
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret} | form
        return requests.post(f"{self.url}/realms/{realm}/protocol/openid-connect/token", form, timeout=30)

    def get(self, path: str, token: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(f"{self.url}/admin/realms/{path}", headers=headers, timeout=30)


@pytest.fixture(scope="module")
def real(keycloak_url: str) -> Server:
    realm = Realm(keycloak_url, "Simulated", [ADA, BOB], CLIENTS, *APPLICATIONS)
    assert realm.log_in(ADA, "renku").ok
    realm.log_in(ADA, "renku", "not the password")
    realm.log_in("nobody@university.example", "renku")
    realm.log_in_with_browser(BOB, *APPLICATIONS)
    return Server(keycloak_url)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("audit-log")
    with RenkuLab("lab", folder, keycloak_version=VERSION, keycloak_path="") as lab:
        keycloak = lab.keycloak
        keycloak.realm = "Simulated"
        ada, bob = (keycloak.add_user(address, now(), email_verified=False) for address in (ADA, BOB))
        for client, roles in CLIENTS.items():
            keycloak.add_client(client, SECRET, roles)
        keycloak.add_client("without-account", SECRET).service_account = False
        del keycloak.users["service-account-without-account"]
        keycloak.log_in(ada, now() - 4 * MINUTE, ("renku",))
        keycloak.fail_to_log_in(ada, now() - 3 * MINUTE)
        keycloak.fail_to_log_in(None, now() - 2 * MINUTE)
        keycloak.log_in(bob, now() - MINUTE, APPLICATIONS)
        yield Server(lab.keycloak_url)


def plain(answer: requests.Response) -> tuple[int, str, Any]:
    """Status, type and content, without what no two servers share."""
    return answer.status_code, answer.headers["Content-Type"], _plain(answer.json())


def _plain(content: Any) -> Any:
    if isinstance(content, list):
        return [_plain(item) for item in content]
    if isinstance(content, dict):
        return {key: key in OWN or value for key, value in content.items() if key not in LEFT_OUT}
    return content


@pytest.mark.parametrize(
    "form",
    [
        {"client": "renku-metrics"},
        {"client": "renku-metrics", "secret": "wrong"},
        {"client": "nobody"},
        {"client": "without-account"},
        {"client": "renku-metrics", "realm": "Elsewhere"},
        {"client": "renku-metrics", "grant_type": "unheard-of"},
    ],
    ids=str,
)
def test_tokens(real: Server, simulated: Server, form: dict[str, str]) -> None:
    assert plain(simulated.token(**form)) == plain(real.token(**form))


PATHS = [
    "Simulated/events?type=LOGIN",
    "Simulated/events?type=LOGIN_ERROR",
    "Simulated/events?type=LOGIN&type=LOGIN_ERROR&direction=asc",
    "Simulated/events?type=LOGIN&client=gitlab",
    "Simulated/events?type=LOGIN&first=1&max=2",
    "Simulated/events?type=LOGIN&first=-5&max=1",
    "Simulated/events?type=LOGIN&max=0",
    "Simulated/events?type=LOGIN&max=-1",
    "Simulated/events?type=LOGIN&dateFrom=2026-01-01",
    "Simulated/events?type=LOGIN&dateFrom=2999-01-01",
    "Simulated/events?type=LOGIN&dateTo=2026-01-01",
    "Simulated/events?type=LOGIN&dateFrom=99999999999999",
    "Simulated/events?type=LOGIN&dateTo=1",
    "Simulated/events?type=LOGIN&dateTo=1-1",
    "Simulated/events?dateFrom=today",
    "Simulated/events?direction=up",
    "Simulated/events?first=abc",
    "Simulated/events?type=UNHEARD_OF",
    "Simulated/users",
    "Simulated/users?briefRepresentation=true",
    "Simulated/users?briefRepresentation=true&enabled=true",
    "Simulated/users?briefRepresentation=true&enabled=false",
    "Simulated/users?briefRepresentation=true&email=university",
    "Simulated/users?first=1&max=1",
    "Simulated/users?first=2",
    "Simulated/users/count",
    "Simulated/users/count?enabled=true",
    "Simulated/unheard-of",
    "Elsewhere/events",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_gets(real: Server, simulated: Server, client: str, path: str) -> None:
    answers = [server.get(path, server.token(client).json()["access_token"]) for server in (real, simulated)]

    assert plain(answers[1]) == plain(answers[0])


@pytest.mark.parametrize("path", ["Simulated/events", "Simulated/users", "Elsewhere/users"])
def test_whoever_has_no_token_is_refused(real: Server, simulated: Server, path: str) -> None:
    assert plain(simulated.get(path, "no token")) == plain(real.get(path, "no token"))


def test_how_events_are_saved(real: Server, simulated: Server) -> None:
    path = "Simulated/events/config"
    configs = [
        server.get(path, server.token("renku-metrics").json()["access_token"]).json() for server in (real, simulated)
    ]
    # Of the hundred types the simulation has those that matter.
    types = [set(config.pop("enabledEventTypes")) for config in configs]

    assert configs[1] == configs[0]
    assert "LOGIN" in types[1] <= types[0]


def test_each_application_of_a_browser_has_its_event_in_the_one_session(real: Server, simulated: Server) -> None:
    for server in (real, simulated):
        token = server.token("renku-metrics").json()["access_token"]
        logins = server.get("Simulated/events?type=LOGIN&max=3", token).json()
        assert len({event["sessionId"] for event in logins}) == 1
        assert {event["details"]["code_id"] for event in logins} == {logins[0]["sessionId"]}
        assert {event["details"]["auth_type"] for event in logins} == {"code"}
