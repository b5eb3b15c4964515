"""``dagster asset materialize`` as people type it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from renku_metrics.periods import ONE_DAY, Period, midnight
from renku_metrics_tests.pipeline.pipeline import METRICS, PEOPLE_AND_PROJECTS, RAW_DAYS, Pipeline
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY, YESTERDAY
from renku_metrics_tests.served import served

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("real_clock")
THIS_MONTH = Period.of("month", YESTERDAY).start
# The day before this month, and its month.
BEFORE = THIS_MONTH - ONE_DAY
LAST_MONTH = Period.of("month", BEFORE).start


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """Two deployments, and an environment in which a shell would find them."""
    labs = [SmallLab(name, tmp_path, BEFORE) for name in "ab"]
    for small in labs:
        for day in (BEFORE, YESTERDAY):
            small.log_in(day)
            small.commit(day)
        small.lab.clock.set(midnight(TODAY))
    pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), dg.DagsterInstance.ephemeral())
    monkeypatch.setenv("RENKU_METRICS_STORE", pipeline.address)
    (tmp_path / "home").mkdir()
    with (
        served([small.lab for small in labs], pipeline.deployments, BEFORE, monkeypatch),
        dg.instance_for_test(temp_dir=str(tmp_path / "home")) as instance,
    ):
        yield Pipeline(pipeline.deployments, pipeline.address, instance)


def dagster_asset_materialize(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "dagster"), "asset", "materialize", "-m", "renku_metrics.definitions"]
    return subprocess.run(
        [*command, *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )


def materialized(pipeline: Pipeline, name: str) -> set[str]:
    return set(pipeline.instance.get_materialized_partitions(dg.AssetKey(name)))


def test_one_partition_and_a_range_over_deployments(pipeline: Pipeline) -> None:
    one = dagster_asset_materialize("--select", "raw_gitlab_commits", "--partition", f"a|{THIS_MONTH}")
    assert one.returncode == 0, one.stderr
    # The first pull is the backfill of all history.
    assert materialized(pipeline, "raw_gitlab_commits") == {f"a|{LAST_MONTH}", f"a|{THIS_MONTH}"}

    people = dagster_asset_materialize("--select", ",".join(PEOPLE_AND_PROJECTS), "--partition-range", "a...b")
    assert people.returncode == 0, people.stderr
    # All that is by month, up to the monthly numbers.
    names = [*RAW_DAYS, "events", "user_days", *(f"{key}_monthly" for key in METRICS)]
    months = f"a|{LAST_MONTH}...b|{THIS_MONTH}"
    counted = dagster_asset_materialize("--select", ",".join(names), "--partition-range", months)
    assert counted.returncode == 0, counted.stderr
    rectangle = {f"{deployment}|{month}" for deployment in "ab" for month in (LAST_MONTH, THIS_MONTH)}
    for name in names:
        assert materialized(pipeline, name) == rectangle


def test_a_wrong_deployment_file_is_one_line_that_names_file_and_key(pipeline: Pipeline) -> None:
    path = pipeline.deployments / "a.yaml"
    path.write_text(path.read_text().replace("realm: Renku", "realms: Renku"))
    refused = dagster_asset_materialize("--select", "raw_gitlab_commits", "--partition", f"a|{THIS_MONTH}")
    assert refused.returncode != 0
    assert f"{path}: keycloak.realms: is not a known key" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_missing_secret_is_said_in_one_line_and_sinks_no_other_deployment(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_GITLAB_TOKEN")
    run = dagster_asset_materialize(
        "--select", "raw_gitlab_commits", "--partition-range", f"a|{THIS_MONTH}...b|{THIS_MONTH}"
    )
    assert run.returncode != 0
    assert "a.yaml: gitlab.token: environment variable A_GITLAB_TOKEN is not set" in run.stderr
    assert materialized(pipeline, "raw_gitlab_commits") == {f"b|{LAST_MONTH}", f"b|{THIS_MONTH}"}
