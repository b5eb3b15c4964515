"""Short ways to write counts of weeks, and what is published of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pandas as pd

from renku_metrics.metrics.coverage import Coverage
from renku_metrics.metrics.published import publish
from renku_metrics.tables import USER_LINKS, active_users_table, core_action_table
from renku_metrics_tests.metrics.rows import DEPLOYMENT, EVERYTHING, NOW

WEEKS = active_users_table("week")
ACTION = core_action_table("running_a_workflow", "", "week")
COUNTED_AT = dt.datetime(2026, 11, 23, 3, tzinfo=dt.UTC)


def active(week: str, users: int, unlinked: int = 0, **fields: Any) -> dict[str, Any]:
    return {
        "deployment": DEPLOYMENT,
        "week": week,
        "users": users,
        "unlinked_users": unlinked,
        **dict.fromkeys((f"linked_by_{rule}" for rule in USER_LINKS), 0),
        "linked_by_address_hash": unlinked,
        "definition": "1",
        "computed_at": COUNTED_AT,
    } | fields


def acted(week: str, users: int, **fields: Any) -> dict[str, Any]:
    return {
        "deployment": DEPLOYMENT,
        "week": week,
        "users": users,
        "definition": "3",
        "computed_at": COUNTED_AT - dt.timedelta(hours=1),
    } | fields


def published(
    active_rows: list[dict[str, Any]],
    action_rows: list[dict[str, Any]],
    coverage: Coverage = EVERYTHING,
    now: dt.datetime = NOW,
) -> pd.DataFrame:
    counts = {"running_a_workflow": ACTION.frame(action_rows)}
    return publish("week", WEEKS.frame(active_rows), counts, {DEPLOYMENT: coverage, "epfl": coverage}, now)


def week(users: int, active_users: int = 8, now: dt.datetime = NOW, **fields: Any) -> pd.DataFrame:
    return published([active("2026-11-16", active_users)], [acted("2026-11-16", users, **fields)], now=now)
