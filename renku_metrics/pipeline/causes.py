"""Why numbers changed: what the events behind them are built of by now, and what those last published were built of."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import orjson

from renku_metrics.metrics.publishing import ERASURE, LATE_FACTS, NEW_RULES, PEOPLE_KNOWN
from renku_metrics.pipeline.erased import erased_days
from renku_metrics.pipeline.relinking import PEOPLE
from renku_metrics.store import ledger as freshness
from renku_metrics.store.ledger import Built
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, PeriodKind

# Whatever else events are built of is a raw table.
CAUSES = {PEOPLE: PEOPLE_KNOWN, freshness.RULES: NEW_RULES}


def read_causes(store: Store, deployment: str, kind: PeriodKind) -> dict[dt.date, set[str]]:
    """What of each day changed since the last publication of weekly or monthly numbers, and all days of erasures."""
    known = _read(store, deployment, kind)
    causes = {}
    for day, built in freshness.read(store, deployment, EVENTS.name).items():
        changed = {name for name, version in built.of.items() if known.get(day, {}).get(name) != version}
        # A day that was in no number yet is late as a whole.
        causes[dt.date.fromisoformat(day)] = (
            {CAUSES.get(name, LATE_FACTS) for name in changed} if day in known else {LATE_FACTS}
        )
    for erased in erased_days(store, deployment):
        causes.setdefault(erased, set()).add(ERASURE)
    return causes


def record_counted(store: Store, deployment: str, kind: PeriodKind, events: Mapping[str, Built]) -> None:
    """That the published weekly or monthly numbers were all counted from these events, by day."""
    known = _read(store, deployment, kind)
    now = known | {day: dict(built.of) for day, built in events.items()}
    if now != known:
        store.write_state(_name(deployment, kind), orjson.dumps(now))


def _read(store: Store, deployment: str, kind: PeriodKind) -> dict[str, dict[str, str]]:
    known: dict[str, dict[str, str]] = orjson.loads(store.read_state(_name(deployment, kind)) or b"{}")
    return known


def _name(deployment: str, kind: PeriodKind) -> str:
    return f"published/deployment={deployment}/{kind}ly_built_of.json"
