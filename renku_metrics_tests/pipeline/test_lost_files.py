"""Raw files that somebody has taken out of the store, or replaced by older ones: named, not covered, pulled again."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.schema import Table
from renku_metrics.sources.registry import raw_tables, source_of
from renku_metrics.store.files import WHOLE
from renku_metrics.store.ledger import Ledger
from renku_metrics.tables import (
    COVERAGE,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    REVISIONS,
)
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment
from renku_metrics_tests.pipeline.losses import (
    BY_MONTH,
    GONE,
    LATE,
    OLDER,
    SEPTEMBER,
    START,
    checked,
    damage,
    missing,
    numbers,
    published,
)
from renku_metrics_tests.pipeline.pulls import HISTORY, KEYCLOAK_USERS, LOGINS, PROJECTS, USERS
from renku_metrics_tests.pipeline.small_lab import SmallLab


@pytest.fixture
def small(tmp_path: Path) -> SmallLab:
    return SmallLab("lab", tmp_path, START - ONE_DAY)


@pytest.fixture
def kept(small: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptDeployment]:
    with published(small, tmp_path, monkeypatch) as kept:
        yield kept


def covered(kept: KeptDeployment, table: Table, period: str) -> int:
    """For how many days of the period everything that the table tells is counted."""
    coverage = kept.store.read(COVERAGE, [WHOLE])
    [days] = coverage.loc[coverage["period"] == period, f"{source_of(table).activity}_days"]
    return int(days)


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
