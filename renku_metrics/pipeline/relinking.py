"""Finds the days whose events belong to somebody else since users were pulled again."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from renku_metrics.events.links import Identities
from renku_metrics.events.relinked import Relinked
from renku_metrics.periods import now
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
    Table,
)

# The name under which freshness keeps the days that somebody known otherwise since has events on.
PEOPLE = "people"
USERS = (RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS)
# The users as they were before a pull: until the days that concerns are found, even if it is killed on the way.
BEFORE = {table.name: replace(table, folder="state/people") for table in USERS}


@contextmanager
def relinking(store: Store, deployment: str, table: Table, report: Callable[[set[str]], None]) -> Iterator[None]:
    """Around a change of one of the tables of users: reports the days to build anew by what is known afterwards.

    They are stale from then on. What a change that was killed on its way left undone is done along.
    """
    place = (deployment,)
    if not store.partitions(BEFORE[table.name], deployment):
        store.write(BEFORE[table.name], store.read_if_there(table, [place]), [place])
    yield
    after = [store.read_if_there(users, [place]) for users in USERS]
    # Read after them: of the other table, too, what it was before a change that is under way.
    before = [
        store.read(BEFORE[users.name], [place]) if store.partitions(BEFORE[users.name], deployment) else known
        for users, known in zip(USERS, after, strict=True)
    ]
    days = _days_of(store, deployment, Relinked.between(Identities(*before), Identities(*after)))
    # Later ones sort after earlier ones; any would do that the days were never built of.
    version = f"{now().isoformat()} {uuid.uuid4().hex}"
    freshness.record(store, deployment, PEOPLE, dict.fromkeys(days, freshness.Built(version)))
    report(days)
    store.remove(BEFORE[table.name], place)


def _days_of(store: Store, deployment: str, changed: Relinked) -> set[str]:
    if not (changed.users or changed.addresses or changed.concerns_commits_without_event):
        return set()
    days = store.read_if_there(USER_DAYS, store.partitions(USER_DAYS, deployment))
    found = changed.days_of_events(days)
    # Of days whose user days are behind, the events themselves tell.
    behind = freshness.stale(
        EVENTS.name,
        freshness.read(store, deployment, EVENTS.name),
        freshness.read(store, deployment, USER_DAYS.name),
    )
    found |= changed.days_of_events(store.read_if_there(EVENTS, [(deployment, day) for day in sorted(behind)]))
    pushed = set(days.loc[days["user_link"] == "push", "event_day"]) | behind
    places: list[Partition] = [(deployment, day) for day in sorted(pushed - found)]
    if changed.concerns_commits_without_event:
        places = store.partitions(RAW_GITLAB_COMMITS, deployment)
    return found | changed.days_of_commits(store.read_if_there(RAW_GITLAB_COMMITS, places))
