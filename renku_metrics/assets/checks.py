"""The asset checks of what is published: Dagster's names for them, and those that read the store themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import dagster as dg

from renku_metrics.metrics.checks import CHECKS, Finding, personal_values
from renku_metrics.periods import ONE_DAY
from renku_metrics.store.store import Store
from renku_metrics.tables import BY_DAY, EVENTS, RAW_TABLES, USER_DAYS

NOTHING_PERSONAL = "nothing_personal"
EVENT_KEYS_ARE_UNIQUE = "event_keys_are_unique"
# Days of each table that are looked through before each publication.
DAYS_LOOKED_THROUGH = 7


def specifications(asset: str) -> list[dg.AssetCheckSpec]:
    """Every check of the published asset; the blocking ones stop its publication."""
    own = {
        NOTHING_PERSONAL: f"Nothing in users, projects and the last {DAYS_LOOKED_THROUGH} days looks like an email "
        "or IP address.",
        EVENT_KEYS_ARE_UNIQUE: f"No event of the last {DAYS_LOOKED_THROUGH} days stands twice.",
    }
    return [
        *(dg.AssetCheckSpec(check.name, asset=asset, description=check.description) for check in CHECKS),
        *(dg.AssetCheckSpec(name, asset=asset, description=description) for name, description in own.items()),
    ]


def result(finding: Finding) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if finding.blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=finding.name, passed=finding.passed, severity=severity, metadata=finding.facts
    )


def nothing_personal(store: Store, deployments: Iterable[str], today: dt.date) -> Finding:
    """Looks for clear email and IP addresses; names the table, never the value."""
    found = {}
    for table in (*RAW_TABLES, EVENTS, USER_DAYS):
        for name in deployments:
            places = _recent(name, today) if table.partitioned_by == BY_DAY else [(name,)]
            if count := personal_values(store.read_if_there(table, places)):
                found[f"{table.name} of {name}"] = count
    return Finding(NOTHING_PERSONAL, not found, blocking=True, facts={"values": found})


def event_keys_are_unique(store: Store, deployments: Iterable[str], today: dt.date) -> Finding:
    """Looks for an event that stands on two days."""
    twice = {}
    for name in deployments:
        events = store.read_if_there(EVENTS, _recent(name, today))
        if count := int(events["event_key"].duplicated().sum()):
            twice[name] = count
    return Finding(EVENT_KEYS_ARE_UNIQUE, not twice, blocking=True, facts={"events": twice})


def _recent(deployment: str, today: dt.date) -> list[tuple[str, ...]]:
    return [(deployment, (today - back * ONE_DAY).isoformat()) for back in range(DAYS_LOOKED_THROUGH + 1)]
