"""A simulated deployment whose people have all been pulled into a store, without Dagster."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from renku_metrics.deployments import Deployment
from renku_metrics.events.union import EventsBuilt, unite
from renku_metrics.periods import ONE_DAY, days_between, midnight
from renku_metrics.pipeline.building import read_raw, store_events, store_user_days
from renku_metrics.schema import month_of
from renku_metrics.sources.registry import read_deployment, sources_of
from renku_metrics.store.ledger import Ledger
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS, RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.pipeline.pulls import HARVESTS, pull_once
from renku_metrics_tests.present import TODAY
from renkulab.people import Person
from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment

# So that there are two months of it.
START = TODAY.replace(day=1) - 3 * ONE_DAY
MONTHS = sorted({month_of(day.isoformat()) for day in days_between(START, TODAY)})
PLACES: list[Partition] = [("lab", month) for month in MONTHS]


@dataclass
class PulledStore:
    """``people`` are the population's; the deployment is named ``lab``."""

    lab: RenkuLab
    store: Store
    deployments: Path
    people: list[Person]

    @property
    def deployment(self) -> Deployment:
        return read_deployment(self.deployments / "lab.yaml")

    def person(self, kind: str) -> Person:
        """The first person of the kind."""
        return next(person for person in self.people if person.kind == kind)

    def pull(self) -> None:
        """Everything, as the schedules do, with events and user days of every month."""
        for harvest in HARVESTS:
            pull_once(self.store, self.deployment, harvest)
        for table in (RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS):
            self.store.ensure(table, PLACES)
        store_events(self.store, self.deployment, MONTHS)
        store_user_days(self.store, self.deployment, MONTHS)

    def rebuilt(self) -> EventsBuilt:
        """The events that follow from what is stored raw."""
        ledger = Ledger(self.store, "lab")
        pulled = {source.name: ledger.pulled(source.name) for source in sources_of(self.deployment)}
        frames = read_raw(ledger, self.deployment, MONTHS, pulled)
        return unite("lab", [source.events(frames) for source in sources_of(self.deployment)])

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
def pulled_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PulledStore]:
    """Twelve people, one of each kind, and four weeks of what they did."""
    lab = RenkuLab("lab", tmp_path / "audit_log", now=midnight(START))
    population = Population(lab, seed=7, people=12, projects=5)
    for day in days_between(START, TODAY - ONE_DAY):
        population.live(midnight(day + ONE_DAY))
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", str(tmp_path / "deployments"))
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of tests")
    with lab:
        for name, value in write_deployment(lab, tmp_path / "deployments", START).items():
            monkeypatch.setenv(name, value)
        pulled = PulledStore(lab, Store.at(str(tmp_path / "store")), tmp_path / "deployments", population.people)
        pulled.pull()
        yield pulled
