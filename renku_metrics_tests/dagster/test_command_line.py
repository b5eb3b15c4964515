"""``dagster asset materialize`` as people type it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics_tests.pipeline.pipeline import PEOPLE_AND_PROJECTS, RAW_DAYS, Pipeline
from renku_metrics_tests.pipeline.small_lab import SmallLab, served
from renku_metrics_tests.present import TODAY, YESTERDAY

PROJECT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("real_clock")
BEFORE = YESTERDAY - ONE_DAY


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
    monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", str(pipeline.deployments))
    monkeypatch.setenv("RENKU_METRICS_STORE", pipeline.address)
    (tmp_path / "home").mkdir()
    with (
        served(labs, pipeline.deployments, BEFORE, monkeypatch),
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
    one = dagster_asset_materialize("--select", "raw_gitlab_commits", "--partition", f"a|{YESTERDAY}")
    assert one.returncode == 0, one.stderr
    # The first pull is the backfill of all history.
    assert materialized(pipeline, "raw_gitlab_commits") == {f"a|{BEFORE}", f"a|{YESTERDAY}"}

    people = dagster_asset_materialize("--select", ",".join(PEOPLE_AND_PROJECTS), "--partition-range", "a...b")
    assert people.returncode == 0, people.stderr
    days = ",".join([*RAW_DAYS, "events", "user_days"])
    counted = dagster_asset_materialize("--select", days, "--partition-range", f"a|{BEFORE}...b|{YESTERDAY}")
    assert counted.returncode == 0, counted.stderr
    rectangle = {f"{deployment}|{day}" for deployment in "ab" for day in (BEFORE, YESTERDAY)}
    for name in (*RAW_DAYS, "events", "user_days"):
        assert materialized(pipeline, name) == rectangle


def test_a_wrong_deployment_file_is_one_line_that_names_file_and_key(pipeline: Pipeline) -> None:
    path = pipeline.deployments / "a.yaml"
    path.write_text(path.read_text().replace("realm: Renku", "realms: Renku"))
    refused = dagster_asset_materialize("--select", "raw_gitlab_commits", "--partition", f"a|{YESTERDAY}")
    assert refused.returncode != 0
    assert f"{path}: keycloak.realms: is not a known key" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_missing_secret_is_said_in_one_line_and_sinks_no_other_deployment(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_GITLAB_TOKEN")
    run = dagster_asset_materialize(
        "--select", "raw_gitlab_commits", "--partition-range", f"a|{YESTERDAY}...b|{YESTERDAY}"
    )
    assert run.returncode != 0
    assert "a.yaml: gitlab.token: environment variable A_GITLAB_TOKEN is not set" in run.stderr
    assert materialized(pipeline, "raw_gitlab_commits") == {f"b|{BEFORE}", f"b|{YESTERDAY}"}
