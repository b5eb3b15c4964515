"""A deployment without sources whose counts are put into the store by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import Span, midnight
from renku_metrics.sources.registry import all_sources
from renku_metrics.store.ledger import Ledger, Pulled
from renku_metrics.store.store import Store
from renku_metrics.tables import USER_LINKS, PeriodKind

WEEKS = ("2026-09-07", "2026-09-14", "2026-09-21")
MONTHS = ("2026-08-01", "2026-09-01")
START = dt.date(2026, 8, 1)
COUNTED_AT = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)


SOURCES = """gitlab: {url: "http://127.0.0.1:1/gitlab", token: "${TOKEN}"}
keycloak: {url: "http://127.0.0.1:1/auth", realm: Renku, client_id: metrics, client_secret: "${SECRET}"}
amalthea: {audit_log: /nowhere}
"""


def write_deployment_file(folder: Path, name: str = "lab", start: dt.date = START, sources: str = "") -> None:
    """A deployment file that names no source, or those given."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(
        f"name: {name}\ntitle: Planted\nstart: {start}\ndomains: [{name}.example]\n{sources}", encoding="utf-8"
    )


def cover_everything(store: Store, deployment: str = "lab") -> None:
    """As if each source had been seen for long, so that what is planted is complete."""

    def covered(pulled: Pulled) -> None:
        pulled.covered = [Span(midnight(START), midnight(START + dt.timedelta(days=1000)))]

    for source in all_sources():
        Ledger(store, deployment).change_pulled(source.name, covered)


def plant(store: Store, kind: PeriodKind, start: str, users: int, active_users: int, deployment: str = "lab") -> None:
    """As many users of each core action, and active users, of a week or month."""
    row = {
        "deployment": deployment,
        kind: start,
        "definition": "1",
        "computed_at": COUNTED_AT,
        "unlinked_users": 0,
        **{f"linked_by_{rule}": active_users for rule in USER_LINKS},
    }
    counts: Mapping[str, int] = {ACTIVE_USERS.key: active_users, **{action.key: users for action in CORE_ACTIONS}}
    for metric in (ACTIVE_USERS, *CORE_ACTIONS):
        table = metric.table(kind)
        stored = store.read_if_there(table, [(deployment,)])
        planted = table.frame([row | {"users": counts[metric.key]}])
        store.write(table, pd.concat([stored[stored[kind] != start], planted], ignore_index=True), [(deployment,)])


def plant_everything(store: Store, deployment: str = "lab") -> None:
    """Three of eight in every week, six of twelve in every month."""
    for week in WEEKS:
        plant(store, "week", week, 3, 8, deployment)
    for month in MONTHS:
        plant(store, "month", month, 6, 12, deployment)
