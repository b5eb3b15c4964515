"""Whose events belong to somebody else since the users of a deployment were pulled again."""

from __future__ import annotations

import pandas as pd

from renku_metrics.events.links import Identities


def relinked_users(before: Identities, after: Identities) -> set[str]:
    """The user ids that events carry by what was known before, and of which some would carry another one now."""
    ids = pd.Series(sorted(before.gitlab_ids | after.gitlab_ids), dtype="Int64")
    addresses = pd.Series(sorted(before.addresses | after.addresses), dtype="str")
    changed: set[str] = set()
    for old, new in (
        (before.of_gitlab_users(ids), after.of_gitlab_users(ids)),
        (before.of_addresses(addresses), after.of_addresses(addresses)),
    ):
        changed.update(old[old != new])
    for gitlab_id in before.bots ^ after.bots:
        changed.update(before.of_gitlab_users(pd.Series([gitlab_id], dtype="Int64")))
    return changed
