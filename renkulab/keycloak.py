"""What a simulated Keycloak holds: one realm with users, the metrics client, and its short memory of events."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from renkulab.clock import Clock

Version = tuple[int, int, int]
# Keycloak saves these types if the realm names none: docs/sources/keycloak.md#saving-can-be-off-or-without-login
EVENT_TYPES = frozenset(
    {
        *("LOGIN", "LOGIN_ERROR", "REGISTER", "REGISTER_ERROR", "LOGOUT", "LOGOUT_ERROR", "CODE_TO_TOKEN"),
        *("CODE_TO_TOKEN_ERROR", "CLIENT_LOGIN", "CLIENT_LOGIN_ERROR", "UPDATE_PROFILE"),
        *("OAUTH2_DEVICE_AUTH", "OAUTH2_DEVICE_CODE_TO_TOKEN", "IDENTITY_PROVIDER_LOGIN", "DELETE_ACCOUNT"),
    }
)
# docs/sources/keycloak.md#expired-events-go-within-a-quarter-of-an-hour
CLEARING_INTERVAL = dt.timedelta(minutes=15)
# One login in a browser passes through these clients: docs/sources/keycloak.md#one-login-is-several-events
LOGIN_SEQUENCE = ("renku", "renku-cli", "gitlab")


@dataclass
class User:
    id: str
    username: str
    email: str
    created_at: dt.datetime | None
    enabled: bool = True
    email_verified: bool = True
    service_account: bool = False


@dataclass(frozen=True)
class Event:
    id: str
    at: dt.datetime
    type: str
    client_id: str
    user_id: str | None
    session_id: str | None
    error: str | None = None
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def time(self) -> int:
        """Milliseconds since the epoch."""
        return round(self.at.timestamp() * 1000)


@dataclass
class Client:
    secret: str
    roles: tuple[str, ...]
    service_account: bool = True


@dataclass
class AccessToken:
    client_id: str
    expires_at: dt.datetime
    uses_left: int | None


class Keycloak:
    """The state of one realm. ``version`` decides how its REST API reads dates and whether events have an id."""

    def __init__(self, clock: Clock, domain: str, realm: str = "Renku", version: Version = (20, 0, 1)) -> None:
        self.clock = clock
        self.realm = realm
        self.version = version
        # Versions before 26.2 read days in the time zone of the server.
        self.time_zone: dt.tzinfo = dt.UTC
        self.realm_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{realm}.{domain}"))
        self.events_enabled = True
        # None: Keycloak never forgets. The Renku chart sets one day.
        self.events_expiration: dt.timedelta | None = None
        self.token_lifespan = dt.timedelta(seconds=300)
        # If it is a number, a token is refused after so many uses, even within its lifespan.
        self.token_uses: int | None = None
        self.users: dict[str, User] = {}
        self.clients: dict[str, Client] = {}
        self.tokens: dict[str, AccessToken] = {}
        self._events: list[Event] = []
        self._made = 0

    def add_client(
        self, client_id: str, secret: str, roles: tuple[str, ...] = ("view-events", "view-users", "query-users")
    ) -> Client:
        """A confidential client. Its service account is a user too."""
        client = self.clients[client_id] = Client(secret, roles)
        account = f"service-account-{client_id}"
        self.users[account] = User(
            self._new_id(), account, "", self.clock.now(), email_verified=False, service_account=True
        )
        return client

    def add_user(self, email: str, at: dt.datetime, *, user_id: str | None = None, email_verified: bool = True) -> User:
        """A user who registered. The realm takes the address as the user name."""
        user = User(user_id or self._new_id(), email, email, at, email_verified=email_verified)
        self.users[user.id] = user
        self.record("REGISTER", at, user.id, "renku", details={"register_method": "form", "email": email})
        return user

    def delete_user(self, user: User) -> None:
        """Deletes the account. Its events stay until they expire."""
        del self.users[user.id]

    def log_in(self, user: User, at: dt.datetime, clients: tuple[str, ...] = LOGIN_SEQUENCE) -> list[dt.datetime]:
        """One login in a browser: an event for each client, a moment apart, in one SSO session.

        Returns the times of the LOGIN events.
        """
        session, moments = self._new_id(), []
        for place, client in enumerate(clients):
            moment = at + dt.timedelta(milliseconds=700 * place)
            details = {
                "auth_method": "openid-connect",
                "auth_type": "code",
                "redirect_uri": "https://renku.example/api/auth/callback",
                "consent": "no_consent_required",
                "code_id": session,
                "username": user.username,
            }
            moments.append(moment)
            self.record("LOGIN", moment, user.id, client, session_id=session, details=details)
            self.record("CODE_TO_TOKEN", moment, user.id, client, session_id=session, details={"code_id": session})
        return moments

    def fail_to_log_in(self, user: User | None, at: dt.datetime) -> None:
        """A wrong password; without a user, a name that nobody has."""
        error = "invalid_user_credentials" if user else "user_not_found"
        details = {"auth_method": "openid-connect", "username": user.username if user else "nobody"}
        self.record("LOGIN_ERROR", at, user.id if user else None, "renku", error=error, details=details)

    def record(
        self,
        kind: str,
        at: dt.datetime,
        user_id: str | None,
        client_id: str,
        *,
        session_id: str | None = None,
        error: str | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        """Writes the event, unless the realm does not save events."""
        if self.events_enabled:
            self._events.append(Event(self._new_id(), at, kind, client_id, user_id, session_id, error, details or {}))

    def events(self) -> list[Event]:
        """The events that the realm still remembers, in the order in which they were recorded."""
        if self.events_expiration is not None:
            seconds = self.clock.now().timestamp()
            cleared_at = seconds - seconds % CLEARING_INTERVAL.total_seconds()
            horizon = cleared_at - self.events_expiration.total_seconds()
            self._events = [event for event in self._events if event.at.timestamp() >= horizon]
        return self._events

    def new_token(self, client_id: str) -> str:
        value = f"access-token-{self._new_id()}"
        self.tokens[value] = AccessToken(client_id, self.clock.now() + self.token_lifespan, self.token_uses)
        return value

    def _new_id(self) -> str:
        # uuid5, so that every run gives the same ids.
        self._made += 1
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.realm_id} {self._made}"))
