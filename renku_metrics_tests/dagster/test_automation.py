"""What follows from which change, also while something is under way."""

from __future__ import annotations

import datetime as dt

from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics_tests.dagster.automated import (
    BY_MONTH,
    NOVEMBER,
    OCTOBER,
    PUBLISHED,
    START,
    WEEKLY,
    Ticks,
    World,
    follow,
    of_months,
    of_weeks,
    under_way,
)
from renku_metrics_tests.pipeline.pipeline import PEOPLE_AND_PROJECTS, RAW_DAYS, range_of
from renku_metrics_tests.present import TODAY, YESTERDAY


def test_a_late_commit_is_followed_from_its_month_to_what_is_published(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.bring_late(START + 2 * ONE_DAY, by="bob")
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER), PUBLISHED)
    assert ticks.next() == {}


def test_yesterday_is_followed_to_the_running_week_and_month(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.bring_late(YESTERDAY, by="carol")
    follow(world, ticks, of_months(NOVEMBER), of_weeks(NOVEMBER), PUBLISHED)
    assert ticks.next() == {}


def test_months_that_changed_together_are_requested_together(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    for day in (START + ONE_DAY, YESTERDAY):
        world.bring_late(day, by="dave")
    world.bring_late(YESTERDAY, by="dave", of=1)
    requested = {name: {*keys, f"b|{NOVEMBER}"} for name, keys in of_months(OCTOBER, NOVEMBER).items()}
    b_weeks = of_weeks(NOVEMBER, deployments="b")
    weeks = {name: keys | b_weeks[name] for name, keys in of_weeks(OCTOBER, NOVEMBER).items()}
    follow(world, ticks, requested, weeks, PUBLISHED)
    assert ticks.next() == {}


def test_what_comes_out_the_same_is_followed_no_further(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    for day in (START + 11 * ONE_DAY, START + 12 * ONE_DAY):
        world.a.commit(day, late=True)
    world.pull_commits()
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER), PUBLISHED)
    # Another day of a week in which Ada is counted already: no number changes.
    world.a.commit(START + 13 * ONE_DAY, late=True)
    world.pull_commits()
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER))
    assert ticks.next() == {}
    # Another commit to the same project on the same day: not even the user days change.
    world.a.commit(START + 13 * ONE_DAY, late=True)
    world.pull_commits()
    follow(world, ticks, of_months(OCTOBER))
    assert ticks.next() == {}


def test_pulls_that_bring_nothing_new_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.materialize(f"a|{NOVEMBER}", *RAW_DAYS)
    assert world.pipeline.materialize(RAW_DAYS, tags=range_of(f"a|{OCTOBER}", f"a|{NOVEMBER}")).success
    assert ticks.next() == {}


def test_users_and_projects_alone_start_nothing(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.a.lab.gitlab.add_user("dora", "dora@elsewhere.example", midnight(TODAY))
    world.a.add_project("a-new-one")
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    assert ticks.next() == {}


def test_who_becomes_known_later_starts_the_months_of_their_commits_and_no_other(world: World) -> None:
    day = START + 3 * ONE_DAY
    world.a.commit(day, by="ada@home.example", late=True, quiet=True)
    world.a.commit(day, late=True)
    world.pull_commits()
    world.do(of_months(OCTOBER))
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    world.a.lab.gitlab.add_email(world.a.ada, "ada@home.example", midnight(TODAY))
    world.a.ada.last_activity_on = TODAY
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    follow(world, ticks, of_months(OCTOBER), of_weeks(OCTOBER))

    # The same commits pulled again, and the same people, are no news.
    world.materialize(f"a|{OCTOBER}", *RAW_DAYS)
    world.materialize("a", *PEOPLE_AND_PROJECTS)
    assert "events" not in ticks.next()


def test_a_change_that_comes_while_its_month_is_counted_is_counted_too(world: World) -> None:
    day = START + 4 * ONE_DAY
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(day, by="erin")
    assert ticks.next() == of_months(OCTOBER)

    # After the request and before the count is done: nobody knows whether it read the second commit.
    world.bring_late(day, by="frank")
    world.do(of_months(OCTOBER))
    requested = ticks.next()
    assert {name: requested.get(name) for name in BY_MONTH} == of_months(OCTOBER)


def test_a_change_between_two_steps_of_a_run_is_counted_too(world: World) -> None:
    """Events are built by hand while the run that was requested counts them."""
    day = START + 5 * ONE_DAY
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(day, by="grace")
    assert ticks.next() == of_months(OCTOBER)
    world.do(of_months(OCTOBER))

    world.bring_late(day, by="heidi")
    world.materialize(f"a|{OCTOBER}", "events")
    requested = ticks.next()
    assert {name: requested.get(name) for name in BY_MONTH} == of_months(OCTOBER)


def test_what_a_run_of_a_person_changes_is_followed_whether_it_was_asked_for_or_not(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}

    for day in (START + 8 * ONE_DAY, YESTERDAY):
        world.a.commit(day, by="ivan@elsewhere.example", late=True, quiet=True)
        world.a.commit(day, late=True)
    world.materialize(f"a|{NOVEMBER}", *RAW_DAYS, *BY_MONTH)
    # Dagster cannot tell that the run counted November after it pulled it.
    months_and_weeks = {**of_months(OCTOBER, NOVEMBER), **of_weeks(NOVEMBER)}
    follow(world, ticks, months_and_weeks, of_weeks(OCTOBER), PUBLISHED)
    assert ticks.next() == {}


def test_publication_waits_for_weeks_that_wait(world: World) -> None:
    ticks = Ticks(world.pipeline)
    assert ticks.next() == {}
    world.bring_late(START + 9 * ONE_DAY, by="judy")
    follow(world, ticks, of_months(OCTOBER))
    # The days behind the week of 26 October are being counted again by somebody.
    with under_way(world.pipeline, f"a|{NOVEMBER}", "user_days"):
        later = {f"a|{dt.date(2026, 10, 26)}"}
        expected = {name: weeks - later for name, weeks in of_weeks(OCTOBER).items()}
        follow(world, ticks, expected)
        assert ticks.next() == {}
    follow(world, ticks, dict.fromkeys(WEEKLY, later), PUBLISHED)
    assert ticks.next() == {}
