"""Every table that a store may hold, with a row of each that fits."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa

from renku_metrics import shapes, tables
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.schema import STRINGS, TIMESTAMP, Column, Shape, Table
from renku_metrics.sources.registry import raw_tables
from renku_metrics.tables import KINDS, published_table

TABLES: tuple[Table, ...] = tuple(
    {
        table.path: table
        for table in (
            *raw_tables(),
            *(table for table in vars(tables).values() if isinstance(table, Table)),
            *(metric.table(kind) for kind in KINDS for metric in (ACTIVE_USERS, *CORE_ACTIONS)),
            *(published_table(kind) for kind in KINDS),
        )
    }.values()
)
UUID = "7d0e6f0a-9a4b-4c1d-8a51-0f0a3f6b2c11"
HASH = "0123456789abcdef" * 4
# A text of each shape, but for lists of words.
TEXTS: dict[Shape, str] = {
    shapes.DEPLOYMENT_NAME: "renkulab-io",
    shapes.DATE: "2026-11-16",
    shapes.DATE_OR_NONE: "2026-11-16",
    shapes.FIRST_OF_MONTH: "2026-11-01",
    shapes.KEYED_HASH: HASH,
    shapes.SHA: "0123456789abcdef0123456789abcdef01234567",
    shapes.KEYCLOAK_ID: UUID,
    shapes.UUID: UUID,
    shapes.ULID: "01HZX5W2K8V7E9Q3R4T6Y8N0P1",
    shapes.USER_ID: f"email:{HASH}",
    shapes.PROJECT_ID: "gitlab:12",
    shapes.WORD: "blocked_pending_approval",
    shapes.LABEL: "renku-0",
    shapes.CLIENT: "renku-ui",
    shapes.EVENT_KEY: f"session_resumed:renku/{UUID}/1763544000000",
    shapes.COMMAND: "dataset rm-tags",
    shapes.OPTION: "--no-external-storage",
    shapes.HELPER: "structural changes",
    shapes.METRIC: "running_a_workflow",
    shapes.VERSION: "1",
    shapes.PERIOD: "2026-W47",
    shapes.DEFINITIONS: "running_a_workflow 3; active_users 1",
    tables.MISSING: "logins:2026-11-16..2026-11-18; sessions:not configured; period not over",
    tables.REASON: "erasure and late facts",
}
VALUES = {
    pa.int64(): 1,
    pa.bool_(): True,
    pa.float64(): 0.5,
    pa.date32(): dt.date(2026, 11, 16),
    TIMESTAMP: dt.datetime(2026, 11, 16, tzinfo=dt.UTC),
}


def value_of(column: Column) -> Any:
    """A value that the column may hold."""
    if column.shape is None:
        return VALUES[column.type]
    words = column.shape.pattern.split("|") if column.shape.meaning.startswith("one of ") else [TEXTS[column.shape]]
    return words[:1] if column.type == STRINGS else words[0]


def row_of(table: Table) -> dict[str, Any]:
    """A row that the table may hold."""
    return {column.name: value_of(column) for column in table.columns}
