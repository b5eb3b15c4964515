"""What the team reads: the published tables, their revisions and the definitions behind them."""

import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg
import orjson
import pandas as pd

from renku_metrics.assets.completeness import counted_coverage
from renku_metrics.assets.metrics import KINDS, metric_tables
from renku_metrics.assets.resources import CentralStore
from renku_metrics.assets.specifications import OWNERS, column_schema
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.definitions_document import definitions
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.metrics.published_readme import published_readme
from renku_metrics.metrics.publishing import publish, revise
from renku_metrics.periods import now
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import REVISIONS, Table, published_table

GROUP = "published"


def published_asset(deployments: Mapping[str, Deployment], core_actions: Sequence[CoreAction]) -> dg.AssetsDefinition:
    """The asset ``published``, which writes all that the team reads."""
    tables = [table for kind in KINDS for table in metric_tables(kind, core_actions)]

    @dg.asset(
        name="published",
        description=(
            "Users of each core action and their share of the active users, by week and month, as CSV and Parquet; "
            "with the numbers that were revised and the definitions behind them."
        ),
        deps=[table.name for table in tables],
        group_name=GROUP,
        owners=OWNERS,
        kinds={"csv", "parquet"},
        metadata={"dagster/column_schema": column_schema(published_table("week"))},
    )
    def published(central_store: CentralStore) -> dg.MaterializeResult[None]:
        store = central_store.open()
        numbers = write_published(store, deployments, core_actions, now())
        return dg.MaterializeResult(metadata={**numbers, "dagster/uri": store.storage.address("published")})

    return published


def write_published(
    store: Store, deployments: Mapping[str, Deployment], core_actions: Sequence[CoreAction], published_at: dt.datetime
) -> dict[str, int]:
    """Writes everything below ``published/``; returns the numbers of rows, complete rows and revisions."""
    rows = {}
    revisions = [store.read_if_there(REVISIONS, [WHOLE])]
    for kind in KINDS:
        table = published_table(kind)
        tables = metric_tables(kind, core_actions)
        covered = {name: counted_coverage(store, known, kind, tables) for name, known in deployments.items()}
        counts = {action.key: _everything(store, action.table(kind), deployments) for action in core_actions}
        rows[kind] = publish(
            kind, _everything(store, ACTIVE_USERS.table(kind), deployments), counts, covered, published_at
        )
        revisions.append(revise(store.read_if_there(table, [WHOLE]), rows[kind], published_at))
    # Revisions first: a number that was replaced must never lack its record.
    revised = REVISIONS.conform(pd.concat(revisions, ignore_index=True))
    store.write(REVISIONS, revised, [WHOLE])
    for kind, frame in rows.items():
        store.write(published_table(kind), frame, [WHOLE])
        store.storage.write(f"published/{kind}ly.csv", frame.to_csv(index=False).encode())
    document = definitions(core_actions)
    store.storage.write("published/definitions.json", orjson.dumps(document, option=orjson.OPT_INDENT_2))
    store.storage.write("published/README.md", published_readme().encode())
    complete = sum(int(rows[kind]["complete"].sum()) for kind in KINDS)
    return {
        "dagster/row_count": sum(len(rows[kind]) for kind in KINDS),
        "complete_rows": complete,
        "revisions": len(revised),
    }


def _everything(store: Store, table: Table, deployments: Mapping[str, Deployment]) -> pd.DataFrame:
    places = [place for name in deployments for place in store.partitions(table, name)]
    return store.read_if_there(table, places)
