"""A reconciliation of GitLab against the store: how much the pulls before had missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.pipeline.pulling import Pull
from renku_metrics.sources.gitlab import commits as gitlab_commits
from renku_metrics.sources.gitlab.commits import READER_VERSION
from renku_metrics.sources.gitlab.renku_commits import RenkuMessage
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.pipeline.pulls import HISTORY, pull_once
from renku_metrics_tests.served import served
from renku_metrics_tests.sources.gitlab.world import DAY, NOON, World
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path) -> RenkuLab:
    return RenkuLab("lab", tmp_path / "audit-log", now=NOON)


@dataclass
class Pulls:
    """Pulls of the lab into a store."""

    lab: RenkuLab
    deployment: Deployment
    store: Store
    said: list[str] = field(default_factory=list)

    def pull(self, *, whole: bool = False) -> Pull:
        return pull_once(
            self.store, self.deployment, HISTORY, clock=self.lab.clock.now, say=self.said.append, whole=whole
        )

    def commits(self) -> pd.DataFrame:
        return self.store.read(RAW_GITLAB_COMMITS, self.store.partitions(RAW_GITLAB_COMMITS, "lab"))


@pytest.fixture
def pulls(lab: RenkuLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pulls]:
    with served([lab], tmp_path / "deployments", dt.date(2026, 1, 1), monkeypatch) as deployments:
        yield Pulls(lab, deployments["lab"], Store.at(str(tmp_path / "store")))


def test_a_reconciliation_counts_what_was_missed_and_not_what_is_new(lab: RenkuLab, pulls: Pulls) -> None:
    world = World(lab)
    at_rest, active = world.project(commits=120), world.project(commits=3)
    pulls.pull()
    lab.clock.advance(9 * DAY)
    assert pulls.pull(whole=True).facts["commits_missed"] == 0
    before = set(pulls.commits()["sha"])

    # A push that moved no last_activity_at, as GitLab's job that would have done it was lost.
    activity = at_rest.last_activity_at
    missed = world.commit(at_rest)
    at_rest.last_activity_at = activity
    new = world.commit(active)
    lab.clock.advance(9 * DAY)
    facts = pulls.pull(whole=True).facts
    assert (facts["commits_missed"], facts["commits_read"]) == (1, 125)
    assert set(pulls.commits()["sha"]) - before == {missed.sha, new.sha}
    assert pulls.said[-1] == "lab: gitlab: earlier pulls had missed 1 of the rows that were read again"


def test_a_reconciliation_corrects_what_an_older_reader_read(
    lab: RenkuLab, pulls: Pulls, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(lab)
    commit = world.commit(world.project(commits=3))
    with monkeypatch.context() as older:
        created = RenkuMessage(surface="ui", command="dataset create", options=("--title",))
        older.setattr(gitlab_commits, "read_message", lambda message, **_: created)
        older.setattr(gitlab_commits, "READER_VERSION", READER_VERSION - 1)
        pulls.pull()

    def read_of_commit() -> list[object]:
        rows = pulls.commits()[["sha", "renku_surface", "renku_command", "read_by"]]
        return list(rows[rows["sha"] == commit.sha].astype(object).fillna("").iloc[0])[1:]

    assert read_of_commit() == ["ui", "dataset create", READER_VERSION - 1]
    lab.clock.advance(9 * DAY)
    pulls.pull()
    assert read_of_commit() == ["ui", "dataset create", READER_VERSION - 1]

    reconciled = pulls.pull(whole=True)
    assert read_of_commit() == ["", "", READER_VERSION]
    assert reconciled.facts["commits_missed"] == 0
    # So that its events are built again.
    day = commit.committed_at.date().isoformat()
    month = f"{day[:7]}-01"
    assert ("lab", month) in reconciled.untold(RAW_GITLAB_COMMITS)
    entry = Ledger(pulls.store, "lab").pulled("gitlab").tables[RAW_GITLAB_COMMITS.name][month]
    assert entry.days[day] == entry.serial > 1
