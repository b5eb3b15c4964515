"""The whole pipeline with its store and the audit log on S3: the numbers are those of directories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import dagster as dg
import pandas as pd
import pytest

from renku_metrics.periods import Period, midnight
from renku_metrics.tables import EVENTS, PeriodKind
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served
from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment

START = Period.of("month", TODAY).start
PLACES = [("lab", START.isoformat())]
KINDS: tuple[PeriodKind, ...] = ("week", "month")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RenkuLab]:
    """A deployment that answers; its secrets are in the environment."""
    lab = RenkuLab("lab", tmp_path_factory.mktemp("audit-log"), now=midnight(START))
    Population(lab, seed=3, people=12, projects=5).live(midnight(TODAY))
    folder = tmp_path_factory.mktemp("unused")
    with pytest.MonkeyPatch.context() as patch, served([lab], folder, START, patch):
        yield lab


@pytest.fixture(scope="module")
def in_directories(lab: RenkuLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """Everything pulled, counted and published with the store and the audit log in directories."""
    folder = tmp_path_factory.mktemp("pipeline")
    write_deployment(lab, folder / "deployments", START)
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(folder / "deployments", str(folder / "store"), instance)
        pipeline.materialize_everything()
        yield pipeline


def copy_audit_log(lab: RenkuLab, bucket: str, prefix: str) -> None:
    names = [path.name for path in lab.audit_log.iterdir()]
    # The offset in Amalthea's names of files: a sign that a URL may take for a space.
    assert all("+0000" in name for name in names)
    for name in names:
        boto3.client("s3").upload_file(str(lab.audit_log / name), bucket, f"{prefix}/{name}")


def objects(pipeline: Pipeline) -> list[str]:
    return [info.key for info in pipeline.store.storage.list()]


def test_numbers_from_a_bucket_are_those_from_a_directory(
    lab: RenkuLab, in_directories: Pipeline, bucket: str, s3_environment: str, tmp_path: Path
) -> None:
    copy_audit_log(lab, bucket, "raw/audit log")
    write_deployment(lab, tmp_path, START, audit_log=f"s3://{bucket}/raw/audit log", endpoint_url=s3_environment)
    with dg.DagsterInstance.ephemeral() as instance:
        in_bucket = Pipeline(tmp_path, f"s3://{bucket}/renku/metrics", instance)
        in_bucket.materialize_everything()

    assert objects(in_bucket) == objects(in_directories)
    events = in_directories.store.read(EVENTS, PLACES)
    assert set(events["event_type"]) >= {"login", "commit", "session_started"}
    pd.testing.assert_frame_equal(in_bucket.store.read(EVENTS, PLACES), events)
    for kind in KINDS:
        assert (in_directories.published(kind)["users"] > 0).any()
        published = in_directories.published(kind).drop(columns="computed_at")
        pd.testing.assert_frame_equal(in_bucket.published(kind).drop(columns="computed_at"), published)
