"""When a pull learns who somebody is: the days of that person, and no others, are counted again."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from renku_metrics import partitions
from renku_metrics.assets.people import PEOPLE
from renku_metrics.assets.resources import CentralStore
from renku_metrics.periods import now, ranges_of_days
from renku_metrics.store import freshness
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, USER_DAYS


def sensor(grid: partitions.Grid, default_status: dg.DefaultSensorStatus) -> dg.SensorDefinition:
    """Requests events and user days of the days whose people are known as others since; the numbers follow."""

    @dg.sensor(
        name="count_days_of_relinked_people",
        job=dg.define_asset_job("count_days", selection=[EVENTS.name, USER_DAYS.name]),
        minimum_interval_seconds=300,
        default_status=default_status,
        description="Counts the days again that have events of somebody whom a later pull knows as another.",
    )
    def count_days_of_relinked_people(central_store: CentralStore) -> Iterator[dg.RunRequest]:
        store = central_store.open()
        for deployment in grid.deployments:
            days = relinked_days(store, deployment)
            known = {dt.date.fromisoformat(day) for day in days if grid.holds((deployment, day), now())}
            for first, last in ranges_of_days(known):
                learned = max(days[day.isoformat()] for day in known if first <= day <= last)
                yield dg.RunRequest(
                    run_key=f"{deployment} {first} {last} {learned}",
                    tags={"deployment": deployment, **partitions.range_tags(deployment, first, last)},
                )

    return count_days_of_relinked_people


def relinked_days(store: Store, deployment: str) -> dict[str, str]:
    """The days not counted since it was learned who somebody in them is, and when that was, for comparison."""
    people = freshness.read(store, deployment, PEOPLE)
    built = freshness.read(store, deployment, EVENTS.name)
    return {day: people[day].version for day in freshness.stale(PEOPLE, people, built)}
