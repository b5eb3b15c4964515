"""What ``renku-metrics check`` tries of the central store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from renku_metrics import environment
from renku_metrics.assets.hash_key import checked_hash_key
from renku_metrics.commands.findings import Finding, attempt, failed, ok
from renku_metrics.store.store import Store


def check_store() -> Iterator[Finding]:
    """That the store can be written to, and that the hash key is its own."""
    yield attempt("store", "store", _writable)
    yield attempt("hash key", "store", _hash_key)


def _writable() -> Finding:
    store = Store.at(environment.store_address())
    name, content = f"probe-{uuid.uuid4().hex}", b"of renku-metrics check; may be deleted"
    store.write_state(name, content)
    try:
        read = store.read_state(name)
    finally:
        store.storage.delete(f"state/{name}")
    address = store.storage.address()
    if read != content:
        return failed(
            "store", f"{address} does not give back what was written a moment ago: it is no place for a store"
        )
    return ok("store", f"{address} can be written, read and deleted in")


def _hash_key() -> Finding:
    _, begun = checked_hash_key(Store.at(environment.store_address()))
    return ok("hash key", "is the one the store was begun with" if begun else "is set; the store is begun with it")
