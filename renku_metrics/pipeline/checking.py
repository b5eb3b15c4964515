"""The checks before a publication that need the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import pyarrow.compute as pc

from renku_metrics.metrics.checks import Outcome, checks, personal_values
from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.revisions import changed_periods
from renku_metrics.pipeline.publishing import Numbers
from renku_metrics.store.files import Partition
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, PeriodKind

NOTHING_PERSONAL = "nothing_personal"
EVENT_KEYS_ARE_UNIQUE = "event_keys_are_unique"
# The texts of these two checks in the web page.
DESCRIPTIONS = {
    NOTHING_PERSONAL: "Nothing that is about to be published looks like an email or IP address.",
    EVENT_KEYS_ARE_UNIQUE: "No event of a deployment is there twice in all its history.",
}


def check_numbers(
    store: Store, numbers: Mapping[PeriodKind, Numbers], core_actions: Sequence[CoreAction]
) -> list[Outcome]:
    """The finding of every check about what will be published, and about the events behind it."""
    rows = {kind: known.rows for kind, known in numbers.items()}
    changed = changed_periods(numbers["week"].before, numbers["week"].rows)
    to_publish = [*rows.values(), *(known.coverage for known in numbers.values())]
    return [
        *(check.of(rows, changed) for check in checks(core_actions)),
        nothing_personal(to_publish),
        event_keys_are_unique(store, changed_deployments(numbers)),
    ]


def nothing_personal(to_publish: Iterable[pd.DataFrame]) -> Outcome:
    """Looks for clear email and IP addresses in what will be published. Tells how many there are, never a value.

    Texts of other tables are checked when they are stored, by the shape of their column.
    """
    found = sum(map(personal_values, to_publish))
    return Outcome(NOTHING_PERSONAL, not found, blocking=True, facts={"values": found})


def event_keys_are_unique(store: Store, deployments: Iterable[str]) -> Outcome:
    """Looks for an event that is there twice in all history of the deployments."""
    twice = {name: days for name in deployments if (days := _events_twice(store, name))}
    return Outcome(EVENT_KEYS_ARE_UNIQUE, not twice, blocking=True, facts={"days": twice})


def changed_deployments(numbers: Mapping[PeriodKind, Numbers]) -> list[str]:
    """The deployments whose events changed since the last publication. The others were checked then."""
    return sorted(
        {
            standing.deployment.name
            for known in numbers.values()
            for standing in known.standings
            if any(standing.published.get(month) != entry.of for month, entry in standing.events.items())
        }
    )


def _events_twice(store: Store, deployment: str) -> list[str]:
    """The days of events that are there more than once, on the same day or on different ones."""
    places: list[Partition] = store.partitions(EVENTS, deployment)
    keys = store.read_columns(EVENTS, places, ["event_day", "event_key"])
    counts = keys.column("event_key").value_counts()
    repeated = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1))
    if not len(repeated):
        return []
    days = pc.filter(keys.column("event_day"), pc.is_in(keys.column("event_key"), value_set=repeated))
    return sorted(set(days.to_pylist()))
