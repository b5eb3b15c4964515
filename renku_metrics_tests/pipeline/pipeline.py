"""Runs the whole pipeline in one process, as a test's way to the published numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from renku_metrics.dagster import events
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.definitions import build_definitions
from renku_metrics.events import union
from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.sources.registry import read_deployments
from renku_metrics.store.files import WHOLE
from renku_metrics.store.store import Store
from renku_metrics.tables import PeriodKind, published_table

METRICS = [metric.key for metric in (ACTIVE_USERS, *CORE_ACTIONS)]
PEOPLE_AND_PROJECTS = ["raw_gitlab_projects", "raw_gitlab_users", "raw_keycloak_users"]
RAW_DAYS = ["raw_gitlab_commits", "raw_gitlab_pushes", "raw_keycloak_logins", "raw_amalthea_sessions"]


@dataclass(frozen=True)
class Pipeline:
    """The assets of a folder of deployment files on one store, with a Dagster instance of its own."""

    deployments: Path
    address: str
    instance: dg.DagsterInstance
    core_actions: Sequence[CoreAction] = CORE_ACTIONS

    @property
    def store(self) -> Store:
        return Store.at(self.address)

    @property
    def definitions(self) -> dg.Definitions:
        return build_definitions(read_deployments(self.deployments), self.address, self.core_actions)

    def materialize(
        self,
        names: Sequence[str],
        *,
        partition: str | None = None,
        of: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """One partition of the assets, all of a deployment, those of a range's tags, or all there are."""
        definitions = self.definitions
        grain = definitions.resolve_assets_def(names[0]).partitions_def
        if tags is None and grain and partition is None:
            keys = [key for key in grain.get_partition_keys() if of is None or key.split("|")[0] == of]
            tags = range_of(keys[0], keys[-1])
        return dg.materialize(
            [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)],
            selection=dg.AssetSelection.assets(*names),
            instance=self.instance,
            resources={"central_store": CentralStore(address=self.address)},
            partition_key=partition,
            tags=tags,
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )

    def materialize_everything(self) -> None:
        for names in (
            PEOPLE_AND_PROJECTS,
            [*RAW_DAYS, "events", "user_days"],
            [f"{key}_weekly" for key in METRICS],
            [f"{key}_monthly" for key in METRICS],
            ["published"],
        ):
            result = self.materialize(names)
            failures = [event.event_specific_data for event in result.all_events if event.is_step_failure]
            assert result.success, failures

    def published(self, kind: PeriodKind) -> pd.DataFrame:
        return self.store.read_if_there(published_table(kind), [WHOLE])


def change_rules_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a new version of this software had other rules of events."""
    new = f"{union.RULES_VERSION} and more"
    for module in (union, events):
        monkeypatch.setattr(module, "RULES_VERSION", new)


def range_of(first: str, last: str) -> dict[str, str]:
    """The tags of a run of the rectangle of partitions between the two."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def counts_of(published: pd.DataFrame, deployment: str) -> dict[tuple[dt.date, str], tuple[int, int]]:
    """Users and active users by first day of the period and core action, where anybody was active."""
    rows = published[(published["deployment"] == deployment) & (published["active_users"] > 0)]
    return {
        (row["period_start"], row["core_action"]): (int(row["users"]), int(row["active_users"]))
        for row in rows.to_dict(orient="records")
    }
