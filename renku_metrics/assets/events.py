"""The events and the user days: pure functions of the raw tables, per deployment and day."""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pandas as pd

from renku_metrics import partitions
from renku_metrics.assets.per_deployment import Materialized, each_deployment, materialized
from renku_metrics.assets.resources import CentralStore
from renku_metrics.assets.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.events.union import EventsBuilt, RawFrames, build_events
from renku_metrics.events.user_days import user_days
from renku_metrics.periods import now
from renku_metrics.store import freshness
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
    Table,
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
            for some in _batched(name, days):
                begun = now()
                built = build_events(read_raw(store, deployments[name], some))
                written = store.write(EVENTS, built.events, some)
                freshness.record_partitions(store, EVENTS, written, begun)
                yield from materialized(store, EVENTS, written, {place: _facts(built, place[1]) for place in some})

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
            for some in _batched(name, days):
                begun = now()
                found = user_days(store.read(EVENTS, some))
                users = found.groupby("event_day")["user_id"].nunique()
                facts = {place: {"users": int(users.get(place[1], 0))} for place in some}
                written = store.write(USER_DAYS, found, some)
                freshness.record_partitions(store, USER_DAYS, written, begun)
                yield from materialized(store, USER_DAYS, written, facts)

        yield from each_deployment(context, work)

    return [events, user_days_asset]


def read_raw(store: Store, deployment: Deployment, days: list[Partition]) -> RawFrames:
    """The raw tables of some days of a deployment, with all its projects and users.

    Days before the deployment's start are empty. Raises StoreError when a table that the deployment has a source
    for was not pulled yet.
    """

    def read(table: Table, source: object, places: list[Partition]) -> pd.DataFrame:
        return store.read(table, places) if source else table.frame()

    whole: list[Partition] = [(deployment.name,)]
    started = [place for place in days if dt.date.fromisoformat(place[1]) >= deployment.start]
    return RawFrames(
        deployment=deployment.name,
        projects=read(RAW_GITLAB_PROJECTS, deployment.gitlab, whole),
        gitlab_users=read(RAW_GITLAB_USERS, deployment.gitlab, whole),
        keycloak_users=read(RAW_KEYCLOAK_USERS, deployment.keycloak, whole),
        commits=read(RAW_GITLAB_COMMITS, deployment.gitlab, started),
        logins=read(RAW_KEYCLOAK_LOGINS, deployment.keycloak, started),
        sessions=read(RAW_AMALTHEA_SESSIONS, deployment.amalthea, started),
    )


def _batched(name: str, days: list[str]) -> Iterator[list[Partition]]:
    for start in range(0, len(days), DAYS_AT_ONCE):
        yield [(name, day) for day in days[start : start + DAYS_AT_ONCE]]


def _facts(built: EventsBuilt, day: str) -> dict[str, Any]:
    """What became of the day's raw rows: events by type, and how many were dropped or linked by each rule.

    Raises RenkuMetricsError when a row is neither an event nor dropped for a reason.
    """
    of_day = built.of_day(day)
    if not of_day.conserved:
        raise RenkuMetricsError(f"events of {day}: {of_day.rows} raw rows became neither events nor dropped rows")
    return {
        **{str(event_type): int(count) for event_type, count in of_day.events["event_type"].value_counts().items()},
        "raw_rows": of_day.rows,
        "dropped_rows": sum(of_day.dropped.values()),
        "dropped": {reason: count for reason, count in of_day.dropped.items() if count},
        "linked": {rule: count for rule, count in of_day.linked.items() if count},
    }
