"""Users and logins of a deployment's Keycloak realm.

Keycloak forgets events, by the Renku chart's default after a day, and is silent about what it forgot; so each
pull of logins tells from when on it saw them. Works with versions 15 to 26 alike: only whole days are sent, with
days to spare, and times are compared here (facts/renku-sources.md, section 3; facts/keycloak-contract).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.periods import ONE_DAY, Span, midnight
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.http import Patience
from renku_metrics.sources.keycloak_admin import PATIENCE, KeycloakAdmin
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_USERS

# Events are written when their transaction ends and by servers whose clocks differ.
OVERLAP = dt.timedelta(hours=1)
LISTINGS_AT_MOST = 3


@dataclass(frozen=True)
class LoginsState:
    """What a pull of logins remembers of itself for the next one.

    ``begun`` is when it began, ``saving`` whether the realm saved LOGIN events then, ``expiration`` for how many
    seconds it keeps them (None: for ever), ``first_day`` the earliest day whose logins were kept.
    """

    begun: dt.datetime | None = None
    saving: bool = False
    expiration: int | None = None
    first_day: dt.date = dt.date.max

    def to_json(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, content: bytes | None) -> LoginsState:
        """What ``to_json`` wrote; that of no pull at all for None."""
        if content is None:
            return cls()
        state = orjson.loads(content)
        begun = state["begun"] and dt.datetime.fromisoformat(state["begun"])
        return cls(begun, state["saving"], state["expiration"], dt.date.fromisoformat(state["first_day"]))


@dataclass(frozen=True)
class LoginsPull:
    """Rows of RAW_KEYCLOAK_LOGINS, and the time within which they are all logins there were (None: no such time)."""

    rows: pd.DataFrame
    seen: Span | None
    state: LoginsState
    notes: tuple[str, ...] = ()


class KeycloakSource:
    """Pulls from the Keycloak of one deployment."""

    def __init__(self, deployment: Deployment, book: AddressBook, patience: Patience = PATIENCE) -> None:
        self._deployment = deployment
        self._book = book
        self._admin = KeycloakAdmin(deployment, patience)

    def pull_users(self, pulled_at: dt.datetime) -> pd.DataFrame:
        """All users of the realm but service accounts, as RAW_KEYCLOAK_USERS.

        Raises SourceError, also when the realm hides its users since a role is missing.
        """
        users: dict[str, dict[str, Any]] = {}
        count = self._admin.count_users()
        for _ in range(LISTINGS_AT_MOST):
            for page in self._admin.user_pages():
                users |= {row["keycloak_id"]: row for user in page if (row := self._user(user, pulled_at))}
            # Who is deleted during the listing shifts the pages, and somebody else is skipped.
            before, count = count, self._admin.count_users()
            if before == count:
                break
        if not users:
            self._admin.check_users_are_visible()
        return RAW_KEYCLOAK_USERS.conform(RAW_KEYCLOAK_USERS.frame(users.values()))

    def pull_logins(self, state: LoginsState, pulled_at: dt.datetime) -> LoginsPull:
        """The LOGIN events since the last pull, whose state is given; all that are remembered at the first one.

        Days before the deployment's start are left out. Raises SourceError.
        """
        start = self._deployment.start
        if start < state.first_day:
            # The deployment begins earlier than it did, or was never pulled: all that is remembered may be new.
            state = LoginsState()
        config = self._admin.events_config()
        since = midnight(start) if state.begun is None else state.begun - OVERLAP
        logins = self._read_logins(None if state.begun is None else state.begun.date() - ONE_DAY, since, pulled_at)
        new_state = LoginsState(pulled_at, saves_logins(config), config.get("eventsExpiration") or None, start)
        seen, notes = _seen([row["occurred_at"] for row in logins.values()], state, new_state, pulled_at)
        rows = RAW_KEYCLOAK_LOGINS.frame(row for row in logins.values() if row["occurred_at"] >= midnight(start))
        return LoginsPull(RAW_KEYCLOAK_LOGINS.conform(rows), seen, new_state, notes)

    def _read_logins(
        self, first_day: dt.date | None, since: dt.datetime, pulled_at: dt.datetime
    ) -> dict[str, dict[str, Any]]:
        """By key, since what happens during the paging shifts the pages and repeats events."""
        logins: dict[str, dict[str, Any]] = {}
        for page in self._admin.login_pages(first_day):
            for event in page:
                # The type is asked for, but the answer decides; what happened in the realm master is no use of Renku.
                if event.get("type") == "LOGIN" and not event.get("error") and event.get("realmId") != "master":
                    row = self._login(event, pulled_at)
                    logins[row["login_key"]] = row
            if page and self._time(page[-1], "time") < since:
                break
        return logins

    def _login(self, event: Mapping[str, Any], pulled_at: dt.datetime) -> dict[str, Any]:
        occurred_at = self._time(event, "time")
        # Never the event's id: versions before 26.2 have none, and an upgrade must not double logins.
        fields = [event.get(name) for name in ("time", "type", "clientId", "userId", "sessionId", "ipAddress")]
        fields.append((event.get("details") or {}).get("code_id"))
        return {
            "deployment": self._deployment.name,
            "event_day": occurred_at.date().isoformat(),
            "login_key": self._book.keyed_hash(json.dumps(fields)),
            "occurred_at": occurred_at,
            "keycloak_id": event.get("userId"),
            "client_id": event.get("clientId"),
            "pulled_at": pulled_at,
        }

    def _user(self, user: Mapping[str, Any], pulled_at: dt.datetime) -> dict[str, Any] | None:
        if "serviceAccountClientId" in user or str(user.get("username")).startswith("service-account-"):
            return None
        address = (user.get("email") or "").strip()
        return {
            "deployment": self._deployment.name,
            "keycloak_id": user["id"],
            "address_hashes": [self._book.hash(address)] if address else [],
            "enabled": user.get("enabled"),
            "created_at": self._time(user, "createdTimestamp") if user.get("createdTimestamp") else None,
            "pulled_at": pulled_at,
        }

    def _time(self, thing: Mapping[str, Any], name: str) -> dt.datetime:
        try:
            return dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=thing[name])
        except (KeyError, TypeError, OverflowError):
            raise SourceError(f"{self._deployment.name}: keycloak: an answer without a readable {name}") from None


def saves_logins(config: Mapping[str, Any]) -> bool:
    """Whether a realm with this configuration of events saves LOGIN events."""
    types = config.get("enabledEventTypes")
    return bool(config.get("eventsEnabled")) and (not types or "LOGIN" in types)


def _seen(
    times: Iterable[dt.datetime], before: LoginsState, now: LoginsState, pulled_at: dt.datetime
) -> tuple[Span | None, tuple[str, ...]]:
    """The time of which the answer held every login, and what should be said about it."""
    if not now.saving:
        return None, ("event saving is switched off: turn it on in the realm's settings, with LOGIN among its types",)
    if before.begun is None or not before.saving:
        # Since when events are saved nobody knows, but the oldest event is a witness.
        witnesses = [time for time in times if before.begun is None or time > before.begun]
        start, expirations = min(witnesses, default=pulled_at), [now.expiration]
    else:
        start, expirations = before.begun, [before.expiration, now.expiration]
    notes: tuple[str, ...] = ()
    kept = min((seconds for seconds in expirations if seconds), default=None)
    if kept is not None and start < pulled_at - dt.timedelta(seconds=kept):
        start = pulled_at - dt.timedelta(seconds=kept)
        if before.saving:
            notes = (f"logins before {start:%Y-%m-%d %H:%M} UTC were forgotten: pull more often than every {kept} s",)
    return (Span(start, pulled_at) if start < pulled_at else None), notes
