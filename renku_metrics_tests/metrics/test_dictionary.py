"""The declarations hold: their examples, their documents, and that nothing changes what counts unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from renku_metrics.events.user_days import user_days
from renku_metrics.metrics.counting import count_active_users, count_core_action
from renku_metrics.metrics.definition import CoreAction, Example, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics_tests.events.raw_rows import DEPLOYMENT, build
from renku_metrics_tests.metrics.cases import Case, all_cases, example_case
from renku_metrics_tests.metrics.rows import NOW, periods

METRICS: tuple[Metric, ...] = (*CORE_ACTIONS, ACTIVE_USERS)
RECORDED = Path(__file__).with_name("what_counts.json")


def users(metric: Metric, case: Case) -> int:
    """How many users the metric counts in the week of 16 November 2026."""
    days = user_days(build(**case).events)
    week = periods("week", "2026-11-16")
    if isinstance(metric, CoreAction):
        return int(count_core_action(metric, days, DEPLOYMENT, week, NOW)["users"].iloc[0])
    return int(count_active_users(days, DEPLOYMENT, week, NOW)["users"].iloc[0])


@pytest.mark.parametrize(
    ("metric", "example"),
    [
        pytest.param(metric, example, id=f"{metric.key}: {example.case}")
        for metric in METRICS
        for example in metric.examples
    ],
)
def test_examples_count_or_not_as_declared(metric: Metric, example: Example) -> None:
    assert users(metric, example_case(example)) == int(example.counts)


def what_counts() -> dict[str, Any]:
    cases = all_cases()
    return {
        metric.definition: {
            "event_types": list(metric.event_types),
            "count": metric.count,
            "users": {name: users(metric, case) for name, case in cases.items()},
        }
        for metric in METRICS
    }


def test_what_counts_changes_only_with_the_version() -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    counts = what_counts()
    for metric in METRICS:
        known = recorded.get(metric.definition)
        assert known == counts[metric.definition], (
            f"{metric.definition}: what counts is not what was recorded for this version. If it is meant to change, "
            f"raise the version, add to the change log, and add what_counts() of test_dictionary.py to {RECORDED.name}"
        )


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.key)
def test_every_declaration_is_whole(metric: Metric) -> None:
    assert all((metric.sentence, metric.count, metric.rule, metric.timestamp, metric.owner))
    assert all((metric.who_counts, metric.does_not_count, metric.event_types, metric.sources, metric.gaps))
    assert {example.counts for example in metric.examples} == {True, False}
    assert metric.changes[-1].version == metric.version
    versions = [change.version for change in metric.changes]
    assert len(set(versions)) == len(versions)
    assert sorted(change.since for change in metric.changes) == [change.since for change in metric.changes]


def test_keys_are_unique_and_in_the_published_order() -> None:
    assert [action.key for action in CORE_ACTIONS] == [
        "contributing_to_a_project",
        "creating_a_dataset",
        "starting_a_session",
        "running_a_workflow",
    ]
