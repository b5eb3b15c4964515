"""When numbers were last published."""

from __future__ import annotations

import datetime as dt

from renku_metrics.store.store import Store

STATE = "published/finished.txt"


def last_published(store: Store) -> dt.datetime | None:
    """When the last publication that came to its end began; None when there was none."""
    content = store.read_state(STATE)
    return dt.datetime.fromisoformat(content.decode()) if content else None


def record_published(store: Store, at: dt.datetime) -> None:
    """That a publication that began then has come to its end."""
    store.write_state(STATE, at.isoformat().encode())
