"""The declarations hold: their examples, their documents, and that nothing changes what counts unnoticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from renku_metrics.events.user_days import user_days
from renku_metrics.metrics.definition import Example, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics_tests.events.raw_rows import build
from renku_metrics_tests.metrics.cases import all_cases, name_of

METRICS: tuple[Metric, ...] = (*CORE_ACTIONS, ACTIVE_USERS)
RECORDED = Path(__file__).with_name("what_counts.json")


@pytest.fixture(scope="module")
def what_counts() -> dict[str, Any]:
    """What each metric declares, and how many users it counts in which case."""
    # Each case stands for a deployment of its own.
    built = [user_days(build(**case).events).assign(deployment=name) for name, case in all_cases().items()]
    days = pd.concat(built, ignore_index=True)
    in_week = days[days["event_day"].between("2026-11-16", "2026-11-22")]
    found: dict[str, Any] = {}
    for metric in METRICS:
        acted = in_week[in_week["event_type"].isin(metric.event_types)]
        users = acted.groupby("deployment")["user_id"].nunique()
        found[metric.definition] = {
            "event_types": list(metric.event_types),
            "count": metric.count,
            "users": {str(name): int(count) for name, count in users.items()},
        }
    return found


@pytest.mark.parametrize(
    ("metric", "example"),
    [
        pytest.param(metric, example, id=f"{metric.key}: {name_of(example)}")
        for metric in METRICS
        for example in metric.examples
    ],
)
def test_examples_count_or_not_as_declared(what_counts: dict[str, Any], metric: Metric, example: Example) -> None:
    users = what_counts[metric.definition]["users"]
    assert users.get(name_of(example), 0) == int(example.counts)


def test_what_counts_changes_only_with_the_version(what_counts: dict[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
    for definition, counts in what_counts.items():
        assert recorded.get(definition) == counts, (
            f"{definition}: what counts is not what was recorded for this version. If it is meant to change, raise "
            f"the version, add to the change log, and record in {RECORDED.name}: {json.dumps(counts)}"
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
