"""Whole pulls of a simulated Keycloak's users and logins."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.merging import merge
from renku_metrics.periods import Span
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.http import Patience, Say, say_nothing
from renku_metrics.sources.keycloak.realm import KeycloakSource, LoginsState
from renku_metrics.sources.keycloak.section import Keycloak
from renku_metrics.sources.keycloak.source import KEYCLOAK
from renku_metrics.sources.source import Batch
from renku_metrics.tables import RAW_KEYCLOAK_LOGINS
from renkulab.server import RenkuLab

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)
MINUTE, HOUR, DAY = dt.timedelta(minutes=1), dt.timedelta(hours=1), dt.timedelta(days=1)
KEY = b"key of the tests"
START = dt.date(2026, 10, 1)
# Time stands still for whoever waits.
IMPATIENT = Patience(sleep=lambda seconds: None, clock=lambda: 0.0)


@dataclass(frozen=True)
class LoginsPull:
    """All that a pull of logins brought, as the store unites it."""

    rows: pd.DataFrame
    seen: Span | None
    state: LoginsState
    notes: tuple[str, ...]


def deployment(lab: RenkuLab, **changes: Any) -> Deployment:
    section = {
        "url": lab.keycloak_url,
        "realm": "Renku",
        "client_id": lab.keycloak_client_id,
        "client_secret": "${LAB_KEYCLOAK_SECRET}",
    } | changes
    return Deployment(name="lab", title="Lab", start=START, sources={"keycloak": Keycloak.model_validate(section)})


def source(lab: RenkuLab, patience: Patience = IMPATIENT, say: Say = say_nothing, **changes: Any) -> KeycloakSource:
    return KeycloakSource(deployment(lab, **changes), AddressBook(KEY, []), patience, say)


def united(batches: Iterable[Batch]) -> LoginsPull:
    """Only the last batch tells what was seen."""
    *others, last = batches
    assert last.state is not None
    KEYCLOAK.check_state(last.state)
    assert not any(batch.seen or batch.state or batch.notes for batch in others)
    assert len(last.seen) <= 1
    rows = RAW_KEYCLOAK_LOGINS.frame()
    for batch in (*others, last):
        rows = merge(RAW_KEYCLOAK_LOGINS, rows, batch.rows[RAW_KEYCLOAK_LOGINS.name])
    return LoginsPull(rows, next(iter(last.seen), None), LoginsState.from_json(last.state), tuple(last.notes))


def kept_of_failed(batches: Iterable[Batch]) -> pd.DataFrame:
    """The rows that came before the pull failed, none of which says that it saw everything."""
    rows = RAW_KEYCLOAK_LOGINS.frame()
    try:
        for batch in batches:
            assert (batch.seen, batch.state) == ((), None)
            rows = merge(RAW_KEYCLOAK_LOGINS, rows, batch.rows[RAW_KEYCLOAK_LOGINS.name])
    except SourceError:
        return rows
    raise AssertionError("the pull did not fail")


def pull_logins(lab: RenkuLab, state: LoginsState | None = None, at: dt.datetime | None = None) -> LoginsPull:
    """One pull at the lab's time, or when this service's own clock says so; the state goes through the store."""
    content = None if state is None else state.to_json()
    return united(source(lab).pull_logins(LoginsState.from_json(content), at or lab.clock.now()))
