"""Raw rows in a store as if a pull had brought them."""

from __future__ import annotations

from collections.abc import Sequence

from renku_metrics.periods import Span
from renku_metrics.schema import Table
from renku_metrics.sources.registry import all_sources, source_of
from renku_metrics.store.ledger import Ledger, Pulled
from renku_metrics.store.store import Store
from renku_metrics_tests.events.raw_rows import Row


def bring(store: Store, deployment: str, table: Table, rows: Sequence[Row]) -> None:
    """The rows are stored, and noted as a pull notes them."""
    written = store.merge(table, table.frame(rows))
    ledger = Ledger(store, deployment)

    def note(pulled: Pulled) -> None:
        ledger.record(pulled.tables.setdefault(table.name, {}), table, written, {})

    ledger.change_pulled(source_of(table).name, note)


def cover(store: Store, deployment: str, span: Span) -> None:
    """As if every source had been seen then."""

    def covered(pulled: Pulled) -> None:
        pulled.covered = [span]

    for source in all_sources():
        Ledger(store, deployment).change_pulled(source.name, covered)
