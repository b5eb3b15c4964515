"""What a number may claim to know when things change while it is read, or the start of its deployment is moved."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import orjson
import pytest

from renku_metrics.deployments import read_deployments
from renku_metrics.metrics import coverage
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight, now
from renku_metrics.pipeline.completeness import read_counts
from renku_metrics.pipeline.pulling import Pull, coverage_state
from renku_metrics.store import ledger as freshness
from renku_metrics.store.ledger import Built
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import COVERAGE
from renku_metrics_tests.pipeline.mortal_storage import MortalStorage
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.pipeline.planted import WEEKS, plant
from renku_metrics_tests.pipeline.small_lab import SmallLab, served
from renku_metrics_tests.present import TODAY

START = TODAY - 4 * ONE_DAY


def test_what_is_counted_anew_while_it_is_read_passes_for_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(MortalStorage())
    table = ACTIVE_USERS.table("week")
    for week in WEEKS:
        plant(store, "week", week, 3, 8)
    rules = {freshness.RULES: ACTIVE_USERS.version}
    freshness.record(store, "lab", table.name, {week: Built("first", rules) for week in WEEKS})
    assert set(read_counts(store, "lab", "week", [ACTIVE_USERS]).built[table.name]) == set(WEEKS)

    read_if_there = Store.read_if_there

    def read_during_a_count(*arguments: object) -> object:
        freshness.record(store, "lab", table.name, {WEEKS[1]: Built("second", rules)})
        return read_if_there(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "read_if_there", read_during_a_count)
    assert set(read_counts(store, "lab", "week", [ACTIVE_USERS]).built[table.name]) == {WEEKS[0], WEEKS[2]}


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
    with served([small], tmp_path / "deployments", START, monkeypatch):
        deployment = read_deployments(tmp_path / "deployments")["lab"]
        Pull(deployment, "keycloak", store, now(), lambda line: None).keycloak_logins()
        Pull(deployment, "amalthea", store, now(), lambda line: None).amalthea_sessions()
    for kind in ("logins", "sessions"):
        [span] = coverage.from_json(orjson.loads(store.read_state(coverage_state("lab", kind)) or b"[]"))
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
        served([small], tmp_path / "deployments", start, monkeypatch),
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
