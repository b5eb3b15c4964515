"""A pull that goes on, or whose write lands, when another pull has taken over: nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.errors import StoreError
from renku_metrics.metrics.coverage import covers
from renku_metrics.object_storage import lease, open_storage, s3_requests
from renku_metrics.periods import ONE_DAY, days_between, midnight
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.pipeline.verifying import verify_source
from renku_metrics.schema import month_of
from renku_metrics.sources.gitlab.source import GITLAB
from renku_metrics.sources.http import say_nothing
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.pipeline.pulls import HISTORY, harvest_named, pull_once
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY, YESTERDAY
from renku_metrics_tests.served import served
from renku_metrics_tests.servers.holding import Holding, holding

START = TODAY - 6 * ONE_DAY
DAY = START + 2 * ONE_DAY
MONTH = month_of(DAY.isoformat())
# Each write of a pull, in its order: what it is about to do, the rows, what it has done, and up to where.
WRITES = {
    "rows": f"raw/raw_gitlab_commits/deployment=a/month={MONTH}/data.parquet",
    "ledger": "state/deployment=a/gitlab.json",
    "state": "state/deployment=a/gitlab_state.json",
}


@pytest.fixture
def lab(tmp_path: Path) -> SmallLab:
    small = SmallLab("a", tmp_path, START)
    small.commit(START + ONE_DAY)
    small.commit(DAY)
    small.lab.clock.set(midnight(TODAY))
    return small


@pytest.fixture
def deployment(lab: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with served([lab.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        yield deployments["a"]


@pytest.fixture
def between(s3_server: str) -> Iterator[Holding]:
    with holding(s3_server) as between:
        yield between


@pytest.fixture
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in earnest, in a tenth of the time, and with less patience."""
    monkeypatch.setattr(s3_requests, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(s3_requests, "READ_SECONDS", 0.5)
    monkeypatch.setattr(s3_requests, "RETRIES", 1)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(lease, "SETTLE_SECONDS", 0.1)
    monkeypatch.setattr(lease, "STALE_AFTER_SECONDS", 9.0)
    monkeypatch.setattr(lease, "REFRESH_SECONDS", 2.0)
    monkeypatch.setattr(lease, "LONGEST_TRY_SECONDS", 4.0)


def pull(store: Store, deployment: Deployment) -> None:
    pull_once(store, deployment, HISTORY, clock=lambda: midnight(TODAY))


def everything_but_locks(store: Store) -> dict[str, str]:
    lock = "state/deployment=a/gitlab"
    return {info.key: info.version for info in store.storage.list() if info.key != lock}


def stored(store: Store) -> set[str]:
    return set(store.read(RAW_GITLAB_COMMITS, [("a", MONTH)])["sha"])


def test_nothing_is_stored_once_another_may_have_begun(lab: SmallLab, deployment: Deployment, bucket: str) -> None:
    store = Store.at(f"s3://{bucket}/renku")
    pull(store, deployment)
    before, objects = stored(store), everything_but_locks(store)
    later = lab.commit(DAY, late=True)

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
    assert everything_but_locks(store) == objects

    pull(store, deployment)
    assert stored(store) == before | {later}


@pytest.mark.usefixtures("short_lease")
@pytest.mark.parametrize("write", WRITES)
def test_both_of_two_pulls_are_kept_though_a_write_of_the_first_lands_last(
    lab: SmallLab,
    deployment: Deployment,
    storage_kind: str,
    bucket: str,
    between: Holding,
    write: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if storage_kind == "swift":
        pytest.skip("Swift does not write on condition; see object_storage/s3_conditions.py")
    cut_off = Store(open_storage(f"s3://{bucket}/renku", between.address))
    other = Store.at(f"s3://{bucket}/renku")
    pull(other, deployment)
    before = stored(other)

    first = lab.commit(DAY, late=True)
    armed, replace = threading.Event(), Store.replace

    def replace_until_cut_off(store: Store, key: str, content: bytes, mark: str | None) -> str:
        if armed.is_set() and key == WRITES[write]:
            armed.clear()
            between.hold(swallow=True)
        return replace(store, key, content, mark)

    monkeypatch.setattr(Store, "replace", replace_until_cut_off)
    armed.set()
    with ThreadPoolExecutor(1) as pool:
        cut = pool.submit(pull, cut_off, deployment)
        assert between.held.wait(timeout=60)
        second = lab.commit(DAY, late=True)
        pull(other, deployment)
        assert isinstance(cut.exception(timeout=60), StoreError)
    assert stored(other) == before | {first, second}
    between.let_go()

    assert stored(other) == before | {first, second}
    ledger = Ledger(other, "a")
    pulled = ledger.pulled("gitlab")
    assert (pulled.pending, verify_source(ledger, GITLAB)) == ({}, [])
    entry = pulled.tables[RAW_GITLAB_COMMITS.name][MONTH]
    assert entry.version == other.version(RAW_GITLAB_COMMITS, ("a", MONTH))
    assert DAY.isoformat() in pulled.untold[RAW_GITLAB_COMMITS.name][MONTH]
    assert all(covers(pulled.covered, day) for day in days_between(START, YESTERDAY))
    # What the source remembers is what is stored: a further pull finds nothing, and one of everything neither.
    state = ledger.state("gitlab")
    pull(other, deployment)
    whole = pull_once(other, deployment, HISTORY, clock=lambda: midnight(TODAY), whole=True)
    assert whole.facts["commits_missed"] == 0
    assert stored(other) == before | {first, second}
    assert state is not None
