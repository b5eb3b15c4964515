"""What must be true of numbers before they are published, and what a person should look at."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.tables import NOT_CONFIGURED, NOT_OVER, Activity, PeriodKind

# Each of so many weeks is compared with the median of as many weeks before it. It is too far if it differs by more than
# FAR_USERS, and by more than FAR_TIMES the median distance of these weeks from their median.
NEIGHBOURS = 8
FAR_USERS = 5
FAR_TIMES = 4.0
UNLINKED_LIMIT = 0.2
# Older periods were checked when they were new, and are not reported again.
LATEST = dt.timedelta(weeks=NEIGHBOURS)

PERSONAL = re.compile(
    r"[^\s@](?:[@\uff20]|%40)[^\s@]"  # an email address: of any domain, of none, or as part of a URL
    r"|(?<![\w.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\w.])"  # an IPv4 address
    r"|(?<![\w:.])(?:(?:[0-9a-f]{1,4}:){7}|(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){0,5})?::)"  # an IPv6 address, whole
    r"[0-9a-f]{1,4}(?::[0-9a-f]{1,4})*(?![\w:])",  # or shortened
    re.IGNORECASE,
)

Rows = Mapping[PeriodKind, pd.DataFrame]
# Deployment and week of the weeks whose numbers are not those that were last published.
Changed = Collection[tuple[str, str]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check. If it failed and is ``blocking``, it stops the publication."""

    name: str
    passed: bool
    blocking: bool
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """``failing`` gives one line for each thing that is wrong. If the check is ``blocking``, it stops the publication.

    Rows that are not complete stop nothing, because their numbers may be counted from different days.
    """

    name: str
    description: str
    blocking: bool
    failing: Callable[[Rows, Changed], Iterable[str]]

    def of(self, rows: Rows, changed: Changed = ()) -> Outcome:
        wrong = list(self.failing(rows, changed))
        complete = {kind: _complete(frame) for kind, frame in rows.items()}
        blocking = self.blocking and (not wrong or any(self.failing(complete, changed)))
        return Outcome(self.name, not wrong, blocking, {"wrong": len(wrong), "first": wrong[:20]})


def _users_above_active_users(rows: Rows, _changed: Changed) -> Iterable[str]:
    for frame in rows.values():
        yield from _lines(frame[frame["users"] > frame["active_users"]], "users", "active_users")


def _shares_out_of_range(rows: Rows, _changed: Changed) -> Iterable[str]:
    for frame in rows.values():
        for name in ("share", "unlinked"):
            yield from _lines(frame[frame[name].notna() & ~frame[name].between(0, 1)], name)


def _months_below_a_week(rows: Rows, _changed: Changed) -> Iterable[str]:
    """Complete months with fewer users than a complete week inside them."""
    weeks, months = _complete(rows["week"]), _complete(rows["month"])
    both = months.merge(weeks, on=["deployment", "core_action"], suffixes=("", "_week"))
    inside = both[(both["period_start_week"] >= both["period_start"]) & (both["period_end_week"] <= both["period_end"])]
    for name in ("users", "active_users"):
        yield from _lines(inside[inside[name] < inside[f"{name}_week"]], "period_week", name, f"{name}_week")


def _weeks_far_from_their_neighbours(
    rows: Rows, changed: Changed, needed: Mapping[str, Collection[Activity]]
) -> Iterable[str]:
    wanted = {*changed, *_latest(rows["week"])[["deployment", "period"]].itertuples(index=False, name=None)}
    for series in _series(rows["week"], needed):
        users = series["users"].to_numpy(dtype="float64")
        compared = [pair in wanted for pair in zip(series["deployment"], series["period"], strict=True)]
        for place in (place for place in range(NEIGHBOURS, len(users)) if compared[place]):
            before = users[place - NEIGHBOURS : place]
            usual = np.median(before)
            spread = np.median(abs(before - usual))
            if abs(users[place] - usual) > max(FAR_TIMES * spread, FAR_USERS):
                neighbours = " ".join(f"{number:.0f}" for number in before)
                week = series.iloc[[place]].assign(usual=usual, before=neighbours)
                yield from _lines(week, "users", "usual", "before")


def _series(weeks: pd.DataFrame, needed: Mapping[str, Collection[Activity]]) -> Iterator[pd.DataFrame]:
    """Each number of each deployment, also active users, as ``users`` of the weeks that may be compared, in order."""
    active = weeks.assign(core_action=ACTIVE_USERS.key, users=weeks["active_users"])
    everything = pd.concat([weeks, active.drop_duplicates(["deployment", "period"])])
    for (_, key), series in everything.sort_values("period_start").groupby(["deployment", "core_action"]):
        known = series[[not _lacks(missing, needed[str(key)]) for missing in series["missing"]]]
        yield known.reset_index(drop=True)


def _lacks(missing: str, activities: Collection[Activity]) -> bool:
    """Whether days of these are missing or still to come. An activity that is not configured does not count."""
    reasons = [reason for reason in missing.split("; ") if not reason.endswith(NOT_CONFIGURED)]
    return any(reason == NOT_OVER or reason.partition(":")[0] in activities for reason in reasons)


def _unlinked_above_limit(rows: Rows, _changed: Changed) -> Iterable[str]:
    for frame in rows.values():
        once = _latest(frame).drop_duplicates(["deployment", "period"])
        yield from _lines(once[once["unlinked"] > UNLINKED_LIMIT], "unlinked")


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["complete"].astype(bool)]


def _latest(frame: pd.DataFrame) -> pd.DataFrame:
    return frame if frame.empty else frame[frame["period_end"] > frame["period_end"].max() - LATEST]


def checks(core_actions: Sequence[CoreAction]) -> tuple[Check, ...]:
    """Every check of what is published of these core actions."""
    needed = {metric.key: metric.activities for metric in (ACTIVE_USERS, *core_actions)}
    return (
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
            f"No number of the last {NEIGHBOURS} weeks, or of a week that changed, is unusually far from the median of "
            f"the {NEIGHBOURS} weeks before it. Active users count as a number. A week is compared if the number's own "
            "activities cover it.",
            blocking=False,
            failing=partial(_weeks_far_from_their_neighbours, needed=needed),
        ),
        Check(
            "most_users_are_linked",
            f"In each of the last periods at most {UNLINKED_LIMIT:.0%} of the active users are known only by the hash "
            "of an email.",
            blocking=False,
            failing=_unlinked_above_limit,
        ),
    )


def personal_values(frame: pd.DataFrame) -> int:
    """How many values of the frame look like an email or IP address, lists included."""
    found = 0
    for name in frame.columns:
        if frame[name].dtype == object or isinstance(frame[name].dtype, pd.StringDtype):
            found += personal_texts(frame[name].explode().dropna())
    return found


def personal_texts(values: Iterable[object]) -> int:
    """How many of the values are texts that look like an email or IP address."""
    return sum(isinstance(value, str) and bool(PERSONAL.search(value)) for value in values)


def _lines(rows: pd.DataFrame, *numbers: str) -> Iterable[str]:
    for row in rows.to_dict(orient="records"):
        values = ", ".join(f"{name} {row[name]}" for name in numbers)
        yield f"{row['deployment']} {row['period']} {row['core_action']}: {values}"
