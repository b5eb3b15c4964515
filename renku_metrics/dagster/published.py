"""What the team reads: the published tables, their revisions and the definitions behind them."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import orjson
import pandas as pd

from renku_metrics.dagster.metrics import KINDS, metric_tables
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.dagster.specifications import OWNERS, column_schema
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.checks import CHECKS
from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.definitions_document import definitions
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.metrics.published_readme import published_readme
from renku_metrics.metrics.publishing import cover, in_effect, publish, revise
from renku_metrics.periods import now
from renku_metrics.pipeline import checking as checks
from renku_metrics.pipeline.causes import read_causes, record_counted
from renku_metrics.pipeline.completeness import counted_coverage, counted_events, read_counts
from renku_metrics.pipeline.publication import last_published, record_published
from renku_metrics.store.ledger import Built
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import COVERAGE, REVISIONS, PeriodKind, published_table

NAME = "published"
NEVER = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclass(frozen=True)
class Numbers:
    """The ``rows`` to publish by week or month, and their ``coverage`` as in COVERAGE.

    ``events`` are those of each deployment that all of its rows were counted from, by day.
    """

    rows: pd.DataFrame
    coverage: pd.DataFrame
    events: Mapping[str, Mapping[str, Built]]


def published_asset(deployments: Mapping[str, Deployment], core_actions: Sequence[CoreAction]) -> dg.AssetsDefinition:
    """The asset ``published``, which writes all that the team reads."""
    tables = [table for kind in KINDS for table in metric_tables(kind, core_actions)]

    @dg.asset(
        name=NAME,
        description=(
            "Users of each core action and their share of the active users, by week and month, as CSV and Parquet; "
            "with the numbers that were revised and the definitions behind them."
        ),
        deps=[table.name for table in tables],
        group_name=NAME,
        owners=OWNERS,
        kinds={"csv", "parquet"},
        metadata={"dagster/column_schema": column_schema(published_table("week"))},
        check_specs=checks.specifications(NAME),
    )
    def published(central_store: CentralStore) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        # Of two at once, the one that counted earlier could write later.
        with central_store.open().alone("published") as store:
            at = now()
            numbers = {kind: read_numbers(store, kind, deployments, core_actions, at) for kind in KINDS}
            rows = {kind: known.rows for kind, known in numbers.items()}
            findings = [
                *(check.of(rows) for check in CHECKS),
                checks.nothing_personal(
                    store, deployments, tables, [*rows.values(), *(known.coverage for known in numbers.values())]
                ),
                checks.event_keys_are_unique(store, deployments),
            ]
            for finding in findings:
                yield checks.result(finding)
            if failed := [finding.name for finding in findings if finding.blocking and not finding.passed]:
                raise dg.Failure(
                    f"nothing was published, since {', '.join(failed)} failed: see the checks of this asset",
                    allow_retries=False,
                )
            revisions = write_published(store, numbers, core_actions, at)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(frame) for frame in rows.values()),
                "dagster/uri": store.storage.address("published"),
                "complete_rows": sum(int(frame["complete"].sum()) for frame in rows.values()),
                "revisions": revisions,
            }
        )

    return published


def read_numbers(
    store: Store,
    kind: PeriodKind,
    deployments: Mapping[str, Deployment],
    core_actions: Sequence[CoreAction],
    at: dt.datetime,
) -> Numbers:
    """What is to be published by week or month, from everything that was counted."""
    tables = metric_tables(kind, core_actions)
    counted = {name: read_counts(store, name, kind, (ACTIVE_USERS, *core_actions)) for name in deployments}
    covered = {name: counted_coverage(store, known, kind, counted[name]) for name, known in deployments.items()}
    everything = {
        table.name: pd.concat(
            [_since(known, kind, counted[name].rows[table.name]) for name, known in deployments.items()],
            ignore_index=True,
        )
        for table in tables
    }
    active_users = everything[ACTIVE_USERS.table(kind).name]
    counts = {action.key: everything[action.table(kind).name] for action in core_actions}
    events = {name: counted_events(store, name, kind, known) for name, known in counted.items()}
    return Numbers(publish(kind, active_users, counts, covered, at), cover(kind, active_users, covered), events)


def write_published(
    store: Store, numbers: Mapping[PeriodKind, Numbers], core_actions: Sequence[CoreAction], at: dt.datetime
) -> int:
    """Writes everything below ``published/``; returns how many revisions there are by now."""
    before = {kind: store.read_if_there(published_table(kind), [WHOLE]) for kind in numbers}
    finished = last_published(store) or NEVER
    recorded = in_effect(store.read_if_there(REVISIONS, [WHOLE]), pd.concat(before.values()), finished)
    revised = []
    for kind, known in numbers.items():
        causes = {name: read_causes(store, name, kind) for name in known.events}
        revised.append(revise(before[kind], known.rows, recorded, causes, at))
    # Revisions first: a number that was replaced must never lack its record.
    revisions = REVISIONS.conform(pd.concat([recorded, *revised], ignore_index=True))
    store.write(REVISIONS, revisions, [WHOLE])
    for kind, known in numbers.items():
        store.write(published_table(kind), known.rows, [WHOLE])
        store.storage.write(f"published/{kind}ly.csv", known.rows.to_csv(index=False).encode())
    coverage = COVERAGE.conform(pd.concat([known.coverage for known in numbers.values()], ignore_index=True))
    store.write(COVERAGE, coverage, [WHOLE])
    store.storage.write("published/coverage.csv", coverage.to_csv(index=False).encode())
    document = orjson.dumps(definitions(core_actions), option=orjson.OPT_INDENT_2)
    store.storage.write("published/definitions.json", document)
    store.storage.write("published/README.md", published_readme(core_actions).encode())
    for kind, known in numbers.items():
        for name, events in known.events.items():
            record_counted(store, name, kind, events)
    record_published(store, at)
    return len(revisions)


def _since(deployment: Deployment, kind: PeriodKind, counted: pd.DataFrame) -> pd.DataFrame:
    # Periods that were counted before the start was moved beyond them.
    return counted[counted[kind] >= deployment.start.isoformat()]
