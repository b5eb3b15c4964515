"""The record of published numbers that changed, and why. Pure: frames in, frames out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping

import pandas as pd

from renku_metrics.tables import CAUSES, NOT_OVER, OTHER_REASONS, REVISIONS

LATE_FACTS, PEOPLE_KNOWN, NEW_RULES, ERASURE = CAUSES
NEW_DEFINITION, GONE, BACK = OTHER_REASONS
# For each deployment: the days on which something changed that numbers are counted from, and why.
Causes = Mapping[str, Mapping[dt.date, Collection[str]]]
KEY = ["deployment", "period", "core_action"]
NUMBERS = ["users", "active_users", "definition"]


def revise(
    before: pd.DataFrame, after: pd.DataFrame, recorded: pd.DataFrame, causes: Causes, now: dt.datetime
) -> pd.DataFrame:
    """A frame of REVISIONS: the rows of ``before`` whose numbers differ in ``after``. Both are of one published table.

    ``causes``: what changed since ``before`` was published; only ERASURE is of all time. If a period was not over when
    it was published, its growth is no revision. A row that disappears is a revision. A row that comes back is one only
    if its numbers differ from the last ones published, which the revisions ``recorded`` so far tell.
    """
    both = pd.concat([before.assign(back=False), _last_there(before, after, recorded).assign(back=True)])
    both = both.merge(after, on=KEY, suffixes=("_before", "_after"), how="left")
    running = both["missing_before"].str.contains(NOT_OVER)
    changed = _differ(both, "_before", "_after")
    revised = both[changed & ~running]
    reasons = [_reason(row, causes.get(row["deployment"], {})) for _, row in revised.iterrows()]
    return REVISIONS.conform(
        revised.assign(
            changed_at=pd.Timestamp(now).as_unit("ms"), reason=pd.Series(reasons, revised.index, dtype=object)
        )[[column.name for column in REVISIONS.columns]]
    )


def changed_periods(before: pd.DataFrame, after: pd.DataFrame) -> set[tuple[str, str]]:
    """Deployment and period of each row of ``after`` that is new, or has other numbers than in ``before``."""
    both = after.merge(before, on=KEY, how="left", suffixes=("_after", "_before"))
    changed = both.loc[_differ(both, "_before", "_after"), ["deployment", "period"]]
    return set(changed.itertuples(index=False, name=None))


def _last_there(before: pd.DataFrame, after: pd.DataFrame, recorded: pd.DataFrame) -> pd.DataFrame:
    """The rows of ``after`` that had disappeared before, with the last numbers that they had then."""
    last = recorded.sort_values("changed_at").drop_duplicates(KEY, keep="last")
    gone = last[last["definition_after"].isna()].rename(columns={f"{name}_before": name for name in NUMBERS})
    there = pd.MultiIndex.from_frame(before[KEY])
    new = after.loc[~pd.MultiIndex.from_frame(after[KEY]).isin(there)]
    return new.drop(columns=NUMBERS).merge(gone[[*KEY, *NUMBERS]], on=KEY).assign(missing="")[list(before.columns)]


def in_effect(revisions: pd.DataFrame, published: pd.DataFrame, finished: dt.datetime) -> pd.DataFrame:
    """The revisions, without those of a publication that was killed before it wrote its numbers.

    ``published``: the rows as they are published now. ``finished``: when the last finished publication began, UTC.
    """
    now = revisions[[*KEY, "changed_at"]].merge(published, on=KEY, how="left").set_axis(revisions.index)
    told = pd.concat([revisions, now[NUMBERS]], axis="columns")
    untold = told.rename(columns={name: f"{name}_now" for name in NUMBERS}).pipe(_differ, "_after", "_now")
    return revisions[~(untold & (revisions["changed_at"] > finished))]


def _differ(rows: pd.DataFrame, one: str, other: str) -> pd.Series:
    """Whether the numbers of a row differ between the columns with the suffix ``one`` and those with ``other``."""
    differ = pd.Series(data=False, index=rows.index)
    for name in NUMBERS:
        left, right = rows[f"{name}{one}"], rows[f"{name}{other}"]
        differ |= left.isna() != right.isna()
        differ |= left.ne(right).fillna(value=False).astype(bool) & left.notna() & right.notna()
    return differ


def _reason(row: pd.Series, causes: Mapping[dt.date, Collection[str]]) -> str:
    if pd.isna(row["definition_after"]):
        return GONE
    if row["back"]:
        return BACK
    if row["definition_before"] != row["definition_after"]:
        return NEW_DEFINITION
    first, last = row["period_start_after"], row["period_end_after"]
    within = {cause for day, of_day in causes.items() if first <= day <= last for cause in of_day}
    fell = row["users_after"] < row["users_before"] or row["active_users_after"] < row["active_users_before"]
    # An erasure changes raw tables too, which would look like late facts.
    within.discard(LATE_FACTS if fell and ERASURE in within else ERASURE)
    return " and ".join(why for why in (ERASURE, NEW_RULES, LATE_FACTS, PEOPLE_KNOWN) if why in within) or LATE_FACTS
