"""Counting people: distinct users by week or month, from USER_DAYS."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import pandas as pd

from renku_metrics.metrics.definition import CoreAction, Denominator, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import Period
from renku_metrics.tables import USER_LINKS
from renku_metrics.user_ids import EMAIL_PREFIX

# A frame with the columns user_id and group, or a function of deployment and user id (None: in no group).
Groups = pd.DataFrame | Callable[[str, str], str | None]


def count(
    metric: Metric, user_days: pd.DataFrame, deployment: str, periods: Sequence[Period], computed_at: dt.datetime
) -> pd.DataFrame:
    """One row per period of a core action or the denominator, in the columns of ``metric.table(kind)``.

    A period with nobody has a zero. The denominator also says by which rules its users are linked.
    """
    users = _users(user_days, deployment, metric.event_types, periods)
    counts = {"users": _by_period(users, periods)}
    if isinstance(metric, Denominator):
        links = _users(user_days, deployment, metric.event_types, periods, ["user_link"])
        unlinked = users[users["user_id"].str.startswith(EMAIL_PREFIX)]
        counts["unlinked_users"] = _by_period(unlinked, periods)
        for rule in USER_LINKS:
            counts[f"linked_by_{rule}"] = _by_period(links[links["user_link"] == rule], periods)
    rows = _rows(deployment, periods, counts, metric.version, computed_at)
    return metric.table(periods[0].kind).conform(rows)


def by_group(
    user_days: pd.DataFrame,
    groups: Groups,
    periods: Sequence[Period],
    core_actions: Sequence[CoreAction] = CORE_ACTIONS,
) -> pd.DataFrame:
    """The published numbers for groups of users, such as the people of an institution; for analysts.

    ``user_days`` may hold several deployments. ``groups`` is a frame with the columns ``user_id`` and ``group`` (and
    ``deployment``, if several deployments could have the same user id), or a function of deployment and user id. A user
    in two groups counts in both, and a user in none is left out, so groups do not add up.

    One row per deployment, period, group in which somebody was active, and core action: ``deployment``, ``period``,
    ``group``, ``core_action``, ``users``, ``active_users``, ``share``. The published row of the same deployment, period
    and core action says whether the period is complete. These numbers are not published: small groups name people.

    Raises ValueError if the frame ``groups`` lacks a column or has another one.
    """
    membership = _membership(user_days, groups)
    on = [column for column in ("deployment", "user_id") if column in membership]
    rows = []
    for deployment, days in user_days.merge(membership, on=on).groupby("deployment"):
        active = _users(days, str(deployment), ACTIVE_USERS.event_types, periods, ["group"])
        active_users = active.groupby(["period", "group"]).size().rename("active_users")
        for action in core_actions:
            did = _users(days, str(deployment), action.event_types, periods, ["group"])
            users = did.groupby(["period", "group"]).size().reindex(active_users.index, fill_value=0).rename("users")
            counted = pd.concat([users, active_users], axis="columns").reset_index()
            rows.append(counted.assign(deployment=deployment, core_action=action.key))
    columns = ["deployment", "period", "group", "core_action", "users", "active_users"]
    found = pd.concat(rows, ignore_index=True)[columns] if rows else pd.DataFrame(columns=columns)
    labels = {period.start.isoformat(): period.label for period in periods}
    found["period"] = found["period"].map(labels)
    found["share"] = found["users"].astype("float64") / found["active_users"].astype("float64")
    return found.sort_values(columns[:4], ignore_index=True)


def _users(
    user_days: pd.DataFrame,
    deployment: str,
    event_types: Sequence[str],
    periods: Sequence[Period],
    by: Sequence[str] = (),
) -> pd.DataFrame:
    """The distinct users of each ``period`` (its first day) who have an event of one of the types."""
    period_of_day = {day.isoformat(): period.start.isoformat() for period in periods for day in period.days}
    wanted = user_days[user_days["deployment"].eq(deployment) & user_days["event_type"].isin(event_types)]
    period = wanted["event_day"].map(period_of_day)
    return wanted[["user_id", *by]].assign(period=period).dropna(subset=["period"]).drop_duplicates()


def _by_period(users: pd.DataFrame, periods: Sequence[Period]) -> list[int]:
    counts = users["period"].value_counts()
    return [int(counts.get(period.start.isoformat(), 0)) for period in periods]


def _rows(
    deployment: str, periods: Sequence[Period], counts: dict[str, list[int]], version: str, computed_at: dt.datetime
) -> pd.DataFrame:
    starts = [period.start.isoformat() for period in periods]
    return pd.DataFrame({periods[0].kind: starts, **counts}).assign(
        deployment=deployment, definition=version, computed_at=pd.Timestamp(computed_at).as_unit("ms")
    )


def _membership(user_days: pd.DataFrame, groups: Groups) -> pd.DataFrame:
    if isinstance(groups, pd.DataFrame):
        if set(groups) - {"deployment"} != {"user_id", "group"}:
            given = ", ".join(map(str, groups))
            raise ValueError(f"groups has the columns {given}; it needs user_id and group, and may have deployment")
        return groups.dropna(subset=["group"]).drop_duplicates()
    users = user_days[["deployment", "user_id"]].drop_duplicates()
    pairs = zip(users["deployment"], users["user_id"], strict=True)
    group = pd.Series([groups(*pair) for pair in pairs], index=users.index, dtype=object)
    return users.assign(group=group).dropna(subset=["group"])
