"""A simulated deployment whose pulls, counts and publications come in any order, some of them killed half way.

What runs are the functions that the assets call; Dagster is left out.
"""

from __future__ import annotations

import datetime as dt
import itertools
import random
from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from renku_metrics.dagster.metrics import KINDS, metric_tables
from renku_metrics.dagster.published import read_numbers, write_published
from renku_metrics.deployments import Deployment
from renku_metrics.errors import StoreError
from renku_metrics.metrics.checks import CHECKS, Rows
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CREATING_A_DATASET, STARTING_A_SESSION
from renku_metrics.periods import ONE_DAY, Period, days_between
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.checking import event_keys_are_unique, nothing_personal
from renku_metrics.pipeline.locks import SourceName
from renku_metrics.pipeline.pulling import Place, Pull
from renku_metrics.pipeline.relinking import PEOPLE
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import EVENTS, RAW_TABLES, PeriodKind, published_table
from renku_metrics_tests.pipeline.mortal_storage import KilledError, MortalStorage
from renkulab.population import Population
from renkulab.truth import ACTIVE, COMMITS, Deed, Ledger
from renkulab.truth import CORE_ACTIONS as TRUE_ACTIONS

HOUR = dt.timedelta(hours=1)
# Two are as good as all, and quicker.
CORE_ACTIONS = (CREATING_A_DATASET, STARTING_A_SESSION)
METRICS = (ACTIVE_USERS, *CORE_ACTIONS)
BY_DAY: dict[str, tuple[SourceName, Sequence[str]]] = {
    "commits": ("gitlab", ("raw_gitlab_pushes", "raw_gitlab_commits")),
    "logins": ("keycloak", ("raw_keycloak_logins",)),
    "sessions": ("amalthea", ("raw_amalthea_sessions",)),
}


class Schedule:
    """What happens to a deployment from its first day on, at random by the ``seed``."""

    def __init__(self, population: Population, deployment: Deployment, seed: int, deadly: float) -> None:
        self.population = population
        self.chance = random.Random(seed)
        self._deployment = deployment
        self._storage = MortalStorage()
        self.store = Store(self._storage)
        self._deadly = deadly
        self._known: dict[str, str] = {}
        # What the last pull of commits, and the last one of users that came to its end, could see.
        self._commits_seen: list[Deed] = []
        self._people_seen: dict[str, str] = {}
        # What the pulls told of each day, and the days that were not built and counted since, in the way of Dagster.
        self._told: dict[Place, str] = {}
        self._changed: set[dt.date] = set()
        # Pulls that were killed: nobody can say what they saw until they are done again.
        self._killed_pulls: set[str] = set()
        self.killed = 0
        self.complete_rows_checked = 0

    @property
    def now(self) -> dt.datetime:
        return self.population.lab.clock.now()

    @property
    def days(self) -> list[dt.date]:
        """Every day that is over."""
        return list(days_between(self._deployment.start, self.now.date() - ONE_DAY))

    def live(self, until: dt.datetime) -> None:
        """Time passes, with things done now and then; every publication is compared with the truth."""
        while self.now < until:
            self.population.live(min(until, self.now + self.chance.randint(10, 23) * HOUR))
            if self.chance.random() < 0.2:
                self._learn_somebody()
            # Often enough that Keycloak forgets little; anything else at will.
            deeds: list[Callable[[], None]] = []
            if self.chance.random() < 0.95:
                deeds.append(partial(self._pull, "logins"))
            deeds += self.chance.choices(list(self._deeds), list(self._deeds.values()), k=self.chance.randint(1, 3))
            for deed in deeds:
                self._storage.writes_left = self.chance.randint(0, 40) if self.chance.random() < self._deadly else None
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
        for kind in BY_DAY:
            self._pull(kind)
        relinked = relinked_days(self.store, self._deployment.name)
        self._changed |= {dt.date.fromisoformat(day) for day in relinked}
        days = sorted(self._changed & set(self.days))
        if days:
            self._build(days)
            self._count(days)
            self._changed -= set(days)
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

    # What the assets do

    def _pull(self, kind: str) -> None:
        source, tables = BY_DAY[kind]
        self._killed_pulls.add(kind)
        pull = Pull(self._deployment, source, self.store, self.now, lambda line: None)
        with pull.alone():
            if kind == "commits":
                pull.gitlab_history(with_pushes=True)
                self._commits_seen = list(self.population.ledger.deeds)
            elif kind == "logins":
                pull.keycloak_logins()
            else:
                pull.amalthea_sessions()
            self._killed_pulls.discard(kind)
            self._report(pull, tables)

    def _pull_users(self) -> None:
        self._killed_pulls.add("people")
        gitlab = Pull(self._deployment, "gitlab", self.store, self.now, lambda line: None)
        with gitlab.alone():
            gitlab.gitlab_projects()
            gitlab.gitlab_users()
            self._report(gitlab, [])
        keycloak = Pull(self._deployment, "keycloak", self.store, self.now, lambda line: None)
        with keycloak.alone():
            keycloak.keycloak_users()
            self._people_seen = dict(self._known)
            self._killed_pulls.discard("people")
            self._report(keycloak, [])

    def _report(self, pull: Pull, asked: Sequence[str]) -> None:
        name = self._deployment.name
        over = {day.isoformat() for day in self.days}
        for table in RAW_TABLES:
            places = [place for place in pull.unreported(table) if len(place) == 1 or place[1] in over]
            if table.name in asked:
                places = sorted({*places, *((name, day) for day in over)})
            for place, stored in pull.standing(table, places).items():
                if len(place) > 1 and self._told.get((table.name, place)) != stored.version:
                    self._told[table.name, place] = stored.version
                    self._changed.add(dt.date.fromisoformat(place[1]))
            pull.reported((table.name, place) for place in places)

    def _some_days(self) -> list[dt.date]:
        days = self.days
        first = self.chance.randrange(len(days))
        return days[first : first + self.chance.randint(1, len(days))]

    def _build_some(self) -> None:
        if self.days:
            days = [day.isoformat() for day in self._some_days()]
            step = self.chance.choice([store_events, store_user_days])
            step(self.store, self._deployment, days)

    def _count_some(self) -> None:
        if self.days:
            self._count(self._some_days(), share=0.5)

    def _bring_some_up_to_date(self) -> None:
        if self.days:
            days = self._some_days()
            self._build(days)
            self._count(days)

    def _build(self, days: Sequence[dt.date]) -> None:
        for step in (store_events, store_user_days):
            step(self.store, self._deployment, [day.isoformat() for day in days])

    def _count(self, days: Sequence[dt.date], share: float = 1.0) -> None:
        for kind in KINDS:
            starts = sorted({Period.of(kind, day).start.isoformat() for day in days})
            for metric in self.chance.sample(METRICS, len(METRICS)):
                if self.chance.random() < share:
                    store_counts(self.store, self._deployment, kind, metric, starts, self.now)

    def publish(self) -> None:
        deployments = {self._deployment.name: self._deployment}
        numbers = {kind: read_numbers(self.store, kind, deployments, CORE_ACTIONS, self.now) for kind in KINDS}
        for kind, known in numbers.items():
            self._compare_with_truth(kind, known.rows)
        self._check({kind: known.rows for kind, known in numbers.items()})
        write_published(self.store, numbers, CORE_ACTIONS, self.now)

    def _check(self, rows: Rows) -> None:
        """Whatever was counted in whatever order, no check may stop what is honest about itself."""
        name = self._deployment.name
        tables = [table for kind in KINDS for table in metric_tables(kind, CORE_ACTIONS)]
        findings = [
            *(check.of(rows) for check in CHECKS),
            nothing_personal(self.store, [name], tables, rows.values()),
            event_keys_are_unique(self.store, [name]),
        ]
        stopping = [finding for finding in findings if finding.blocking and not finding.passed]
        assert not stopping, (self.now, stopping)

    # What is true

    def truth(self) -> Ledger:
        """Every deed as it can be known: commits that were pushed by the last pull, under who is known by then."""
        ledger = Ledger()
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
    built = freshness.read(store, deployment, EVENTS.name)
    return freshness.stale(PEOPLE, freshness.read(store, deployment, PEOPLE), built)
