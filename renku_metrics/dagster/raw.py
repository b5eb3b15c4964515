"""The raw tables: pulls of the sources, per deployment and per deployment and day.

Asking for a day means: bring this deployment up to date, then that day's file stands. Every other partition a
pull changed on the way is reported to Dagster as materialized too.
"""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from renku_metrics.dagster import partitions
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.dagster.running import Materialized, Results, each_deployment, materialized
from renku_metrics.dagster.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.periods import now
from renku_metrics.pipeline.locks import SourceName
from renku_metrics.pipeline.pulling import Place, Pull
from renku_metrics.pipeline.relinking import PEOPLE
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import (
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    RAW_TABLES,
    Table,
)

GROUP = "raw"
# The tag of a run that lists every project and branch whole again.
RECONCILE = "renku_metrics/reconcile"
# Pulls one thing into the store.
Bring = Callable[[Pull], None]


def raw_assets(deployments: Mapping[str, Deployment], grid: partitions.Grid) -> list[dg.AssetsDefinition]:
    """One asset per raw table."""

    def run(
        context: dg.AssetExecutionContext, store: Store, source: SourceName, bring: Bring, tables: Sequence[Table]
    ) -> Results:
        def work(name: str, days: list[str]) -> Iterator[Materialized]:
            pull = Pull(deployments[name], source, store, now(), context.log.info)
            places: list[Partition] = [(name, day) for day in days] or [(name,)]
            asked = {(table.name, place) for table in tables for place in places}
            with pull.alone():
                # Another pull may have held it for long: what was committed meanwhile is not of the future.
                pull.now = now()
                try:
                    bring(pull)
                except Exception:
                    # What it stored stays and must be counted; what it was asked for stays failed.
                    yield from _others_changed(pull, grid, asked)
                    raise
                yield from _others_changed(pull, grid, asked)
                for table in tables:
                    yield from _standing(pull, table, places, {places[-1]: pull.facts})

        yield from each_deployment(context, work)

    def asset(table: Table, source: SourceName, grain: dg.PartitionsDefinition, bring: Bring) -> dg.AssetsDefinition:
        @dg.asset(
            name=table.name,
            partitions_def=grain,
            backfill_policy=ONE_RUN,
            **specification(table, GROUP, {source}),
        )
        def pulled_table(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
            yield from run(context, central_store.open(), source, bring, [table])

        return pulled_table

    # One pull brings both, since it is push events that tell who pushed a commit.
    @dg.multi_asset(
        name="raw_gitlab_history",
        specs=[
            dg.AssetSpec(RAW_GITLAB_PUSHES.name, **specification(RAW_GITLAB_PUSHES, GROUP, {"gitlab"})),
            dg.AssetSpec(
                RAW_GITLAB_COMMITS.name,
                deps=[RAW_GITLAB_PUSHES.name],
                **specification(RAW_GITLAB_COMMITS, GROUP, {"gitlab"}),
            ),
        ],
        partitions_def=grid.by_day,
        backfill_policy=ONE_RUN,
        can_subset=True,
    )
    def raw_gitlab_history(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        selected = {asset.to_user_string() for asset in context.selected_asset_keys}
        tables = [table for table in (RAW_GITLAB_PUSHES, RAW_GITLAB_COMMITS) if table.name in selected]

        def bring(pull: Pull) -> None:
            if context.run.tags.get(RECONCILE) == "true":
                pull.gitlab_reconciliation()
            else:
                pull.gitlab_history(with_pushes=RAW_GITLAB_PUSHES in tables)

        yield from run(context, central_store.open(), "gitlab", bring, tables)

    return [
        asset(RAW_GITLAB_PROJECTS, "gitlab", grid.by_deployment, Pull.gitlab_projects),
        asset(RAW_GITLAB_USERS, "gitlab", grid.by_deployment, Pull.gitlab_users),
        raw_gitlab_history,
        asset(RAW_KEYCLOAK_USERS, "keycloak", grid.by_deployment, Pull.keycloak_users),
        asset(RAW_KEYCLOAK_LOGINS, "keycloak", grid.by_day, Pull.keycloak_logins),
        asset(RAW_AMALTHEA_SESSIONS, "amalthea", grid.by_day, Pull.amalthea_sessions),
    ]


def _others_changed(pull: Pull, grid: partitions.Grid, asked: Container[Place]) -> Iterator[Materialized]:
    """The partitions that were not asked for, but that this pull or one that was killed before it has changed."""
    for table in RAW_TABLES:
        places = [place for place in pull.unreported(table) if (table.name, place) not in asked]
        yield from _standing(pull, table, [place for place in places if grid.holds(place, pull.now)], {})


def _standing(
    pull: Pull, table: Table, places: Sequence[Partition], facts: Mapping[Partition, dict[str, Any]]
) -> Iterator[Materialized]:
    """The partitions as they stand in the store, known to Dagster afterwards."""
    stored = pull.standing(table, places)
    if table is RAW_GITLAB_COMMITS:
        # Whose commits they are is part of what events are made from.
        relinked = freshness.read(pull.store, pull.deployment.name, PEOPLE) if places else {}
        stored = {
            place: replace(state, version=f"{state.version} {relinked[place[1]].version}")
            if place[1] in relinked
            else state
            for place, state in stored.items()
        }
    yield from materialized(pull.store, table, stored, facts)
    pull.reported((table.name, place) for place in places)
