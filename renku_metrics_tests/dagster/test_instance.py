"""One dagster.yaml: SQLite with nothing set, PostgreSQL and S3 where the environment names them."""

from __future__ import annotations

import datetime as dt
import logging
import os
import subprocess
import sys
from pathlib import Path

import boto3
import dagster as dg
import pytest
import yaml
from dagster._core.instance import InstanceRef
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import TickStatus
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._scheduler.scheduler import launch_scheduled_runs

from renku_metrics.dagster.instance import COMPUTE_LOGS, POSTGRES, POSTGRES_PORT
from renku_metrics.environment import PROJECT
from renku_metrics.errors import ConfigurationError
from renku_metrics_tests.dagster.dagster_stack import dagster_home
from renku_metrics_tests.dagster.tiny_location import tiny

NAMES = (*POSTGRES, POSTGRES_PORT, COMPUTE_LOGS)
RUN = """
import dagster as dg
from renku_metrics_tests.dagster.tiny_location import tiny
with dg.DagsterInstance.get() as instance:
    dg.materialize([tiny], partition_key="renkulab-io", instance=instance)
"""
# Several S3-compatible servers need these for the logs of runs.
CHECKSUMS = ("AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["sqlite", "postgres"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InstanceRef:
    """The project's dagster.yaml in a new folder, on either storage."""
    if request.param == "postgres":
        for name, value in request.getfixturevalue("postgres").items():
            monkeypatch.setenv(name, value)
    return reference(tmp_path)


def reference(folder: Path) -> InstanceRef:
    return InstanceRef.from_dir(str(folder), config_dir=str(PROJECT))


def set_postgres(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setenv(name, "5432" if name == POSTGRES_PORT else "a-secret-that-stays-out")


def test_nothing_set_is_sqlite_and_local_files_below_the_home(tmp_path: Path) -> None:
    ref = reference(tmp_path)
    assert ref.storage_data is not None
    assert (ref.storage_data.class_name, ref.storage_data.config_dict) == (
        "DagsterSqliteStorage",
        {"base_dir": str(tmp_path)},
    )
    assert ref.compute_logs_data.class_name == "LocalComputeLogManager"


def test_postgres_is_referred_to_by_names_of_variables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_postgres(monkeypatch, *POSTGRES)
    ref = reference(tmp_path)
    assert ref.storage_data is not None
    assert ref.storage_data.class_name == "DagsterPostgresStorage"
    assert ref.storage_data.config_dict["postgres_db"]["scheme"] == "postgresql+psycopg2"
    assert ref.storage_data.config_dict["postgres_db"]["password"] == {"env": "DAGSTER_POSTGRES_PASSWORD"}
    assert "a-secret-that-stays-out" not in str(ref.to_dict())


@pytest.mark.parametrize("name", [*POSTGRES, POSTGRES_PORT])
def test_half_a_postgres_is_one_line_that_names_what_is_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_postgres(monkeypatch, name)
    with pytest.raises(ConfigurationError) as raised:
        reference(tmp_path)
    line = str(raised.value)
    assert "\n" not in line
    assert "a-secret-that-stays-out" not in line
    missing = line.partition("but not ")[2].partition(";")[0].split(", ")
    assert missing == [other for other in POSTGRES if other != name]


def test_a_dagster_command_says_it_without_a_traceback(tmp_path: Path) -> None:
    environment = {**os.environ, "DAGSTER_HOME": str(dagster_home(tmp_path)), "DAGSTER_POSTGRES_HOST": "db"}
    command = [sys.executable, "-m", "dagster", "instance", "info"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Error: Dagster's PostgreSQL: DAGSTER_POSTGRES_HOST is set, but not DAGSTER_POSTGRES_USER, "
        "DAGSTER_POSTGRES_PASSWORD, DAGSTER_POSTGRES_DB; set all of them for PostgreSQL, or none for SQLite"
    )


def test_compute_logs_go_to_the_bucket_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMPUTE_LOGS, "s3://renku-metrics/compute-logs/")
    compute_logs = reference(tmp_path).compute_logs_data
    assert compute_logs.class_name == "S3ComputeLogManager"
    assert (compute_logs.config_dict["bucket"], compute_logs.config_dict["prefix"]) == (
        "renku-metrics",
        "compute-logs/",
    )


def test_what_a_run_prints_arrives_in_the_bucket(bucket: str, tmp_path: Path) -> None:
    hosting = yaml.safe_load((PROJECT / "hosting" / "compose.yaml").read_text())
    daemon = hosting["services"]["daemon"]["environment"]
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(dagster_home(tmp_path)),
        COMPUTE_LOGS: f"s3://{bucket}/compute-logs",
        "AWS_DEFAULT_REGION": os.environ["AWS_REGION"],
        **{name: daemon[name] for name in CHECKSUMS},
    }
    subprocess.run([sys.executable, "-c", RUN], env=environment, cwd=PROJECT, capture_output=True, check=True)

    with dg.DagsterInstance.from_ref(reference(tmp_path)) as instance:
        [run] = instance.get_runs()
    s3 = boto3.client("s3")
    folder = f"compute-logs/storage/{run.run_id}/compute_logs/"
    listed = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    logs = {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode() for key in listed}
    assert all(key.startswith(folder) for key in logs)
    assert [text for key, text in logs.items() if key.endswith(".out")] == ["said by tiny\n"]
    assert ["tiny complains\n" in text for key, text in logs.items() if key.endswith(".err")] == [True]


@pytest.mark.parametrize("address", ["renku-metrics/logs", "s3://", "s3://bucket", "https://s3.example.org/logs"])
def test_compute_logs_elsewhere_are_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(COMPUTE_LOGS, address)
    with pytest.raises(ConfigurationError, match="must be s3://bucket/prefix"):
        reference(tmp_path)


def test_a_run_and_a_pool_outlive_the_process(home: InstanceRef) -> None:
    with dg.DagsterInstance.from_ref(home) as instance:
        result = dg.materialize([tiny], partition_key="renkulab-io", instance=instance)
        assert result.success
        assert instance.event_log_storage.supports_global_concurrency_limits
        instance.event_log_storage.set_concurrency_slots("gitlab", 1)
        assert instance.event_log_storage.claim_concurrency_slot("gitlab", result.run_id, "tiny").is_claimed
    with dg.DagsterInstance.from_ref(home) as other:
        assert other.get_materialized_partitions(dg.AssetKey("tiny")) == {"renkulab-io"}
        run = other.get_run_by_id(result.run_id)
        assert run is not None
        assert run.is_success
        assert not other.event_log_storage.claim_concurrency_slot("gitlab", "another", "tiny").is_claimed


def test_a_schedule_ticks_and_asks_for_a_run(home: InstanceRef) -> None:
    location = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name="renku_metrics_tests.dagster.tiny_location"),
        location_name="tiny_location",
    )
    begun = dt.datetime(2026, 11, 23, 0, 59, tzinfo=dt.UTC)
    with (
        dg.DagsterInstance.from_ref(home) as instance,
        create_test_daemon_workspace_context(InProcessWorkspaceLoadTarget([location]), instance) as workspace,
    ):
        for now in (begun, begun + dt.timedelta(minutes=2)):
            list(launch_scheduled_runs(workspace, logging.getLogger("test"), now, {}))
        (state,) = instance.all_instigator_state()
        (tick,) = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        (run,) = instance.get_runs(dg.RunsFilter(run_ids=list(tick.run_ids)))
    assert tick.status == TickStatus.SUCCESS
    assert tick.timestamp == dt.datetime(2026, 11, 23, 1, tzinfo=dt.UTC).timestamp()
    assert run.tags["dagster/partition"] == "renkulab-io"
