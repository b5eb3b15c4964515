"""Reads what a step is built from. A file that is not what was stored stops the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from renku_metrics.errors import StoreError
from renku_metrics.pipeline.verifying import Lost, pending_of
from renku_metrics.schema import Table
from renku_metrics.store.files import Partition
from renku_metrics.store.ledger import Built, Ledger, Pulled, place_of


def read_known(
    ledger: Ledger,
    table: Table,
    partitions: Sequence[Partition],
    known: Pulled | Built,
    known_now: Callable[[], Pulled | Built],
) -> pd.DataFrame:
    """The rows of the partitions. ``known``: the document of the table, read before. ``known_now`` reads it again.

    Raises StoreError if a partition was never written. Raises it too if a file is older than the ledger says, or from
    another program. Else the step would note that it was built from what was stored, and would never be done again.
    """
    rows, versions = ledger.store.read_versioned(table, partitions)
    ledger.store.check_written(table, partitions, versions)
    entries = known.tables.get(table.name, {})
    others = [
        partition
        for partition, version in versions.items()
        if (entry := entries.get(place_of(table, partition))) and entry.version not in ("", version)
    ]
    if others:
        now = known_now()
        for partition in others:
            place = place_of(table, partition)
            # A pull may have changed the file meanwhile, or a killed one may not have noted that it did.
            changing = place in pending_of(now, table)
            if not changing and now.tables[table.name][place].version == entries[place].version:
                lost = Lost.changed(table, partition)
                raise StoreError(f"{ledger.deployment}: {lost}: {lost.remedy}")
    return rows
