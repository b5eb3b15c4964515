"""A reconciliation of GitLab against the store: how much the pulls before had missed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics.assets.pulls import Pull
from renku_metrics.deployments import read_deployments
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.renkulab.server import RenkuLab, write_deployment
from renku_metrics_tests.sources.harvest import DAY, NOON, World


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit-log", now=NOON) as running:
        for name, value in write_deployment(running, tmp_path / "deployments", dt.date(2026, 1, 1)).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of tests")
        yield running


def test_a_reconciliation_counts_what_was_missed_and_not_what_is_new(lab: RenkuLab, tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "store"))
    said: list[str] = []

    def pull(*, anew: bool = False) -> Pull:
        deployment = read_deployments(tmp_path / "deployments")["lab"]
        pulled = Pull(deployment, "gitlab", store, lab.clock.now(), said.append)
        with pulled.alone():
            if anew:
                pulled.gitlab_reconciliation()
            else:
                pulled.gitlab_history(with_pushes=True)
        return pulled

    def stored() -> set[str]:
        return set(store.read(RAW_GITLAB_COMMITS, store.partitions(RAW_GITLAB_COMMITS, "lab"))["sha"])

    world = World(lab)
    at_rest, active = world.project(commits=120), world.project(commits=3)
    pull()
    lab.clock.advance(9 * DAY)
    assert pull(anew=True).facts["commits_missed"] == 0
    before = stored()

    # A push that moved no last_activity_at, as GitLab's job that would have done it was lost.
    activity = at_rest.last_activity_at
    missed = world.commit(at_rest)
    at_rest.last_activity_at = activity
    new = world.commit(active)
    lab.clock.advance(9 * DAY)
    facts = pull(anew=True).facts
    assert (facts["commits_missed"], facts["commits_read"]) == (1, 125)
    assert stored() - before == {missed.sha, new.sha}
    assert said[-1] == "lab: gitlab: the pulls before had missed 1 of 125 commits"
