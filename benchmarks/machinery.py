"""What the machinery itself costs: ticks of the automation, partition events, and requests to the store.

Ticks are told in seconds of CPU, for 6 deployments of 4 years; they grow with the partitions, not with the rows.
Requests are counted on a directory, one for each object that is read, written, deleted or listed: on S3 each of them
is a round trip. A simulated RenkuLab of a few people is pulled, counted and published for them.

    python -m benchmarks.machinery ticks
    python -m benchmarks.machinery requests
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import time_machine

from renku_metrics.dagster.partitions import Grid
from renku_metrics.dagster.raw import RAW_GROUP
from renku_metrics.definitions import build_definitions
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.definition import Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.object_storage import open_storage
from renku_metrics.object_storage.interface import ObjectInfo, ObjectStorage
from renku_metrics.periods import Period, days_between, midnight, now
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.checking import check_numbers
from renku_metrics.pipeline.publishing import read_numbers, write_published
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.sources.registry import all_sources, raw_tables, read_deployments
from renku_metrics.store.store import Store, batches
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics.tables import KINDS
from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment

# The present of all of it: a day near the end of a month.
NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DEPLOYMENTS, CHANGED, YEARS = 6, 5, 4
FIRST = dt.date(NOW.year - YEARS, NOW.month + 1, 1)
METRICS: list[Metric] = [ACTIVE_USERS, *CORE_ACTIONS]
MONTHS_AT_ONCE = 6


class Ticks:
    """The automation of deployments of which everything is there, tick by tick, with its CPU."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.deployments = {
            name: Deployment(name=name, title=name, start=FIRST) for name in (f"lab-{n}" for n in range(DEPLOYMENTS))
        }
        self.grid = Grid.of(self.deployments.values())
        self._instance = instance
        self._definitions = build_definitions(self.deployments, tempfile.mkdtemp())
        self._cursor: dg.AssetDaemonCursor | None = None
        self._versions = 0

    def materialize(self, names: Iterable[str], only: Callable[[str], bool] = lambda _: True) -> int:
        """Tells Dagster that these partitions have new content; how many there are."""
        told = 0
        self._versions += 1
        for name in names:
            grain = self._definitions.resolve_assets_def(name).partitions_def
            for key in [key for key in grain.get_partition_keys() if only(key)] if grain else [None]:
                tags = {"dagster/data_version": str(self._versions), "dagster/data_version_is_user_provided": "true"}
                if isinstance(key, dg.MultiPartitionKey):
                    tags |= {f"dagster/partition/{name}": value for name, value in key.keys_by_dimension.items()}
                self._instance.report_runless_asset_event(dg.AssetMaterialization(name, partition=key, tags=tags))
                told += 1
        return told

    def next(self, what: str) -> None:
        """Evaluates one tick, and prints what it took and requested."""
        begun = time.process_time()
        result = dg.evaluate_automation_conditions(
            defs=self._definitions, instance=self._instance, cursor=self._cursor, evaluation_time=NOW
        )
        took = time.process_time() - begun
        self._cursor = result.cursor
        graph = self._definitions.resolve_asset_graph()
        requested = {
            key.to_user_string(): len(result.get_requested_partitions(key)) for key in graph.get_all_asset_keys()
        }
        asked = ", ".join(f"{count} of {name}" for name, count in sorted(requested.items()) if count) or "nothing"
        print(f"{took:6.2f} s  {what}: requests {asked}", flush=True)

    def names(self, *groups: str) -> list[str]:
        graph = self._definitions.resolve_asset_graph()
        return sorted(key.to_user_string() for key in graph.get_all_asset_keys() if graph.get(key).group_name in groups)


def ticks() -> None:
    """The CPU of an idle tick, and of those that follow when all months of some deployments changed."""
    logging.disable(logging.WARNING)
    with time_machine.travel(NOW.timestamp(), tick=True), dg.DagsterInstance.ephemeral() as instance:
        automation = Ticks(instance)
        told = automation.materialize(automation.names(RAW_GROUP, "events", "metrics", "published"))
        print(f"{DEPLOYMENTS} deployments of {YEARS} years: {told:,} partitions; CPU of a tick")
        automation.next("the first")
        for _ in range(3):
            automation.next("idle")

        def changed(key: str) -> bool:
            return int(key.split("|")[0].removeprefix("lab-")) < CHANGED

        months = [f"{metric.key}_monthly" for metric in METRICS]
        weeks = [f"{metric.key}_weekly" for metric in METRICS]
        automation.materialize(["raw_gitlab_commits"], changed)
        automation.next(f"all months of {CHANGED} deployments changed")
        automation.next("while they are counted")
        for names in (["events"], ["user_days"], months):
            automation.materialize(names, changed)
        automation.next("all of them are counted")
        automation.materialize(weeks, changed)
        automation.next("all weeks are counted")
        automation.materialize(["published"])
        automation.next("idle")


class Counting:
    """A storage that counts its requests by what they do and to what."""

    def __init__(self, storage: ObjectStorage, requests: Counter[str]) -> None:
        self._storage = storage
        self._requests = requests

    def address(self, key: str = "") -> str:
        return self._storage.address(key)

    def read(self, key: str) -> bytes:
        self._count("read", key)
        return self._storage.read(key)

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        self._count("read", key)
        return self._storage.read_versioned(key)

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        self._count("write", key)
        return self._storage.replace(key, content, version)

    def delete(self, key: str) -> None:
        self._count("delete", key)
        self._storage.delete(key)

    def clear_unfinished(self, prefix: str = "") -> None:
        self._storage.clear_unfinished(prefix)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._count("list", prefix)
        return self._storage.list(prefix)

    @contextmanager
    def alone(self, name: str) -> Iterator[ObjectStorage]:
        self._count("hold", name)
        with self._storage.alone(name) as held:
            yield Counting(held, self._requests)

    def _count(self, what: str, key: str) -> None:
        self._requests[f"{what} {key.split('/')[0]}"] += 1


def requests() -> None:
    """How many requests to the store a first count, a publication and one with nothing changed make."""
    os.environ["RENKU_METRICS_HASH_KEY"] = "a key of benchmarks"
    for years in (1, 3):
        start = Period.of("month", NOW.date().replace(year=NOW.year - years)).start
        with time_machine.travel(NOW.timestamp(), tick=True), tempfile.TemporaryDirectory() as folder:
            _of_store(Path(folder), start, years)


def _of_store(folder: Path, start: dt.date, years: int) -> None:
    lab = RenkuLab("lab", folder / "audit-log", now=midnight(start))
    lab.keycloak.events_expiration = None
    Population(lab, seed=5, people=8, projects=4).live(midnight(NOW.date()))
    months = sorted({Period.of("month", day).start.isoformat() for day in days_between(start, NOW.date())})
    weeks = sorted({Period.of("week", day).start.isoformat() for day in days_between(start, NOW.date())})
    counted: Counter[str] = Counter()
    store = Store(Counting(open_storage(str(folder / "store")), counted))

    def tell(what: str) -> None:
        by = ", ".join(f"{count} {kind}" for kind, count in counted.most_common(6))
        print(f"{counted.total():7,}  {what}: {by}", flush=True)
        counted.clear()

    print(f"A deployment of {years} years, {len(months)} months: requests to the store")
    with lab:
        os.environ.update(write_deployment(lab, folder / "deployments", start))
        deployments = read_deployments(folder / "deployments")
        _pull(store, deployments["lab"], months)
        tell("pull of all history")
        objects = sum(1 for info in store.storage.list() if info.key.startswith("raw/"))
        counted.clear()
        _count_everything(store, deployments["lab"], months, weeks)
        tell("first count of events, user days, weeks and months")
        _publish(store, deployments)
        tell("first publication")
        _publish(store, deployments)
        tell("publication with nothing changed")
        _pull(store, deployments["lab"], months[-1:])
        tell("pull of the running month with nothing new")
    everything = sum(1 for _ in store.storage.list())
    planned = sum(len(months) if table.by_month else 1 for table in raw_tables())
    print(f"{everything:7,}  objects in the store, {objects:,} of them raw")
    print(
        f"{planned:7,}  partition events of its raw backfill, {planned + len(months) * (2 + len(METRICS))} with "
        f"events, user days and monthly numbers, and {len(weeks) * len(METRICS)} of weekly numbers"
    )


def _pull(store: Store, deployment: Deployment, months: Sequence[str]) -> None:
    # As the raw assets do.
    for source in all_sources():
        for harvest in source.harvests:
            with pulling(store, deployment, source, now, lambda _: None) as pull:
                pull.bring(harvest)
                for table in raw_tables():
                    known = pull.untold(table)
                    asked = [(deployment.name, month) for month in months] if table.by_month else [(deployment.name,)]
                    for places in (known, asked if table in harvest.tables else []):
                        if places:
                            pull.versions(table, pull.ensure(table, places))
                            pull.told(table, places)


def _count_everything(store: Store, deployment: Deployment, months: Sequence[str], weeks: Sequence[str]) -> None:
    for some in batches(months, MONTHS_AT_ONCE):
        store_events(store, deployment, some)
    for some in batches(months, MONTHS_AT_ONCE):
        store_user_days(store, deployment, some)
    for kind, starts in zip(KINDS, (weeks, months), strict=True):
        store_counts(store, deployment, kind, METRICS, starts, now())


def _publish(store: Store, deployments: dict[str, Deployment]) -> None:
    with store.alone(StoreLedger.PUBLISHING) as held:
        at = now()
        numbers = read_numbers(held, deployments, CORE_ACTIONS, at)
        check_numbers(held, numbers, CORE_ACTIONS)
        write_published(held, numbers, CORE_ACTIONS, at)


if __name__ == "__main__":
    {"ticks": ticks, "requests": requests}[sys.argv[1]]()
