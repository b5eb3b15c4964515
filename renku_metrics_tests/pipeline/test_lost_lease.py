"""A pull whose place another may have taken stores and remembers nothing from then on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment, read_deployments
from renku_metrics.errors import StoreError
from renku_metrics.object_storage import lease
from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.pipeline.pulling import Pull
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS
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


def next_pull(deployment: Deployment, store: Store) -> Pull:
    return Pull(deployment, "gitlab", store, midnight(TODAY), lambda _: None)


def everything_but_locks(store: Store) -> dict[str, str]:
    return {info.key: info.version for info in store.storage.list() if not info.key.startswith("state/locks/")}


def commits(store: Store, day: dt.date) -> int:
    return len(store.read_if_there(RAW_GITLAB_COMMITS, [("a", day.isoformat())]))


def test_nothing_is_stored_once_another_may_have_begun(
    lab: SmallLab, deployment: Deployment, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = next_pull(deployment, store)
    with first.alone():
        first.gitlab_history(with_pushes=True)
    before = everything_but_locks(store)
    lab.commit(AFTER, late=True)

    late = next_pull(deployment, store)

    def wake_up_too_late() -> None:
        with pytest.MonkeyPatch.context() as patch, late.alone():
            # As after a sleep of more than that.
            patch.setattr(lease, "STALE_AFTER_SECONDS", -1.0)
            late.gitlab_history(with_pushes=True)

    with pytest.raises(StoreError, match=r"another may have begun; run it again$"):
        wake_up_too_late()
    assert everything_but_locks(store) == before
    assert (commits(store, BEFORE), commits(store, AFTER)) == (1, 0)

    with late.alone():
        late.gitlab_history(with_pushes=True)
    assert (commits(store, BEFORE), commits(store, AFTER)) == (1, 1)
