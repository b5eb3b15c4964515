"""What an erasure does to numbers that were published before it."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics.store.files import WHOLE
from renku_metrics.tables import REVISIONS
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served

WEEK = Period.of("week", TODAY - 14 * ONE_DAY)
START = WEEK.start - 7 * ONE_DAY
BOB = "bob@elsewhere.example"


def contributing(pipeline: Pipeline) -> tuple[int, int, bool]:
    """Users, active users and completeness of the week."""
    weekly = pipeline.published("week")
    row = weekly[(weekly["period"] == WEEK.label) & (weekly["core_action"] == "contributing_to_a_project")].iloc[0]
    return int(row["users"]), int(row["active_users"]), bool(row["complete"])


def test_published_numbers_stay_until_counted_again_and_then_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = SmallLab("lab", tmp_path, START - ONE_DAY)
    for day in days_between(START, TODAY - ONE_DAY):
        small.live(day)
    small.commit(WEEK.start + ONE_DAY, by=BOB, quiet=True)
    small.lab.clock.set(midnight(TODAY))
    deployments, store = tmp_path / "deployments", tmp_path / "store"
    monkeypatch.setenv("RENKU_METRICS_STORE", str(store))
    with served([small.lab], deployments, START, monkeypatch), dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(deployments, str(store), instance)
        pipeline.materialize_everything()
        before = pipeline.published("week")
        assert contributing(pipeline) == (2, 2, True)

        result = CliRunner().invoke(renku_metrics, ["erase", "--deployment", "lab", "--email", BOB, "--yes"])
        assert result.exit_code == 0, result.output
        assert pipeline.materialize(["published"]).success
        pd.testing.assert_frame_equal(pipeline.published("week"), before)

        pipeline.materialize_everything()
        assert contributing(pipeline) == (1, 1, True)
        revisions = pipeline.store.read(REVISIONS, [WHOLE])
        assert set(revisions.loc[revisions["period"] == WEEK.label, "reason"]) == {"erasure"}
