"""What must hold of numbers before they are published, and what a person should look at."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from renku_metrics.tables import PeriodKind

# How many weeks are compared, each with as many before it, and how far from their median it may be: in users, and in
# multiples of how far these weeks lie from it themselves.
NEIGHBOURS = 8
FAR_USERS = 5
FAR_TIMES = 4.0
UNLINKED_LIMIT = 0.2

PERSONAL = re.compile(
    r"[^\s@:/]+@[^\s@]+\.[a-z]{2,}"  # an email address
    r"|(?<![\w.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\w.])"  # an IPv4 address
    r"|(?<![\w:.])(?:(?:[0-9a-f]{1,4}:){7}|(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5})?::)"  # an IPv6 address, whole
    r"[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*(?![\w:])",  # or shortened
    re.IGNORECASE,
)

Rows = Mapping[PeriodKind, pd.DataFrame]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check; a failed one that is ``blocking`` stops the publication."""

    name: str
    passed: bool
    blocking: bool
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """``failing`` gives what is wrong, one line each; ``blocking`` ones stop the publication."""

    name: str
    description: str
    blocking: bool
    failing: Callable[[Rows], Iterable[str]]

    def of(self, rows: Rows) -> Finding:
        wrong = list(self.failing(rows))
        return Finding(self.name, not wrong, self.blocking, {"wrong": len(wrong), "first": wrong[:20]})


def _users_above_active_users(rows: Rows) -> Iterable[str]:
    for frame in rows.values():
        yield from _lines(frame[frame["users"] > frame["active_users"]], "users", "active_users")


def _shares_out_of_range(rows: Rows) -> Iterable[str]:
    for frame in rows.values():
        for name in ("share", "unlinked"):
            yield from _lines(frame[frame[name].notna() & ~frame[name].between(0, 1)], name)


def _months_below_a_week(rows: Rows) -> Iterable[str]:
    """Complete months with fewer users than a complete week inside them."""
    weeks, months = (frame[frame["complete"].astype(bool)] for frame in (rows["week"], rows["month"]))
    both = months.merge(weeks, on=["deployment", "core_action"], suffixes=("", "_week"))
    inside = both[(both["period_start_week"] >= both["period_start"]) & (both["period_end_week"] <= both["period_end"])]
    for name in ("users", "active_users"):
        yield from _lines(inside[inside[name] < inside[f"{name}_week"]], "period_week", name, f"{name}_week")


def _weeks_far_from_their_neighbours(rows: Rows) -> Iterable[str]:
    weeks = rows["week"][rows["week"]["complete"].astype(bool)]
    for _, series in weeks.sort_values("period_start").groupby(["deployment", "core_action"]):
        users = series["users"].astype("float64")
        before = users.shift().rolling(NEIGHBOURS, min_periods=NEIGHBOURS)
        usual = before.median()
        spread = before.apply(lambda values: (values - values.median()).abs().median())
        distance = (users - usual).abs()
        far = distance > (FAR_TIMES * spread).clip(lower=FAR_USERS)
        # What was seen then need not be seen for ever.
        latest = series.index.isin(series.index[-NEIGHBOURS:])
        yield from _lines(series.assign(usual=usual)[far & latest], "users", "usual")


def _unlinked_above_limit(rows: Rows) -> Iterable[str]:
    for frame in rows.values():
        once = frame.drop_duplicates(["deployment", "period"])
        yield from _lines(once[once["unlinked"] > UNLINKED_LIMIT], "unlinked")


CHECKS = (
    Check(
        "users_are_active_users",
        "No core action has more users than there are active users.",
        blocking=True,
        failing=_users_above_active_users,
    ),
    Check("shares_are_shares", "Every share lies within 0 and 1.", blocking=True, failing=_shares_out_of_range),
    Check(
        "months_hold_their_weeks",
        "No complete month has fewer users than a complete week inside it.",
        blocking=True,
        failing=_months_below_a_week,
    ),
    Check(
        "weeks_are_like_their_neighbours",
        f"None of the last {NEIGHBOURS} complete weeks is unusually far from the median of the {NEIGHBOURS} before it.",
        blocking=False,
        failing=_weeks_far_from_their_neighbours,
    ),
    Check(
        "most_users_are_linked",
        f"At most {UNLINKED_LIMIT:.0%} of the active users of a period are known by the hash of an email alone.",
        blocking=False,
        failing=_unlinked_above_limit,
    ),
)


def personal_values(frame: pd.DataFrame) -> int:
    """How many values of the frame look like an email or IP address, lists included."""
    found = 0
    for name in frame.columns:
        if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype):
            values = frame[name].explode().dropna()
            found += sum(bool(PERSONAL.search(value)) for value in values if isinstance(value, str))
    return found


def _lines(rows: pd.DataFrame, *numbers: str) -> Iterable[str]:
    for row in rows.to_dict(orient="records"):
        values = ", ".join(f"{name} {row[name]}" for name in numbers)
        yield f"{row['deployment']} {row['period']} {row['core_action']}: {values}"
