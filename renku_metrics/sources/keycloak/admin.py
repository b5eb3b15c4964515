"""Keycloak's admin REST API as this software uses it: a service account's token, pages, and clear refusals."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import requests

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.sources.budget import keycloak_share
from renku_metrics.sources.http import PAGE_LENGTH, Connection, Patience, Say, content_of, say_nothing
from renku_metrics.sources.keycloak.section import Keycloak

# A token this close to its end is not used any more.
RENEWAL_SECONDS = 30.0


class KeycloakAdmin:
    """One deployment's realm, seen through the client of its deployment file; one request at a time."""

    page_length = PAGE_LENGTH

    def __init__(self, deployment: Deployment, patience: Patience | None = None, say: Say = say_nothing) -> None:
        self._keycloak = deployment.configured(Keycloak)
        self.where = f"{deployment.name}: keycloak"
        share = keycloak_share(deployment)
        self.connection = Connection(
            self.where, share.concurrency, patience or Patience(), share.requests_per_minute, say
        )
        self._session = self.connection.session()
        self._token = ""
        self._token_until = 0.0

    def check_client(self) -> None:
        """Raises SourceError if address, realm, client or secret are wrong."""
        self._valid_token()

    def events_config(self) -> dict[str, Any]:
        """How the realm saves events."""
        config = self._get("events/config", "view-events")
        if not isinstance(config, dict):
            raise self._incomprehensible("events/config")
        return config

    def login_pages(self, first_day: dt.date | None) -> Iterator[list[dict[str, Any]]]:
        """LOGIN events, newest first; some may come twice. With a day, events that are much older are left out.

        No epoch times, no ``dateTo`` and no ``direction`` are sent, because versions read them differently
        (docs/sources/keycloak.md#versions-read-dates-differently).
        """
        chosen = {"type": "LOGIN"} | ({"dateFrom": first_day.isoformat()} if first_day else {})
        return self._pages("events", "view-events", chosen)

    def user_pages(self) -> Iterator[list[dict[str, Any]]]:
        """The users of the realm, in pages. Recent versions leave out service accounts."""
        return self._pages("users", "view-users", {"briefRepresentation": "true"})

    def count_users(self) -> int:
        """How many users the realm has; older versions count service accounts too."""
        count = self._get("users/count", "view-users")
        if not isinstance(count, int):
            raise self._incomprehensible("users/count")
        return count

    def check_users_are_visible(self) -> None:
        """Raises SourceError if the realm hides its users, which looks like a realm without users.

        docs/sources/keycloak.md#users-are-hidden-without-a-refusal
        """
        # A list by field holds service accounts too, so it holds at least the one that asks.
        # docs/sources/keycloak.md#a-list-by-field-holds-service-accounts
        if not self._list("users", "view-users", {"enabled": "true", "max": "1"}):
            raise self._lacks("view-users")

    def _pages(self, path: str, role: str, chosen: dict[str, str]) -> Iterator[list[dict[str, Any]]]:
        first = 0
        while True:
            page = self._list(path, role, {**chosen, "first": str(first), "max": str(self.page_length)})
            yield page
            if len(page) < self.page_length:
                return
            first += _unambiguous(page)

    def _list(self, path: str, role: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        content = self._get(path, role, parameters)
        if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
            raise self._incomprehensible(path)
        return content

    def _get(self, path: str, role: str, parameters: dict[str, str] | None = None) -> Any:
        """The JSON below the realm; ``role`` is what the service account needs for it."""
        url = f"{self._keycloak.url}/admin/realms/{quote(self._keycloak.realm, safe='')}/{path}"
        answer = self._ask(url, parameters)
        if answer.status_code == 401:
            # A token can end early, because Keycloak was restarted or its clock differs.
            self._token = ""
            answer = self._ask(url, parameters)
        if answer.status_code == 401:
            raise SourceError(
                f"{self.where}: a token it gave a moment ago is refused for /{path}; set its clocks right"
            )
        if answer.status_code == 403:
            raise self._lacks(role)
        if answer.status_code == 404:
            raise self._unknown_realm()
        if not answer.ok:
            raise SourceError(f"{self.where}: /{path} gave status {answer.status_code}; see its log")
        return content_of(answer)

    def _ask(self, url: str, parameters: dict[str, str] | None) -> requests.Response:
        headers = {"Authorization": f"Bearer {self._valid_token()}", "Accept": "application/json"}
        return self._session.get(url, params=parameters, headers=headers, allow_redirects=False)

    def _valid_token(self) -> str:
        if not self._token or time.monotonic() >= self._token_until:
            self._renew_token()
        return self._token

    def _renew_token(self) -> None:
        keycloak = self._keycloak
        form = {
            "grant_type": "client_credentials",
            "client_id": keycloak.client_id,
            "client_secret": keycloak.client_secret.reveal(),
        }
        url = f"{keycloak.url}/realms/{quote(keycloak.realm, safe='')}/protocol/openid-connect/token"
        asked_at = time.monotonic()
        answer = self._session.post(url, data=form, allow_redirects=False)
        if answer.status_code == 404:
            raise self._unknown_realm()
        if answer.status_code in (400, 401, 403):
            raise SourceError(
                f"{self.where}: refuses client {keycloak.client_id} with the secret in "
                f"{keycloak.client_secret.variable}: correct them, or turn on the client's service account"
            )
        if not answer.ok:
            raise SourceError(f"{self.where}: gives no token (status {answer.status_code}); correct url")
        content = content_of(answer)
        try:
            self._token = str(content["access_token"])
            lifespan = float(content.get("expires_in", 0))
        except (AttributeError, KeyError, TypeError, ValueError):
            raise self._incomprehensible("token") from None
        self._token_until = asked_at + lifespan - min(RENEWAL_SECONDS, lifespan / 2)

    def _incomprehensible(self, path: str) -> SourceError:
        return SourceError(f"{self.where}: the answer to /{path} is not what Keycloak gives; correct url")

    def _lacks(self, role: str) -> SourceError:
        return SourceError(
            f"{self.where}: the service account of client {self._keycloak.client_id} lacks the role {role} of "
            f"realm-management: add it in realm {self._keycloak.realm}"
        )

    def _unknown_realm(self) -> SourceError:
        # docs/sources/keycloak.md#the-base-path-ends-in-auth
        return SourceError(
            f"{self.where}: {self._keycloak.url} knows no realm {self._keycloak.realm} (up to version 16, and at "
            "Renku, url ends in /auth); correct realm or url"
        )


def _unambiguous(page: list[dict[str, Any]]) -> int:
    """How many items of a full page come before the start of the next page.

    Keycloak sorts events by time alone, so those of one millisecond can come in another order in the next answer
    (docs/sources/keycloak.md#events-of-one-millisecond-have-no-order). So the next page begins with the first event of
    the last millisecond. Users have no time but unique names, so none of them needs to come twice.
    """
    last = page[-1].get("time")
    tied = next(place for place, item in enumerate(page) if item.get("time") == last)
    return len(page) if last is None else tied or len(page)
