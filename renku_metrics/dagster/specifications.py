"""What all assets have in Dagster: schema, description, owners."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypedDict

import dagster as dg
import pyarrow as pa

from renku_metrics.schema import STRINGS, TIMESTAMP, Table

OWNERS = ["team:renku"]
# One run may hold years of months, so a backfill is one pass per deployment and not one run per month.
ONE_RUN = dg.BackfillPolicy.single_run()
# The names of types in the UI, if Arrow's name is not one that a reader would know.
TYPE_NAMES = {
    TIMESTAMP: "timestamp (UTC, ms)",
    STRINGS: "list of strings",
    pa.date32(): "date",
    pa.float64(): "float",
}


def column_schema(table: Table) -> dg.TableSchema:
    """The table's columns as Dagster's UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=_type_name(column.type),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=not column.required),
            )
            for column in table.columns
        ]
    )


class Specification(TypedDict):
    """The arguments of ``dg.asset`` and ``dg.AssetSpec`` that follow from a table."""

    description: str
    metadata: dict[str, Any]
    group_name: str
    owners: list[str]
    kinds: set[str]


def specification(table: Table, group: str, kinds: Iterable[str] = ()) -> Specification:
    """The arguments of ``dg.asset`` and ``dg.AssetSpec`` that follow from the table."""
    return {
        "description": table.description,
        "metadata": {"dagster/column_schema": column_schema(table)},
        "group_name": group,
        "owners": OWNERS,
        "kinds": {*kinds, "parquet"},
    }


def _type_name(kind: pa.DataType) -> str:
    return TYPE_NAMES.get(kind, str(kind))
