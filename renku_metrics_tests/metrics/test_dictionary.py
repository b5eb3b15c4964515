"""The declarations hold: their examples, their documents, and that nothing changes what counts unnoticed."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from renku_metrics.events.union import RULES_VERSION, EventsBuilt, user_days
from renku_metrics.metrics.counting import count
from renku_metrics.metrics.definition import Example, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import Period
from renku_metrics.sources.gitlab.commits import READER_VERSION
from renku_metrics.tables import ACTIVITIES
from renku_metrics_tests.metrics.cases import all_cases, name_of
from renku_metrics_tests.metrics.reading import DEPLOYMENT, read_case
from renku_metrics_tests.metrics.rows import NOW

METRICS: tuple[Metric, ...] = (*CORE_ACTIONS, ACTIVE_USERS)
RECORDED = Path(__file__).with_name("what_counts.json")


WEDNESDAY = dt.date(2026, 11, 18)
# Two versions decide which events there are; whoever changes the rules of one of them raises it.
EVENTS_BY = f"events {RULES_VERSION}, read by {READER_VERSION}"


@pytest.fixture(scope="module")
def built() -> dict[str, EventsBuilt]:
    return {name: read_case(case) for name, case in all_cases().items()}


@pytest.fixture(scope="module")
def what_counts(built: dict[str, EventsBuilt]) -> dict[str, Any]:
    """What each metric declares, and how many users it counts in which case."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        users = {name: users_of(metric, of_case) for name, of_case in built.items()}
        found[f"{metric.key} {metric.version}"] = {
            "event_types": list(metric.event_types),
            "users": {name: number for name, number in users.items() if number},
        }
    return found


def users_of(metric: Metric, built: EventsBuilt) -> int:
    [row] = count(metric, user_days(built.events), DEPLOYMENT.name, [Period.of("week", WEDNESDAY)], NOW).to_dict(
        "records"
    )
    return int(row["users"])


@pytest.mark.parametrize(
    ("metric", "example"),
    [
        pytest.param(metric, example, id=f"{metric.key}: {name_of(example)}")
        for metric in METRICS
        for example in metric.examples
    ],
)
def test_examples_count_or_not_as_declared(what_counts: dict[str, Any], metric: Metric, example: Example) -> None:
    users = what_counts[f"{metric.key} {metric.version}"]["users"]
    assert users.get(name_of(example), 0) == int(example.counts)


def test_what_counts_changes_only_with_the_version(what_counts: dict[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    for definition, counts in what_counts.items():
        assert recorded.get(definition) == counts, (
            f"{definition}: what counts is not what was recorded for this version. If it is meant to change, raise "
            f"the version, add to the change log, and record in {RECORDED.name}: {json.dumps(counts)}"
        )


def test_events_change_only_with_the_version_of_their_rules(built: dict[str, EventsBuilt]) -> None:
    found = {name: _events(of_case.events) for name, of_case in built.items()}
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert recorded.get(EVENTS_BY) == found, (
        "events are not what was recorded for these versions. If they are meant to change, raise RULES_VERSION, or "
        f"READER_VERSION where a reader is what changed, and record as {EVENTS_BY!r} in {RECORDED.name}: "
        f"{json.dumps(found)}"
    )


def _events(events: pd.DataFrame) -> list[str]:
    """Type, day and linking rule of each."""
    rules = events["user_link"].fillna("nobody")
    return sorted(events["event_type"] + " of " + events["event_day"] + " by " + rules)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_every_declaration_is_whole(metric: Metric) -> None:
    assert all((metric.sentence, metric.count, metric.rule, metric.timestamp, metric.owner))
    assert all((metric.who_counts, metric.does_not_count, metric.event_types, metric.activities, metric.gaps))
    assert {example.counts for example in metric.examples} == {True, False}
    assert metric.changes[-1].version == metric.version
    versions = [change.version for change in metric.changes]
    assert len(set(versions)) == len(versions)
    assert sorted(change.since for change in metric.changes) == [change.since for change in metric.changes]


def test_the_denominator_needs_every_activity_and_an_action_that_of_its_events() -> None:
    assert ACTIVE_USERS.activities == ACTIVITIES == ("logins", "commits", "sessions")
    assert ACTIVE_USERS.count == (
        "distinct user_id with at least one event login, commit or session_started in the period"
    )
    of_actions = {action.key: action.activities for action in CORE_ACTIONS}
    assert of_actions == {
        "contributing_to_a_project": ("commits",),
        "creating_a_dataset": ("commits",),
        "starting_a_session": ("sessions",),
        "running_a_workflow": ("commits",),
    }


def test_keys_are_unique_and_in_the_published_order() -> None:
    assert [action.key for action in CORE_ACTIONS] == [
        "contributing_to_a_project",
        "creating_a_dataset",
        "starting_a_session",
        "running_a_workflow",
    ]
