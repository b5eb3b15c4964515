"""A pull whose place another may have taken stores and remembers nothing from then on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.errors import StoreError
from renku_metrics.object_storage import lease
from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.schema import month_of
from renku_metrics.sources.gitlab.source import GITLAB
from renku_metrics.sources.http import say_nothing
from renku_metrics.sources.registry import read_deployments
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.pipeline.pulls import HISTORY, harvest_named, pull_once
from renku_metrics_tests.pipeline.small_lab import SmallLab, served
from renku_metrics_tests.present import TODAY

START = TODAY - 5 * ONE_DAY
BEFORE, AFTER = START + ONE_DAY, START + 2 * ONE_DAY


@pytest.fixture
def lab(tmp_path: Path) -> SmallLab:
    small = SmallLab("a", tmp_path, START)
    small.commit(BEFORE)
    small.lab.clock.set(midnight(TODAY))
    return small


@pytest.fixture
def deployment(lab: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with served([lab], tmp_path / "deployments", START, monkeypatch):
        yield read_deployments(tmp_path / "deployments")["a"]


@pytest.fixture
def store(bucket: str) -> Store:
    return Store.at(f"s3://{bucket}/renku")


def pull(deployment: Deployment, store: Store) -> None:
    pull_once(store, deployment, HISTORY, clock=lambda: midnight(TODAY))


def everything_but_locks(store: Store) -> dict[str, str]:
    lock = "state/deployment=a/gitlab"
    return {info.key: info.version for info in store.storage.list() if info.key != lock}


def commits(store: Store, day: dt.date) -> int:
    rows = store.read_if_there(RAW_GITLAB_COMMITS, [("a", month_of(day.isoformat()))])
    return int((rows["event_day"] == day.isoformat()).sum())


def test_nothing_is_stored_once_another_may_have_begun(
    lab: SmallLab, deployment: Deployment, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull(deployment, store)
    before = everything_but_locks(store)
    lab.commit(AFTER, late=True)

    def wake_up_too_late() -> None:
        with (
            pytest.MonkeyPatch.context() as patch,
            pulling(store, deployment, GITLAB, lambda: midnight(TODAY), say_nothing) as late,
        ):
            # As after a sleep of more than that.
            patch.setattr(lease, "STALE_AFTER_SECONDS", -1.0)
            late.bring(harvest_named(HISTORY)[1])

    with pytest.raises(StoreError, match=r"another may have begun; run it again$"):
        wake_up_too_late()
    assert everything_but_locks(store) == before
    assert (commits(store, BEFORE), commits(store, AFTER)) == (1, 0)

    pull(deployment, store)
    assert (commits(store, BEFORE), commits(store, AFTER)) == (1, 1)
