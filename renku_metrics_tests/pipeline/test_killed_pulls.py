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
from renku_metrics.pipeline.pulling import read_unreported
from renku_metrics.tables import RAW_GITLAB_COMMITS
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.pipeline.pull_and_die import PLACES
from renku_metrics_tests.pipeline.small_lab import SmallLab, served
from renku_metrics_tests.present import TODAY, YESTERDAY

START = YESTERDAY - 5 * ONE_DAY
LATE_DAYS = [START + days * ONE_DAY for days in (1, 2, 3)]
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
        served([lab], tmp_path / "deployments", START, monkeypatch),
        dg.instance_for_test(temp_dir=str(tmp_path / "home")) as instance,
    ):
        yield Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)


def commits(pipeline: Pipeline) -> pd.DataFrame:
    store = pipeline.store
    rows = store.read(RAW_GITLAB_COMMITS, store.partitions(RAW_GITLAB_COMMITS, "a"))
    return rows.drop(columns="pulled_at").sort_values("sha", ignore_index=True)


def last_recorded(pipeline: Pipeline, day: dt.date) -> dg.AssetMaterialization:
    filters = dg.AssetRecordsFilter(dg.AssetKey("raw_gitlab_commits"), asset_partitions=[f"a|{day}"])
    event = pipeline.instance.fetch_materializations(filters, limit=1).records[0].asset_materialization
    assert event is not None
    return event


@pytest.mark.parametrize("place", PLACES)
def test_a_pull_after_one_that_was_killed_makes_up_for_it(
    place: str, lab: SmallLab, pipeline: Pipeline, tmp_path: Path
) -> None:
    partition = f"a|{YESTERDAY}"
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
    for day in LATE_DAYS:
        stored = pipeline.store.ensure(RAW_GITLAB_COMMITS, [("a", day.isoformat())])["a", day.isoformat()]
        event = last_recorded(pipeline, day)
        assert (event.tags or {})["dagster/data_version"] == stored.version
        assert event.metadata["dagster/partition_row_count"].value == stored.rows
    assert read_unreported(pipeline.store, "a", "gitlab") <= {
        (name, ("a", TODAY.isoformat())) for name in ("raw_gitlab_commits", "raw_gitlab_pushes")
    }
