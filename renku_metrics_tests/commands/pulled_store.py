"""A simulated deployment whose people have all been pulled into a store, without Dagster."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from renku_metrics.pipeline.locks import SourceName

from renku_metrics.deployments import Deployment, read_deployment
from renku_metrics.events.union import EventsBuilt, build_events
from renku_metrics.periods import ONE_DAY, days_between, midnight, now
from renku_metrics.pipeline.building import read_raw, store_events, store_user_days
from renku_metrics.pipeline.pulling import Pull
from renku_metrics.store.store import Partition, Store
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS, RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.present import TODAY
from renkulab.people import Person
from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment

START = TODAY - 10 * ONE_DAY
DAYS: list[Partition] = [("lab", day.isoformat()) for day in days_between(START, TODAY)]


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
        """Everything, as the schedules do, with events and user days of every day."""
        brings: list[tuple[SourceName, Callable[[Pull], None]]] = [
            ("gitlab", Pull.gitlab_projects),
            ("gitlab", Pull.gitlab_users),
            ("gitlab", lambda pull: pull.gitlab_history(with_pushes=True)),
            ("keycloak", Pull.keycloak_users),
            ("keycloak", Pull.keycloak_logins),
            ("amalthea", Pull.amalthea_sessions),
        ]
        for source, bring in brings:
            pull = Pull(self.deployment, source, self.store, now(), lambda _: None)
            with pull.alone():
                bring(pull)
        for table in (RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS):
            self.store.ensure(table, DAYS)
        days = [day for _, day in DAYS]
        store_events(self.store, self.deployment, days)
        store_user_days(self.store, self.deployment, days)

    def rebuilt(self) -> EventsBuilt:
        """The events that follow from what is stored raw."""
        return build_events(read_raw(self.store, self.deployment, DAYS))

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
    """Twelve people, one of each kind, and ten days of what they did."""
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
