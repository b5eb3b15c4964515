"""What ``renku-metrics check`` tries with a deployment's Keycloak."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from renku_metrics.deployments import Deployment
from renku_metrics.periods import ONE_DAY, in_words
from renku_metrics.sources.findings import SHORT_PATIENCE, Finding, attempts, failed, ok, warning
from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.keycloak.realm import saves_logins
from renku_metrics.sources.keycloak.section import Keycloak
from renku_metrics.sources.source import OFTEN

# One pull may fail.
SHORTEST_MEMORY = 2 * OFTEN
PULLED = f"pulled every {in_words(OFTEN)}"
# The Renku chart sets a day. An outage over a weekend takes three.
COMFORTABLE_MEMORY = 3 * ONE_DAY
LONGER = "set Expiration under Realm settings, Events to 30 days"


def check_keycloak(deployment: Deployment, _now: dt.datetime) -> Iterator[Finding]:
    """Whether address, client and its roles are right, and how long the realm remembers logins."""
    checks = _Checks(deployment)
    return attempts(
        f"{deployment.name}: keycloak",
        [
            ("keycloak", checks.answers),
            ("keycloak users", checks.users),
            ("keycloak event saving", checks.saving),
            ("keycloak memory", checks.memory),
            ("keycloak logins", checks.logins),
        ],
        "correct url and realm",
    )


class _Checks:
    def __init__(self, deployment: Deployment) -> None:
        self._keycloak = deployment.configured(Keycloak)
        self._admin = KeycloakAdmin(deployment, SHORT_PATIENCE)

    def answers(self) -> Finding:
        self._admin.check_client()
        keycloak = self._keycloak
        return ok("keycloak", f"{keycloak.url} knows realm {keycloak.realm} and accepts client {keycloak.client_id}")

    def users(self) -> Finding:
        self._admin.check_users_are_visible()
        return ok("keycloak users", f"{self._admin.count_users():,} are visible (role view-users)")

    def saving(self) -> Finding:
        what = "keycloak event saving"
        if not self._config.get("eventsEnabled"):
            return failed(what, "is off, so logins are being lost", "turn on Save events under Realm settings, Events")
        if not saves_logins(self._config):
            return failed(what, "leaves LOGIN out", "add it to the saved types under Realm settings, Events")
        return ok(what, "is on, with LOGIN among the saved types (role view-events)")

    def memory(self) -> Finding:
        what = "keycloak memory"
        seconds = self._config.get("eventsExpiration") or 0
        if not seconds:
            return ok(what, "events are kept for ever")
        kept = dt.timedelta(seconds=seconds)
        if kept < SHORTEST_MEMORY:
            return warning(what, f"events are kept for {in_words(kept)} and {PULLED}: logins will be lost; {LONGER}")
        if kept < COMFORTABLE_MEMORY:
            return ok(
                what,
                f"events are kept for {in_words(kept)}, {PULLED}. An outage of this service longer than "
                f"{in_words(kept)} loses logins; to be safe, {LONGER}",
            )
        return ok(what, f"events are kept for {in_words(kept)}, {PULLED}")

    def logins(self) -> Finding:
        if next(self._admin.login_pages(None)):
            return ok("keycloak logins", "are remembered and readable")
        return warning(
            "keycloak logins", "none is remembered: perhaps saving was turned on just now, or nobody logs in"
        )

    @cached_property
    def _config(self) -> dict[str, Any]:
        return self._admin.events_config()
