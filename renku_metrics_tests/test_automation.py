"""What is pulled when, and what follows from which change."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from renku_metrics.definitions import build_definitions
from renku_metrics.deployments import Deployment, read_deployments
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics_tests.assets.pipeline import METRICS, PEOPLE_AND_PROJECTS, RAW_DAYS, Pipeline
from renku_metrics_tests.assets.small_lab import SmallLab, served

TODAY = dt.datetime.now(dt.UTC).date()
YESTERDAY = TODAY - ONE_DAY
# A week, and a month, that are as good as over, in a grid that holds them whole.
OLD_DAY = Period.of("week", TODAY).start - 11 * ONE_DAY
START = Period.of("week", OLD_DAY).start

Requested = dict[str, set[str]]


class Ticks:
    """The automation of a pipeline, evaluated tick by tick."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._definitions = pipeline.definitions
        self._instance = pipeline.instance
        self._assets = [key for key in self._definitions.resolve_asset_graph().get_all_asset_keys()]
        self._cursor: dg.AssetDaemonCursor | None = None

    def next(self) -> Requested:
        """The partitions requested of each asset; of one without partitions an empty set."""
        result = dg.evaluate_automation_conditions(
            defs=self._definitions, instance=self._instance, cursor=self._cursor
        )
        self._cursor = result.cursor
        return {r.key.to_user_string(): set(map(str, r.true_subset.expensively_compute_partition_keys())) if r.true_subset.is_partitioned else set() for r in result.results if not r.true_subset.is_empty}
