"""A store that a whole run of everything has filled: pulled from a simulated RenkuLab, built, counted, published."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight, now
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.erasing import erasing
from renku_metrics.pipeline.publishing import read_numbers, write_published
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.schema import month_of
from renku_metrics.sources.registry import read_deployment, sources_of
from renku_metrics.sources.source import Batch, Harvest, Request, Source
from renku_metrics.store.ledger import StoreLedger
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import KINDS
from renku_metrics_tests.present import TODAY
from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment

START = TODAY - 30 * ONE_DAY
DAYS = list(days_between(START, TODAY))
MONTHS = sorted({month_of(day.isoformat()) for day in DAYS})


@dataclass(frozen=True)
class FilledStore:
    """The deployment is named ``lab``; ``said`` are the lines of its pulls."""

    lab: RenkuLab
    store: Store
    deployment: Deployment
    said: list[str] = field(default_factory=list)

    def pull(self, source: Source, harvest: Harvest, between: Callable[[], object] = lambda: None) -> None:
        """``between`` is called before each batch of the source is stored."""

        def batches(request: Request) -> Iterator[Batch]:
            for batch in harvest.pull(request):
                between()
                yield batch

        with pulling(self.store, self.deployment, source, now, self.said.append) as pull:
            pull.bring(dataclasses.replace(harvest, pull=batches))
            for table in harvest.tables:
                places: list[Partition] = [("lab", month) for month in MONTHS] if table.by_month else [("lab",)]
                pull.ensure(table, places)
                pull.told(table, places)

    def pull_everything(self) -> None:
        for source in sources_of(self.deployment):
            for harvest in source.harvests:
                self.pull(source, harvest)

    def build_and_publish(self) -> None:
        store_events(self.store, self.deployment, MONTHS)
        store_user_days(self.store, self.deployment, MONTHS)
        metrics = [ACTIVE_USERS, *CORE_ACTIONS]
        for kind in KINDS:
            starts = sorted({Period.of(kind, day).start.isoformat() for day in DAYS})
            store_counts(self.store, self.deployment, kind, metrics, starts, now())
        with self.store.alone(StoreLedger.PUBLISHING) as held:
            numbers = read_numbers(held, {"lab": self.deployment}, CORE_ACTIONS, now())
            write_published(held, numbers, CORE_ACTIONS, now())

    def erase(self, user: str) -> None:
        erasing(self.store, self.deployment, [user], []).erase(["2026-11-16"])


@contextmanager
def empty_store(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FilledStore]:
    """A month of twelve people, one of each kind, of whom nothing is in the store yet; the lab answers."""
    lab = RenkuLab("lab", folder / "audit_log", now=midnight(START))
    population = Population(lab, seed=7, people=12, projects=5)
    population.live(midnight(TODAY))
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of the tests")
    with lab:
        for name, value in write_deployment(lab, folder / "deployments", START).items():
            monkeypatch.setenv(name, value)
        yield FilledStore(lab, Store.at(address), read_deployment(folder / "deployments" / "lab.yaml"))


@contextmanager
def filled_store(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FilledStore]:
    """The same with everything in the store."""
    with empty_store(address, folder, monkeypatch) as filled:
        filled.pull_everything()
        filled.build_and_publish()
        yield filled
