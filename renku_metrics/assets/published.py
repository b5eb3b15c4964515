"""What the team reads: the published tables, their revisions and the definitions behind them."""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import orjson
import pandas as pd

from renku_metrics.assets import checks
from renku_metrics.assets.completeness import counted_coverage
from renku_metrics.assets.erased import erased_days
from renku_metrics.assets.metrics import KINDS, metric_tables
from renku_metrics.assets.resources import CentralStore
from renku_metrics.assets.specifications import OWNERS, column_schema
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.checks import CHECKS
from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.definitions_document import definitions
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.metrics.published_readme import published_readme
from renku_metrics.metrics.publishing import publish, revise
from renku_metrics.periods import now
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import REVISIONS, PeriodKind, Table, published_table

NAME = "published"


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
        store = central_store.open()
        at = now()
        rows = {kind: published_rows(store, kind, deployments, core_actions, at) for kind in KINDS}
        findings = [
            *(check.of(rows) for check in CHECKS),
            checks.nothing_personal(store, deployments, at.date()),
            checks.event_keys_are_unique(store, deployments, at.date()),
        ]
        for finding in findings:
            yield checks.result(finding)
        if failed := [finding.name for finding in findings if finding.blocking and not finding.passed]:
            raise dg.Failure(
                f"nothing was published, since {', '.join(failed)} failed: see the checks of this asset",
                allow_retries=False,
            )
        revisions = write_published(store, rows, core_actions, at)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(frame) for frame in rows.values()),
                "dagster/uri": store.storage.address("published"),
                "complete_rows": sum(int(frame["complete"].sum()) for frame in rows.values()),
                "revisions": revisions,
            }
        )

    return published


def published_rows(
    store: Store,
    kind: PeriodKind,
    deployments: Mapping[str, Deployment],
    core_actions: Sequence[CoreAction],
    at: dt.datetime,
) -> pd.DataFrame:
    """The rows to publish by week or month, from everything that was counted."""
    tables = metric_tables(kind, core_actions)
    covered = {name: counted_coverage(store, known, kind, tables) for name, known in deployments.items()}
    counts = {action.key: _everything(store, action.table(kind), deployments) for action in core_actions}
    return publish(kind, _everything(store, ACTIVE_USERS.table(kind), deployments), counts, covered, at)


def write_published(
    store: Store, rows: Mapping[PeriodKind, pd.DataFrame], core_actions: Sequence[CoreAction], at: dt.datetime
) -> int:
    """Writes everything below ``published/``; returns how many revisions there are by now."""
    deployments = {name for frame in rows.values() for name in frame["deployment"]}
    erased = {name: erased_days(store, name) for name in deployments}
    revised = [
        revise(store.read_if_there(published_table(kind), [WHOLE]), frame, erased, at) for kind, frame in rows.items()
    ]
    # Revisions first: a number that was replaced must never lack its record.
    revisions = REVISIONS.conform(pd.concat([store.read_if_there(REVISIONS, [WHOLE]), *revised], ignore_index=True))
    store.write(REVISIONS, revisions, [WHOLE])
    for kind, frame in rows.items():
        store.write(published_table(kind), frame, [WHOLE])
        store.storage.write(f"published/{kind}ly.csv", frame.to_csv(index=False).encode())
    document = orjson.dumps(definitions(core_actions), option=orjson.OPT_INDENT_2)
    store.storage.write("published/definitions.json", document)
    store.storage.write("published/README.md", published_readme(core_actions).encode())
    return len(revisions)


def _everything(store: Store, table: Table, deployments: Mapping[str, Deployment]) -> pd.DataFrame:
    places = [place for name in deployments for place in store.partitions(table, name)]
    return store.read_if_there(table, places)
