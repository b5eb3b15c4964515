"""What each partition of a table was built of: a number is as fresh as what it was counted from.

A raw day that changed after its events were built is not in any number yet, and must not pass for complete. Told by
versions and not by times: clocks of two machines differ, and a table may change while it is read. A number is also
only as fresh as the rules by which it was counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from renku_metrics.store.store import Partition, Store, Stored
from renku_metrics.tables import Table

# Stands among the versions that something was built of, for the version of the rules that built it.
RULES = "rules"


@dataclass(frozen=True)
class Built:
    """``version`` of a partition, and the versions it was built ``of``: of a day by table, of a period by day.

    Among them, under RULES, the version of the rules that built it.
    """

    version: str
    of: Mapping[str, str] = field(default_factory=dict)


def record(store: Store, deployment: str, table: str, built: Mapping[str, Built]) -> None:
    """Notes how these days, weeks or months of the table stand by now."""
    if not built:
        return
    with store.alone(f"{deployment}-{table}-freshness") as held:
        known = read(store, deployment, table)
        if any(known.get(time) != state for time, state in built.items()):
            held.write_state(_name(deployment, table), orjson.dumps({**known, **built}))


def record_partitions(
    store: Store, table: Table, stored: Mapping[Partition, Stored], of: Mapping[str, Mapping[str, str]]
) -> None:
    """The same for partitions of one deployment as they were just stored; ``of`` by day, week or month."""
    for deployment in {partition[0] for partition in stored}:
        built = {place[1]: Built(state.version, of.get(place[1], {})) for place, state in stored.items()}
        record(store, deployment, table.name, built)


def read(store: Store, deployment: str, table: str) -> dict[str, Built]:
    """What is known of each day, week or month of the table."""
    content = orjson.loads(store.read_state(_name(deployment, table)) or b"{}")
    return {time: Built(**built) for time, built in content.items()}


def sources_of_days(
    store: Store, deployment: str, tables: Sequence[str], days: Iterable[str]
) -> dict[str, dict[str, str]]:
    """For each of the days the versions of the tables, to be recorded as what something is built of.

    To be asked before the tables are read: what changes in between then passes for not built yet, never for built.
    """
    known = {table: read(store, deployment, table) for table in tables}
    return {day: {table: known[table][day].version for table in tables if day in known[table]} for day in days}


def stale(source: str, versions: Mapping[str, Built], built: Mapping[str, Built]) -> set[str]:
    """The days of the source that are not, or not as they stand by now, in what is built of them."""
    return {day for day, state in versions.items() if day not in built or built[day].of.get(source) != state.version}


def stale_periods(
    days: Mapping[str, Built], periods: Mapping[str, Built], days_of: Mapping[str, Iterable[str]]
) -> set[str]:
    """The days that are not, or not as they stand by now, in the count of the week or month that holds them."""
    return {
        day
        for period, inside in days_of.items()
        for day in inside
        if day in days and (period not in periods or periods[period].of.get(day) != days[day].version)
    }


def by_other_rules(built: Mapping[str, Built], version: str) -> set[str]:
    """The days, weeks or months that rules of another version than this one built."""
    return {time for time, state in built.items() if state.of.get(RULES) != version}


def _name(deployment: str, table: str) -> str:
    return f"freshness/deployment={deployment}/{table}.json"
