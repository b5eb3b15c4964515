"""What ``renku-metrics check`` finds of a deployment's last pulls: whether the schedules run, and succeed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from renku_metrics import environment
from renku_metrics.commands.findings import Finding, attempt, failed, length, ok
from renku_metrics.deployments import Deployment
from renku_metrics.pipeline.pulling import read_covered, source_state
from renku_metrics.sources.keycloak.realm import LoginsState
from renku_metrics.store.store import Store

# By the schedules one pull may fail, and the next one wait for its turn.
LOGINS_WITHIN = dt.timedelta(hours=9)
COMMITS_WITHIN = dt.timedelta(hours=54)
SEE = "see whether the daemon runs, its schedules are on, and which runs failed"
OTHERWISE = "report this as a fault of renku-metrics"


def check_pulls(deployment: Deployment, now: dt.datetime) -> Iterator[Finding]:
    """That the last whole pulls of commits and of logins are no older than their schedules allow.

    Sessions are left out: the store does not know when it was last without news of them.
    """
    store = Store.at(environment.store_address())

    def commits() -> Finding:
        begun = max((span.end for span in read_covered(store, deployment.name, "commits")), default=None)
        return _timely(
            "last pull of commits", begun, "every day", COMMITS_WITHIN, now, f"{SEE}, or left projects unread"
        )

    def logins() -> Finding:
        begun = LoginsState.from_json(store.read_state(source_state(deployment.name, "keycloak"))).begun
        return _timely("last pull of logins", begun, "every 4 hours", LOGINS_WITHIN, now, SEE)

    if deployment.gitlab is not None:
        yield attempt("last pull of commits", "store", commits, OTHERWISE)
    if deployment.keycloak is not None:
        yield attempt("last pull of logins", "store", logins, OTHERWISE)


def _timely(what: str, begun: dt.datetime | None, due: str, within: dt.timedelta, now: dt.datetime, do: str) -> Finding:
    if begun is None:
        return ok(what, "none has come to its end yet")
    text = f"{length(now - begun)} ago"
    if now - begun > within:
        return failed(what, f"{text}, though {due} one is due", do)
    return ok(what, text)
