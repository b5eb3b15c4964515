"""When each partition of a table was last built, and when its content last changed.

A number is as fresh as what it was counted from: a raw day that changed after its events were built is not in any
number yet, and must not pass for complete.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import orjson

from renku_metrics.store.store import Partition, Store, Stored
from renku_metrics.tables import Table


@dataclass(frozen=True)
class Built:
    """``version`` of the content, when it was last ``built``, and when it last came out otherwise (``changed``)."""

    version: str
    built: dt.datetime
    changed: dt.datetime


def record(store: Store, deployment: str, table: str, versions: Mapping[str, str], at: dt.datetime) -> None:
    """Notes that these days, weeks or months of the table were built from what there was at the time."""
    if not versions:
        return
    with store.storage.alone(f"state/locks/{deployment}-{table}-freshness"):
        known = read(store, deployment, table)
        for time, version in versions.items():
            before = known.get(time)
            unchanged = before is not None and before.version == version
            known[time] = Built(version, at, before.changed if before and unchanged else at)
        store.write_state(_name(deployment, table), orjson.dumps(known))


def record_partitions(store: Store, table: Table, stored: Mapping[Partition, Stored], at: dt.datetime) -> None:
    """The same for partitions of one deployment as they were just stored."""
    for deployment in {partition[0] for partition in stored}:
        record(store, deployment, table.name, {place[1]: state.version for place, state in stored.items()}, at)


def read(store: Store, deployment: str, table: str) -> dict[str, Built]:
    """What is known of each day, week or month of the table."""
    content = orjson.loads(store.read_state(_name(deployment, table)) or b"{}")
    return {
        time: Built(built["version"], *(dt.datetime.fromisoformat(built[name]) for name in ("built", "changed")))
        for time, built in content.items()
    }


def stale(source: Mapping[str, Built], built_from_it: Mapping[str, Built]) -> set[str]:
    """The days whose source changed after they were built from it, or that were never built."""
    return {
        day for day, state in source.items() if day not in built_from_it or built_from_it[day].built < state.changed
    }


def stale_periods(
    days: Mapping[str, Built], periods: Mapping[str, Built], days_of: Mapping[str, Iterable[str]]
) -> set[str]:
    """The days of those weeks or months that one of their days changed after."""
    return {
        day
        for period, inside in days_of.items()
        for day in inside
        if day in days and (period not in periods or periods[period].built < days[day].changed)
    }


def _name(deployment: str, table: str) -> str:
    return f"freshness/deployment={deployment}/{table}.json"
