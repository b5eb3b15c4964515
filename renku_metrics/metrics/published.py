"""The published rows, and the coverage of each period. Pure: frames in, frames out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import pandas as pd

from renku_metrics.metrics.coverage import Coverage, covers, missing
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import Period
from renku_metrics.tables import ACTIVITIES, COVERAGE, PeriodKind, published_table


def publish(
    kind: PeriodKind,
    active_users: pd.DataFrame,
    core_actions: Mapping[str, pd.DataFrame],
    coverage: Mapping[str, Coverage],
    now: dt.datetime,
) -> pd.DataFrame:
    """A frame of ``published_table(kind)``: one row if both the denominator and the core action were counted.

    ``active_users`` and ``core_actions`` (by key) hold the counts of all deployments. ``coverage``: what the pulls of
    each deployment saw.
    """
    table = published_table(kind)
    counted = [frame.assign(core_action=key) for key, frame in core_actions.items() if len(frame)]
    if not counted:
        return table.frame()
    rows = pd.concat(counted).merge(active_users, on=["deployment", kind], suffixes=("", "_active"))
    periods = {start: Period.of(kind, dt.date.fromisoformat(start)) for start in rows[kind].unique()}
    reasons = {
        (deployment, start): missing(periods[start], coverage[deployment], now)
        for deployment, start in rows[["deployment", kind]].drop_duplicates().itertuples(index=False)
    }
    period = rows[kind].map(periods)
    why = [reasons[pair] for pair in zip(rows["deployment"], rows[kind], strict=True)]
    anybody = rows["users_active"].where(rows["users_active"] > 0).astype("Float64")
    own = rows["core_action"] + " " + rows["definition"]
    published = pd.DataFrame(
        {
            "deployment": rows["deployment"],
            "period": period.map(lambda of: of.label),
            "period_start": period.map(lambda of: of.start),
            "period_end": period.map(lambda of: of.end),
            "core_action": rows["core_action"],
            "users": rows["users"],
            "active_users": rows["users_active"],
            "share": rows["users"] / anybody,
            "complete": [not reason for reason in why],
            "missing": why,
            "unlinked": rows["unlinked_users"] / anybody,
            "definition": own + f"; {ACTIVE_USERS.key} " + rows["definition_active"],
            "computed_at": rows[["computed_at", "computed_at_active"]].max(axis="columns"),
        }
    )
    return table.conform(published)


def cover(kind: PeriodKind, active_users: pd.DataFrame, coverage: Mapping[str, Coverage]) -> pd.DataFrame:
    """A frame of COVERAGE, one row for each row of ``active_users``. The arguments are as in ``publish``."""
    rows = []
    for counted in active_users.to_dict(orient="records"):
        period = Period.of(kind, dt.date.fromisoformat(counted[kind]))
        known = coverage[counted["deployment"]]
        spans = {f"{activity}_days": known.get(activity) for activity in ACTIVITIES}
        days = {name: None if of is None else sum(covers(of, day) for day in period.days) for name, of in spans.items()}
        of_period = {
            "period": period.label,
            "period_start": period.start,
            "period_end": period.end,
            "days": len(period.days),
            "active_users": counted["users"],
        }
        rows.append({str(name): value for name, value in counted.items()} | of_period | days)
    return COVERAGE.conform(COVERAGE.frame(rows))
