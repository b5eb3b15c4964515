"""A pull that is killed loses nothing: the next one leaves the same rows, and tells Dagster of all that changed."""

from __future__ import annotations

import datetime as dt
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from renku_metrics.periods import ONE_DAY, midnight, now
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.schema import month_of
from renku_metrics.sources.http import say_nothing
from renku_metrics.sources.registry import read_deployments, source_of
from renku_metrics.store.ledger import Ledger
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.pipeline.pull_and_die import PLACES
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY, YESTERDAY
from renku_metrics_tests.served import served

START = dt.date(2026, 9, 20)
# Two of them in one month.
LATE_DAYS = [START + days * ONE_DAY for days in (1, 2, 20, 50)]
HISTORY = ["raw_gitlab_commits", "raw_gitlab_pushes"]


@pytest.fixture
def lab(tmp_path: Path) -> SmallLab:
    small = SmallLab("a", tmp_path, START)
    small.commit(YESTERDAY)
    small.lab.clock.set(midnight(TODAY))
    return small


@pytest.fixture
def pipeline(lab: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    (tmp_path / "home").mkdir()
    with (
        served([lab.lab], tmp_path / "deployments", START, monkeypatch),
        dg.instance_for_test(temp_dir=str(tmp_path / "home")) as instance,
    ):
        yield Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)


def commits(pipeline: Pipeline) -> pd.DataFrame:
    store = pipeline.store
    rows = store.read(RAW_GITLAB_COMMITS, store.partitions(RAW_GITLAB_COMMITS, "a"))
    return rows.drop(columns="pulled_at").sort_values("sha", ignore_index=True)


def last_recorded(pipeline: Pipeline, month: str) -> dg.AssetMaterialization:
    filters = dg.AssetRecordsFilter(dg.AssetKey("raw_gitlab_commits"), asset_partitions=[f"a|{month}"])
    event = pipeline.instance.fetch_materializations(filters, limit=1).records[0].asset_materialization
    assert event is not None
    return event


@pytest.mark.parametrize("place", PLACES)
def test_a_pull_after_one_that_was_killed_makes_up_for_it(
    place: str, lab: SmallLab, pipeline: Pipeline, tmp_path: Path
) -> None:
    partition = f"a|{month_of(YESTERDAY.isoformat())}"
    assert pipeline.materialize(HISTORY, partition=partition).success
    for day in LATE_DAYS:
        lab.commit(day, late=True)
    killed = subprocess.run(
        [
            *(sys.executable, "-m", "renku_metrics_tests.pipeline.pull_and_die"),
            *(place, str(pipeline.deployments), pipeline.address, partition, now().isoformat()),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    assert pipeline.materialize(HISTORY, partition=partition).success
    with dg.DagsterInstance.ephemeral() as instance:
        undisturbed = Pipeline(pipeline.deployments, str(tmp_path / "undisturbed"), instance)
        assert undisturbed.materialize(HISTORY, partition=partition).success
        pd.testing.assert_frame_equal(commits(pipeline), commits(undisturbed))
    pulled = Ledger(pipeline.store, "a").pulled("gitlab")
    changed = {day for entry in pulled.tables[RAW_GITLAB_COMMITS.name].values() for day in entry.days}
    assert changed >= {day.isoformat() for day in LATE_DAYS}
    deployment = read_deployments(pipeline.deployments)["a"]
    with pulling(pipeline.store, deployment, source_of(RAW_GITLAB_COMMITS), now, say_nothing) as pull:
        for month in sorted({month_of(day.isoformat()) for day in LATE_DAYS}):
            stored = pipeline.store.ensure(RAW_GITLAB_COMMITS, [("a", month)])
            event = last_recorded(pipeline, month)
            # It changed since Dagster was first told of it.
            assert (event.tags or {})["dagster/data_version"] == pull.versions(RAW_GITLAB_COMMITS, stored)["a", month]
            assert event.metadata["dagster/partition_row_count"].value == stored["a", month].rows
    assert not any(pulled.untold.values())
