"""The events and the user days: pure functions of the raw tables, per deployment and month."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from renku_metrics.dagster import partitions
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.dagster.running import Materialized, Results, each_deployment, materialized
from renku_metrics.dagster.specifications import ONE_RUN, specification
from renku_metrics.deployments import Deployment
from renku_metrics.errors import NotConservedError
from renku_metrics.events.union import RULES_VERSION, EventsBuilt
from renku_metrics.pipeline.building import store_events, store_user_days
from renku_metrics.sources.registry import all_sources
from renku_metrics.store.store import MONTHS_AT_ONCE, batches
from renku_metrics.tables import EVENT_TYPES, EVENTS, USER_DAYS

EVENTS_GROUP = "events"
# If a month fails, nothing of it is stored, so nothing is built from it.
CONSERVED = dg.AssetCheckSpec(
    "rows_are_conserved",
    asset=EVENTS.name,
    description="Rows in = events out + dropped: each raw row is the origin of one event, or dropped for one reason.",
)


def event_assets(deployments: Mapping[str, Deployment], grid: partitions.Grid) -> list[dg.AssetsDefinition]:
    """The assets ``events`` and ``user_days``."""
    tables = dict.fromkeys(table for source in all_sources() for table in source.events_from)

    @dg.asset(
        name=EVENTS.name,
        partitions_def=grid.by_month,
        backfill_policy=ONE_RUN,
        deps=[
            dg.AssetDep(table.name, partition_mapping=None if table.by_month else partitions.deployment_of_month())
            for table in tables
        ],
        code_version=RULES_VERSION,
        check_specs=[CONSERVED],
        **specification(EVENTS, EVENTS_GROUP),
    )
    def events(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()
        rows = 0
        violated: list[str] = []

        def work(name: str, months: list[str]) -> Iterator[Materialized]:
            nonlocal rows
            for some in batches(months, MONTHS_AT_ONCE):
                try:
                    built, written = store_events(store, deployments[name], some)
                except NotConservedError as error:
                    violated.append(str(error))
                    raise
                rows += built.rows
                facts = {place: _facts(built.of_month(place[1])) for place in written}
                yield from materialized(store, EVENTS, written, facts)

        def checked() -> Iterator[dg.AssetCheckResult]:
            facts: dict[str, Any] = {"raw_rows": rows, "violated": violated}
            yield dg.AssetCheckResult(check_name=CONSERVED.name, passed=not violated, metadata=facts)

        yield from each_deployment(context, work, checked)

    @dg.asset(
        name=USER_DAYS.name,
        partitions_def=grid.by_month,
        backfill_policy=ONE_RUN,
        deps=[EVENTS.name],
        code_version=RULES_VERSION,
        **specification(USER_DAYS, EVENTS_GROUP),
    )
    def user_days_asset(context: dg.AssetExecutionContext, central_store: CentralStore) -> Results:
        store = central_store.open()

        def work(name: str, months: list[str]) -> Iterator[Materialized]:
            for some in batches(months, MONTHS_AT_ONCE):
                found, written = store_user_days(store, deployments[name], some)
                users = found.groupby("month")["user_id"].nunique()
                facts = {place: {"users": int(users.get(place[1], 0))} for place in written}
                yield from materialized(store, USER_DAYS, written, facts)

        yield from each_deployment(context, work)

    return [events, user_days_asset]


def _facts(of_month: EventsBuilt) -> dict[str, Any]:
    """What became of a month's raw rows: events by type, and how many each rule dropped, corrected or linked."""
    counts = of_month.events["event_type"].value_counts()
    return {
        # Types with no event too, or a month without one would be a gap in its plot.
        **{event_type: int(counts.get(event_type, 0)) for event_type in EVENT_TYPES},
        "raw_rows": of_month.rows,
        "dropped_rows": sum(of_month.dropped.values()),
        "dropped": {reason: count for reason, count in of_month.dropped.items() if count},
        "corrected": {correction: count for correction, count in of_month.corrected.items() if count},
        "linked": {rule: count for rule, count in of_month.linked.items() if count},
    }
