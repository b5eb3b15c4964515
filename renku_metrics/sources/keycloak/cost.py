"""What the next pull of a Keycloak would cost in requests."""

from __future__ import annotations

from renku_metrics.sources.cost import Cost, seconds_of
from renku_metrics.sources.keycloak.admin import KeycloakAdmin


def cost_of_pull(admin: KeycloakAdmin) -> Cost:
    """The cost of the next pull of users and of logins. Keycloak does not tell how many logins there are.

    Raises SourceError if Keycloak refuses.
    """
    clock = admin.connection.patience.clock
    begun = clock()
    users = admin.count_users()
    requests = {
        # One for each of the two pulls.
        "tokens": 2,
        # Before and after the list, to know whether it can be whole.
        "counts of users": 2,
        "lists of users": users // admin.page_length + 1,
        "settings of events": 1,
        "lists of logins": 1,
    }
    seconds = seconds_of(requests, admin.connection, clock() - begun)
    return Cost(requests, frozenset({"settings of events"}), admin.connection.requests_made, seconds)
