"""The texts for people: docs/metrics.md, descriptions in the web page, published definitions.json and README.md.

``python -m renku_metrics.metrics.documents > docs/metrics.md`` brings the page up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from renku_metrics.metrics.definition import CoreAction, Example, Gap, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.schema import Table
from renku_metrics.tables import COVERAGE, REVISIONS, published_table

ABOUT_PERIODS = (
    "Periods are ISO weeks (Monday 00:00 UTC to Monday 00:00 UTC) and calendar months, UTC. A period is complete "
    "if it is over and logins, commits and sessions cover each of its days. If something becomes known later, the "
    "number changes, and revisions.parquet records a change of users or active users. Completeness and the share of "
    "unlinked users say how much is known today; their changes are not recorded."
)
GAP_COLUMNS = ("Known gap", "Makes the number", "Measured")
DIRECTIONS = {"under": "too small", "over": "too large", "either": "too small or too large"}
INTRODUCTION = f"""# Metrics

What each published number means. This page is made from the declarations in `renku_metrics/metrics/dictionary.py`;
change those, raise the version, and run `python -m renku_metrics.metrics.documents > docs/metrics.md`.

{ABOUT_PERIODS}

A user is counted once per period and deployment. So weeks do not add up to a month. A person on two deployments is two
users, so numbers of deployments do not add up either.

The denominator needs logins, commits and sessions. An activity may be known only since some date: Keycloak has
forgotten the logins before the first pull, or the audit log was switched on later. Every period before that date is
published as not complete and names the days in `missing`. From the first complete period on, the series means one
thing. Do not compare numbers before it with numbers after it. A deployment that has no source of one of these
activities has no complete period at all. `coverage.parquet` says for each period how many of its days each activity
covers, and how many of its active users each rule linked.

A section lists only the gaps of its own metric. The gaps that several metrics share are in
[one table](#gaps-that-several-metrics-share) at the end.
"""


def definitions(core_actions: Sequence[CoreAction] = CORE_ACTIONS) -> dict[str, Any]:
    """The whole dictionary, for definitions.json."""
    return {
        "time": ABOUT_PERIODS,
        "denominator": _fields(ACTIVE_USERS),
        "core_actions": [_fields(action) for action in core_actions],
    }


def metrics_page(core_actions: Sequence[CoreAction] = CORE_ACTIONS) -> str:
    """The dictionary in Markdown, for docs/metrics.md."""
    metrics = (*core_actions, ACTIVE_USERS)
    concerned = _concerned(metrics)
    sections = [
        f"## {metric.name}\n\n{_describe(metric, [gap for gap in metric.gaps if len(concerned[gap]) == 1])}"
        for metric in metrics
    ]
    return "\n".join([INTRODUCTION, *sections, _shared_gaps(concerned, len(metrics))])


def describe(metric: Metric) -> str:
    """One metric with all its gaps in Markdown, without heading."""
    return _describe(metric, metric.gaps)


def _describe(metric: Metric, gaps: Sequence[Gap]) -> str:
    shares = [f"- **Share**: {metric.share}"] if isinstance(metric, CoreAction) else []
    areas = [f"- **Area**: {metric.area}"] if isinstance(metric, CoreAction) else []
    parts = [
        metric.sentence,
        "\n".join(
            [
                f"- **Key**: `{metric.key}`, version {metric.version}, owned by the {metric.owner}",
                *areas,
                f"- **Count**: {metric.count}",
                *shares,
                f"- **Rule**: {metric.rule}",
                f"- **Who counts**: {'; '.join(metric.who_counts)}",
                f"- **What does not count**: {'; '.join(metric.does_not_count)}",
                f"- **Timestamp**: {metric.timestamp}",
                f"- **Activities**: {', '.join(metric.activities)}",
            ]
        ),
        _table(
            ("Example", "Counts"), [(_case(example), "yes" if example.counts else "no") for example in metric.examples]
        ),
        *([_table(GAP_COLUMNS, map(_gap, gaps))] if gaps else []),
        _table(
            ("Version", "Since", "Change"), [(change.version, change.since, change.what) for change in metric.changes]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _concerned(metrics: Iterable[Metric]) -> dict[Gap, list[str]]:
    """The names of the metrics that each gap concerns."""
    concerned: dict[Gap, list[str]] = {}
    for metric in metrics:
        for gap in metric.gaps:
            concerned.setdefault(gap, []).append(metric.name)
    return concerned


def _shared_gaps(concerned: Mapping[Gap, Sequence[str]], number_of_metrics: int) -> str:
    shared = [(gap, names) for gap, names in concerned.items() if len(names) > 1]
    rows = [(*_gap(gap), "all" if len(names) == number_of_metrics else ", ".join(names)) for gap, names in shared]
    return f"## Gaps that several metrics share\n\n{_table((*GAP_COLUMNS, 'Metrics'), rows)}\n"


def _gap(gap: Gap) -> tuple[str, str, str]:
    return gap.what, DIRECTIONS[gap.direction], gap.size


def _fields(metric: Metric) -> dict[str, Any]:
    return {**asdict(metric), "count": metric.count, "activities": list(metric.activities)}


def _case(example: Example) -> str:
    if isinstance(example.case, str):
        case = f"`{example.case}`"
    else:
        case = ", ".join(f"{name}: `{'' if value is None else value}`" for name, value in example.case.items())
    return f"{case} ({example.why})" if example.why else case


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PANDAS = """import pandas as pd

weekly = pd.read_parquet("weekly.parquet")
complete = weekly[weekly["complete"]]
print(complete.pivot(index=["deployment", "period"], columns="core_action", values="users"))
"""
REVISED = """\
A revision is recorded if `users`, `active_users` or `definition` of a published row changes. `complete`, `missing` and
`unlinked` say how much is known today; their changes are not recorded. A row that disappears (because its deployment
was removed, its start was moved, or its core action was given up) is a revision without numbers after it. A row
published again counts as a revision only if its numbers changed. Growth of a period that was still running does not
count."""
DUCKDB = """SELECT deployment, period, core_action, users, round(100 * share, 1) AS percent
FROM 'weekly.parquet'
WHERE complete
ORDER BY deployment, period, core_action
"""


def published_readme(core_actions: Sequence[CoreAction] = CORE_ACTIONS) -> str:
    """README.md of the published folder, in Markdown."""
    actions = "\n".join(f"- `{action.key}`: {action.sentence}" for action in core_actions)
    return f"""# Renku Metrics

How many people did each of Renku's core actions, by week and by month, and what share of the active people that is.
One row per deployment, period and core action:

{actions}

| file | what it holds |
| --- | --- |
| `weekly.parquet`, `weekly.csv` | by ISO week, Monday to Sunday, UTC |
| `monthly.parquet`, `monthly.csv` | by calendar month, UTC |
| `coverage.parquet`, `coverage.csv` | for each period, how many of its days are known, and how its users are linked |
| `revisions.parquet` | every published number of a finished period that changed later or disappeared, and why |
| `definitions.json` | what exactly each number counts, its version, and its known gaps |

## weekly and monthly

{_columns(published_table("week"))}

## coverage

{_columns(COVERAGE)}

The rule `keycloak_id` links logins and sessions. The others link commits, and the first one that fits decides: an
address that names the account (`noreply`), an address confirmed in GitLab (`gitlab_address`), an address that Keycloak
knows (`keycloak_address`), the user who pushed the commit (`push`), else only the address (`address_hash`). A user whom
several rules linked is in several of these columns.

## revisions

{REVISED}

{_columns(REVISIONS)}

## Reading them

With pandas:

```python
{PANDAS}```

With DuckDB:

```sql
{DUCKDB}```

## What not to conclude

- Weeks do not add up to a month, core actions do not add up to the active users, and deployments do not add up to
  Renku: the same person is in several of them.
- A row that is not `complete` may still grow. If `missing` names days of logins, fewer active people were seen, so the
  share is too large. Do not draw such rows and complete ones as one line.
- If few users are active, a share says little. Look at `active_users` too.
- `unlinked` people are known only by the address of their commits. Some of them also count under their account. So the
  larger `unlinked` is, the more `users` and `active_users` are too large.
- An activity may be known only since some date. All periods before it are not `complete`, and `missing` names the days.
  After it the line may step up, because more was seen, not because more was done. So begin at the first complete
  period. `coverage` says how many days of each period are known. In this example logins are known since 10 September.
  So `active_users` and every `share` mean something else before W38 than from W38 on. `users` who committed mean the
  same in all weeks:

  | period | users | active_users | share | complete | missing |
  | --- | --- | --- | --- | --- | --- |
  | 2026-W36 | 52 | 80 | 0.65 | false | logins:2026-08-31..2026-09-06 |
  | 2026-W37 | 51 | 150 | 0.34 | false | logins:2026-09-07..2026-09-09 |
  | 2026-W38 | 54 | 216 | 0.25 | true | |
- If a deployment has no source of some activity, `missing` of every period says so (`sessions:not configured`). You
  may compare its numbers with each other while `missing` says the same, but not with those of a deployment that has
  the source.
- If `definition` changes, a step in the line may be a change of what is counted.
- What happens only on a person's own machine is not seen. `definitions.json` lists the gaps of each number, and says
  whether they make it too small or too large.
"""


def _columns(table: Table) -> str:
    rows = [f"| {column.name} | {column.type} | {column.description} |" for column in table.columns]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
