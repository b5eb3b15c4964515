"""The dictionary for people and programs: docs/metrics.md, descriptions in the UI, published/definitions.json.

``python -m renku_metrics.metrics.definitions_document > docs/metrics.md`` brings the page up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from renku_metrics.metrics.definition import CoreAction, Example, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS

TIME = (
    "Periods are ISO weeks (Monday 00:00 UTC to Monday 00:00 UTC) and calendar months, UTC. A period is complete "
    "when it is over and logins, commits and sessions cover each of its days. What becomes known later restates "
    "the number; a change of users or active users is recorded in revisions.parquet. The share of unlinked users is, "
    "like completeness, what is known by now, and is not recorded."
)
DIRECTIONS = {"under": "too small", "over": "too large", "either": "too small or too large"}
INTRODUCTION = f"""# Metrics

What each published number means. This page is made from the declarations in `renku_metrics/metrics/dictionary.py`;
change those, raise the version, and run `python -m renku_metrics.metrics.definitions_document > docs/metrics.md`.

{TIME}

A user is counted once per period and deployment. Users of two deployments are two users: numbers of deployments do
not add up, nor do weeks add up to a month.

The denominator needs logins, commits and sessions alike, so a series says where its make-up changes: where a source is
known only since a date (Keycloak has forgotten the logins before the first pull, the audit log was switched on later),
every period before that date is published as not complete and names the days in `missing`, and the first complete
period is where the series begins to mean one thing. Numbers on both sides of it are not to be compared. A deployment
that lacks a source for good has no complete period at all. `coverage.parquet` tells for each period how many of its
days each source covers, and by which rule how many of its active users are known.
"""


def definitions(core_actions: Sequence[CoreAction] = CORE_ACTIONS) -> dict[str, Any]:
    """The whole dictionary, for definitions.json."""
    return {
        "time": TIME,
        "denominator": _fields(ACTIVE_USERS),
        "core_actions": [_fields(action) for action in core_actions],
    }


def metrics_page(core_actions: Sequence[CoreAction] = CORE_ACTIONS) -> str:
    """The dictionary in Markdown, for docs/metrics.md."""
    sections = [f"## {metric.name}\n\n{describe(metric)}" for metric in (*core_actions, ACTIVE_USERS)]
    return "\n".join([INTRODUCTION, *sections])


def describe(metric: Metric) -> str:
    """One metric in Markdown, without heading."""
    shares = [f"- **Share**: {metric.share}"] if isinstance(metric, CoreAction) else []
    areas = [f"- **Area**: {metric.area}"] if isinstance(metric, CoreAction) else []
    parts = [
        metric.sentence,
        "\n".join(
            [
                f"- **Key**: `{metric.key}`, version {metric.version}, {metric.status}, owned by the {metric.owner}",
                *areas,
                f"- **Count**: {metric.count}",
                *shares,
                f"- **Rule**: {metric.rule}",
                f"- **Who counts**: {'; '.join(metric.who_counts)}",
                f"- **What does not count**: {'; '.join(metric.does_not_count)}",
                f"- **Timestamp**: {metric.timestamp}",
                f"- **Sources**: {', '.join(metric.sources)}",
            ]
        ),
        _table(
            ("Example", "Counts"), [(_case(example), "yes" if example.counts else "no") for example in metric.examples]
        ),
        _table(
            ("Known gap", "Makes the number", "Measured"),
            [(gap.what, DIRECTIONS[gap.direction], gap.size) for gap in metric.gaps],
        ),
        _table(
            ("Version", "Since", "Change"), [(change.version, change.since, change.what) for change in metric.changes]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _fields(metric: Metric) -> dict[str, Any]:
    return {**asdict(metric), "count": metric.count, "sources": list(metric.sources)}


def _case(example: Example) -> str:
    if isinstance(example.case, str):
        case = f"`{example.case}`"
    else:
        case = ", ".join(f"{name}: `{'' if value is None else value}`" for name, value in example.case.items())
    return f"{case} ({example.why})" if example.why else case


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
