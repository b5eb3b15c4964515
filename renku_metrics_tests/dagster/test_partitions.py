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
from renku_metrics.periods import ONE_DAY, Period

# A Tuesday.
NOW = dt.datetime(2026, 11, 24, 9, 30, tzinfo=dt.UTC)


def deployment(name: str, start: str) -> Deployment:
    return Deployment(name=name, title=name, start=dt.date.fromisoformat(start))


@pytest.fixture
def grid() -> Grid:
    return Grid.of([deployment("renkulab-io", "2026-10-20"), deployment("alps", "2026-09-17")])


def times(grain: dg.PartitionsDefinition, name: str = "alps", now: dt.datetime = NOW) -> list[str]:
    """The weeks or months of one deployment."""
    keys = grain.get_partition_keys(current_time=now)
    return [key.removeprefix(f"{name}|") for key in keys if key.startswith(f"{name}|")]


def needed(grid: Grid, week: str, now: dt.datetime = NOW) -> list[str]:
    """The keys of the months that a week is counted from."""
    with partition_loading_context(now):
        result = partitions.months_of_week().get_upstream_mapped_partitions_result_for_partitions(
            grid.by_week.subset_with_partition_keys([week]), grid.by_week, grid.by_month, now
        )
        assert not result.required_but_nonexistent_subset.get_partition_keys()
        return sorted(result.partitions_subset.get_partition_keys())


def touched(grid: Grid, months: Collection[str], now: dt.datetime = NOW) -> list[str]:
    """The keys of the weeks that are counted again when months change."""
    with partition_loading_context(now):
        subset = partitions.months_of_week().get_downstream_partitions_for_partitions(
            grid.by_month.subset_with_partition_keys(months), grid.by_month, grid.by_week, now
        )
        return sorted(subset.get_partition_keys())


def in_range(grain: dg.PartitionsDefinition, tags: dict[str, str]) -> list[str]:
    """The partitions of a run with these tags."""
    ends = tags["dagster/asset_partition_range_start"], tags["dagster/asset_partition_range_end"]
    with partition_loading_context(NOW):
        return sorted(grain.get_partition_keys_in_range(dg.PartitionKeyRange(*ends)))


def test_months_begin_with_that_of_the_earliest_start_and_end_with_the_running_one(grid: Grid) -> None:
    assert times(grid.by_month) == ["2026-09-01", "2026-10-01", "2026-11-01"]
    # One grid for all: also for a deployment that began later.
    assert times(grid.by_month, "renkulab-io") == times(grid.by_month)
    assert grid.first_month == dt.date(2026, 9, 1)
    assert grid.by_period("month") is grid.by_month


@pytest.mark.parametrize(
    ("now", "last"),
    [
        ("2026-11-30T23:59:59+00:00", "2026-11-01"),
        ("2026-12-01T00:00:00+00:00", "2026-12-01"),
        ("2026-12-31T23:59:59+00:00", "2026-12-01"),
        # The month begins in UTC, whatever the clock on the wall says.
        ("2026-12-01T00:59:00+01:00", "2026-11-01"),
        ("2026-11-30T19:00:00-05:00", "2026-12-01"),
    ],
)
def test_a_month_is_a_partition_from_the_moment_it_begins(grid: Grid, now: str, last: str) -> None:
    moment = dt.datetime.fromisoformat(now)
    following = Period.of("month", Period.of("month", dt.date.fromisoformat(last)).end + ONE_DAY).start.isoformat()

    assert times(grid.by_month, now=moment)[-1] == last
    assert grid.holds(("alps", last), moment)
    assert not grid.holds(("alps", following), moment)


def test_the_grid_holds_exactly_its_months(grid: Grid) -> None:
    months = [dt.date(2026 + number // 12, number % 12 + 1, 1).isoformat() for number in range(36)]

    assert [month for month in months if grid.holds(("alps", month), NOW)] == times(grid.by_month)
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


def test_keys_read_deployment_then_time(grid: Grid) -> None:
    assert grid.by_deployment.get_partition_keys() == ["alps", "renkulab-io"]
    for grain, time in ((grid.by_week, "2026-11-16"), (grid.by_month, "2026-11-01")):
        assert partitions.key("renkulab-io", time) == f"renkulab-io|{time}"
        with partition_loading_context(NOW):
            assert grain.has_partition_key(f"renkulab-io|{time}")
    assert [definition.name for definition in grid.by_week.partitions_defs] == ["deployment", "week"]
    assert [definition.name for definition in grid.by_month.partitions_defs] == ["deployment", "month"]


def test_a_week_needs_the_month_or_the_two_months_that_it_is_in_of_the_same_deployment(grid: Grid) -> None:
    assert needed(grid, "alps|2026-11-16") == ["alps|2026-11-01"]
    # Over the end of a month.
    assert needed(grid, "alps|2026-09-28") == ["alps|2026-09-01", "alps|2026-10-01"]
    # Its Sunday is the last of October, its Monday the first of November.
    assert needed(grid, "renkulab-io|2026-10-26") == ["renkulab-io|2026-10-01", "renkulab-io|2026-11-01"]


def test_a_week_that_begins_with_a_month_or_ends_with_one_needs_that_month_alone() -> None:
    # 1 June 2026 is a Monday, 31 May a Sunday.
    grid = Grid.of([deployment("a", "2026-05-01")])

    assert needed(grid, "a|2026-05-25") == ["a|2026-05-01"]
    assert needed(grid, "a|2026-06-01") == ["a|2026-06-01"]


def test_the_running_week_needs_the_months_that_have_begun(grid: Grid) -> None:
    # The week of Monday 30 November.
    week = "alps|2026-11-30"

    assert needed(grid, week, dt.datetime(2026, 11, 30, 9, tzinfo=dt.UTC)) == ["alps|2026-11-01"]
    assert needed(grid, week, dt.datetime(2026, 12, 1, tzinfo=dt.UTC)) == ["alps|2026-11-01", "alps|2026-12-01"]


def test_a_changed_month_touches_every_week_that_has_a_day_in_it(grid: Grid) -> None:
    # The last Monday of September to the last one of October, which has one day of November.
    october = ["2026-09-28", "2026-10-05", "2026-10-12", "2026-10-19", "2026-10-26"]
    november = ["2026-10-26", "2026-11-02", "2026-11-09", "2026-11-16", "2026-11-23"]

    assert touched(grid, ["alps|2026-10-01"]) == [f"alps|{monday}" for monday in october]
    assert touched(grid, ["alps|2026-10-01", "renkulab-io|2026-11-01"]) == [
        *(f"alps|{monday}" for monday in october),
        *(f"renkulab-io|{monday}" for monday in november),
    ]
    # Days before the first Monday of the grid are in no week.
    assert touched(grid, ["alps|2026-09-01"])[0] == "alps|2026-09-07"


def test_a_month_needs_what_is_known_of_its_deployment(grid: Grid) -> None:
    with partition_loading_context(NOW):
        result = partitions.deployment_of_month().get_upstream_mapped_partitions_result_for_partitions(
            grid.by_month.subset_with_partition_keys(["renkulab-io|2026-11-01"]), grid.by_month, grid.by_deployment, NOW
        )

    assert list(result.partitions_subset.get_partition_keys()) == ["renkulab-io"]


def test_a_range_of_months_is_of_one_deployment_and_named_by_any_of_their_days() -> None:
    grid = Grid.of([deployment(name, "2026-08-01") for name in ("a", "b", "c")])
    tags = partitions.range_tags("b", dt.date(2026, 8, 31), dt.date(2026, 10, 1))

    assert in_range(grid.by_month, tags) == ["b|2026-08-01", "b|2026-09-01", "b|2026-10-01"]


def test_everything_is_every_partition(grid: Grid) -> None:
    with partition_loading_context(NOW):
        everything = [partitions.everything(grain) for grain in (grid.by_deployment, grid.by_month, grid.by_week)]

    for grain, tags in zip((grid.by_deployment, grid.by_month, grid.by_week), everything, strict=True):
        assert in_range(grain, tags) == sorted(grain.get_partition_keys(current_time=NOW))


def test_the_keys_of_a_run_are_sorted_out_by_deployment() -> None:
    keys = ["renkulab-io|2026-11-01", "alps|2026-10-01", "renkulab-io|2026-10-01"]

    assert partitions.by_deployment(keys) == {
        "alps": ["2026-10-01"],
        "renkulab-io": ["2026-10-01", "2026-11-01"],
    }
    assert partitions.by_deployment(["renkulab-io", "alps"]) == {"alps": [], "renkulab-io": []}
    assert partitions.by_deployment([]) == {}
