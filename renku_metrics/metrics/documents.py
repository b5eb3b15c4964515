"""What is written for people: docs/metrics.md, descriptions in the web page, definitions.json and README.md published.

``python -m renku_metrics.metrics.documents > docs/metrics.md`` brings the page up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from renku_metrics.metrics.definition import CoreAction, Example, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.schema import Table
from renku_metrics.tables import COVERAGE, REVISIONS, published_table

TIME = (
    "Periods are ISO weeks (Monday 00:00 UTC to Monday 00:00 UTC) and calendar months, UTC. A period is complete "
    "when it is over and logins, commits and sessions cover each of its days. What becomes known later restates "
    "the number; a change of users or active users is recorded in revisions.parquet. The share of unlinked users is, "
    "like completeness, what is known by now, and is not recorded."
)
DIRECTIONS = {"under": "too small", "over": "too large", "either": "too small or too large"}
INTRODUCTION = f"""# Metrics

What each published number means. This page is made from the declarations in `renku_metrics/metrics/dictionary.py`;
change those, raise the version, and run `python -m renku_metrics.metrics.documents > docs/metrics.md`.

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
                f"- **Sources**: {', '.join(metric.activities)}",
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
    return {**asdict(metric), "count": metric.count, "sources": list(metric.activities)}


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
A revision is recorded whenever `users`, `active_users` or `definition` of a published row change. `complete`,
`missing` and `unlinked` say how much is known today; their changes are not recorded. A row that disappears (because its
deployment was removed, its start moved, or its core action given up) is a revision that has no numbers after it. A row
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
| `coverage.parquet`, `coverage.csv` | of each period, how many days are known of each source, and how users are known |
| `revisions.parquet` | every published number of people of a finished period that changed later or is gone, and why |
| `definitions.json` | what exactly each number counts, its version, and what it is known not to see |

## weekly and monthly

{_columns(published_table("week"))}

## coverage

{_columns(COVERAGE)}

`keycloak_id` links logins and sessions; the others link commits, in this order: an address that names the account
(`noreply`), an address confirmed in GitLab, one that Keycloak knows, whoever pushed the commit, and else the address
alone (`address_hash`). Somebody whom several rules linked is in several of these columns.

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
- A row that is not `complete` may still grow. Where `missing` names days of logins, fewer active people were seen, so
  the share is too large. Do not draw such rows and complete ones as one line.
- A share of few active users says little: look at `active_users` beside it.
- `unlinked` people are known by the address of their commits alone. Some of them also count under their account, so
  the larger it is, the more `users` and `active_users` are too large.
- A line begins to know a source at a date: all its periods before are not `complete` and name the source in `missing`.
  Where they end, the line may step up, because more was seen and not because more was done. Begin at the first complete
  period; `coverage` tells how many days each period knows. Here logins are known since 10 September, so `active_users`
  and every `share` mean another thing before W38 than from it on, though `users` of commits do not:

  | period | users | active_users | share | complete | missing |
  | --- | --- | --- | --- | --- | --- |
  | 2026-W36 | 52 | 80 | 0.65 | false | logins:2026-08-31..2026-09-06 |
  | 2026-W37 | 51 | 150 | 0.34 | false | logins:2026-09-07..2026-09-09 |
  | 2026-W38 | 54 | 216 | 0.25 | true | |
- A deployment that has no source of a kind says so in `missing` of every period (`sessions:not configured`). Its
  numbers may be compared with each other while `missing` says the same, but not with those of one that has the source.
- A step in a line where `definition` changes may be a change of what is counted.
- What happens only on a person's own machine is not seen; `definitions.json` lists the gaps of each number, and
  whether they make it too small or too large.
"""


def _columns(table: Table) -> str:
    rows = [f"| {column.name} | {column.type} | {column.description} |" for column in table.columns]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    sys.stdout.write(metrics_page())
