"""What ``renku-metrics check`` tries in the central store."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator

from renku_metrics import environment
from renku_metrics.periods import in_words
from renku_metrics.pipeline.hash_key import checked_hash_key
from renku_metrics.sources.findings import Finding, attempt, failed, ok
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger

# It is published at least once a day, even if nothing was counted. One publication may fail.
PUBLISHED_WITHIN = dt.timedelta(hours=54)
OTHERWISE = "correct RENKU_METRICS_STORE, or report this as a fault of renku-metrics"


def check_store(now: dt.datetime) -> Iterator[Finding]:
    """Whether the store can be written to, whether the hash key is that of the store, and when it last published."""
    writable = attempt("store", "store", _writable, OTHERWISE)
    yield writable
    yield attempt("hash key", "store", _hash_key, OTHERWISE)
    if writable.level == "ok":
        yield attempt("published", "store", lambda: _published(now), OTHERWISE)


def _writable() -> Finding:
    # Not through the store, because its first write would begin it.
    storage = Store.at(environment.store_address()).storage
    name, content = f"probe-{uuid.uuid4().hex}", b"written by renku-metrics check; may be deleted"
    storage.replace(name, content, None)
    try:
        read = storage.read(name)
    except FileNotFoundError:
        read = b""
    finally:
        storage.delete(name)
    address = storage.address()
    if read != content:
        return failed("store", f"{address} does not give back what was written a moment ago", "choose another place")
    return ok("store", f"{address} can be written, read and deleted in")


def _hash_key() -> Finding:
    _, begun = checked_hash_key(Store.at(environment.store_address()))
    return ok("hash key", "is the one the store was begun with" if begun else "is set; the store is begun with it")


def _published(now: dt.datetime) -> Finding:
    what = "published"
    published = StoreLedger(Store.at(environment.store_address())).published_at()
    if published is None:
        return ok(what, "nothing yet")
    text = f"the last time {in_words(now - published)} ago"
    if now - published > PUBLISHED_WITHIN:
        return failed(
            what,
            f"{text}, but it is due every day",
            "see whether the daemon runs, whether the sensor follow_changed_months is on, and which runs of published "
            "failed",
        )
    return ok(what, text)
