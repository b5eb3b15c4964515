"""Brings one source of one deployment up to date in the store. Knows sources and store, nothing of Dagster."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import orjson
import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.metrics import coverage
from renku_metrics.object_storage import open_storage
from renku_metrics.periods import Span, midnight
from renku_metrics.pipeline.erased import erased_people, state_without_erased, without_erased
from renku_metrics.pipeline.hash_key import hash_key_of
from renku_metrics.pipeline.locks import SourceName, locks_of_pull
from renku_metrics.pipeline.relinking import relinking
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.sources.amalthea.audit_log import FilesRead, pull_sessions
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.history import History, HistoryBatch
from renku_metrics.sources.gitlab.projects import pull_projects
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.sources.keycloak.realm import KeycloakSource, LoginsState
from renku_metrics.sources.keycloak_ids import kept_keycloak_id
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Partition, Store, Stored, partitions_of
from renku_metrics.tables import (
    BY_DAY,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    Table,
)

Say = Callable[[str], None]

SESSION_FACTS = ("files_read", "lines", "unreadable_lines", "without_session", "without_user", "duplicate_lines")
# A table and one of its partitions.
Place = tuple[str, Partition]


class Pull:
    """One source of one deployment about to be pulled into one store.

    What a pull changes is remembered in the store as unreported until Dagster knows of it, so that a pull killed
    half way leaves no change that nobody counts.
    """

    def __init__(self, deployment: Deployment, source: SourceName, store: Store, now: dt.datetime, say: Say) -> None:
        self.deployment = deployment
        self.store = store
        self.now = now
        self.say = say
        self.facts: dict[str, Any] = {}
        self._source = source
        self._unreported: set[Place] = set()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the deployment's source: of two pulls at once, one would undo what the other stored.

        Once another may have taken over, whatever this pull would store raises StoreError.
        """
        store = self.store
        with store.alone(*locks_of_pull(self.deployment, self._source)) as self.store:
            self._unreported = read_unreported(self.store, self.deployment.name, self._source)
            try:
                yield
            finally:
                self.store = store

    def unreported(self, table: Table) -> list[Partition]:
        """The partitions of the table that changed since Dagster was last told."""
        return sorted(partition for name, partition in self._unreported if name == table.name)

    def standing(self, table: Table, places: Sequence[Partition]) -> dict[Partition, Stored]:
        """The partitions as they stand in the store; whatever is built of other versions is stale from here on."""
        stored = self.store.ensure(table, places)
        if table.partitioned_by == BY_DAY:
            freshness.record_partitions(self.store, table, stored, {})
        return stored

    def reported(self, places: Iterable[Place]) -> None:
        """Dagster knows of these partitions, as they are standing, now. To be called while this pull is alone."""
        left = self._unreported - set(places)
        if left != self._unreported:
            self._write_unreported(left)

    def gitlab_projects(self) -> None:
        if self.deployment.gitlab:
            self._merge(
                (
                    RAW_GITLAB_PROJECTS,
                    pull_projects(GitLabClient(self.deployment, say=self.say), self.deployment, self.now),
                )
            )

    def gitlab_users(self) -> None:
        if self.deployment.gitlab:
            stored = self.store.read_if_there(RAW_GITLAB_USERS, [(self.deployment.name,)])
            client, book = GitLabClient(self.deployment, say=self.say), self._addresses
            unread = 0

            def batches() -> Iterator[pd.DataFrame]:
                nonlocal unread
                for batch in pull_users(client, self.deployment, book, stored, self.now):
                    yield batch.rows
                    unread += batch.unread

            self._merge_users(RAW_GITLAB_USERS, batches())
            self.facts = {"requests": client.connection.requests_made, "users_unread": unread}
            if unread:
                self.say(f"{client.where}: addresses of {unread} users could not be read; the next pull asks again")

    def gitlab_history(self, with_pushes: bool) -> None:
        """Commits and, where asked for, push events; with the rows of the projects they are in."""
        self._gitlab_history(with_pushes=with_pushes, anew=False)

    def gitlab_reconciliation(self) -> None:
        """Reads every branch of every project whole, and says how many commits the pulls before had missed."""
        self._gitlab_history(with_pushes=True, anew=True)

    def _gitlab_history(self, *, with_pushes: bool, anew: bool) -> None:
        if not self.deployment.gitlab:
            return
        state = GitLabState.from_json(self._remembered())
        client, book = GitLabClient(self.deployment, say=self.say), self._addresses
        history = History(
            client, self.deployment, book, state, self.now, with_pushes=with_pushes, anew=anew, say=self.say
        )
        missed = 0
        for batch in history.batches():
            if anew:
                missed += self._count_missed(batch)
            self._merge(
                (RAW_GITLAB_PROJECTS, batch.projects),
                (RAW_GITLAB_PUSHES, batch.pushes),
                (RAW_GITLAB_COMMITS, batch.commits),
            )
            # Heads move only after the commits they stand for are safely in the table.
            erased = erased_people(self.store, self.deployment.name)
            self._remember(state_without_erased(erased, batch.state).to_json())
        summary = history.summary
        self.facts = {
            "projects_listed": summary.listed,
            "projects_read": summary.read,
            "new_commits": summary.commits,
            "requests": client.connection.requests_made,
            "projects_unread": len(summary.unread),
            "unread": {str(project): why for project, why in summary.unread.items()},
        }
        if anew:
            del self.facts["new_commits"]
            self.facts |= {"commits_read": summary.commits, "commits_missed": missed}
            self.say(f"{client.where}: the pulls before had missed {missed} of {summary.commits} commits")
        if summary.complete:
            self._cover("commits", [Span(midnight(self.deployment.start), summary.started_at)])

    def _count_missed(self, batch: HistoryBatch) -> int:
        """How many commits of projects in which nothing should be new are not in the store."""
        overdue = batch.commits[batch.commits["project_id"].isin(batch.overdue)]
        found = without_erased(self.store, self.deployment.name, RAW_GITLAB_COMMITS, overdue)
        places = sorted(partitions_of(RAW_GITLAB_COMMITS, found))
        stored = self.store.read_if_there(RAW_GITLAB_COMMITS, places)
        known = pd.MultiIndex.from_frame(stored[["project_id", "sha"]])
        return int((~pd.MultiIndex.from_frame(found[["project_id", "sha"]]).isin(known)).sum())

    def keycloak_users(self) -> None:
        if self.deployment.keycloak:
            source = KeycloakSource(self.deployment, self._addresses, say=self.say)
            self._merge_users(RAW_KEYCLOAK_USERS, [source.pull_users(self.now)])

    def keycloak_logins(self) -> None:
        if self.deployment.keycloak:
            state = LoginsState.from_json(self._remembered())
            source = KeycloakSource(self.deployment, self._addresses, say=self.say)
            for batch in source.pull_logins(state, self.now):
                self._merge((RAW_KEYCLOAK_LOGINS, batch.rows))
                if batch.seen:
                    self._cover("logins", [batch.seen.span] if batch.seen.span else [])
                    self._remember(batch.seen.state.to_json())
                    self.facts = {"notes": "; ".join(batch.seen.notes)}

    def amalthea_sessions(self) -> None:
        if amalthea := self.deployment.amalthea:
            state = FilesRead.from_json(self._remembered())
            storage = open_storage(amalthea.audit_log, amalthea.endpoint_url)
            seen: Counter[str] = Counter()
            for batch in pull_sessions(storage, self.deployment, state, self.now):
                self._merge((RAW_AMALTHEA_SESSIONS, batch.rows))
                self._cover("sessions", batch.state.spans())
                self._remember(batch.state.to_json())
                seen.update({name: getattr(batch, name) for name in SESSION_FACTS})
                self.say(f"{self.deployment.name}: amalthea: {seen['files_read']} files read, {batch.files_left} left")
                for note in batch.notes:
                    self.say(f"{self.deployment.name}: amalthea: {note}")
            self.facts = dict(seen)

    def _merge_users(self, table: Table, batches: Iterable[pd.DataFrame]) -> None:
        failure: SourceError | None = None
        with relinking(self.store, self.deployment.name, table, self._commits_changed):
            try:
                for rows in batches:
                    self._merge((table, rows))
            except SourceError as error:
                # Whoever was learned of until then is linked by it from now on, so their days are found all the same.
                failure = error
        if failure:
            raise failure

    def _commits_changed(self, days: set[str]) -> None:
        # Reported like a change of the commits themselves, so that these days are counted again.
        commits = {(RAW_GITLAB_COMMITS.name, (self.deployment.name, day)) for day in days}
        if not commits <= self._unreported:
            self._write_unreported(self._unreported | commits)

    def _merge(self, *pulled: tuple[Table, pd.DataFrame]) -> None:
        touched = {(table.name, place) for table, rows in pulled for place in partitions_of(table, rows)}
        before = self._unreported
        if not touched <= before:
            self._write_unreported(before | touched)
        changed: set[Place] = set()
        for table, rows in pulled:
            kept = without_erased(self.store, self.deployment.name, table, self._without_clear_ids(rows))
            merged = self.store.merge(table, kept)
            changed |= {(table.name, place) for place, stored in merged.items() if stored.changed}
        if self._unreported != before | changed:
            self._write_unreported(before | changed)

    def _without_clear_ids(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with Keycloak's ids as they are kept."""
        if "keycloak_id" not in rows or rows.empty:
            return rows
        book = self._addresses
        kept = {told: kept_keycloak_id(book, told) for told in rows["keycloak_id"].dropna().unique()}
        return rows.assign(keycloak_id=rows["keycloak_id"].map(kept).astype(object))

    @cached_property
    def _addresses(self) -> AddressBook:
        return AddressBook(hash_key_of(self.store), noreply_hosts(self.deployment))

    def _cover(self, kind: str, seen: list[Span]) -> None:
        name = coverage_state(self.deployment.name, kind)
        spans = read_covered(self.store, self.deployment.name, kind)
        # What was before the start is left out, and would not come again if the start were moved there.
        start = midnight(self.deployment.start)
        for span in seen:
            spans = coverage.add(spans, Span(max(span.start, start), span.end))
        self.store.write_state(name, orjson.dumps(coverage.to_json(spans)))

    def _remembered(self) -> bytes | None:
        return self.store.read_state(source_state(self.deployment.name, self._source))

    def _remember(self, content: bytes) -> None:
        self.store.write_state(source_state(self.deployment.name, self._source), content)

    def _write_unreported(self, places: set[Place]) -> None:
        self.store.write_state(_unreported(self.deployment.name, self._source), orjson.dumps(sorted(places)))
        self._unreported = places


def source_state(deployment: str, source: SourceName) -> str:
    """Where the store remembers up to where the source was pulled."""
    return f"{source}/deployment={deployment}/state.json"


def read_unreported(store: Store, deployment: str, source: SourceName) -> set[Place]:
    """The partitions that pulls of the source changed, or were about to, and that Dagster was not told of."""
    content = store.read_state(_unreported(deployment, source))
    return {(table, tuple(partition)) for table, partition in orjson.loads(content or b"[]")}


def _unreported(deployment: str, source: SourceName) -> str:
    return f"{source}/deployment={deployment}/unreported.json"


def coverage_state(deployment: str, kind: str) -> str:
    """Where the store remembers what was covered of the deployment's logins, commits or sessions."""
    return f"coverage/deployment={deployment}/{kind}.json"


def read_covered(store: Store, deployment: str, kind: str) -> list[Span]:
    """What was covered of the deployment's logins, commits or sessions."""
    return coverage.from_json(orjson.loads(store.read_state(coverage_state(deployment, kind)) or b"[]"))


def noreply_hosts(deployment: Deployment) -> list[str]:
    """The hosts of this deployment's private commit addresses."""
    host = urlsplit(deployment.gitlab.url).hostname if deployment.gitlab else None
    return [*deployment.domains, *([host] if host else [])]
