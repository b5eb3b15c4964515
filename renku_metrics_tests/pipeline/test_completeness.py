"""What a number may claim to know when things change while it is read, or the start of its deployment is moved."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from renku_metrics.events import union
from renku_metrics.metrics import coverage
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import ONE_DAY, Period, Span, days_between, midnight
from renku_metrics.pipeline.completeness import Standing, counted_coverage, read_standing
from renku_metrics.schema import Table
from renku_metrics.sources.registry import all_sources, read_deployments
from renku_metrics.store.files import WHOLE, Partition
from renku_metrics.store.ledger import RULES, Built, Count, Counted, Entry, Ledger, Of, Pulled
from renku_metrics.store.store import Store
from renku_metrics.tables import COVERAGE, EVENTS, USER_DAYS
from renku_metrics_tests.pipeline.mortal_storage import MortalStorage
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.pipeline.planted import SOURCES, WEEKS, plant, write_deployment_file
from renku_metrics_tests.pipeline.pulls import LOGINS, SESSIONS, pull_once
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served

START = TODAY - 4 * ONE_DAY


def counted(store: Store, serials: dict[str, int]) -> None:
    """The weekly numbers that are stored are counted from these serials of September's user days."""
    table = ACTIVE_USERS.table("week")
    place = ("lab",)
    version = store.read_versioned(table, [place])[1].get(place, "")
    rules = {RULES: ACTIVE_USERS.version}

    def note(document: Counted) -> None:
        of = {week: {"2026-09-01": serial} | rules for week, serial in serials.items()}
        document.metrics[table.name] = Count(version, of)

    Ledger(store, "lab").change_counted(note)


@pytest.fixture
def september(tmp_path: Path) -> Store:
    """All of it is covered and built, a user day of each week is known, and three weeks are counted from them."""
    write_deployment_file(tmp_path / "deployments", sources=SOURCES)
    store, place = Store(MortalStorage()), ("lab", "2026-09-01")
    ledger = Ledger(store, "lab")
    for source in all_sources():

        def covered(pulled: Pulled) -> None:
            pulled.covered = [Span(midnight(dt.date(2026, 9, 1)), midnight(dt.date(2026, 10, 1)))]

        ledger.change_pulled(source.name, covered)
    stored = {table.name: store.ensure(table, [place])[place] for table in (EVENTS, USER_DAYS)}
    rules: Of = {RULES: union.RULES_VERSION}

    def built(document: Built) -> None:
        events, days = stored[EVENTS.name], stored[USER_DAYS.name]
        document.tables[EVENTS.name] = {place[1]: Entry(events.version, events.mark, 1, {}, dict(rules))}
        of_days = dict.fromkeys(["2026-09-08", "2026-09-15", "2026-09-22"], 1)
        of = {**rules, EVENTS.name: 1}
        document.tables[USER_DAYS.name] = {place[1]: Entry(days.version, days.mark, 1, of_days, of)}

    ledger.change_built(built)
    for week in WEEKS:
        plant(store, "week", week, 3, 8)
    counted(store, dict.fromkeys(WEEKS, 1))
    return store


def standing_of(store: Store, tmp_path: Path) -> Standing:
    deployment = read_deployments(tmp_path / "deployments")["lab"]
    [standing] = read_standing(store, deployment, {"week": [ACTIVE_USERS]})
    return standing


def open_days(standing: Standing) -> set[str]:
    """Days of the three weeks that pass for not covered."""
    spans = counted_coverage(standing)["commits"]
    assert spans is not None
    days = [day for week in WEEKS for day in Period.of("week", dt.date.fromisoformat(week)).days]
    return {day.isoformat() for day in days if not coverage.covers(spans, day)}


def test_a_week_that_was_counted_from_older_user_days_is_open_on_the_days_that_changed(
    september: Store, tmp_path: Path
) -> None:
    assert open_days(standing_of(september, tmp_path)) == set()
    counted(september, dict(zip(WEEKS, [1, 0, 1], strict=True)))
    assert open_days(standing_of(september, tmp_path)) == {"2026-09-15"}


def test_what_is_counted_again_while_it_is_read_passes_for_not_counted(
    september: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_versioned = Store.read_versioned

    def read_during_a_count(
        store: Store, table: Table, partitions: Sequence[Partition]
    ) -> tuple[pd.DataFrame, dict[Partition, str]]:
        read = read_versioned(store, table, partitions)
        with monkeypatch.context() as once:
            once.setattr(Store, "read_versioned", read_versioned)
            plant(store, "week", WEEKS[1], 4, 9)
            counted(store, dict.fromkeys(WEEKS, 1))
        return read

    monkeypatch.setattr(Store, "read_versioned", read_during_a_count)
    standing = standing_of(september, tmp_path)
    # Its numbers are those of before, and nobody knows of which of them that is told.
    assert set(standing.rows[ACTIVE_USERS.table("week").name]["users"]) == {8}
    assert open_days(standing) == {"2026-09-08", "2026-09-15", "2026-09-22"}


def test_days_before_the_start_are_not_covered_though_they_were_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Their rows are left out; so if the start were moved there later, nothing would be known of them.
    small = SmallLab("lab", tmp_path, START - 10 * ONE_DAY)
    for back in range(14, 0, -1):
        small.log_in(TODAY - back * ONE_DAY)
        small.start_session(TODAY - back * ONE_DAY)
    small.lab.clock.set(midnight(TODAY))
    store = Store(MortalStorage())
    with served([small.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        for harvest in (LOGINS, SESSIONS):
            pull_once(store, deployments["lab"], harvest)
    for source in ("keycloak", "amalthea"):
        [span] = Ledger(store, "lab").pulled(source).covered
        assert span.start == midnight(START)
        assert span.end > midnight(START + ONE_DAY)


def test_sessions_without_labels_of_their_users_are_not_complete_until_they_have_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Amalthea's default is no label at all: sessions of users and of visitors alike, and no way to tell who.
    week = Period.of("week", TODAY - 21 * ONE_DAY)
    start, labelled_since = week.start, week.start + 3 * ONE_DAY
    small = SmallLab("lab", tmp_path, start - 2 * ONE_DAY)
    small.log_in(start - ONE_DAY)
    useful, small.lab.amalthea.extra_labels = small.lab.amalthea.extra_labels, ()
    for day in days_between(start, TODAY - ONE_DAY):
        if day == labelled_since:
            small.lab.amalthea.extra_labels = useful
        small.log_in(day)
        small.start_session(day)
    small.lab.clock.set(midnight(TODAY))
    with (
        served([small.lab], tmp_path / "deployments", start, monkeypatch),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)
        pipeline.materialize_everything()
        weekly = pipeline.published("week")
        [first, second] = [
            weekly[(weekly["period"] == of.label) & (weekly["core_action"] == "starting_a_session")].iloc[0]
            for of in (week, Period.of("week", week.end + ONE_DAY))
        ]
        unknown = f"sessions:{start}..{labelled_since - ONE_DAY}"
        assert (first["users"], first["complete"], first["missing"]) == (1, False, unknown)
        assert (second["users"], second["complete"], second["missing"]) == (1, True, "")
        days = pipeline.store.read(COVERAGE, [WHOLE]).set_index("period")["sessions_days"]
        assert days[week.label] == 4
