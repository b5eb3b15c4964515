"""What every source is and hands back. So pulling, coverage, checking and erasing know no source by name."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson
import pandas as pd
import pyarrow as pa

from renku_metrics.deployments import Deployment, Section
from renku_metrics.events.union import Frames, Part
from renku_metrics.periods import ONE_HOUR, Span
from renku_metrics.schema import Shape, Table
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.findings import Finding
from renku_metrics.sources.http import Say, say_nothing
from renku_metrics.tables import Activity

# A source that forgets is pulled so often.
OFTEN = 4 * ONE_HOUR
# What a pull tells Dagster and the log. Counts add up over the batches; of texts the last one stays.
Fact = int | str | Mapping[str, str]

# Returns the stored rows of a table that has one file per deployment.
Stored = Callable[[Table], pd.DataFrame]


@dataclass(frozen=True)
class Batch:
    """Some of what a source answered.

    ``rows``: by raw table. ``state``: what the source remembers for its next pull; it may be stored after the rows.
    ``seen``: the time (UTC) for which this pull, up to this batch, has brought everything. ``overdue``: those rows
    that an earlier pull should have brought; only a reconciliation looks for them.
    """

    rows: Mapping[str, pd.DataFrame]
    state: bytes | None = None
    seen: Sequence[Span] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)
    notes: Sequence[str] = ()
    overdue: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a pull is asked for.

    ``state``: what the source remembered, None at the first pull. ``tables``: those wanted. ``whole``: read everything
    again, even what is known: a reconciliation.
    """

    deployment: Deployment
    book: AddressBook
    pulled_at: dt.datetime
    state: bytes | None
    stored: Stored
    tables: frozenset[str] = frozenset()
    whole: bool = False
    say: Say = say_nothing


@dataclass(frozen=True)
class Harvest:
    """Raw tables that one pull brings together, in the order in which they are stored."""

    name: str
    tables: tuple[Table, ...]
    pull: Callable[[Request], Iterator[Batch]]


def _keep_all(state: bytes, _is_erased: Callable[[str], bool]) -> tuple[bytes, int]:
    return state, 0


@dataclass(frozen=True)
class Source:
    """One system of a deployment that rows are pulled from.

    ``activity``: what it tells of. ``section``: its part of the deployment file, under its name. ``events``: makes
    events from the tables ``events_from``. Of these, the tables by month hold what happened; the others say who and
    where. ``state_texts``: the shape of every text of its state, so that nothing personal is kept there. ``lock``: the
    name of the lock that a pull holds; sources with the same lock wait for each other. ``plan``: lines that say what
    the next pull costs, from the state and the stored rows. ``clear_state``: takes erased people, given by user ids,
    out of the state, and counts what it took. ``often``: it is pulled every OFTEN, because it forgets. ``within``:
    a pull is overdue if the last one that saw everything is older; None if the store does not know when that was.
    """

    name: str
    activity: Activity
    section: type[Section]
    harvests: tuple[Harvest, ...]
    events_from: tuple[Table, ...]
    events: Callable[[Frames], Part]
    state_texts: Shape
    check: Callable[[Deployment, dt.datetime], Iterator[Finding]]
    plan: Callable[[Deployment, bytes | None, Stored, dt.datetime, Say], Iterator[str]]
    lock: Callable[[Deployment], str]
    clear_state: Callable[[bytes, Callable[[str], bool]], tuple[bytes, int]] = _keep_all
    often: bool = False
    within: dt.timedelta | None = None

    def check_state(self, content: bytes) -> None:
        """Raises ValueError if a text of the state does not have the shape of ``state_texts``."""
        texts = pa.array(set(_texts(orjson.loads(content))), pa.string())
        if strays := self.state_texts.strays(texts):
            raise ValueError(f"its state holds {strays} texts that are not {self.state_texts.meaning}")

    @property
    def tables(self) -> tuple[Table, ...]:
        """Its raw tables."""
        return tuple(table for harvest in self.harvests for table in harvest.tables)

    def is_in(self, deployment: Deployment) -> bool:
        """Whether the deployment's file has its section."""
        return deployment.section(self.section) is not None


def _texts(content: object) -> Iterator[str]:
    """Every text of a JSON document; the names of fields are among them."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for name, value in content.items():
            yield name
            yield from _texts(value)
    elif isinstance(content, list):
        for value in content:
            yield from _texts(value)
