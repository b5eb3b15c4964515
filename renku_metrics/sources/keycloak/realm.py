"""Users and logins of a deployment's Keycloak realm.

Keycloak forgets events, with the Renku chart after a day, and does not tell what it forgot. So each pull of logins
tells since when it saw all of them (docs/sources/keycloak.md#keycloak-forgets-logins-after-a-day). It works with
versions 15 to 26, because it sends only whole days, a day early, and compares times here
(docs/sources/keycloak.md#versions-read-dates-differently).
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.periods import ONE_DAY, Span, midnight
from renku_metrics.shapes import CLIENT
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.http import Patience, Say, say_nothing
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.progress import Progress
from renku_metrics.sources.source import Batch
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_USERS

# Events are written when their transaction ends, by servers whose clocks differ.
# docs/sources/keycloak.md#events-are-written-when-their-transaction-ends
LOGINS_OVERLAP = dt.timedelta(hours=1)
LISTINGS_AT_MOST = 3
LOGINS_A_BATCH = 1_000
SWITCHED_OFF = "event saving is switched off, or without LOGIN: turn it on in the realm's settings, LOGIN included"


@dataclass(frozen=True)
class LoginsState:
    """What a pull of logins remembers for the next one.

    ``begun``: when the pull began. ``saving``: whether the realm saved LOGIN events then. ``expiration``: for how many
    seconds it keeps them (None: for ever). ``first_day``: the earliest day whose logins were kept.
    """

    begun: dt.datetime | None = None
    saving: bool = False
    expiration: int | None = None
    first_day: dt.date = dt.date.max

    def is_witness(self, time: dt.datetime) -> bool:
        """Whether an event of this time proves what this pull did not know: that events were saved then."""
        return self.begun is None or time > self.begun + LOGINS_OVERLAP

    def to_json(self) -> bytes:
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, content: bytes | None) -> LoginsState:
        """What ``to_json`` wrote; a blank state for None."""
        if content is None:
            return cls()
        state = orjson.loads(content)
        begun = state["begun"] and dt.datetime.fromisoformat(state["begun"])
        return cls(begun, state["saving"], state["expiration"], dt.date.fromisoformat(state["first_day"]))


@dataclass(frozen=True)
class LoginsSeen:
    """What a pull saw. ``span``: the time of which its rows hold every login (None: no such time)."""

    span: Span | None
    state: LoginsState
    notes: tuple[str, ...] = ()


class KeycloakSource:
    """Pulls from the Keycloak of one deployment."""

    def __init__(
        self, deployment: Deployment, book: AddressBook, patience: Patience | None = None, say: Say = say_nothing
    ) -> None:
        self._deployment = deployment
        self._book = book
        self._admin = KeycloakAdmin(deployment, patience, say)
        self._say = say
        self._clock = self._admin.connection.patience.clock

    def pull_users(self, pulled_at: dt.datetime) -> pd.DataFrame:
        """All users of the realm but service accounts, as RAW_KEYCLOAK_USERS, one row per user.

        Raises SourceError, also if the realm hides its users because a role is missing.
        """
        users: dict[str, dict[str, Any]] = {}
        progress = Progress(self._admin.where, self._say, self._clock, things="users")
        count = self._admin.count_users()
        for _ in range(LISTINGS_AT_MOST):
            for page in self._admin.user_pages():
                users |= {row["keycloak_id"]: row for user in page if (row := self._user(user, pulled_at))}
                # Older versions count service accounts too.
                progress.tell(len(users), max(count, len(users)), None, self.requests_made)
            # If a user is deleted during the listing, the pages shift and another user is skipped.
            # docs/sources/keycloak.md#a-deleted-user-shifts-the-pages
            before, count = count, self._admin.count_users()
            if before == count:
                break
        if not users:
            self._admin.check_users_are_visible()
        progress.finish(len(users), None, self.requests_made)
        return RAW_KEYCLOAK_USERS.conform(RAW_KEYCLOAK_USERS.frame(users.values()))

    def pull_logins(self, state: LoginsState, pulled_at: dt.datetime) -> Iterator[Batch]:
        """The LOGIN events since the last pull, which left ``state``; at the first pull all that Keycloak remembers.

        The newest come first. So a pull that ends half way leaves out older ones, and the next one reads them again.
        A row may come again in a later batch. Only the last batch tells what was seen. Days before the deployment's
        start are left out. Raises SourceError, after a batch of what was read before.
        """
        start = self._deployment.start
        if start < state.first_day:
            # The deployment starts earlier than before, or was never pulled: all that Keycloak remembers may be new.
            state = LoginsState()
        begun = self._clock()
        config = self._admin.events_config()
        now = LoginsState(pulled_at, saves_logins(config), config.get("eventsExpiration") or None, start)
        progress = Progress(self._admin.where, self._say, self._clock, things="logins")
        oldest, handed_out, rows = pulled_at, 0, dict[str, dict[str, Any]]()
        try:
            for page in self._login_pages(state, pulled_at):
                oldest = min([oldest, *(row["occurred_at"] for row in page if state.is_witness(row["occurred_at"]))])
                rows |= {row["login_key"]: row for row in page if row["occurred_at"] >= midnight(start)}
                progress.tell(handed_out + len(rows), None, None, self.requests_made)
                if len(rows) >= LOGINS_A_BATCH:
                    yield self._batch(rows)
                    handed_out, rows = handed_out + len(rows), {}
        except SourceError:
            yield self._batch(rows)
            raise
        # The oldest events are read last, and Keycloak may forget them before that.
        read_at = pulled_at + dt.timedelta(seconds=self._clock() - begun)
        seen = _seen(oldest, state, now, read_at)
        yield replace(
            self._batch(rows),
            state=seen.state.to_json(),
            seen=[seen.span] if seen.span else [],
            facts={"requests": self.requests_made},
            notes=seen.notes,
        )
        progress.finish(handed_out + len(rows), None, self.requests_made)

    @property
    def requests_made(self) -> int:
        return self._admin.connection.requests_made

    def _login_pages(self, state: LoginsState, pulled_at: dt.datetime) -> Iterator[list[dict[str, Any]]]:
        """Rows, page by page, back to the time that the last pull, which left ``state``, has seen."""
        first_day = None if state.begun is None else state.begun.date() - ONE_DAY
        since = midnight(self._deployment.start) if state.begun is None else state.begun - LOGINS_OVERLAP
        for page in self._admin.login_pages(first_day):
            # Each event is looked at, because a server can ignore the type that was asked for. Logins to the realm
            # master are no use of Renku: docs/sources/keycloak.md#the-realm-master-is-the-administrators
            yield [
                self._login(event, pulled_at)
                for event in page
                if event.get("type") == "LOGIN" and not event.get("error") and event.get("realmId") != "master"
            ]
            if page and self._time(page[-1], "time") < since:
                break

    def _batch(self, rows: Mapping[str, Mapping[str, Any]]) -> Batch:
        return Batch({RAW_KEYCLOAK_LOGINS.name: RAW_KEYCLOAK_LOGINS.conform(RAW_KEYCLOAK_LOGINS.frame(rows.values()))})

    def _login(self, event: Mapping[str, Any], pulled_at: dt.datetime) -> dict[str, Any]:
        occurred_at = self._time(event, "time")
        # Without the event's id: versions before 26.2 have none, and an upgrade must not double logins.
        # docs/sources/keycloak.md#events-have-an-id-since-262
        fields = [event.get(name) for name in ("time", "type", "clientId", "userId", "sessionId", "ipAddress")]
        fields.append((event.get("details") or {}).get("code_id"))
        return {
            "deployment": self._deployment.name,
            "event_day": occurred_at.date().isoformat(),
            "login_key": self._book.keyed_hash(json.dumps(fields)),
            "occurred_at": occurred_at,
            "keycloak_id": event.get("userId"),
            # Somebody typed the id of a client, so it can be any text.
            "client_id": event.get("clientId") if CLIENT.fits(event.get("clientId")) else None,
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
            raise SourceError(
                f"{self._deployment.name}: keycloak: no readable {name} in an answer; correct url"
            ) from None


def saves_logins(config: Mapping[str, Any]) -> bool:
    """Whether a realm with this configuration of events saves LOGIN events."""
    types = config.get("enabledEventTypes")
    return bool(config.get("eventsEnabled")) and (not types or "LOGIN" in types)


def _seen(oldest: dt.datetime, before: LoginsState, now: LoginsState, read_at: dt.datetime) -> LoginsSeen:
    """What a pull saw that ended at ``read_at``, with ``oldest`` as its oldest witness."""
    assert now.begun is not None
    if not now.saving:
        return LoginsSeen(None, now, (SWITCHED_OFF,))
    if before.begun is None or not before.saving:
        # Nobody knows since when events are saved, but they were saved at the time of the oldest one.
        start, expirations = oldest, [now.expiration]
    else:
        start, expirations = before.begun, [before.expiration, now.expiration]
    notes: tuple[str, ...] = ()
    kept = min((seconds for seconds in expirations if seconds), default=None)
    # Keycloak forgets by its own clock, which may be ahead of this one.
    remembered = None if kept is None else min(now.begun, read_at - dt.timedelta(seconds=kept) + LOGINS_OVERLAP)
    if remembered is not None and start < remembered:
        start = remembered
        if before.saving:
            notes = (f"logins before {start:%Y-%m-%d %H:%M} UTC may be forgotten: pull more often than every {kept} s",)
    return LoginsSeen(Span(start, now.begun) if start < now.begun else None, now, notes)
