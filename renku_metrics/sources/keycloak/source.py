"""Keycloak as a source. It is a log: it tells of logins until it forgets them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from renku_metrics.deployments import Deployment
from renku_metrics.events.union import from_logins
from renku_metrics.periods import ONE_HOUR
from renku_metrics.shapes import DATE, TIME, WORD, any_of
from renku_metrics.sources.budget import lock_of_keycloak
from renku_metrics.sources.http import Say
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.check import check_keycloak
from renku_metrics.sources.keycloak.cost import cost_of_pull
from renku_metrics.sources.keycloak.realm import KeycloakSource, LoginsState
from renku_metrics.sources.keycloak.section import Keycloak
from renku_metrics.sources.source import OFTEN, Batch, Harvest, Request, Source, Stored
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS, RAW_KEYCLOAK_USERS


def _users(request: Request) -> Iterator[Batch]:
    source = KeycloakSource(request.deployment, request.book, say=request.say)
    rows = source.pull_users(request.pulled_at)
    yield Batch({RAW_KEYCLOAK_USERS.name: rows}, facts={"requests": source.requests_made})


def _logins(request: Request) -> Iterator[Batch]:
    source = KeycloakSource(request.deployment, request.book, say=request.say)
    return source.pull_logins(LoginsState.from_json(request.state), request.pulled_at)


def _plan(deployment: Deployment, _state: bytes | None, _stored: Stored, _now: dt.datetime, say: Say) -> Iterator[str]:
    admin = KeycloakAdmin(deployment, say=say)
    return cost_of_pull(admin).lines(admin.connection)


KEYCLOAK = Source(
    name="keycloak",
    activity="logins",
    section=Keycloak,
    harvests=(
        Harvest("raw_keycloak_users", (RAW_KEYCLOAK_USERS,), _users),
        Harvest("raw_keycloak_logins", (RAW_KEYCLOAK_LOGINS,), _logins),
    ),
    events_from=(RAW_KEYCLOAK_LOGINS,),
    events=from_logins,
    state_texts=any_of(WORD, TIME, DATE),
    check=check_keycloak,
    plan=_plan,
    lock=lock_of_keycloak,
    # With the Renku chart, Keycloak forgets after a day: docs/sources/keycloak.md#keycloak-forgets-logins-after-a-day
    often=True,
    # One pull may fail, and the next one may wait for its turn.
    within=2 * OFTEN + ONE_HOUR,
)
