"""Finds the days on which events belong to somebody else since users were pulled again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from renku_metrics.events.links import Identities, Relinked
from renku_metrics.schema import Table, month_of
from renku_metrics.sources.source import Source
from renku_metrics.store.files import Partition
from renku_metrics.store.ledger import BEFORE, USERS, WHOLE_TABLE, Built, Ledger, Pulled
from renku_metrics.tables import EVENTS, RAW_GITLAB_COMMITS, USER_DAYS


@contextmanager
def relinking(ledger: Ledger, source: Source, table: Table) -> Iterator[None]:
    """Goes around a change of a table of users, and notes the days that must be built again because of it.

    Also finishes the work of an earlier pull that was killed.
    """
    store, place = ledger.store, (ledger.deployment,)
    if not store.partitions(BEFORE[table.name], ledger.deployment):
        store.write(BEFORE[table.name], store.read_if_there(table, [place]), [place])
    yield
    after = [store.read_if_there(users, [place]) for users in USERS]
    # Read after them. If the other table is being changed right now, this is what it was before that change.
    before = [
        store.read(BEFORE[users.name], [place]) if store.partitions(BEFORE[users.name], ledger.deployment) else known
        for users, known in zip(USERS, after, strict=True)
    ]
    changed = Relinked.between(Identities(*before), Identities(*after))
    built: Built | None = None
    # Events that were built meanwhile may still use the users of before.
    while built != (built := ledger.built()):
        days = _days_of(ledger, built, changed)

        def note(pulled: Pulled, days: frozenset[str] = frozenset(days)) -> None:
            entry = pulled.tables.get(table.name, {}).get(WHOLE_TABLE)
            if entry is None or not days:
                return
            entry.serial += 1
            entry.days |= dict.fromkeys(sorted(days), entry.serial)
            # Noted like a change of the commits themselves, so that these days are counted again.
            for day in sorted(days):
                pulled.tell(RAW_GITLAB_COMMITS.name, month_of(day), [day])

        ledger.change_pulled(source.name, note)
    store.remove(BEFORE[table.name], place)


def _days_of(ledger: Ledger, built: Built, changed: Relinked) -> set[str]:
    if not (changed.users or changed.addresses or changed.concerns_commits_without_event):
        return set()
    store, deployment = ledger.store, ledger.deployment
    days = store.read_if_there(USER_DAYS, store.partitions(USER_DAYS, deployment))
    found = changed.days_of_events(days)
    # If user days are older than their events, the events are read instead.
    user_days = built.tables.get(USER_DAYS.name, {})
    behind: list[Partition] = [
        (deployment, month)
        for month, entry in built.tables.get(EVENTS.name, {}).items()
        if month not in user_days or entry.changed_since(user_days[month].of.get(EVENTS.name))
    ]
    found |= changed.days_of_events(store.read_if_there(EVENTS, behind))
    pushed = {month_of(day) for day in days.loc[days["user_link"] == "push", "event_day"]}
    places: list[Partition] = sorted({(deployment, month) for month in pushed} | set(behind))
    if changed.concerns_commits_without_event:
        places = store.partitions(RAW_GITLAB_COMMITS, deployment)
    return found | changed.days_of_commits(store.read_if_there(RAW_GITLAB_COMMITS, places))
