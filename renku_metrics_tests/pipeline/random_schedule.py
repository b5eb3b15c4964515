"""A simulated deployment whose pulls, counts and publications come in any order, some of them killed half way.

Now and then somebody takes raw files away, or puts older ones in their place.

What runs are the functions that the assets call; Dagster is left out.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import StoreError
from renku_metrics.metrics.checks import Rows, checks
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CREATING_A_DATASET, STARTING_A_SESSION
from renku_metrics.periods import Period, days_between
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.checking import event_keys_are_unique, nothing_personal
from renku_metrics.pipeline.publishing import read_numbers, write_published
from renku_metrics.pipeline.pulling import Pull, pulling
from renku_metrics.schema import Table, month_of
from renku_metrics.sources.http import say_nothing
from renku_metrics.sources.registry import all_sources, raw_tables
from renku_metrics.store.files import WHOLE, Partition
from renku_metrics.store.ledger import BEFORE, WHOLE_TABLE, Ledger
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, KINDS, PeriodKind, published_table
from renku_metrics_tests.pipeline.mortal_storage import KilledError, MortalStorage
from renku_metrics_tests.pipeline.pulls import HISTORY, KEYCLOAK_USERS, LOGINS, PROJECTS, SESSIONS, USERS, harvest_named
from renkulab.population import Population
from renkulab.truth import ACTIVE, COMMITS, Deed
from renkulab.truth import CORE_ACTIONS as TRUE_ACTIONS
from renkulab.truth import Ledger as Truth

HOUR = dt.timedelta(hours=1)
# Two are as good as all, and quicker.
CORE_ACTIONS = (CREATING_A_DATASET, STARTING_A_SESSION)
METRICS = (ACTIVE_USERS, *CORE_ACTIONS)
HARVESTS = {"commits": HISTORY, "logins": LOGINS, "sessions": SESSIONS}


class Schedule:
    """What happens to a deployment from its first day on, at random by the ``seed``."""

    def __init__(
        self, population: Population, deployment: Deployment, seed: int, *, deadly: float, careless: float
    ) -> None:
        self.population = population
        self.chance = random.Random(seed)
        self._deployment = deployment
        self._storage = MortalStorage()
        self.store = Store(self._storage)
        self._deadly = deadly
        self._careless = careless
        self._backup = dict[str, bytes]()
        self._known: dict[str, str] = {}
        # What the last pull of commits, and the last one of users that came to its end, could see.
        self._commits_seen: list[Deed] = []
        self._people_seen: dict[str, str] = {}
        # What the pulls told of each month, and the months that were not built and counted since, as Dagster does it.
        self._told: dict[tuple[str, Partition], str] = {}
        self._changed: set[str] = set()
        # Pulls that were killed: nobody can say what they saw until they are done again.
        self._killed_pulls: set[str] = set()
        self._publications = 0
        self.killed = 0
        self.lost = 0
        self.complete_rows_checked = 0

    @property
    def now(self) -> dt.datetime:
        return self.population.lab.clock.now()

    @property
    def months(self) -> list[str]:
        """Every month that has begun."""
        return sorted({month_of(day.isoformat()) for day in days_between(self._deployment.start, self.now.date())})

    def live(self, until: dt.datetime) -> None:
        """Time passes, with things done now and then; every publication is compared with the truth."""
        while self.now < until:
            self.population.live(min(until, self.now + self.chance.randint(10, 23) * HOUR))
            if self.chance.random() < 0.2:
                self._learn_somebody()
            if self.chance.random() < self._careless:
                self._lose_something()
            # Often enough that Keycloak forgets little; anything else at will.
            deeds: list[Callable[[], None]] = []
            if self.chance.random() < 0.95:
                deeds.append(partial(self._pull, "logins"))
            deeds += self.chance.choices(list(self._deeds), list(self._deeds.values()), k=self.chance.randint(1, 3))
            for deed in deeds:
                # No step writes much more.
                self._storage.writes_left = self.chance.randint(0, 12) if self.chance.random() < self._deadly else None
                try:
                    deed()
                except KilledError:
                    self.killed += 1
                except StoreError:
                    # Asked for what is not pulled or built yet.
                    continue
                finally:
                    self._storage.writes_left = None

    def bring_up_to_date(self) -> None:
        """Everything is pulled and published; built and counted again is what the pulls say has changed."""
        self._pull_users()
        for kind in HARVESTS:
            self._pull(kind)
        months = sorted(self._changed)
        if months:
            self._build(months)
            self._count(months)
            self._changed.clear()
        self.publish()

    def published(self, kind: PeriodKind) -> pd.DataFrame:
        return self.store.read_if_there(published_table(kind), [WHOLE])

    @property
    def _deeds(self) -> dict[Callable[[], None], int]:
        return {
            partial(self._pull, "commits"): 3,
            partial(self._pull, "sessions"): 2,
            self._pull_users: 3,
            self._build_some: 3,
            self._count_some: 2,
            self._bring_some_up_to_date: 3,
            self.publish: 4,
            self.bring_up_to_date: 4,
        }

    def learn_everybody(self) -> None:
        """Everybody whom it could be known of at all is known."""
        known = -1
        while known < len(self._known):
            known = len(self._known)
            for _ in range(10):
                self._learn_somebody()

    def _learn_somebody(self) -> None:
        """An address that nobody had belongs to somebody from now on."""
        lab = self.population.lab
        unknown = [person for person in self.population.people if person.cli_identity.startswith("address:")]
        outsiders = [f"outsider-{number}@elsewhere.example" for number in (1, 2, 3)]
        left = [address for address in outsiders if f"address:{address}" not in self._known]
        if left and self.chance.random() < 0.5:
            self._known[f"address:{left[0]}"] = lab.keycloak.add_user(left[0], self.now).id
            return
        for person in unknown:
            if person.cli_identity not in self._known and person.account is not None:
                self._known[person.cli_identity] = person.identity
                lab.gitlab.add_email(person.account, person.cli_address, self.now)
                person.account.last_activity_on = self.now.date()
                return

    def _lose_something(self) -> None:
        """A backup is made, or raw files are taken away, or replaced by those of the backup."""
        raw = [info.key for info in self._storage.list("raw/")]
        what = self.chance.choice(["backup", "one is gone", "one is older", "all are older"])
        if what == "backup" or not raw:
            self._backup = self._storage.snapshot()
            return
        lost = raw if what == "all are older" else [self.chance.choice(raw)]
        for key in lost:
            self._storage.restore(key, {} if what == "one is gone" else self._backup)
        self.lost += 1

    # What the assets do

    def _pull(self, kind: str) -> None:
        self._killed_pulls.add(kind)
        source, harvest = harvest_named(HARVESTS[kind])
        with pulling(self.store, self._deployment, source, lambda: self.now, say_nothing) as pull:
            pull.bring(harvest)
            if kind == "commits":
                self._commits_seen = list(self.population.ledger.deeds)
            self._killed_pulls.discard(kind)
            self._report(pull, harvest.tables)

    def _pull_users(self) -> None:
        self._killed_pulls.add("people")
        for name in (PROJECTS, USERS, KEYCLOAK_USERS):
            source, harvest = harvest_named(name)
            with pulling(self.store, self._deployment, source, lambda: self.now, say_nothing) as pull:
                pull.bring(harvest)
                if name == KEYCLOAK_USERS:
                    self._people_seen = dict(self._known)
                    self._killed_pulls.discard("people")
                self._report(pull, harvest.tables)

    def _report(self, pull: Pull, asked: Sequence[Table]) -> None:
        """What the raw assets tell Dagster."""
        name = self._deployment.name
        for table in raw_tables():
            places = pull.untold(table)
            if table in asked:
                every = [(name, month) for month in self.months] if table.by_month else [(name,)]
                places = sorted({*places, *every})
            stored = pull.ensure(table, places)
            for place, version in pull.versions(table, stored).items():
                if table.by_month and self._told.get((table.name, place)) != version:
                    self._told[table.name, place] = version
                    self._changed.add(place[1])
            pull.told(table, places)

    def _some_months(self) -> list[str]:
        months = self.months
        first = self.chance.randrange(max(len(months), 1))
        return months[first : first + self.chance.randint(1, max(len(months), 1))]

    def _build_some(self) -> None:
        step = self.chance.choice([store_events, store_user_days])
        if months := self._some_months():
            step(self.store, self._deployment, months)

    def _count_some(self) -> None:
        if months := self._some_months():
            self._count(months, share=0.5)

    def _bring_some_up_to_date(self) -> None:
        if months := self._some_months():
            self._build(months)
            self._count(months)

    def _build(self, months: Sequence[str]) -> None:
        for step in (store_events, store_user_days):
            step(self.store, self._deployment, months)

    def _count(self, months: Sequence[str], share: float = 1.0) -> None:
        """The months and the weeks that have days in them."""
        days = [day for month in months for day in Period.of("month", dt.date.fromisoformat(month)).days]
        for kind in KINDS:
            starts = sorted({Period.of(kind, day).start.isoformat() for day in days if day <= self.now.date()})
            # In one step, and one by one.
            if self.chance.random() < 0.5:
                self._count_periods(kind, starts, share)
            else:
                for start in self.chance.sample(starts, len(starts)):
                    self._count_periods(kind, [start], share)

    def _count_periods(self, kind: PeriodKind, starts: Sequence[str], share: float) -> None:
        metrics = [metric for metric in self.chance.sample(METRICS, len(METRICS)) if self.chance.random() < share]
        if metrics:
            store_counts(self.store, self._deployment, kind, metrics, starts, self.now)

    def publish(self) -> None:
        deployments = {self._deployment.name: self._deployment}
        # No two are at the same moment, though the lab's clock may not have moved.
        self._publications += 1
        at = self.now + self._publications * dt.timedelta(milliseconds=1)
        numbers = read_numbers(self.store, deployments, CORE_ACTIONS, at)
        for kind, known in numbers.items():
            self._compare_with_truth(kind, known.rows)
        self._check({kind: known.rows for kind, known in numbers.items()})
        write_published(self.store, numbers, CORE_ACTIONS, at)

    def _check(self, rows: Rows) -> None:
        """Whatever was counted in whatever order, no check may stop what is honest about itself."""
        findings = [
            *(check.of(rows) for check in checks(CORE_ACTIONS)),
            nothing_personal(rows.values()),
            event_keys_are_unique(self.store, [self._deployment.name]),
        ]
        stopping = [finding for finding in findings if finding.blocking and not finding.passed]
        assert not stopping, (self.now, stopping)

    # What is true

    def truth(self) -> Truth:
        """Every deed as it can be known: commits that were pushed by the last pull, under who is known by then."""
        ledger = Truth()
        others = [deed for deed in self.population.ledger.deeds if deed.action not in COMMITS]
        for deed in itertools.chain(others, (deed for deed in self._commits_seen if deed.action in COMMITS)):
            ledger.note(self._people_seen.get(deed.person, deed.person), deed.action, deed.at, deed.project_id)
        return ledger

    def _compare_with_truth(self, kind: PeriodKind, rows: pd.DataFrame) -> None:
        if self._killed_pulls & {"commits", "people"}:
            return
        truth = self.truth()
        active = truth.people(ACTIVE, kind)
        for row in rows[rows["complete"].astype(bool)].to_dict(orient="records"):
            users = truth.people(TRUE_ACTIONS[row["core_action"]], kind).get(row["period_start"], set())
            true = (len(users), len(active.get(row["period_start"], ())))
            assert (row["users"], row["active_users"]) == true, (self.now, row["period"], row["core_action"])
            self.complete_rows_checked += 1


def relinked_days(store: Store, deployment: str) -> set[str]:
    """The days not built since it was learned who somebody in them is."""
    ledger = Ledger(store, deployment)
    events = ledger.built().tables.get(EVENTS.name, {})
    found: set[str] = set()
    for source in all_sources():
        tables = ledger.pulled(source.name).tables
        for name in BEFORE:
            entry = tables.get(name, {}).get(WHOLE_TABLE)
            for day, serial in entry.days.items() if entry else ():
                built = events.get(month_of(day))
                if built is None or serial > int(built.of[name]):
                    found.add(day)
    return found
