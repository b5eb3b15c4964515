"""What comes late touches its month's files, its own days, and the periods these are in; and no other number."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.periods import ONE_DAY, Period, days_between, midnight, now
from renku_metrics.schema import month_of
from renku_metrics.sources.registry import all_sources
from renku_metrics.store.files import WHOLE
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    COVERAGE,
    EVENTS,
    KINDS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PUSHES,
    REVISIONS,
    USER_DAYS,
    PeriodKind,
)
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served
from renkulab.amalthea import Amalthea

START = dt.date(2023, 11, 1)
THREE_YEARS_AGO = dt.date(2023, 11, 22)
# Ada does everything on these days: long ago, around the end of a year and of a month, and lately.
DAYS = [
    *days_between(dt.date(2023, 11, 1), dt.date(2023, 11, 30)),
    *days_between(dt.date(2025, 12, 28), dt.date(2026, 1, 3)),
    *days_between(dt.date(2026, 9, 25), dt.date(2026, 10, 10)),
    *days_between(dt.date(2026, 11, 18), TODAY - ONE_DAY),
]
BOB = "bob@elsewhere.example"
Numbers = dict[PeriodKind, pd.DataFrame]


class Before:
    """What is stored and published before something comes late."""

    def __init__(self, kept: KeptDeployment) -> None:
        self._kept = kept
        self._objects = self._marks()
        self._days = self._changes()
        self.numbers: Numbers = {kind: kept.published(kind) for kind in KINDS}
        self.coverage = kept.store.read(COVERAGE, [WHOLE])
        self.revisions = kept.store.read(REVISIONS, [WHOLE])

    def _marks(self) -> dict[str, str]:
        folders = ("raw/", "events/", "user_days/")
        return {info.key: info.version for info in self._kept.store.storage.list() if info.key.startswith(folders)}

    def _changes(self) -> dict[tuple[str, str], int]:
        """By table and day, when it last changed."""
        documents = [self._kept.ledger.pulled(source.name).tables for source in all_sources()]
        documents.append(self._kept.ledger.built().tables)
        return {
            (table, day): serial
            for tables in documents
            for table, entries in tables.items()
            for entry in entries.values()
            for day, serial in entry.days.items()
        }

    def files(self) -> set[tuple[str, str]]:
        """The tables and months whose files are others now."""
        now = self._marks()
        keys = {key for key in now.keys() | self._objects.keys() if now.get(key) != self._objects.get(key)}
        parts = [(Path(key).parts, key) for key in keys if "/month=" in key]
        return {(of[-4], of[-2].removeprefix("month=")) for of, _ in parts}

    def days(self) -> dict[str, set[str]]:
        """The days that changed since, by table."""
        found: dict[str, set[str]] = {}
        for (table, day), serial in self._changes().items():
            if self._days.get((table, day)) != serial:
                found.setdefault(table, set()).add(day)
        return found

    def periods(self) -> dict[PeriodKind, set[str]]:
        """The weeks and months of which anything published is another now, and of which it is not published again.

        The running ones aside, of which that is the rule.
        """
        found: dict[PeriodKind, set[str]] = {}
        for kind, before in self.numbers.items():
            now = self._kept.published(kind)
            assert now[["period", "core_action"]].equals(before[["period", "core_action"]])
            same = (now.eq(before) | (now.isna() & before.isna())).fillna(value=True).all(axis="columns")
            found[kind] = set(now.loc[~same, "period"])
        return found

    def revised(self) -> set[tuple[str, str]]:
        """Period and core action of each number that was revised since; those of before are all there."""
        now = self._kept.store.read(REVISIONS, [WHOLE])
        before = set(map(tuple, self.revisions.astype(str).to_numpy()))
        rows = {tuple(row): key for row, key in zip(now.astype(str).to_numpy(), _keys(now), strict=True)}
        assert before <= rows.keys()
        return {key for row, key in rows.items() if row not in before}


def _keys(rows: pd.DataFrame) -> list[tuple[str, str]]:
    return [*rows[["period", "core_action"]].itertuples(index=False, name=None)]


@pytest.fixture
def small(tmp_path: Path) -> SmallLab:
    return SmallLab("lab", tmp_path, START - ONE_DAY)


@pytest.fixture
def kept(small: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptDeployment]:
    """Nobody but Ada did anything; of what she did all is published."""
    with served([small.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        small.log_in(START - ONE_DAY)
        small.start_session(START - ONE_DAY)
        for day in DAYS:
            small.live(day)
        small.lab.amalthea.restart(midnight(TODAY))
        small.lab.clock.set(now() + dt.timedelta(hours=1))
        yield KeptDeployment(small.lab, deployments["lab"], Store.at(str(tmp_path / "store")))


def labels(*days: dt.date) -> dict[PeriodKind, set[str]]:
    """The periods that the days are in."""
    return {kind: {Period.of(kind, day).label for day in days} for kind in KINDS}


def users(kept: KeptDeployment, kind: PeriodKind, day: dt.date, core_action: str) -> tuple[int, int, bool, str]:
    """Users, active users, completeness and what is missing of the period that the day is in."""
    rows = kept.published(kind)
    [row] = rows[(rows["period"] == Period.of(kind, day).label) & (rows["core_action"] == core_action)].to_dict(
        orient="records"
    )
    return row["users"], row["active_users"], row["complete"], row["missing"]


def test_a_commit_of_three_years_ago_touches_its_week_and_its_month_alone(
    kept: KeptDeployment, small: SmallLab
) -> None:
    kept.lab.gitlab.add_user("bob", BOB, midnight(START))
    kept.bring_up_to_date()
    before = Before(kept)
    for kind in KINDS:
        assert users(kept, kind, THREE_YEARS_AGO, "contributing_to_a_project") == (1, 1, True, "")

    small.commit(THREE_YEARS_AGO, by=BOB, late=True)
    month, this_month = (month_of(day.isoformat()) for day in (THREE_YEARS_AGO, TODAY))
    # That Ada pushed it today is no event.
    assert kept.bring_up_to_date() == [month, this_month]
    assert before.files() == {
        (RAW_GITLAB_COMMITS.name, month),
        (RAW_GITLAB_PUSHES.name, this_month),
        (EVENTS.name, month),
        (USER_DAYS.name, month),
    }
    day = {THREE_YEARS_AGO.isoformat()}
    assert before.days() == {
        RAW_GITLAB_COMMITS.name: day,
        RAW_GITLAB_PUSHES.name: {TODAY.isoformat()},
        EVENTS.name: day,
        USER_DAYS.name: day,
    }
    for kind in KINDS:
        assert users(kept, kind, THREE_YEARS_AGO, "contributing_to_a_project") == (2, 2, True, "")
    assert before.periods() == labels(THREE_YEARS_AGO)
    # Whoever is active is in the denominator of all four.
    assert {period for period, _ in before.revised()} == {"2023-W47", "2023-11"}
    assert len(before.revised()) == 8
    pd.testing.assert_frame_equal(
        kept.store.read(COVERAGE, [WHOLE]).drop(columns=["active_users", "linked_by_gitlab_address"]),
        before.coverage.drop(columns=["active_users", "linked_by_gitlab_address"]),
    )


def test_a_day_that_is_covered_late_makes_its_own_periods_complete_and_changes_no_other(kept: KeptDeployment) -> None:
    # The file that begins on this day cannot be read yet; it ends with the first line of the next.
    day = dt.date(2023, 11, 22)
    [file] = [path for path in kept.lab.audit_log.iterdir() if f"_{day:%Y%m%d}_" in path.name]
    content = file.read_bytes()
    file.write_text("{broken\n")
    kept.bring_up_to_date()
    uncovered = [day, day + ONE_DAY]
    for kind in KINDS:
        _, _, complete, missing = users(kept, kind, day, "starting_a_session")
        assert (complete, missing) == (False, f"sessions:{uncovered[0]}..{uncovered[1]}")
    before = Before(kept)

    file.write_bytes(content)
    month = month_of(day.isoformat())
    assert kept.bring_up_to_date() == [month]
    assert before.files() == {(RAW_AMALTHEA_SESSIONS.name, month), (EVENTS.name, month), (USER_DAYS.name, month)}
    days = {of.isoformat() for of in uncovered}
    # That a session began on the second day was known from its other line, which is in the next file.
    events = {day.isoformat()}
    assert before.days() == {RAW_AMALTHEA_SESSIONS.name: days, EVENTS.name: events, USER_DAYS.name: events}
    for kind in KINDS:
        assert users(kept, kind, day, "starting_a_session") == (1, 1, True, "")
    assert before.periods() == labels(day)
    # She had started other sessions in that week.
    assert before.revised() == set()
    changed = kept.store.read(COVERAGE, [WHOLE])["sessions_days"] - before.coverage["sessions_days"]
    periods = before.coverage["period"]
    assert dict(zip(periods[changed > 0], changed[changed > 0], strict=True)) == {"2023-11": 2, "2023-W47": 2}


@pytest.mark.parametrize("last", [dt.date(2025, 12, 31), dt.date(2026, 9, 30)])
def test_a_session_over_the_end_of_a_month_is_in_two_files_and_counted_in_the_first(
    kept: KeptDeployment, small: SmallLab, last: dt.date
) -> None:
    first = last + ONE_DAY
    at = midnight(first) - dt.timedelta(seconds=30)
    bob = kept.lab.keycloak.add_user(BOB, midnight(START))
    kept.bring_up_to_date()
    before = Before(kept)

    # A file that came late into the bucket tells of it: it runs from the first minute of the new month on.
    amalthea = Amalthea(kept.lab.audit_log, midnight(last) + dt.timedelta(hours=23), "lab.example")
    session = amalthea.start_session(at, user_id=bob.id, gitlab_project_id=small.project.id)
    amalthea.change(session, "hibernated", midnight(first) + dt.timedelta(hours=2))
    amalthea.restart(midnight(first) + dt.timedelta(hours=3))

    months = [month_of(day.isoformat()) for day in (last, first)]
    assert kept.bring_up_to_date() == months
    raw = {(RAW_AMALTHEA_SESSIONS.name, month) for month in months}
    assert before.files() == raw | {(EVENTS.name, months[0]), (USER_DAYS.name, months[0])}
    assert before.days() == {
        # The lines of the new day stand in the file of the day of the creation as well.
        RAW_AMALTHEA_SESSIONS.name: {last.isoformat(), first.isoformat()},
        EVENTS.name: {last.isoformat()},
        USER_DAYS.name: {last.isoformat()},
    }
    for kind in KINDS:
        assert users(kept, kind, last, "starting_a_session") == (2, 2, True, "")
    assert users(kept, "month", first, "starting_a_session") == (1, 1, True, "")
    assert before.periods() == labels(last)
    week, month = (Period.of(kind, last).label for kind in KINDS)
    assert {period for period, _ in before.revised()} == {week, month}
    rows = kept.store.read(RAW_AMALTHEA_SESSIONS, [("lab", month) for month in months])
    assert rows.loc[rows["keycloak_id"] == bob.id, "event_day"].value_counts().to_dict() == {
        last.isoformat(): 3,
        first.isoformat(): 2,
    }
