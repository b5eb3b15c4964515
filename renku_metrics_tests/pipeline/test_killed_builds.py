"""A step after the pulls that is killed and done again: what it changed passes for counted only when it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.metrics.coverage import covers
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import Period, Span, midnight
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.completeness import counted_coverage, read_standing
from renku_metrics.sources.registry import raw_tables, read_deployments
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS
from renku_metrics_tests.events.raw_rows import DEPLOYMENT, commit, project
from renku_metrics_tests.pipeline.mortal_storage import KilledError, MortalStorage
from renku_metrics_tests.pipeline.planted import SOURCES, write_deployment_file
from renku_metrics_tests.pipeline.pulled_rows import bring, cover
from renku_metrics_tests.pipeline.values import hashed, sha
from renku_metrics_tests.present import NOW

SEPTEMBER = Period(dt.date(2026, 9, 1), "month")
MONTH = SEPTEMBER.start.isoformat()
KNOWN, LATE = "2026-09-08", "2026-09-15"
# What follows a pull, in its order.
STEPS: dict[str, Callable[[Store, Deployment], object]] = {
    "events": lambda store, deployment: store_events(store, deployment, [MONTH]),
    "user days": lambda store, deployment: store_user_days(store, deployment, [MONTH]),
    "counts": lambda store, deployment: store_counts(store, deployment, "month", [ACTIVE_USERS], [MONTH], NOW),
}


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    write_deployment_file(tmp_path / "deployments", DEPLOYMENT, sources=SOURCES)
    return read_deployments(tmp_path / "deployments")[DEPLOYMENT]


def counted(deployment: Deployment, storage: MortalStorage) -> Store:
    """A store where a commit of September is counted, and all of September is covered."""
    store = Store(storage)
    for table in raw_tables():
        store.ensure(table, [(DEPLOYMENT, MONTH) if table.by_month else (DEPLOYMENT,)])
    bring(store, DEPLOYMENT, RAW_GITLAB_PROJECTS, [project(1)])
    bring(store, DEPLOYMENT, RAW_GITLAB_COMMITS, [commit(sha("known"), KNOWN, hashed("ada"))])
    cover(store, DEPLOYMENT, Span(midnight(SEPTEMBER.start), midnight(dt.date(2026, 10, 1))))
    for step in STEPS.values():
        step(store, deployment)
    return store


def open_days(store: Store, deployment: Deployment) -> set[str]:
    """The days of September whose commits are not in the monthly numbers."""
    [standing] = read_standing(store, deployment, {"month": [ACTIVE_USERS]})
    spans = counted_coverage(standing)["commits"]
    assert spans is not None
    return {day.isoformat() for day in SEPTEMBER.days if not covers(spans, day)}


def users(store: Store) -> int:
    rows = store.read(ACTIVE_USERS.table("month"), [(DEPLOYMENT,)])
    return int(rows["users"].sum())


@pytest.mark.parametrize("killed", STEPS)
def test_a_late_commit_is_open_until_every_step_has_come_to_its_end(deployment: Deployment, killed: str) -> None:
    deaths = 0
    while True:
        storage = MortalStorage()
        store = counted(deployment, storage)
        assert (users(store), open_days(store, deployment)) == (1, set())
        bring(store, DEPLOYMENT, RAW_GITLAB_COMMITS, [commit(sha("late"), LATE, hashed("bob"))])
        for name, step in STEPS.items():
            assert LATE in open_days(store, deployment), (name, deaths)
            if name != killed:
                step(store, deployment)
                continue
            storage.writes_left = deaths
            try:
                step(store, deployment)
            except KilledError:
                assert LATE in open_days(store, deployment), (name, deaths)
                storage.writes_left = None
                step(store, deployment)
                deaths += 1
            else:
                # It was not killed any more: all of its writes were tried.
                assert deaths >= 2
                return
        assert (users(store), open_days(store, deployment)) == (2, set()), deaths
