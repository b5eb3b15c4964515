"""Builds events, user days and counts from what the store holds, and notes of what. Knows nothing of Dagster."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import NotConservedError
from renku_metrics.events.union import RULES_VERSION, EventsBuilt, RawFrames, build_events
from renku_metrics.events.user_days import user_days
from renku_metrics.metrics.counting import count
from renku_metrics.metrics.definition import Metric
from renku_metrics.periods import ONE_DAY, Period, midnight
from renku_metrics.pipeline.relinking import PEOPLE
from renku_metrics.pipeline.unlabelled import record_unlabelled
from renku_metrics.store import ledger as freshness
from renku_metrics.store.store import Partition, Store, Stored
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
    PeriodKind,
    Table,
)

EVENTS_COME_OF = (RAW_GITLAB_COMMITS.name, RAW_KEYCLOAK_LOGINS.name, RAW_AMALTHEA_SESSIONS.name, PEOPLE)


def store_events(
    store: Store, deployment: Deployment, days: Sequence[str]
) -> tuple[EventsBuilt, dict[Partition, Stored]]:
    """The events of some days of a deployment, built from its raw tables and stored.

    Raises StoreError when a raw table was not pulled yet, NotConservedError when a raw row is neither an event nor
    dropped for a reason. Nothing is stored then.
    """
    places: list[Partition] = [(deployment.name, day) for day in days]
    while True:
        of = freshness.sources_of_days(store, deployment.name, EVENTS_COME_OF, days)
        raw = read_raw(store, deployment, places)
        built = build_events(raw)
        for day in days:
            if not (of_day := built.of_day(day)).conserved:
                raise NotConservedError(
                    f"{deployment.name}: events of {day}: of {of_day.rows} raw rows {of_day.origins} became events and "
                    f"{sum(of_day.dropped.values())} were dropped"
                )
        # Before the events: as soon as these are there, the day may pass for known.
        record_unlabelled(store, deployment.name, days, raw.sessions)
        written = store.write(EVENTS, built.events, places)
        freshness.record_partitions(store, EVENTS, written, _by_rules(RULES_VERSION, of))
        # A pull of users that came in between has looked for the days it concerns before these events were stored.
        if all(frame.equals(known) for frame, known in zip(read_people(store, deployment), _people(raw), strict=True)):
            return built, written


def store_user_days(
    store: Store, deployment: Deployment, days: Sequence[str]
) -> tuple[pd.DataFrame, dict[Partition, Stored]]:
    """The user days of some days of a deployment, from its events. Raises StoreError when these were not built."""
    places: list[Partition] = [(deployment.name, day) for day in days]
    of = freshness.sources_of_days(store, deployment.name, [EVENTS.name], days)
    found = user_days(store.read(EVENTS, places))
    written = store.write(USER_DAYS, found, places)
    freshness.record_partitions(store, USER_DAYS, written, _by_rules(RULES_VERSION, of))
    return found, written


def store_counts(
    store: Store,
    deployment: Deployment,
    kind: PeriodKind,
    metric: Metric,
    starts: Sequence[str],
    at: dt.datetime,
) -> tuple[pd.DataFrame, dict[Partition, Stored]]:
    """The rows of some weeks or months of a deployment, counted from its user days of all days that are over.

    Raises StoreError when one of these days is not there.
    """
    table = metric.table(kind)
    periods = [Period(dt.date.fromisoformat(start), kind) for start in starts]
    # Nothing is published for a period that begins before the deployment does.
    counted = [period for period in periods if period.start >= deployment.start]
    needed = sorted({day.isoformat() for of in counted for day in of.days if midnight(day + ONE_DAY) <= at})
    known = freshness.sources_of_days(store, deployment.name, [USER_DAYS.name], needed)
    found = store.read(USER_DAYS, [(deployment.name, day) for day in needed])
    numbers = count(metric, found, deployment.name, counted, at) if counted else table.frame()
    places: list[Partition] = [(deployment.name, start) for start in starts]
    rows = _keep_unchanged(store, table, places, numbers)
    of = {
        period.start.isoformat(): {
            day.isoformat(): known[day.isoformat()][USER_DAYS.name]
            for day in period.days
            if USER_DAYS.name in known.get(day.isoformat(), {})
        }
        for period in counted
    }
    written = store.write(table, rows, places)
    freshness.record_partitions(store, table, written, _by_rules(metric.version, of))
    return rows, written


def read_raw(store: Store, deployment: Deployment, days: Sequence[Partition]) -> RawFrames:
    """The raw tables of some days of a deployment, with all its projects and users.

    Days before the deployment's start are empty. Raises StoreError when a table that the deployment has a source
    for was not pulled yet.
    """
    started = [place for place in days if dt.date.fromisoformat(place[1]) >= deployment.start]
    gitlab_users, keycloak_users = read_people(store, deployment)
    return RawFrames(
        deployment=deployment.name,
        projects=_read(store, RAW_GITLAB_PROJECTS, deployment.gitlab, [(deployment.name,)]),
        gitlab_users=gitlab_users,
        keycloak_users=keycloak_users,
        commits=_read(store, RAW_GITLAB_COMMITS, deployment.gitlab, started),
        logins=_read(store, RAW_KEYCLOAK_LOGINS, deployment.keycloak, started),
        sessions=_read(store, RAW_AMALTHEA_SESSIONS, deployment.amalthea, started),
    )


def read_people(store: Store, deployment: Deployment) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The users of GitLab and of Keycloak. Raises StoreError when those of a source were not pulled yet."""
    whole: list[Partition] = [(deployment.name,)]
    return (
        _read(store, RAW_GITLAB_USERS, deployment.gitlab, whole),
        _read(store, RAW_KEYCLOAK_USERS, deployment.keycloak, whole),
    )


def _people(raw: RawFrames) -> tuple[pd.DataFrame, pd.DataFrame]:
    return raw.gitlab_users, raw.keycloak_users


def _read(store: Store, table: Table, source: object, places: Sequence[Partition]) -> pd.DataFrame:
    return store.read(table, places) if source else table.frame()


def _by_rules(version: str, of: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """What something was built of, with the version of the rules that built it."""
    return {time: {**known, freshness.RULES: version} for time, known in of.items()}


def _keep_unchanged(store: Store, table: Table, places: list[Partition], counted: pd.DataFrame) -> pd.DataFrame:
    """The counted rows; where the count is what it was, the stored row with the time it was first counted."""
    numbers = [column.name for column in table.columns if column.name != "computed_at"]
    before = store.read_if_there(table, places)
    known = counted.merge(before, on=numbers, how="left", suffixes=("", "_before"))
    return counted.assign(computed_at=known["computed_at_before"].fillna(known["computed_at"]).to_numpy())
