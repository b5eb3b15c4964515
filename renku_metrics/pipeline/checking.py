"""The asset checks of what is published: Dagster's names for them, and those that read the store themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg
import orjson
import pandas as pd

from renku_metrics.metrics.checks import CHECKS, Finding, personal_texts, personal_values
from renku_metrics.pipeline.unique_keys import events_twice
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Store, batches
from renku_metrics.tables import BY_DEPLOYMENT, EVENTS, RAW_TABLES, USER_DAYS, Table

NOTHING_PERSONAL = "nothing_personal"
EVENT_KEYS_ARE_UNIQUE = "event_keys_are_unique"
LOOKED_THROUGH = (*RAW_TABLES, EVENTS, USER_DAYS)
PARTITIONS_AT_ONCE = 60
# Where the store remembers what was found clean.
CLEAN = "looked_through/"
OF_STATE = f"{CLEAN}state.json"


def specifications(asset: str) -> list[dg.AssetCheckSpec]:
    """Every check of the published asset; the blocking ones stop its publication."""
    own = {
        NOTHING_PERSONAL: "Nothing in any table or remembered by a pull looks like an email or IP address.",
        EVENT_KEYS_ARE_UNIQUE: "No event of a deployment stands twice, in all of its history.",
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


def nothing_personal(
    store: Store, deployments: Iterable[str], metrics: Sequence[Table], to_publish: Iterable[pd.DataFrame]
) -> Finding:
    """Looks for clear email and IP addresses wherever anything changed since it was found clean.

    That is in the tables of the deployments, those of ``metrics`` included, in what is remembered below ``state/``, and
    in what is about to be published. Names tables and objects, never a value.
    """
    found = {"state": _personal_state(store), "published": sum(map(personal_values, to_publish))}
    for name in deployments:
        state = f"{CLEAN}deployment={name}.json"
        known: dict[str, dict[str, str]] = orjson.loads(store.read_state(state) or b"{}")
        clean = {}
        for table in (*LOOKED_THROUGH, *metrics):
            versions = _versions(store, table, name)
            changed = [place for place, version in versions.items() if known.get(table.name, {}).get(place) != version]
            personal = _personal(store, table, changed)
            found[f"{table.name} of {name}"] = sum(personal.values())
            clean[table.name] = {place: version for place, version in versions.items() if place not in personal}
        if clean != known:
            store.write_state(state, orjson.dumps(clean))
    values = {where: count for where, count in found.items() if count}
    return Finding(NOTHING_PERSONAL, not values, blocking=True, facts={"values": values})


def _versions(store: Store, table: Table, deployment: str) -> dict[str, str]:
    """What changes with each partition of the table, without listing the folders of all days."""
    if table.partitioned_by == BY_DEPLOYMENT:
        return {"|".join(place): version for place, version in store.versions(table, deployment).items()}
    built = freshness.read(store, deployment, table.name)
    return {f"{deployment}|{time}": state.version for time, state in built.items()}


def _personal(store: Store, table: Table, places: Sequence[str]) -> dict[str, int]:
    """How many personal values there are in each of the partitions that have any."""

    def count(some: Sequence[str]) -> int:
        return personal_values(store.read_if_there(table, [tuple(place.split("|")) for place in some]))

    return {
        place: found
        for some in batches(places, PARTITIONS_AT_ONCE)
        if count(some)
        for place in some
        if (found := count([place]))
    }


def _personal_state(store: Store) -> int:
    """How many personal values there are in what changed of all that is remembered, but for tables in the making."""
    known: dict[str, str] = orjson.loads(store.read_state(OF_STATE) or b"{}")
    clean, found = {}, 0
    for info in store.storage.list("state/"):
        name = info.key.removeprefix("state/")
        if not name.endswith(".json") or name.startswith(CLEAN):
            continue
        if known.get(name) != info.version:
            content = store.read_state(name)
            if count := personal_texts(_texts(orjson.loads(content))) if content else 0:
                found += count
                continue
        clean[name] = info.version
    if clean != known:
        store.write_state(OF_STATE, orjson.dumps(clean))
    return found


def _texts(content: Any) -> Iterator[object]:
    """Every name and value in what JSON holds."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield name
            yield from _texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value)
    else:
        yield content


def event_keys_are_unique(store: Store, deployments: Iterable[str]) -> Finding:
    """Looks for an event that stands on two days, wherever a day has changed."""
    twice = {name: days for name in deployments if (days := events_twice(store, name))}
    return Finding(EVENT_KEYS_ARE_UNIQUE, not twice, blocking=True, facts={"days": twice})
