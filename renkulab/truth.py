"""What really happened on a simulated RenkuLab, and the numbers that follow from it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

Action = Literal[
    "login", "commit", "dataset_created", "dataset_imported", "workflow_run", "session_started", "session_resumed"
]
PeriodKind = Literal["week", "month"]

COMMITS: tuple[Action, ...] = ("commit", "dataset_created", "dataset_imported", "workflow_run")
CORE_ACTIONS: dict[str, tuple[Action, ...]] = {
    "contributing_to_a_project": COMMITS,
    "creating_a_dataset": ("dataset_created",),
    "starting_a_session": ("session_started",),
    "running_a_workflow": ("workflow_run",),
}
ACTIVE: tuple[Action, ...] = ("login", *COMMITS, "session_started")


@dataclass(frozen=True)
class Deed:
    """What one person did at one time. A commit is one deed, with the most specific action that fits.

    ``person``: a Keycloak id, ``gitlab:<id>`` for an account without one, or ``address:<email>`` if nothing but the
    address of the commit is known. Each such address counts as a person.
    """

    person: str
    action: Action
    at: dt.datetime
    project_id: int | None = None


@dataclass(frozen=True)
class Count:
    users: int
    active_users: int


@dataclass
class Ledger:
    """Deeds in the order in which they became visible. It has none of anonymous visitors or bots."""

    deeds: list[Deed] = field(default_factory=list)

    def note(self, person: str, action: Action, at: dt.datetime, project_id: int | None = None) -> None:
        self.deeds.append(Deed(person, action, at.astimezone(dt.UTC), project_id))

    def people(self, actions: tuple[Action, ...], kind: PeriodKind) -> dict[dt.date, set[str]]:
        """Who did any of the actions, by the first day of the week or month."""
        found: defaultdict[dt.date, set[str]] = defaultdict(set)
        for deed in self.deeds:
            if deed.action in actions:
                found[period_start(deed.at, kind)].add(deed.person)
        return dict(found)

    def counts(self, kind: PeriodKind) -> dict[tuple[dt.date, str], Count]:
        """The true numbers by first day of the period and core action, for every period with an active person."""
        active = self.people(ACTIVE, kind)
        counts = {}
        for core_action, actions in CORE_ACTIONS.items():
            users = self.people(actions, kind)
            for start, people in active.items():
                counts[start, core_action] = Count(len(users.get(start, ())), len(people))
        return dict(sorted(counts.items()))


def period_start(at: dt.datetime, kind: PeriodKind) -> dt.date:
    """Monday of the ISO week or first day of the month, UTC."""
    day = at.astimezone(dt.UTC).date()
    return dt.date.fromisocalendar(*day.isocalendar()[:2], 1) if kind == "week" else dt.date(day.year, day.month, 1)
