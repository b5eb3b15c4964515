"""How often the store is asked: what a publication costs follows what changed, not how old a deployment is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from renku_metrics.object_storage.directory import DirectoryStorage
from renku_metrics.periods import days_between, midnight
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY, YESTERDAY
from renku_metrics_tests.served import served

# A Thursday and a Saturday: neither begins a week, and the month of the Thursday is not whole.
STARTS = [dt.date(2026, 10, 15), dt.date(2026, 8, 1)]
REQUESTS = ("read", "read_versioned", "replace", "delete", "list", "alone")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request to a store in a directory from now on: what is done, and to which object."""
    found: list[str] = []

    def counted(name: str) -> Any:
        method = getattr(DirectoryStorage, name)

        def call(self: DirectoryStorage, key: str = "", *rest: Any) -> Any:
            found.append(f"{name} {key}")
            return method(self, key, *rest)

        return call

    for name in REQUESTS:
        monkeypatch.setattr(DirectoryStorage, name, counted(name))
    return found


@pytest.fixture(params=STARTS, ids=str)
def pipeline(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A deployment since then with a login and a commit on every day, published."""
    start: dt.date = request.param
    lab = SmallLab("lab", tmp_path, start)
    for day in days_between(start, YESTERDAY):
        lab.log_in(day)
        lab.commit(day)
    lab.lab.clock.set(midnight(TODAY))
    with served([lab.lab], tmp_path / "deployments", start, monkeypatch), dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)
        pipeline.materialize_everything()
        yield pipeline


def test_a_publication_with_nothing_changed_asks_the_same_of_any_age(pipeline: Pipeline, asked: list[str]) -> None:
    assert pipeline.materialize(["published"]).success
    assert 0 < len(asked) <= 60
    # Nothing that there is a file of for each month is read.
    assert [request for request in asked if "month=" in request] == []
