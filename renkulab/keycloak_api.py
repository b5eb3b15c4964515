"""The token endpoint and the admin REST API of the simulated Keycloak, version by version."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import random
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote

from renkulab.keycloak import EVENT_TYPES, Client, Event, Keycloak, User
from renkulab.web import JSON, Request, Response, json_response

Row = TypeVar("Row")
DEFAULT_LENGTH = 100
UTF8_JSON = f"{JSON};charset=UTF-8"
SEES_EVENTS = {"view-events", "manage-events", "realm-admin"}
LISTS_USERS = {"query-users", "view-users", "manage-users", "realm-admin"}
SEES_USERS = {"view-users", "manage-users", "realm-admin"}


class _Refused(Exception):  # noqa: N818
    def __init__(self, status: int, **content: Any) -> None:
        super().__init__(status)
        self.response = json_response(content, status)


@dataclass(frozen=True)
class _Page:
    first: int
    length: int

    def of(self, rows: list[Row]) -> list[Row]:
        start = max(self.first, 0)
        return rows[start:] if self.length < 0 else rows[start : start + self.length]


class KeycloakApi:
    """Answers requests below ``/realms`` and ``/admin/realms``."""

    def __init__(self, keycloak: Keycloak) -> None:
        self.keycloak = keycloak
        self._chance = random.Random(0)

    def answer(self, request: Request, path: str) -> Response:
        """``path`` begins with /realms or /admin/realms."""
        parts = [unquote(part) for part in path.strip("/").split("/")]
        try:
            if parts[0] == "realms":
                return self._open(request, parts[1:])
            return self._admin(request, parts[2:])
        except _Refused as refused:
            return refused.response

    def _open(self, request: Request, parts: list[str]) -> Response:
        if not parts or parts[0] != self.keycloak.realm:
            raise _Refused(404, error="Realm does not exist")
        if parts[1:] == ["protocol", "openid-connect", "token"]:
            return self._token(request)
        raise _Refused(404, error="HTTP 404 Not Found")

    def _token(self, request: Request) -> Response:
        if request.method != "POST":
            raise _Refused(405, error="HTTP 405 Method Not Allowed")
        form = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
        client_id, secret = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
        client = self.keycloak.clients.get(client_id)
        refusal = "Invalid client or Invalid client credentials"
        if client is None:
            raise _Refused(401, error="invalid_client", error_description=refusal)
        if client.secret != secret:
            raise _Refused(401, error="unauthorized_client", error_description=refusal)
        if form.get("grant_type") != "client_credentials":
            raise _Refused(400, error="unsupported_grant_type", error_description="Unsupported grant_type")
        if not client.service_account:
            description = "Client not enabled to retrieve service account"
            raise _Refused(401, error="unauthorized_client", error_description=description)
        account = self.keycloak.users[f"service-account-{client_id}"]
        self.keycloak.record("CLIENT_LOGIN", self.keycloak.clock.now(), account.id, client_id)
        content = {
            "access_token": self.keycloak.new_token(client_id),
            "expires_in": int(self.keycloak.token_lifespan.total_seconds()),
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "not-before-policy": 0,
            "scope": "profile email",
        }
        return json_response(content, headers={"Cache-Control": "no-store"})

    def _admin(self, request: Request, parts: list[str]) -> Response:
        client = self._caller(request)
        if not parts or parts[0] != self.keycloak.realm:
            raise _Refused(404, error="Realm not found.")
        # Keycloak refuses a bad number before it looks at the roles.
        page = _Page(_number(request, "first", 0), _number(request, "max", DEFAULT_LENGTH))
        content: Any
        match parts[1:]:
            case ["events"]:
                self._require(client, SEES_EVENTS)
                content = [self._event(event) for event in page.of(self._chosen_events(request))]
            case ["events", "config"]:
                self._require(client, SEES_EVENTS)
                content = self._events_config()
            case ["users"]:
                self._require(client, LISTS_USERS)
                brief = request.first("briefRepresentation") == "true"
                content = [_user(user, brief) for user in page.of(self._visible_users(request, client))]
            case ["users", "count"]:
                self._require(client, LISTS_USERS)
                # The count includes users whom the client may not see.
                content = len(self._chosen_users(request))
            case ["users", _, "federated-identity"]:
                self._require(client, SEES_USERS)
                content = []
            case _:
                raise _Refused(404, error="HTTP 404 Not Found")
        return json_response(content, headers={"Content-Type": UTF8_JSON, "Cache-Control": "no-cache"})

    def _caller(self, request: Request) -> Client:
        kind, _, value = request.headers.get("authorization", "").partition(" ")
        token = self.keycloak.tokens.get(value) if kind.lower() == "bearer" else None
        if token is None or self.keycloak.clock.now() >= token.expires_at or token.uses_left == 0:
            raise _Refused(401, error="HTTP 401 Unauthorized")
        if token.uses_left is not None:
            token.uses_left -= 1
        return self.keycloak.clients[token.client_id]

    def _require(self, client: Client, roles: set[str]) -> None:
        if not roles & set(client.roles):
            raise _Refused(403, error="HTTP 403 Forbidden")

    # Events

    def _events_config(self) -> dict[str, Any]:
        keycloak = self.keycloak
        config: dict[str, Any] = {"eventsEnabled": keycloak.events_enabled}
        if keycloak.events_expiration:
            config["eventsExpiration"] = int(keycloak.events_expiration.total_seconds())
        return config | {
            "eventsListeners": ["jboss-logging"],
            # A realm that names no types saves all of these, and lists them.
            "enabledEventTypes": sorted(EVENT_TYPES),
            "adminEventsEnabled": False,
            "adminEventsDetailsEnabled": False,
        }

    def _chosen_events(self, request: Request) -> list[Event]:
        kinds = request.query.get("type", [])
        if set(kinds) - EVENT_TYPES:
            description = "For more on this error consult the server log."
            raise _Refused(500, error="unknown_error", error_description=description)
        earliest, latest = self._bound(request, "dateFrom"), self._bound(request, "dateTo")
        user, client = request.first("user"), request.first("client")
        found = [
            event
            for event in self.keycloak.events()
            if (not kinds or event.type in kinds)
            and (earliest is None or event.time >= earliest)
            and (latest is None or event.time <= latest)
            and (user is None or event.user_id == user)
            and (client is None or event.client_id == client)
        ]
        newest_first = True
        direction = request.first("direction")
        if direction is not None and self.keycloak.version >= (26, 2, 0):
            if direction not in ("asc", "desc"):
                raise _Refused(400, error="Invalid value for sortDirection, expected value is asc or desc")
            newest_first = direction == "desc"
        # Keycloak sorts by time alone, so events of one millisecond come in another order each time.
        # docs/sources/keycloak.md#events-of-one-millisecond-have-no-order
        self._chance.shuffle(found)
        return sorted(found, key=lambda event: event.time, reverse=newest_first)

    def _bound(self, request: Request, name: str) -> int | None:
        """The first or the last millisecond that the request asks for, as this version reads it."""
        text, version = request.first(name), self.keycloak.version
        if text is None:
            return None
        refusal = f"Invalid value for '{name}', expected format is yyyy-MM-dd"
        if version >= (26, 2, 0):
            refusal += " or an Epoch timestamp"
        try:
            if version >= (26, 2, 0) and "-" not in text:
                return int(text)
            day = dt.datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007
        except ValueError:
            raise _Refused(400, error=refusal) from None
        zone = dt.UTC if version >= (26, 2, 0) else self.keycloak.time_zone
        if name == "dateTo" and version >= (26, 0, 0):
            day += dt.timedelta(days=1, milliseconds=-1)
        seconds = day.replace(tzinfo=zone).timestamp()
        # keycloak#38911: 26.2.0 compared seconds with milliseconds.
        return round(seconds) if version == (26, 2, 0) else round(seconds * 1000)

    def _event(self, event: Event) -> dict[str, Any]:
        content = {
            "id": event.id if self.keycloak.version >= (26, 2, 0) else None,
            "time": event.time,
            "type": event.type,
            "realmId": self.keycloak.realm_id,
            "clientId": event.client_id,
            "userId": event.user_id,
            "sessionId": event.session_id,
            "ipAddress": "192.0.2.1",
            "error": event.error,
            "details": dict(event.details) or None,
        }
        return {key: value for key, value in content.items() if value is not None}

    # Users

    def _visible_users(self, request: Request, client: Client) -> list[User]:
        # docs/sources/keycloak.md#users-are-hidden-without-a-refusal
        return self._chosen_users(request) if SEES_USERS & set(client.roles) else []

    def _chosen_users(self, request: Request) -> list[User]:
        enabled, email = request.first("enabled"), request.first("email")
        by_field = enabled is not None or email is not None
        found = [
            user
            for user in self.keycloak.users.values()
            if (by_field or not user.service_account)
            and (enabled is None or user.enabled == (enabled == "true"))
            and (email is None or email.lower() in user.email.lower())
        ]
        return sorted(found, key=lambda user: user.username)


def _user(user: User, brief: bool) -> dict[str, Any]:
    content: dict[str, Any] = {
        "id": user.id,
        "username": user.username,
        "email": user.email or None,
        "emailVerified": user.email_verified,
        "enabled": user.enabled,
        # A user from a directory may have none.
        "createdTimestamp": round(user.created_at.timestamp() * 1000) if user.created_at else None,
        "access": {"manage": False},
    }
    if not brief:
        content |= {"totp": False, "disableableCredentialTypes": [], "requiredActions": [], "notBefore": 0}
    return {key: value for key, value in content.items() if value is not None}


def _number(request: Request, name: str, default: int) -> int:
    text = request.first(name)
    try:
        return default if text is None else int(text)
    except ValueError:
        raise _Refused(404, error="HTTP 404 Not Found") from None


def _basic(request: Request) -> tuple[str, str] | None:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return unquote(name), unquote(secret)
