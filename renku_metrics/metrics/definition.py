"""The parts of a metric's declaration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from renku_metrics.schema import Table
from renku_metrics.tables import EVENT_TYPES, Activity, PeriodKind, active_users_table, core_action_table


@dataclass(frozen=True)
class Gap:
    """Something the number does not know: ``under`` if it makes the number too small, ``over`` if too large.

    ``size`` is what was measured, and on what; empty if nothing was measured.
    """

    what: str
    direction: Literal["under", "over", "either"]
    size: str = ""


@dataclass(frozen=True)
class Example:
    """A case of the rule: the message of a commit, or fields of a raw row, and whether it counts."""

    counts: bool
    case: str | Mapping[str, Any]
    why: str = ""


@dataclass(frozen=True)
class Change:
    """A version of the definition: its first day (YYYY-MM-DD), and what it changed."""

    version: str
    since: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """What a core action and the denominator have in common.

    ``event_types`` decides what is counted. Raise ``version`` with every change of what counts, also if the rule is
    somewhere else, and say in ``changes`` what changed.
    """

    key: str
    name: str
    sentence: str
    who_counts: tuple[str, ...]
    does_not_count: tuple[str, ...]
    event_types: tuple[str, ...]
    rule: str
    version: str
    examples: tuple[Example, ...]
    timestamp: str
    gaps: tuple[Gap, ...]
    changes: tuple[Change, ...]
    owner: str = "Renku team"

    @property
    def count(self) -> str:
        """The formula of the count."""
        *first, last = self.event_types
        either = f"{', '.join(first)} or {last}" if first else last
        return f"distinct user_id with at least one event {either} in the period"

    @property
    def activities(self) -> tuple[Activity, ...]:
        """What its events are part of. A share needs the activities of the denominator too."""
        return tuple(dict.fromkeys(EVENT_TYPES[event_type] for event_type in self.event_types))

    @abstractmethod
    def table(self, kind: PeriodKind) -> Table:
        """The table of its weekly or monthly numbers."""


@dataclass(frozen=True, kw_only=True)
class Denominator(Metric):
    """Who is active. Every share is a share of this number."""

    def table(self, kind: PeriodKind) -> Table:
        return active_users_table(kind)


@dataclass(frozen=True, kw_only=True)
class CoreAction(Metric):
    """Something that Renku is for. Its assets, tables and documents come from this declaration."""

    area: str
    share: str

    def table(self, kind: PeriodKind) -> Table:
        return core_action_table(self.key, f"{self.sentence} By {kind}.", kind)
