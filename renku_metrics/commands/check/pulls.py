"""What ``renku-metrics check`` finds about a deployment's last pulls: whether the schedules run and succeed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import partial

from renku_metrics import environment
from renku_metrics.deployments import Deployment
from renku_metrics.periods import in_words
from renku_metrics.pipeline.verifying import Lost, verify_source
from renku_metrics.sources.findings import Finding, attempt, failed, ok, warning
from renku_metrics.sources.registry import sources_of
from renku_metrics.sources.source import OFTEN, Source
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Store

SEE = "see whether the daemon runs, its schedules are on, and which runs failed or left something unread"
REPORT = "report this as a fault of renku-metrics"


def check_pulls(deployment: Deployment, now: dt.datetime) -> Iterator[Finding]:
    """Whether the last whole pull of each source is recent enough for its schedule, and whether nothing of it is lost.

    The age is not checked if the store records nothing when a pull finds nothing new.
    """
    ledger = Ledger(Store.at(environment.store_address()), deployment.name)
    for source in sources_of(deployment):
        if source.within is not None:
            timely = partial(_timely, ledger, source, source.within, now)
            yield attempt(f"last pull of {source.activity}", "store", timely, REPORT)
        yield attempt(f"stored {source.activity}", "store", partial(_kept, ledger, source), REPORT)


def _timely(ledger: Ledger, source: Source, within: dt.timedelta, now: dt.datetime) -> Finding:
    what = f"last pull of {source.activity}"
    pulled = ledger.pulled(source.name)
    begun = max((span.end for span in pulled.covered), default=None)
    if begun is None:
        if any(entry.days for table in pulled.tables.values() for entry in table.values()):
            return warning(what, f"none has seen everything yet: if none is running, {SEE}")
        return ok(what, "none has finished yet")
    text = f"{in_words(now - begun)} ago"
    due = f"every {in_words(OFTEN)}" if source.often else "every day"
    if now - begun > within:
        return failed(what, f"{text}, but one is due {due}", SEE)
    return ok(what, text)


def _kept(ledger: Ledger, source: Source) -> Finding:
    what = f"stored {source.activity}"
    missing = [str(found) for found in verify_source(ledger, source) if isinstance(found, Lost)]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        return failed(what, missing[0] + more, "restore the file, or pull again what the source still has")
    return ok(what, "are in the store as they were pulled")
