"""The grid of partitions, asked the way Dagster asks it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import dagster as dg
import pytest
from dagster import partition_loading_context

from renku_metrics.dagster import partitions
from renku_metrics.dagster.partitions import Grid
from renku_metrics.deployments import Deployment
from renku_metrics.tables import PeriodKind

# A Tuesday.
NOW = dt.datetime(2026, 11, 24, 9, 30, tzinfo=dt.UTC)


def deployment(name: str, start: str) -> Deployment:
    return Deployment(name=name, title=name, start=dt.date.fromisoformat(start))


@pytest.fixture
def grid() -> Grid:
    return Grid.of([deployment("renkulab-io", "2026-10-20"), deployment("alps", "2026-09-17")])


def times(grain: dg.PartitionsDefinition, name: str = "alps", now: dt.datetime = NOW) -> list[str]:
    """The days, weeks or months of one deployment."""
    keys = grain.get_partition_keys(current_time=now)
    return [key.removeprefix(f"{name}|") for key in keys if key.startswith(f"{name}|")]


def needed(grid: Grid, kind: PeriodKind, key: str, now: dt.datetime = NOW) -> list[str]:
    """The keys of the days that a week or month is counted from."""
    downstream = grid.by_period(kind)
    with partition_loading_context(now):
        result = partitions.days_of_period(kind).get_upstream_mapped_partitions_result_for_partitions(
            downstream.subset_with_partition_keys([key]), downstream, grid.by_day, now
        )
        assert not result.required_but_nonexistent_subset.get_partition_keys()
        return sorted(result.partitions_subset.get_partition_keys())


def touched(grid: Grid, kind: PeriodKind, days: Collection[str], now: dt.datetime = NOW) -> list[str]:
    """The keys of the weeks or months that are counted anew when days change."""
    with partition_loading_context(now):
        subset = partitions.days_of_period(kind).get_downstream_partitions_for_partitions(
            grid.by_day.subset_with_partition_keys(days), grid.by_day, grid.by_period(kind), now
        )
        return sorted(subset.get_partition_keys())


def in_range(grain: dg.PartitionsDefinition, tags: dict[str, str]) -> list[str]:
    """The partitions of a run with these tags."""
    ends = tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]
    with partition_loading_context(NOW):
        return sorted(grain.get_partition_keys_in_range(dg.PartitionKeyRange(*ends)))


def test_days_begin_with_the_month_of_the_earliest_start_and_end_with_yesterday(grid: Grid) -> None:
    first, last = dt.date(2026, 9, 1), dt.date(2026, 11, 23)
    expected = [(first + dt.timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]

    assert times(grid.by_day) == expected
    # One grid for all: also for a deployment that began later.
    assert times(grid.by_day, "renkulab-io") == expected
    assert grid.days(NOW) == expected


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-24T00:00:00+00:00", "2026-11-23"),
        ("2026-11-24T23:59:59+00:00", "2026-11-23"),
        ("2026-11-25T00:00:00+00:00", "2026-11-24"),
        # The day ends in UTC, whatever the clock on the wall says.
        ("2026-11-25T00:59:00+01:00", "2026-11-23"),
        ("2026-11-24T19:00:00-05:00", "2026-11-24"),
    ],
)
def test_a_day_is_a_partition_once_it_is_over(grid: Grid, now: str, last: str) -> None:
    moment = dt.datetime.fromisoformat(now)
    following = (dt.date.fromisoformat(last) + dt.timedelta(days=1)).isoformat()

    assert grid.days(moment)[-1] == last
    assert times(grid.by_day, now=moment)[-1] == last
    assert grid.holds(("alps", last), moment)
    assert not grid.holds(("alps", following), moment)


def test_the_grid_holds_exactly_its_days(grid: Grid) -> None:
    days = [dt.date(2026, 8, 25) + dt.timedelta(days=number) for number in range(100)]

    assert [day for day in days if grid.holds(("alps", day.isoformat()), NOW)] == [
        dt.date.fromisoformat(day) for day in grid.days(NOW)
    ]
    assert grid.holds(("alps",), NOW)


def test_weeks_begin_with_the_first_monday_of_that_month_and_end_with_the_running_one(grid: Grid) -> None:
    # 1 September 2026 is a Tuesday.
    assert times(grid.by_week) == [
        *("2026-09-07", "2026-09-14", "2026-09-21", "2026-09-28", "2026-10-05", "2026-10-12"),
        *("2026-10-19", "2026-10-26", "2026-11-02", "2026-11-09", "2026-11-16", "2026-11-23"),
    ]
    assert grid.by_period("week") is grid.by_week


def test_a_month_that_begins_on_a_monday_begins_with_its_first_week() -> None:
    # 1 June 2026 is a Monday, 1 March 2026 a Sunday.
    june, march = Grid.of([deployment("a", "2026-06-30")]), Grid.of([deployment("a", "2026-03-02")])

    assert times(june.by_week, "a")[0] == "2026-06-01"
    assert times(march.by_week, "a")[0] == "2026-03-02"


def test_a_week_begins_on_monday_at_midnight_utc(grid: Grid) -> None:
    sunday = dt.datetime(2026, 11, 22, 23, 59, 59, tzinfo=dt.UTC)
    monday = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)

    assert times(grid.by_week, now=sunday)[-1] == "2026-11-16"
    assert times(grid.by_week, now=monday)[-1] == "2026-11-23"


def test_months_begin_with_that_month_and_end_with_the_running_one(grid: Grid) -> None:
    assert times(grid.by_month) == ["2026-09-01", "2026-10-01", "2026-11-01"]
    assert times(grid.by_month, now=dt.datetime(2026, 12, 1, tzinfo=dt.UTC))[-1] == "2026-12-01"
    assert grid.by_period("month") is grid.by_month


def test_keys_read_deployment_then_time(grid: Grid) -> None:
    assert grid.by_deployment.get_partition_keys() == ["alps", "renkulab-io"]
    for grain, time in (
        (grid.by_day, "2026-11-16"),
        (grid.by_week, "2026-11-16"),
        (grid.by_month, "2026-11-01"),
    ):
        assert partitions.key("renkulab-io", time) == f"renkulab-io|{time}"
        with partition_loading_context(NOW):
            assert grain.has_partition_key(f"renkulab-io|{time}")
    assert [definition.name for definition in grid.by_day.partitions_defs] == ["deployment", "event_day"]
    assert [definition.name for definition in grid.by_week.partitions_defs] == ["deployment", "week"]
    assert [definition.name for definition in grid.by_month.partitions_defs] == ["deployment", "month"]


def test_a_week_needs_its_seven_days_of_the_same_deployment(grid: Grid) -> None:
    assert needed(grid, "week", "alps|2026-11-16") == [f"alps|2026-11-{day}" for day in range(16, 23)]
    # Over the end of a month.
    assert needed(grid, "week", "alps|2026-09-28") == [
        *("alps|2026-09-28", "alps|2026-09-29", "alps|2026-09-30"),
        *("alps|2026-10-01", "alps|2026-10-02", "alps|2026-10-03", "alps|2026-10-04"),
    ]


def test_a_month_needs_all_its_days(grid: Grid) -> None:
    assert needed(grid, "month", "renkulab-io|2026-09-01") == [f"renkulab-io|2026-09-{day:02}" for day in range(1, 31)]


def test_the_running_week_and_month_need_the_days_that_are_over(grid: Grid) -> None:
    assert needed(grid, "week", "alps|2026-11-23") == ["alps|2026-11-23"]
    assert needed(grid, "month", "alps|2026-11-01") == [f"alps|2026-11-{day:02}" for day in range(1, 24)]
    assert needed(grid, "week", "alps|2026-11-23", dt.datetime(2026, 11, 23, 9, tzinfo=dt.UTC)) == []


def test_a_changed_day_touches_its_week_and_its_month(grid: Grid) -> None:
    assert touched(grid, "week", ["alps|2026-10-01"]) == ["alps|2026-09-28"]
    assert touched(grid, "month", ["alps|2026-10-01"]) == ["alps|2026-10-01"]
    assert touched(grid, "week", ["alps|2026-11-22", "renkulab-io|2026-11-23"]) == [
        "alps|2026-11-16",
        "renkulab-io|2026-11-23",
    ]
    # Days before the first Monday are in no week.
    assert touched(grid, "week", ["alps|2026-09-06"]) == []
    assert touched(grid, "month", ["alps|2026-09-06"]) == ["alps|2026-09-01"]


def test_a_day_needs_what_is_known_of_its_deployment(grid: Grid) -> None:
    with partition_loading_context(NOW):
        result = partitions.deployment_of_day().get_upstream_mapped_partitions_result_for_partitions(
            grid.by_day.subset_with_partition_keys(["renkulab-io|2026-11-16"]), grid.by_day, grid.by_deployment, NOW
        )

    assert list(result.partitions_subset.get_partition_keys()) == ["renkulab-io"]


def test_a_range_of_days_is_of_one_deployment() -> None:
    grid = Grid.of([deployment(name, "2026-11-01") for name in ("a", "b", "c")])
    tags = partitions.range_tags("b", dt.date(2026, 11, 9), dt.date(2026, 11, 11))

    assert in_range(grid.by_day, tags) == ["b|2026-11-09", "b|2026-11-10", "b|2026-11-11"]


def test_everything_is_every_partition(grid: Grid) -> None:
    with partition_loading_context(NOW):
        everything = [partitions.everything(grain) for grain in (grid.by_deployment, grid.by_day, grid.by_month)]

    for grain, tags in zip((grid.by_deployment, grid.by_day, grid.by_month), everything, strict=True):
        assert in_range(grain, tags) == sorted(grain.get_partition_keys(current_time=NOW))


def test_the_keys_of_a_run_are_sorted_out_by_deployment() -> None:
    keys = ["renkulab-io|2026-11-17", "alps|2026-11-16", "renkulab-io|2026-11-16"]

    assert partitions.by_deployment(keys) == {
        "alps": ["2026-11-16"],
        "renkulab-io": ["2026-11-16", "2026-11-17"],
    }
    assert partitions.by_deployment(["renkulab-io", "alps"]) == {"alps": [], "renkulab-io": []}
    assert partitions.by_deployment([]) == {}
