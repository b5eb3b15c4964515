"""A simulated deployment and its store: pulled, counted and published as the schedules and the automation do it.

Without Dagster.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.publishing import lost_of, read_numbers, write_published
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.schema import month_of
from renku_metrics.sources.registry import all_sources
from renku_metrics.store.files import WHOLE, Partition
from renku_metrics.store.ledger import Ledger, Pulled
from renku_metrics.store.store import Store
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics.tables import KINDS, USER_DAYS, PeriodKind, published_table
from renku_metrics_tests.pipeline.pulls import HARVESTS, harvest_named
from renku_metrics_tests.present import NOW, TODAY
from renku_metrics_tests.served import served
from renkulab.people import Person
from renkulab.population import Population
from renkulab.server import RenkuLab

METRICS = (ACTIVE_USERS, *CORE_ACTIONS)
# Of a population: so that there are two months of it.
START = TODAY.replace(day=1) - 3 * ONE_DAY
MONTHS = sorted({month_of(day.isoformat()) for day in days_between(START, TODAY)})
PLACES: list[Partition] = [("lab", month) for month in MONTHS]


@dataclass
class KeptDeployment:
    """``people`` are those of a population; ``said`` is what the pulls said."""

    lab: RenkuLab
    deployment: Deployment
    store: Store
    people: Sequence[Person] = ()
    said: list[str] = field(default_factory=list)

    @property
    def now(self) -> dt.datetime:
        return self.lab.clock.now()

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.store, self.deployment.name)

    @property
    def months(self) -> list[str]:
        """Every month that has begun."""
        days = pd.date_range(self.deployment.start, self.now.date())
        return sorted({day.strftime("%Y-%m-01") for day in days})

    def pull(self, harvests: Sequence[str] = HARVESTS) -> None:
        name = self.deployment.name
        for of in harvests:
            source, harvest = harvest_named(of)
            with pulling(self.store, self.deployment, source, lambda: self.now, self.said.append) as pull:
                pull.bring(harvest)
                for table in harvest.tables:
                    pull.ensure(table, [(name, month) for month in self.months] if table.by_month else [(name,)])

    def told(self) -> list[str]:
        """The months that pulls tell Dagster of; it knows of them by this."""
        months: set[str] = set()
        for source in all_sources():

            def tell(pulled: Pulled) -> None:
                months.update(place for places in pulled.untold.values() for place in places if place)
                pulled.untold.clear()

            with self.ledger.alone(source.lock(self.deployment)) as ledger:
                ledger.change_pulled(source.name, tell)
        return sorted(months)

    def build(self, months: Sequence[str]) -> None:
        """The events and user days of these months."""
        store_events(self.store, self.deployment, months)
        store_user_days(self.store, self.deployment, months)

    def count(self, months: Sequence[str]) -> None:
        """All that follows from these months."""
        self.build(months)
        days = [day for month in months for day in Period.of("month", dt.date.fromisoformat(month)).days]
        for kind in KINDS:
            starts = sorted({Period.of(kind, day).start.isoformat() for day in days if day <= self.now.date()})
            store_counts(self.store, self.deployment, kind, METRICS, starts, self.now)

    def publish(self) -> list[str]:
        """Publishes everything that was counted; returns what is said of lost files."""
        with self.store.alone(StoreLedger.PUBLISHING) as held:
            numbers = read_numbers(held, {self.deployment.name: self.deployment}, CORE_ACTIONS, self.now)
            write_published(held, numbers, CORE_ACTIONS, self.now)
        # No two are at the same time.
        self.lab.clock.advance(dt.timedelta(minutes=1))
        return lost_of(numbers)

    def bring_up_to_date(self) -> list[str]:
        """A round of all schedules, and what the automation counts again because of it; returns the months counted."""
        self.pull()
        unbuilt = set(self.months) - self.ledger.built().tables.get(USER_DAYS.name, {}).keys()
        if months := sorted({*self.told(), *unbuilt}):
            self.count(months)
        self.publish()
        return months

    def published(self, kind: PeriodKind) -> pd.DataFrame:
        return self.store.read(published_table(kind), [WHOLE])

    def person(self, kind: str) -> Person:
        """The first person of the kind."""
        return next(person for person in self.people if person.kind == kind)

    def content(self) -> dict[str, str]:
        """Every object of the store as text, tables as their rows."""
        found = {}
        for info in self.store.storage.list():
            content = self.store.storage.read(info.key)
            if info.key.endswith(".parquet"):
                found[info.key] = "\n".join(str(row) for row in pq.read_table(io.BytesIO(content)).to_pylist())
            else:
                found[info.key] = content.decode()
        return found


@contextmanager
def populated(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptDeployment]:
    """Twelve people, one of each kind, and four weeks of what they did; nothing of it is in the store yet."""
    lab = RenkuLab("lab", folder / "audit_log", now=midnight(START))
    population = Population(lab, seed=7, people=12, projects=5)
    population.live(midnight(TODAY))
    lab.clock.set(NOW)
    monkeypatch.setenv("RENKU_METRICS_STORE", address)
    with served([lab], folder / "deployments", START, monkeypatch) as deployments:
        yield KeptDeployment(lab, deployments["lab"], Store.at(address), population.people)
