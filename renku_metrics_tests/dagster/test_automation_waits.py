"""What the automation waits for, and when it tries again what failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import yaml

from renku_metrics.periods import ONE_DAY, Period, midnight
from renku_metrics.tables import KINDS
from renku_metrics_tests.dagster.automated import (
    BY_MONTH,
    DECEMBER,
    NOVEMBER,
    OCTOBER,
    PUBLISHED,
    START,
    WEEKLY,
    WEEKS,
    Ticks,
    World,
    begun,
    follow,
    of_months,
    of_weeks,
    tick,
    under_way,
)
from renku_metrics_tests.pipeline.pipeline import PEOPLE_AND_PROJECTS, RAW_DAYS, Pipeline, range_of
from renku_metrics_tests.pipeline.small_lab import HOUR
from renku_metrics_tests.present import TODAY, YESTERDAY, constant_present


def test_months_that_were_never_pulled_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    # The logins and sessions of the month are not there, nor the users.
    world.materialize(f"c|{NOVEMBER}", "raw_gitlab_commits")
    assert ticks.next() == {}


def test_a_week_or_month_that_has_just_begun_waits_for_its_pull(world: World) -> None:
    new_week, new_month = (Period.of(kind, TODAY).end + ONE_DAY for kind in KINDS)
    assert (new_week, new_month) == (dt.date(2026, 11, 30), DECEMBER)
    # On Monday the week is made of a month that is there; from Tuesday on of another one, too, which is not pulled.
    on_monday, on_tuesday = Ticks(world.pipeline), Ticks(world.pipeline)
    assert on_monday.next(midnight(new_week) + HOUR) == {name: {f"a|{new_week}", f"b|{new_week}"} for name in WEEKLY}
    assert on_tuesday.next(midnight(new_month) + HOUR) == {}
    # Once a day everything is published again.
    assert on_tuesday.next(midnight(new_month) + 6 * HOUR) == PUBLISHED


def test_a_month_that_has_just_begun_is_counted_with_its_week_once_it_is_pulled(tmp_path: Path) -> None:
    monday, tuesday = midnight(DECEMBER) - ONE_DAY + HOUR, midnight(DECEMBER) + 2 * HOUR
    week = {name: {"a|2026-11-30"} for name in WEEKLY}
    with begun(tmp_path, "a", counted="a") as world:
        ticks = Ticks(world.pipeline)
        with constant_present(monday):
            follow(world, ticks, week, PUBLISHED)
            assert ticks.next() == {}
        with constant_present(tuesday):
            world.a.log_in(DECEMBER - ONE_DAY)
            world.a.lab.clock.set(tuesday)
            # Once a day everything is published again.
            follow(world, ticks, PUBLISHED)
            [request] = tick(world.pipeline.definitions, "all_sources_daily", "2026-12-01T02:00").run_requests or []
            assert world.pipeline.materialize(RAW_DAYS, tags=request.tags).success
            weeks = {name: keys | week[name] for name, keys in of_weeks(NOVEMBER).items()}
            follow(world, ticks, of_months(NOVEMBER, DECEMBER), weeks, PUBLISHED)
            assert ticks.next() == {}


def test_what_was_pulled_before_the_automation_began_is_counted(world: World) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        begun_again = replace(world, pipeline=Pipeline(world.pipeline.deployments, world.pipeline.address, instance))
        begun_again.materialize("a", *PEOPLE_AND_PROJECTS)
        begun_again.materialize(f"a|{NOVEMBER}", *RAW_DAYS)
        # Every week but the one that is also in October, of which this automation knows nothing.
        weeks = {f"a|{week}" for week in WEEKS[NOVEMBER][1:]}
        ticks = Ticks(begun_again.pipeline)
        follow(begun_again, ticks, of_months(NOVEMBER), dict.fromkeys(WEEKLY, weeks), PUBLISHED)
        assert ticks.next() == {}


def test_a_deployment_without_some_sources_is_counted_like_any_other(tmp_path: Path) -> None:
    with begun(tmp_path, "a", counted="") as world:
        file = world.pipeline.deployments / "a.yaml"
        only_gitlab = {key: value for key, value in yaml.safe_load(file.read_text()).items() if key != "keycloak"}
        only_gitlab.pop("amalthea")
        file.write_text(yaml.safe_dump(only_gitlab))
        world.a.commit(YESTERDAY)
        ticks = Ticks(world.pipeline)
        assert ticks.next() == {}
        world.materialize("a", *PEOPLE_AND_PROJECTS)
        assert world.pipeline.materialize(RAW_DAYS, tags=range_of(f"a|{OCTOBER}", f"a|{NOVEMBER}")).success
        months = (OCTOBER, NOVEMBER)
        follow(world, ticks, of_months(*months), of_weeks(*months), PUBLISHED)
        assert ticks.next() == {}


def test_a_count_that_failed_is_tried_again_once_a_day(world: World) -> None:
    with lost(world, "a", OCTOBER):
        assert not world.pipeline.materialize(BY_MONTH, partition=f"a|{OCTOBER}").success

    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    assert ticks.next(early + dt.timedelta(minutes=50)) == {}
    assert ticks.next(early + dt.timedelta(minutes=70)) == of_months(OCTOBER)
    assert ticks.next(early + dt.timedelta(minutes=71)) == {}


@contextmanager
def lost(world: World, deployment: str, month: dt.date) -> Iterator[None]:
    """A raw file is gone for a while."""
    table = Path(world.pipeline.address) / "raw" / "raw_keycloak_logins" / f"deployment={deployment}"
    (table / f"month={month}").rename(table / "lost")
    try:
        yield
    finally:
        (table / "lost").rename(table / f"month={month}")


def test_a_deployment_that_fails_in_a_run_holds_up_no_other(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    for number in (0, 1):
        world.bring_late(YESTERDAY, by="kim", of=number)
    assert ticks.next() == of_months(NOVEMBER, deployments="ab")
    with lost(world, "a", NOVEMBER):
        # As Dagster runs it: two deployments and one month are one run.
        assert not world.pipeline.materialize(BY_MONTH, tags=range_of(f"a|{NOVEMBER}", f"b|{NOVEMBER}")).success
    rest = {name: months for name, months in of_months(NOVEMBER, deployments="b").items() if name != "events"}
    follow(world, ticks, rest, of_weeks(NOVEMBER, deployments="b"), PUBLISHED)
    assert ticks.next() == {}

    world.do(of_months(NOVEMBER))
    follow(world, ticks, of_weeks(NOVEMBER), PUBLISHED)


def test_what_was_requested_but_never_ran_is_requested_again_once_a_day(world: World) -> None:
    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    world.bring_late(START + 9 * ONE_DAY, by="lea")
    assert ticks.next(early + dt.timedelta(minutes=1)) == of_months(OCTOBER)
    # Its backfill failed before there was a run.
    assert ticks.next(early + dt.timedelta(minutes=2)) == {}
    assert ticks.next(early + dt.timedelta(minutes=70)) == of_months(OCTOBER)
    world.do(of_months(OCTOBER))
    assert ticks.next(early + dt.timedelta(minutes=71)) == of_weeks(OCTOBER)


def test_what_is_still_under_way_at_that_time_is_not_requested_again(world: World) -> None:
    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    world.bring_late(START + 9 * ONE_DAY, by="mia")
    assert ticks.next(early + dt.timedelta(minutes=1)) == of_months(OCTOBER)
    with under_way(world.pipeline, f"a|{OCTOBER}", *BY_MONTH):
        assert ticks.next(early + dt.timedelta(minutes=70)) == {}
        world.do(of_months(OCTOBER))
    assert ticks.next(early + dt.timedelta(minutes=71)) == of_weeks(OCTOBER)
