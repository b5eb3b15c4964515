"""The asset checks of what is published: Dagster's names for them, and those that read the store themselves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import dagster as dg
import orjson

from renku_metrics.metrics.checks import CHECKS, Finding, personal_values
from renku_metrics.periods import ONE_DAY
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, RAW_TABLES, USER_DAYS, Table

NOTHING_PERSONAL = "nothing_personal"
EVENT_KEYS_ARE_UNIQUE = "event_keys_are_unique"
LOOKED_THROUGH = (*RAW_TABLES, EVENTS, USER_DAYS)
PARTITIONS_AT_ONCE = 60
# The last days, within which no event may stand twice.
DAYS = 7


def specifications(asset: str) -> list[dg.AssetCheckSpec]:
    """Every check of the published asset; the blocking ones stop its publication."""
    own = {
        NOTHING_PERSONAL: "Nothing in any table looks like an email or IP address.",
        EVENT_KEYS_ARE_UNIQUE: f"No event of the last {DAYS} days stands twice.",
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


def nothing_personal(store: Store, deployments: Iterable[str]) -> Finding:
    """Looks for clear email and IP addresses wherever anything changed since it was found clean.

    Names tables, never a value.
    """
    found = {}
    for name in deployments:
        state = f"looked_through/deployment={name}.json"
        known: dict[str, dict[str, str]] = orjson.loads(store.read_state(state) or b"{}")
        clean = {}
        for table in LOOKED_THROUGH:
            versions = {"|".join(place): version for place, version in store.versions(table, name).items()}
            changed = [place for place, version in versions.items() if known.get(table.name, {}).get(place) != version]
            personal = _personal(store, table, changed)
            if personal:
                found[f"{table.name} of {name}"] = sum(personal.values())
            clean[table.name] = {place: version for place, version in versions.items() if place not in personal}
        if clean != known:
            store.write_state(state, orjson.dumps(clean))
    return Finding(NOTHING_PERSONAL, not found, blocking=True, facts={"values": found})


def _personal(store: Store, table: Table, places: Sequence[str]) -> dict[str, int]:
    """How many personal values there are in each of the partitions that have any."""

    def count(some: Sequence[str]) -> int:
        return personal_values(store.read_if_there(table, [tuple(place.split("|")) for place in some]))

    batches = [places[first : first + PARTITIONS_AT_ONCE] for first in range(0, len(places), PARTITIONS_AT_ONCE)]
    return {place: found for some in batches if count(some) for place in some if (found := count([place]))}


def event_keys_are_unique(store: Store, deployments: Iterable[str], today: dt.date) -> Finding:
    """Looks for an event that stands on two days."""
    twice = {}
    for name in deployments:
        events = store.read_if_there(EVENTS, _recent(name, today))
        if count := int(events["event_key"].duplicated().sum()):
            twice[name] = count
    return Finding(EVENT_KEYS_ARE_UNIQUE, not twice, blocking=True, facts={"events": twice})


def _recent(deployment: str, today: dt.date) -> list[tuple[str, ...]]:
    return [(deployment, (today - back * ONE_DAY).isoformat()) for back in range(DAYS + 1)]
