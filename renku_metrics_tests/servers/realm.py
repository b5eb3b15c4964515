"""A realm like Renku's on a real Keycloak, its administrator, and people who log in."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import requests

from renku_metrics_tests.servers.keycloak import ADMINISTRATOR

PASSWORD = "a password of tests"
SECRET = "a secret of tests"
# Where a browser is sent after a login; nobody listens there.
APPLICATION = "http://127.0.0.1/application"
SHORT_KEY = {"name": "rsa", "providerId": "rsa-generated", "config": {"keySize": ["1024"]}}
SECONDS = 30


class Realm:
    """A new realm that saves events; ``clients`` are service accounts with their roles, ``people`` addresses."""

    def __init__(
        self, url: str, name: str, people: Sequence[str], clients: Mapping[str, Sequence[str]], *applications: str
    ) -> None:
        self.url = url
        self.name = name
        content = {
            "realm": name,
            "enabled": True,
            "eventsEnabled": True,
            # The defaults are slow on purpose.
            "passwordPolicy": "hashAlgorithm(pbkdf2) and hashIterations(1)",
            "components": {"org.keycloak.keys.KeyProvider": [SHORT_KEY]},
            "clients": [
                *(_service(client, account=True) for client in clients),
                _service("without-account", account=False),
                *(_application(client) for client in applications),
            ],
            "users": [*(_account(client, roles) for client, roles in clients.items()), *map(_person, people)],
        }
        self.administer("POST", "", content)

    def administer(self, method: str, path: str, content: Any = None) -> Any:
        """What the administrator gets below /admin/realms."""
        form = {"grant_type": "password", "client_id": "admin-cli", **ADMINISTRATOR}
        token = self._ask_for_token("master", form).json()["access_token"]
        answer = requests.request(
            method,
            f"{self.url}/admin/realms{path}",
            json=content,
            headers={"Authorization": f"Bearer {token}"},
            timeout=SECONDS,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def save_events(self, *, enabled: bool = True, expiration: int = 0) -> None:
        """Whether events are saved, and for how many seconds (0: for ever)."""
        self.administer(
            "PUT", f"/{self.name}/events/config", {"eventsEnabled": enabled, "eventsExpiration": expiration}
        )

    def user_ids(self) -> dict[str, str]:
        """The ids of all people by address."""
        users = self.administer("GET", f"/{self.name}/users?max=1000")
        return {user["email"]: user["id"] for user in users}

    def events(self) -> list[dict[str, Any]]:
        """What is remembered of logins."""
        found: list[dict[str, Any]] = self.administer("GET", f"/{self.name}/events?type=LOGIN&max=1000")
        return found

    def ask_for_token(self, **form: str) -> requests.Response:
        return self._ask_for_token(self.name, form)

    def log_in(self, person: str, application: str, password: str = PASSWORD) -> requests.Response:
        """One login with a password."""
        form = {"grant_type": "password", "client_id": application, "username": person, "password": password}
        return self.ask_for_token(**form)

    def log_in_with_browser(self, person: str, *applications: str) -> None:
        """Opens the applications one after the other in one browser, which asks for the password once."""
        cookies: dict[str, str] = {}

        def ask(method: str, url: str, **arguments: Any) -> requests.Response:
            # The cookies are for safe connections alone, which requests does not take loopback for.
            answer = requests.request(method, url, cookies=cookies, allow_redirects=False, timeout=SECONDS, **arguments)
            cookies.update(answer.cookies.get_dict())
            return answer

        for place, application in enumerate(applications):
            query = {
                "client_id": application,
                "redirect_uri": APPLICATION,
                "response_type": "code",
                "scope": "openid",
            }
            answer = ask("GET", f"{self._openid(self.name)}/auth", params=query)
            if place == 0:
                form = re.search(r'action="([^"]+)"', answer.text)
                assert form, answer.text
                answer = ask("POST", html.unescape(form[1]), data={"username": person, "password": PASSWORD})
            assert answer.headers.get("Location", "").startswith(APPLICATION), answer.text

    def _ask_for_token(self, realm: str, form: Mapping[str, str]) -> requests.Response:
        return requests.post(f"{self._openid(realm)}/token", dict(form), timeout=SECONDS)

    def _openid(self, realm: str) -> str:
        return f"{self.url}/realms/{quote(realm, safe='')}/protocol/openid-connect"


def _service(client: str, *, account: bool) -> dict[str, Any]:
    return {
        "clientId": client,
        "secret": SECRET,
        "publicClient": False,
        "serviceAccountsEnabled": account,
        "standardFlowEnabled": not account,
    }


def _application(client: str) -> dict[str, Any]:
    own = {"clientId": client, "publicClient": True, "directAccessGrantsEnabled": True}
    return own | {"redirectUris": [APPLICATION]}


def _account(client: str, roles: Sequence[str]) -> dict[str, Any]:
    return {
        "username": f"service-account-{client}",
        "serviceAccountClientId": client,
        "enabled": True,
        "clientRoles": {"realm-management": list(roles)},
    }


def _person(address: str) -> dict[str, Any]:
    return {
        "username": address,
        "email": address,
        # Without a name Keycloak asks for it before the first login.
        "firstName": "A",
        "lastName": "Person",
        "enabled": True,
        "credentials": [{"type": "password", "value": PASSWORD}],
    }
