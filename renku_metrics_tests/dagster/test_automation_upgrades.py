"""How the automation goes on with other deployment files, other rules and other definitions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
import yaml

from renku_metrics.metrics.dictionary import CORE_ACTIONS, CREATING_A_DATASET
from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.tables import KINDS
from renku_metrics_tests.dagster.automated import (
    BY_MONTH,
    NOVEMBER,
    OCTOBER,
    PUBLISHED,
    START,
    Ticks,
    World,
    follow,
    of_months,
    of_weeks,
)
from renku_metrics_tests.pipeline.pipeline import PEOPLE_AND_PROJECTS, RAW_DAYS, change_rules_of_events
from renku_metrics_tests.present import TODAY, YESTERDAY


def test_a_new_deployment_starts_nothing_until_it_is_pulled(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(YESTERDAY, by="nora")
    assert ticks.next() == of_months(NOVEMBER)

    new = {"name": "d", "title": "New", "start": START}
    with deployment_file(world, "d", yaml.safe_dump(new)):
        ticks.upgrade(world.pipeline)
        assert ticks.next() == {}
        # What was requested before is still followed.
        world.do(of_months(NOVEMBER))
        follow(world, ticks, of_weeks(NOVEMBER), PUBLISHED)
        assert ticks.next() == {}
        world.materialize("d", *PEOPLE_AND_PROJECTS)
        world.materialize(f"d|{NOVEMBER}", *RAW_DAYS)
        assert ticks.next() == of_months(NOVEMBER, deployments="d")


def test_a_deployment_that_left_takes_no_change_of_another_with_it(world: World) -> None:
    early = midnight(TODAY) + dt.timedelta(hours=27)
    ticks = Ticks(world.pipeline)
    assert ticks.next(early) == {}
    for number in (0, 1):
        world.bring_late(START + 3 * ONE_DAY, by="otto", of=number)
    assert ticks.next(early + dt.timedelta(minutes=1)) == of_months(OCTOBER, deployments="ab")

    # While the one run of both is queued; it cannot run any more.
    with deployment_file(world, "a", None):
        ticks.upgrade(world.pipeline)
        assert ticks.next(early + dt.timedelta(minutes=2)) == {}
        requested = ticks.next(early + dt.timedelta(minutes=70))
        assert requested == of_months(OCTOBER, deployments="b")
        world.do(requested)
        follow(world, ticks, of_weeks(OCTOBER, deployments="b"), PUBLISHED)


@contextmanager
def deployment_file(world: World, name: str, text: str | None) -> Iterator[None]:
    """The file of a deployment has this text for a while, or is not there."""
    path = world.pipeline.deployments / f"{name}.yaml"
    before = path.read_text() if path.exists() else None
    _put(path, text)
    try:
        yield
    finally:
        _put(path, before)


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


def test_other_rules_of_events_build_every_month_there_is_again_and_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    months = world.pipeline.instance.get_materialized_partitions(dg.AssetKey("events"))
    assert months == {f"{deployment}|{month}" for deployment in "ab" for month in (OCTOBER, NOVEMBER)}

    change_rules_of_events(monkeypatch)
    ticks.upgrade(world.pipeline)
    assert ticks.next() == dict.fromkeys(BY_MONTH, months)
    assert ticks.next() == {}


def test_another_definition_counts_every_week_and_month_of_its_metric_again(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    new = replace(CREATING_A_DATASET, version="2")
    actions = [new if action is CREATING_A_DATASET else action for action in CORE_ACTIONS]
    ticks.upgrade(replace(world.pipeline, core_actions=actions))
    names = [f"creating_a_dataset_{kind}ly" for kind in KINDS]
    counted = {name: world.pipeline.instance.get_materialized_partitions(dg.AssetKey(name)) for name in names}
    assert all(len(partitions) > 0 for partitions in counted.values())
    assert ticks.next() == counted
    assert ticks.next() == {}
