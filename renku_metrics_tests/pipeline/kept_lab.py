"""A small deployment, pulled, counted and published as the schedules and the automation do it; without Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import Period
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.publishing import lost_of, read_numbers, write_published
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.sources.registry import all_sources
from renku_metrics.store.ledger import Ledger, Pulled, StoreLedger
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import KINDS, USER_DAYS, PeriodKind, published_table
from renku_metrics_tests.pipeline.pulls import HARVESTS, harvest_named
from renku_metrics_tests.pipeline.small_lab import SmallLab

METRICS = (ACTIVE_USERS, *CORE_ACTIONS)


@dataclass
class KeptLab:
    """The lab and its store; ``said`` is what the pulls said."""

    small: SmallLab
    deployment: Deployment
    store: Store
    said: list[str] = field(default_factory=list)

    @property
    def now(self) -> dt.datetime:
        return self.small.lab.clock.now()

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

    def count(self, months: Sequence[str]) -> None:
        """What follows from these months."""
        store_events(self.store, self.deployment, months)
        store_user_days(self.store, self.deployment, months)
        days = [day for month in months for day in Period.of("month", dt.date.fromisoformat(month)).days]
        for kind in KINDS:
            starts = sorted({Period.of(kind, day).start.isoformat() for day in days if day <= self.now.date()})
            store_counts(self.store, self.deployment, kind, METRICS, starts, self.now)

    def publish(self) -> list[str]:
        """Publishes everything that was counted; returns what is said of lost files."""
        with self.store.alone(StoreLedger.PUBLISHING) as store:
            numbers = read_numbers(store, {self.deployment.name: self.deployment}, CORE_ACTIONS, self.now)
            write_published(store, numbers, CORE_ACTIONS, self.now)
        # No two are at the same time.
        self.small.lab.clock.advance(dt.timedelta(minutes=1))
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
