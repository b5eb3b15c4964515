"""The events and the user days: pure functions of the raw tables, per deployment and day."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from renku_metrics import partitions
from renku_metrics.assets.building import store_events, store_user_days
from renku_metrics.assets.per_deployment import Materialized, each_deployment, materialized
from renku_metrics.assets.resources import CentralStore
from renku_metrics.assets.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.events.union import EventsBuilt
from renku_metrics.tables import (
    EVENT_TYPES,
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
)

GROUP = "events"
# Days worked on at once: enough to keep the store's connections busy, few enough for a small memory.
DAYS_AT_ONCE = 60
Results = Iterator[dg.MaterializeResult[None]]


def event_assets(deployments: Mapping[str, Deployment], grid: partitions.Grid) -> list[dg.AssetsDefinition]:
    """The assets ``events`` and ``user_days``."""

    @dg.asset(
        name=EVENTS.name,
        partitions_def=grid.by_day,
        backfill_policy=ONE_RUN,
        deps=[
            *(
                dg.AssetDep(table.name, partition_mapping=partitions.deployment_of_day())
                for table in (RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)
            ),
            *(table.name for table in (RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS)),
        ],
        **specification(EVENTS, GROUP),
    )
    def events(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()

        def work(name: str, days: list[str]) -> Iterator[Materialized]:
            for some in _batched(days):
                built, written = store_events(store, deployments[name], some)
                facts = {place: _facts(built.of_day(place[1])) for place in written}
                yield from materialized(store, EVENTS, written, facts)

        yield from each_deployment(context, work)

    @dg.asset(
        name=USER_DAYS.name,
        partitions_def=grid.by_day,
        backfill_policy=ONE_RUN,
        deps=[EVENTS.name],
        **specification(USER_DAYS, GROUP),
    )
    def user_days_asset(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()

        def work(name: str, days: list[str]) -> Iterator[Materialized]:
            for some in _batched(days):
                found, written = store_user_days(store, deployments[name], some)
                users = found.groupby("event_day")["user_id"].nunique()
                facts = {place: {"users": int(users.get(place[1], 0))} for place in written}
                yield from materialized(store, USER_DAYS, written, facts)

        yield from each_deployment(context, work)

    return [events, user_days_asset]


def _batched(days: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(days), DAYS_AT_ONCE):
        yield days[start : start + DAYS_AT_ONCE]


def _facts(of_day: EventsBuilt) -> dict[str, Any]:
    """What became of a day's raw rows: events by type, and how many were dropped or linked by each rule."""
    counts = of_day.events["event_type"].value_counts()
    return {
        # Of every type, for a day that lacks one would be a gap in its plot.
        **{event_type: int(counts.get(event_type, 0)) for event_type in EVENT_TYPES},
        "raw_rows": of_day.rows,
        "dropped_rows": sum(of_day.dropped.values()),
        "dropped": {reason: count for reason, count in of_day.dropped.items() if count},
        "linked": {rule: count for rule, count in of_day.linked.items() if count},
    }
