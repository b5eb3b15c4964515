"""Whether what the schedules are to do has been done: what tells that a daemon died."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from renku_metrics.commands import check
from renku_metrics.periods import ONE_DAY, Span
from renku_metrics.store.ledger import Ledger, Pulled
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.commands.checked import HOUR, Checked
from renku_metrics_tests.events.raw_rows import commit
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment
from renku_metrics_tests.pipeline.pulled_rows import bring
from renku_metrics_tests.pipeline.values import hashed, sha
from renku_metrics_tests.present import NOW
from renkulab.server import RenkuLab

MINUTE = dt.timedelta(minutes=1)


@pytest.fixture
def store(lab: RenkuLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    # These tests are about minutes, and the clock goes on.
    monkeypatch.setattr(check, "now", lambda: NOW)
    return Store.at(str(tmp_path / "store"))


def pulled_until(store: Store, source: str, at: dt.datetime) -> None:
    def covered(pulled: Pulled) -> None:
        pulled.covered = [Span(NOW - 10 * ONE_DAY, NOW - 8 * ONE_DAY), Span(NOW - 7 * ONE_DAY, at)]

    Ledger(store, "lab").change_pulled(source, covered)


def commits_pulled(store: Store, at: dt.datetime) -> None:
    pulled_until(store, "gitlab", at)


def logins_pulled(store: Store, at: dt.datetime) -> None:
    pulled_until(store, "keycloak", at)


def record_published(store: Store, at: dt.datetime) -> None:
    StoreLedger(store).record_published(at)


def test_before_the_first_pull_nothing_is_late(store: Store) -> None:
    checked = Checked()
    assert checked.exit_code == 0
    assert checked.lines["last pull of commits"] == ("ok", "none has finished yet")
    assert checked.lines["last pull of logins"] == ("ok", "none has finished yet")
    assert checked.lines["published"] == ("ok", "nothing yet")


def test_pulls_that_never_saw_everything_are_told(store: Store) -> None:
    # As by a first pull of logins that are all forgotten.
    bring(store, "lab", RAW_KEYCLOAK_LOGINS, [])
    bring(store, "lab", RAW_GITLAB_COMMITS, [commit(sha("read"), "2026-11-03", hashed("ada"), deployment="lab")])
    checked = Checked()
    _, text = checked.lines["last pull of commits"]
    assert checked.not_ok() == {"last pull of commits": "warning"}
    assert text.startswith("none has seen everything yet")
    assert checked.lines["last pull of logins"] == ("ok", "none has finished yet")


def test_what_is_in_time_is_well(store: Store) -> None:
    commits_pulled(store, NOW - 54 * HOUR + MINUTE)
    logins_pulled(store, NOW - 9 * HOUR + MINUTE)
    record_published(store, NOW - 54 * HOUR + MINUTE)
    checked = Checked()
    assert (checked.not_ok(), checked.exit_code) == ({}, 0)


def test_a_daemon_that_died_three_days_ago_fails_the_check(store: Store) -> None:
    commits_pulled(store, NOW - 3 * ONE_DAY)
    logins_pulled(store, NOW - 3 * ONE_DAY)
    record_published(store, NOW - 3 * ONE_DAY)
    checked = Checked()
    assert checked.exit_code == 1
    assert checked.not_ok() == {
        "published": "failed",
        "last pull of commits": "failed",
        "last pull of logins": "failed",
    }
    assert checked.text("last pull of logins") == (
        "3 days ago, but one is due every 4 hours: see whether the daemon runs, its schedules are on, and which "
        "runs failed or left something unread"
    )


@pytest.mark.parametrize("late", ["last pull of commits", "last pull of logins", "published"])
def test_each_is_late_by_its_own_schedule(store: Store, late: str) -> None:
    commits_pulled(store, NOW - 54 * HOUR - (MINUTE if late == "last pull of commits" else -MINUTE))
    logins_pulled(store, NOW - 9 * HOUR - (MINUTE if late == "last pull of logins" else -MINUTE))
    record_published(store, NOW - 54 * HOUR - (MINUTE if late == "published" else -MINUTE))
    assert Checked().not_ok() == {late: "failed"}


def test_a_real_pull_is_seen(pulled: KeptDeployment) -> None:
    checked = Checked()
    assert checked.lines["last pull of commits"][0] == "ok"
    assert re.fullmatch(r"(\d+ (minute|second)s? )+ago", checked.text("last pull of commits"))
    assert re.fullmatch(r"(\d+ (minute|second)s? )+ago", checked.text("last pull of logins"))
