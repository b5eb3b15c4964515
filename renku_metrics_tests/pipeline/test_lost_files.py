"""Files that somebody has taken out of the store, or replaced by older ones: named, not covered, pulled again."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.errors import StoreError
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.schema import Table
from renku_metrics.sources.registry import raw_tables, source_of
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import (
    COVERAGE,
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    REVISIONS,
    USER_DAYS,
)
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment
from renku_metrics_tests.pipeline.pulls import HISTORY, KEYCLOAK_USERS, LOGINS, PROJECTS, USERS
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served

START = dt.date(2026, 9, 1)
SEPTEMBER = "2026-09-01"
# Nobody did anything on other days. LATE is after the older files were saved.
SAVED_ON, LATE = dt.date(2026, 9, 22), dt.date(2026, 9, 28)
DAYS = [dt.date(2026, 9, 1), dt.date(2026, 9, 10), dt.date(2026, 9, 20), LATE, dt.date(2026, 10, 5)]
DAYS += [dt.date(2026, 10, 25), dt.date(2026, 11, 5)]
BY_MONTH = [RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS]
OLDER = "is not what was stored, but older or changed by another program"
GONE = "is gone from the store"


@pytest.fixture
def small(tmp_path: Path) -> SmallLab:
    return SmallLab("lab", tmp_path, START - ONE_DAY)


@pytest.fixture
def kept(small: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptDeployment]:
    """A lab whose September and October are published; ``older`` holds what was stored on SAVED_ON."""
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    with served([small.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        kept = KeptDeployment(small.lab, deployments["lab"], Store.at(str(tmp_path / "store")))
        # So that it is known since when everything is known.
        small.log_in(START - ONE_DAY)
        small.start_session(START - ONE_DAY)
        for day in DAYS:
            if day > SAVED_ON and not (tmp_path / "older").exists():
                small.lab.clock.set(midnight(SAVED_ON))
                kept.bring_up_to_date()
                shutil.copytree(tmp_path / "store", tmp_path / "older")
            live(small, day)
        small.lab.amalthea.restart(midnight(TODAY))
        small.lab.clock.set(midnight(TODAY) + dt.timedelta(hours=1))
        kept.bring_up_to_date()
        kept.said.clear()
        yield kept


def live(small: SmallLab, day: dt.date) -> None:
    small.commit(day)
    small.log_in(day)
    small.start_session(day)


def damage(kept: KeptDeployment, tmp_path: Path, how: str, tables: Sequence[Table], month: str = SEPTEMBER) -> None:
    for table in tables:
        path = Path(kept.store.address(table, ("lab", month) if table.by_month else ("lab",)))
        if how == GONE:
            path.unlink()
        else:
            shutil.copy(tmp_path / "older" / path.relative_to(tmp_path / "store"), path)


def covered(kept: KeptDeployment, table: Table, period: str) -> int:
    """For how many days of the period everything that the table tells is counted."""
    coverage = kept.store.read(COVERAGE, [WHOLE])
    [days] = coverage.loc[coverage["period"] == period, f"{source_of(table).activity}_days"]
    return int(days)


def missing(kept: KeptDeployment, period: str) -> str:
    monthly = kept.published("month")
    [found] = set(monthly.loc[monthly["period"] == period, "missing"])
    return str(found)


def checked() -> dict[str, str]:
    """What ``renku-metrics check`` says of what is stored, where that failed."""
    lines = CliRunner().invoke(renku_metrics, ["check"]).output.splitlines()
    found = [line.split(maxsplit=1)[1] for line in lines if line.startswith("  failed")]
    return {" ".join(line.split()[:2]): " ".join(line.split()[2:]) for line in found}


def numbers(kept: KeptDeployment) -> pd.DataFrame:
    return kept.published("month").drop(columns="computed_at")


def test_nothing_is_said_of_a_store_that_is_whole(kept: KeptDeployment) -> None:
    assert kept.publish() == []
    assert "stored" not in " ".join(checked())
    assert [covered(kept, table, "2026-09") for table in BY_MONTH] == [30] * 3
    assert missing(kept, "2026-09") == missing(kept, "2026-10") == ""


@pytest.mark.parametrize("how", [GONE, OLDER])
@pytest.mark.parametrize("table", BY_MONTH, ids=lambda table: table.name)
def test_a_month_that_is_lost_is_told_of_not_covered_and_pulled_again(
    kept: KeptDeployment, tmp_path: Path, table: Table, how: str
) -> None:
    before, published_before = kept.store.read(table, [("lab", SEPTEMBER)]), numbers(kept)
    revisions = kept.store.read(REVISIONS, [WHOLE])
    damage(kept, tmp_path, how, [table])

    what = f"{table.name} of 2026-09 {how}"
    assert kept.publish() == [f"lab: {what}: its days are published as not covered; restore the file, or pull again"]
    activity = source_of(table).activity
    assert checked()[f"stored {activity}"] == f"{what}: restore the file, or pull again what the source still has"
    # The numbers are what they were, and nobody is told that they are complete.
    assert missing(kept, "2026-09") == f"{activity}:2026-09-01..2026-09-30"
    assert missing(kept, "2026-10") == ""
    same = ["period", "core_action", "users", "active_users"]
    pd.testing.assert_frame_equal(numbers(kept)[same], published_before[same])

    assert SEPTEMBER in kept.bring_up_to_date()
    [line] = [line for line in kept.said if what in line]
    assert line == (
        f"lab: {source_of(table).name}: {what}: its days are not covered any more, and everything that the source "
        "still has is pulled again"
    )
    # The sources still had everything.
    pd.testing.assert_frame_equal(
        kept.store.read(table, [("lab", SEPTEMBER)]).drop(columns="pulled_at"), before.drop(columns="pulled_at")
    )
    pd.testing.assert_frame_equal(numbers(kept), published_before)
    assert kept.publish() == []
    pd.testing.assert_frame_equal(kept.store.read(REVISIONS, [WHOLE]), revisions)
    assert "stored" not in " ".join(checked())


@pytest.mark.parametrize("how", [GONE, OLDER])
def test_what_keycloak_has_forgotten_is_not_covered_any_more(kept: KeptDeployment, tmp_path: Path, how: str) -> None:
    # It remembers the last days of September, and what was after them.
    kept.lab.keycloak.events_expiration = kept.now - midnight(dt.date(2026, 9, 25))
    damage(kept, tmp_path, how, [RAW_KEYCLOAK_LOGINS])
    kept.bring_up_to_date()
    # The first login that it remembers is a witness that it remembers what came after it.
    assert missing(kept, "2026-09") == f"logins:2026-09-01..{LATE}"
    assert missing(kept, "2026-10") == ""
    days = set(kept.store.read(RAW_KEYCLOAK_LOGINS, [("lab", SEPTEMBER)])["event_day"])
    older = {"2026-09-01", "2026-09-10", "2026-09-20"} if how == OLDER else set()
    assert days == older | {str(LATE)}
    assert kept.publish() == []


def test_what_the_audit_log_has_no_more_is_not_covered_any_more(kept: KeptDeployment, tmp_path: Path) -> None:
    damage(kept, tmp_path, GONE, [RAW_AMALTHEA_SESSIONS])
    # Old files are deleted from its bucket, as is usual; the first one left begins on 28 September at one o'clock.
    for file in kept.lab.audit_log.iterdir():
        if file.name < "amalthea_audit_log_20260928":
            file.unlink()
    for _ in range(2):
        kept.bring_up_to_date()
        assert (missing(kept, "2026-09"), missing(kept, "2026-10")) == (f"sessions:2026-09-01..{LATE}", "")
        assert set(kept.store.read(RAW_AMALTHEA_SESSIONS, [("lab", SEPTEMBER)])["event_day"]) == {str(LATE)}


def test_a_raw_folder_that_is_older_than_the_state_is_pulled_again(kept: KeptDeployment, tmp_path: Path) -> None:
    before = numbers(kept)
    shutil.rmtree(tmp_path / "store" / "raw")
    shutil.copytree(tmp_path / "older" / "raw", tmp_path / "store" / "raw")
    lines = kept.publish()
    for table in BY_MONTH:
        assert any(f"{table.name} of 2026-09 {OLDER}" in line for line in lines)
        assert any(f"{table.name} of 2026-10 {GONE}" in line for line in lines)
    assert [covered(kept, table, period) for table in BY_MONTH for period in ("2026-09", "2026-10")] == [0] * 6

    kept.bring_up_to_date()
    assert kept.publish() == []
    pd.testing.assert_frame_equal(numbers(kept), before)
    for table in raw_tables():
        assert kept.store.read(table, kept.store.partitions(table, "lab")).duplicated(list(table.key)).sum() == 0


# Each with other pulls of its source, that may come before its own.
WHOLE_TABLES = {
    RAW_GITLAB_USERS.name: (RAW_GITLAB_USERS, [PROJECTS, HISTORY], [USERS]),
    RAW_GITLAB_PROJECTS.name: (RAW_GITLAB_PROJECTS, [USERS], [PROJECTS, HISTORY]),
    RAW_KEYCLOAK_USERS.name: (RAW_KEYCLOAK_USERS, [LOGINS], [KEYCLOAK_USERS]),
}


@pytest.mark.parametrize("name", WHOLE_TABLES)
def test_a_table_without_days_is_missed_until_it_is_pulled_again(
    kept: KeptDeployment, tmp_path: Path, name: str
) -> None:
    table, others, own = WHOLE_TABLES[name]
    before, rows = numbers(kept), kept.store.read(table, [("lab",)])
    damage(kept, tmp_path, GONE, [table])
    for pulled in ([], others):
        kept.pull(pulled)
        assert any(f"{name} {GONE}" in line for line in kept.publish())
        # Nobody knows whose the commits are; what else the source tells is as it was.
        assert missing(kept, "2026-09") == "commits:2026-09-01..2026-09-30"
        assert missing(kept, "2026-10") == "commits:2026-10-01..2026-10-31"
    kept.pull(own)
    kept.bring_up_to_date()
    assert kept.publish() == []
    # But for when it was asked for.
    same = [name for name in rows if name not in ("pulled_at", "addresses_on")]
    pd.testing.assert_frame_equal(kept.store.read(table, [("lab",)])[same], rows[same])
    pd.testing.assert_frame_equal(numbers(kept), before)


def test_a_file_that_was_lost_before_dagster_was_told_of_it_is_missed_as_well(
    kept: KeptDeployment, small: SmallLab, tmp_path: Path
) -> None:
    small.commit(dt.date(2026, 9, 11), late=True)
    kept.pull([HISTORY])
    assert kept.ledger.pulled("gitlab").untold[RAW_GITLAB_COMMITS.name] == {SEPTEMBER: ["2026-09-11"]}
    damage(kept, tmp_path, GONE, [RAW_GITLAB_COMMITS])
    assert len(kept.publish()) == 1
    assert missing(kept, "2026-09") == "commits:2026-09-01..2026-09-30"
    kept.bring_up_to_date()
    assert (kept.publish(), missing(kept, "2026-09")) == ([], "")
    assert len(kept.store.read(RAW_GITLAB_COMMITS, [("lab", SEPTEMBER)])) == 5


def test_what_a_killed_pull_has_stored_and_not_noted_is_no_loss(
    kept: KeptDeployment, small: SmallLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.commit(dt.date(2026, 9, 11), late=True)

    def die(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", die)
        with pytest.raises(RuntimeError, match="killed"):
            kept.pull([HISTORY])
    assert len(kept.store.read(RAW_GITLAB_COMMITS, [("lab", SEPTEMBER)])) == 5
    assert kept.publish() == []
    assert "stored" not in " ".join(checked())
    assert missing(kept, "2026-09") == "commits:2026-09-11..2026-09-11"
    kept.bring_up_to_date()
    assert not any("not covered" in line for line in kept.said)
    assert missing(kept, "2026-09") == ""


@pytest.mark.parametrize("table", [EVENTS, USER_DAYS], ids=lambda table: table.name)
@pytest.mark.parametrize("how", [GONE, OLDER])
def test_events_and_user_days_that_are_lost_are_built_again(
    kept: KeptDeployment, tmp_path: Path, table: Table, how: str
) -> None:
    before = numbers(kept)
    damage(kept, tmp_path, how, [table])
    assert kept.publish() == [
        f"lab: {table.name} of 2026-09 {how}: its days are published as not covered; materialize {table.name} again"
    ]
    nothing = "2026-09-01..2026-09-30"
    assert missing(kept, "2026-09") == f"logins:{nothing}; commits:{nothing}; sessions:{nothing}"
    assert missing(kept, "2026-10") == ""
    kept.count([SEPTEMBER])
    assert kept.publish() == []
    pd.testing.assert_frame_equal(numbers(kept), before)


def build_events(kept: KeptDeployment) -> None:
    store_events(kept.store, kept.deployment, [SEPTEMBER])


def build_user_days(kept: KeptDeployment) -> None:
    store_user_days(kept.store, kept.deployment, [SEPTEMBER])


def build_counts(kept: KeptDeployment) -> None:
    # The week begins in September.
    store_counts(kept.store, kept.deployment, "week", [ACTIVE_USERS], ["2026-09-28"], kept.now)


# What each step is built from, and what the operator is to do if that is not what was stored.
NEXT_STEPS: dict[str, tuple[Table, Callable[[KeptDeployment], None], str]] = {
    **{table.name: (table, build_events, "restore the file, or pull") for table in BY_MONTH},
    EVENTS.name: (EVENTS, build_user_days, "materialize events"),
    USER_DAYS.name: (USER_DAYS, build_counts, "materialize user_days"),
}


@pytest.mark.parametrize("name", NEXT_STEPS)
def test_nothing_is_built_from_a_file_that_is_not_what_was_stored(
    kept: KeptDeployment, tmp_path: Path, name: str
) -> None:
    table, build, remedy = NEXT_STEPS[name]
    before = numbers(kept)
    path = Path(kept.store.address(table, ("lab", SEPTEMBER)))
    shutil.copy(path, tmp_path / "right")
    damage(kept, tmp_path, OLDER, [table])
    with pytest.raises(StoreError) as error:
        build(kept)
    assert str(error.value) == f"lab: {name} of 2026-09 {OLDER}: {remedy} again"
    # So it is not noted as counted, and as soon as the file is back, all is well.
    shutil.copy(tmp_path / "right", path)
    kept.publish()
    pd.testing.assert_frame_equal(numbers(kept), before)
    assert missing(kept, "2026-09") == ""
    build(kept)


def test_a_store_that_is_copied_is_whole_and_is_looked_through_once(
    kept: KeptDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numbers(kept)
    # All marks are others, all bytes the same.
    shutil.copytree(tmp_path / "store", tmp_path / "elsewhere")
    marks = {info.key: info.version for info in kept.store.storage.list()}
    copied = replace(kept, store=Store.at(str(tmp_path / "elsewhere")))
    assert not {info.version for info in copied.store.storage.list()} & set(marks.values())
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "elsewhere"))

    read: list[str] = []
    version = Store.version

    def noted(store: Store, table: Table, partition: tuple[str, ...]) -> str:
        read.append(table.name)
        return version(store, table, partition)

    monkeypatch.setattr(Store, "version", noted)
    assert copied.publish() == []
    assert {EVENTS.name, USER_DAYS.name, *(table.name for table in raw_tables())} == set(read)
    pd.testing.assert_frame_equal(numbers(copied), before)
    assert "stored" not in " ".join(checked())
    assert copied.bring_up_to_date() == []
    assert not any("not covered" in line for line in copied.said)
    assert any("0 new commits" in line for line in copied.said)
    read.clear()
    assert (copied.publish(), read) == ([], [])
    pd.testing.assert_frame_equal(numbers(copied), before)
