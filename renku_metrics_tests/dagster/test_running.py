"""Runs of several deployments: the same as runs of each partition, and one that fails sinks no other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from renku_metrics.events.union import EventsBuilt, Part, unite
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics.schema import Table
from renku_metrics.tables import EVENT_TYPES, EVENTS, RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, USER_DAYS
from renku_metrics_tests.pipeline.pipeline import PEOPLE_AND_PROJECTS, RAW_DAYS, Pipeline, range_of
from renku_metrics_tests.pipeline.small_lab import ADA, SmallLab
from renku_metrics_tests.present import TODAY, YESTERDAY
from renku_metrics_tests.served import served
from renkulab.faults import unauthorized

LAST_WEEK = Period.of("week", YESTERDAY)
# Two days of September: the running month, a whole one, and one that no run below asks for.
START = dt.date(2026, 9, 29)
DAYS = list(days_between(START, YESTERDAY))
MONTHS = [dt.date(2026, month, 1) for month in (9, 10, 11)]
LAST_TWO = MONTHS[1:]
THIS_MONTH = MONTHS[-1]


@pytest.fixture
def labs(tmp_path: Path) -> list[SmallLab]:
    """Two deployments with something on every day."""
    labs = [SmallLab(name, tmp_path, START) for name in "ab"]
    for small in labs:
        for day in DAYS:
            small.live(day)
        small.lab.clock.set(midnight(TODAY))
    labs[1].commit(YESTERDAY, by="bob@elsewhere.example", quiet=True)
    return labs


@pytest.fixture
def pipeline(labs: list[SmallLab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    with (
        served([small.lab for small in labs], tmp_path / "deployments", START, monkeypatch),
        dg.DagsterInstance.ephemeral() as instance,
    ):
        yield Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)


def rectangle(times: Sequence[dt.date]) -> dict[str, str]:
    """The tags of a run of both deployments from a first week or month to a last one."""
    return range_of(f"a|{times[0]}", f"b|{times[-1]}")


def keys(times: Sequence[dt.date], deployments: str = "ab") -> set[str]:
    return {f"{deployment}|{time}" for deployment in deployments for time in times}


def statuses(pipeline: Pipeline, asset: str, partitions: set[str]) -> dict[str, str | None]:
    grain = pipeline.definitions.resolve_assets_def(asset).partitions_def
    assert grain is not None
    found = pipeline.instance.get_status_by_partition(dg.AssetKey(asset), sorted(partitions), grain)
    return {key: status.value if status else None for key, status in (found or {}).items()}


def recorded(pipeline: Pipeline, asset: str) -> dict[str, dg.AssetMaterialization]:
    """The last materialization of each partition of the asset, which must be the only one of its run."""
    records = pipeline.instance.fetch_materializations(dg.AssetKey(asset), limit=1000).records
    found: dict[str, dg.AssetMaterialization] = {}
    seen = set()
    for record in records:
        event = record.asset_materialization
        assert event is not None
        assert event.partition is not None
        assert (record.run_id, event.partition) not in seen
        seen.add((record.run_id, event.partition))
        found.setdefault(str(event.partition), event)
    return found


def facts(event: dg.AssetMaterialization) -> dict[str, Any]:
    return {name: value.value for name, value in event.metadata.items()}


def messages(result: dg.ExecuteInProcessResult) -> list[str]:
    said = [event.step_failure_data.user_failure_data for event in result.get_step_failure_events()]
    return [str(failure.description) for failure in said if failure]


# Ranges


def test_a_range_over_deployments_leaves_what_runs_of_each_partition_leave(pipeline: Pipeline, tmp_path: Path) -> None:
    assert pipeline.materialize(PEOPLE_AND_PROJECTS).success
    assert pipeline.materialize([*RAW_DAYS, "events", "user_days"], tags=rectangle(LAST_TWO)).success
    with dg.DagsterInstance.ephemeral() as instance:
        singly = Pipeline(pipeline.deployments, str(tmp_path / "another store"), instance)
        for deployment in "ab":
            assert singly.materialize(PEOPLE_AND_PROJECTS, partition=deployment).success
        for partition in sorted(keys(LAST_TWO)):
            assert singly.materialize([*RAW_DAYS, "events", "user_days"], partition=partition).success

        for table in (EVENTS, USER_DAYS):
            for partition in keys(LAST_TWO):
                assert content(pipeline, table, partition) == content(singly, table, partition)
            in_range, one_by_one = recorded(pipeline, table.name), recorded(singly, table.name)
            assert in_range.keys() == one_by_one.keys() == keys(LAST_TWO)
            for partition, event in in_range.items():
                same = {name: value for name, value in facts(event).items() if name != "dagster/uri"}
                assert same == {n: v for n, v in facts(one_by_one[partition]).items() if n != "dagster/uri"}
                assert event.tags == one_by_one[partition].tags
        # A type without an event counts nought, that its plot has no gaps.
        assert all(facts(event).keys() >= set(EVENT_TYPES) for event in recorded(pipeline, "events").values())
        # Every month that a commit is in is known to Dagster, asked for or not, in one way as in the other.
        commits = recorded(pipeline, "raw_gitlab_commits")
        assert commits.keys() == recorded(singly, "raw_gitlab_commits").keys() == keys(MONTHS)
        assert rows(commits) == rows(recorded(singly, "raw_gitlab_commits"))


def content(pipeline: Pipeline, table: Table, partition: str) -> bytes:
    return Path(pipeline.store.address(table, tuple(partition.split("|")))).read_bytes()


def rows(events: dict[str, dg.AssetMaterialization]) -> dict[str, int]:
    return {partition: facts(event)["dagster/partition_row_count"] for partition, event in events.items()}


def test_numbers_of_a_range_over_deployments_are_those_of_each_alone(pipeline: Pipeline) -> None:
    assert pipeline.materialize(PEOPLE_AND_PROJECTS).success
    assert pipeline.materialize([*RAW_DAYS, "events", "user_days"]).success
    names = ["active_users_weekly", "contributing_to_a_project_weekly"]
    weeks = [LAST_WEEK.start - 7 * ONE_DAY, LAST_WEEK.start]
    assert pipeline.materialize(names, tags=rectangle(weeks)).success
    together = {name: recorded(pipeline, name) for name in names}
    for name in names:
        assert together[name].keys() == keys(weeks)
        # Ada on both; and Bob, whom nobody knows, on b.
        users = {partition: facts(event)["users"] for partition, event in together[name].items()}
        assert users == dict.fromkeys(keys(weeks), 1) | {f"b|{LAST_WEEK.start}": 2}
    for partition in sorted(keys(weeks)):
        assert pipeline.materialize(names, partition=partition).success
    for name in names:
        alone = recorded(pipeline, name)
        # Not even the time of the count, for it came out the same.
        assert {partition: (event.tags, event.metadata) for partition, event in alone.items()} == {
            partition: (event.tags, event.metadata) for partition, event in together[name].items()
        }


def test_each_partition_says_how_many_rows_it_has_and_where(pipeline: Pipeline) -> None:
    assert pipeline.materialize(["raw_keycloak_logins"], partition=f"a|{THIS_MONTH}").success
    event = recorded(pipeline, "raw_keycloak_logins")[f"a|{THIS_MONTH}"]
    said = facts(event)
    stored = pipeline.store.read(RAW_KEYCLOAK_LOGINS, [("a", THIS_MONTH.isoformat())])
    assert said["dagster/partition_row_count"] == len(stored) > 0
    assert Path(said["dagster/uri"]).is_file()
    assert event.partition == dg.MultiPartitionKey({"deployment": "a", "month": THIS_MONTH.isoformat()})


# Failures


def test_a_deployment_that_refuses_sinks_no_other_and_heals_alone(labs: list[SmallLab], pipeline: Pipeline) -> None:
    labs[0].lab.faults.add("/gitlab/", unauthorized(), times=None)
    failed = pipeline.materialize(["raw_gitlab_commits", "raw_gitlab_pushes"], tags=rectangle(LAST_TWO))
    assert not failed.success
    [message] = messages(failed)
    assert len(message.splitlines()) == 1
    assert message.startswith("a: gitlab")
    for name in ("raw_gitlab_commits", "raw_gitlab_pushes"):
        assert statuses(pipeline, name, keys(LAST_TWO)) == {
            **dict.fromkeys(keys(LAST_TWO, "a"), "FAILED"),
            **dict.fromkeys(keys(LAST_TWO, "b"), "MATERIALIZED"),
        }
    assert pipeline.store.read(RAW_GITLAB_COMMITS, [("b", THIS_MONTH.isoformat())])["sha"].nunique() == 25

    labs[0].lab.faults.clear()
    only_a = range_of(f"a|{LAST_TWO[0]}", f"a|{LAST_TWO[1]}")
    assert pipeline.materialize(["raw_gitlab_commits", "raw_gitlab_pushes"], tags=only_a).success
    assert set(statuses(pipeline, "raw_gitlab_commits", keys(LAST_TWO)).values()) == {"MATERIALIZED"}


def test_every_deployment_that_fails_has_its_line(labs: list[SmallLab], pipeline: Pipeline) -> None:
    for small in labs:
        small.lab.faults.add("/auth/", unauthorized(), times=None)
    [message] = messages(pipeline.materialize(["raw_keycloak_users"]))
    assert [line.partition(":")[0] for line in message.splitlines()] == ["a", "b"]


def test_a_pull_that_fails_on_its_way_reports_what_it_stored_but_not_what_it_was_asked_for(
    labs: list[SmallLab], pipeline: Pipeline
) -> None:
    a, old_day, old_month = labs[0], START + ONE_DAY, f"a|{MONTHS[0]}"
    broken = a.add_project("broken")
    pulled = ["raw_gitlab_commits", "raw_gitlab_pushes"]
    assert pipeline.materialize(pulled, partition=f"a|{THIS_MONTH}").success
    before = recorded(pipeline, "raw_gitlab_commits")

    for day in (old_day, YESTERDAY):
        a.commit(day, late=True)
        a.commit(day, late=True, project=broken)
    a.lab.faults.add(f"/projects/{broken.id}/repository", unauthorized(), times=None)
    assert not pipeline.materialize(pulled, partition=f"a|{THIS_MONTH}").success
    after = recorded(pipeline, "raw_gitlab_commits")
    # Two first commits, one of each of the last two days of September, and now a late one.
    assert rows(before)[old_month] == 4
    assert rows(after)[old_month] == 5
    assert after[old_month].tags != before[old_month].tags
    assert after[f"a|{THIS_MONTH}"] == before[f"a|{THIS_MONTH}"]
    assert statuses(pipeline, "raw_gitlab_commits", {f"a|{THIS_MONTH}"}) == {f"a|{THIS_MONTH}": "FAILED"}

    a.lab.faults.clear()
    assert pipeline.materialize(pulled, partition=f"a|{THIS_MONTH}").success
    healed = recorded(pipeline, "raw_gitlab_commits")
    for month in (old_month, f"a|{THIS_MONTH}"):
        assert rows(healed)[month] == rows(before)[month] + 2


def test_events_of_one_deployment_do_not_wait_for_the_raw_tables_of_another(pipeline: Pipeline) -> None:
    assert pipeline.materialize(PEOPLE_AND_PROJECTS).success
    assert pipeline.materialize(RAW_DAYS, partition=f"b|{THIS_MONTH}").success
    counted = pipeline.materialize(["events"], tags=rectangle([THIS_MONTH]))
    assert messages(counted) == [
        f"raw_gitlab_commits of a|{THIS_MONTH} is not in the store yet: materialize raw_gitlab_commits first"
    ]
    assert recorded(pipeline, "events").keys() == {f"b|{THIS_MONTH}"}


def test_an_unexpected_error_sinks_no_other_deployment(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_for_a(deployment: str, parts: Sequence[Part]) -> EventsBuilt:
        if deployment == "a":
            raise KeyError(ADA)
        return unite(deployment, parts)

    monkeypatch.setattr("renku_metrics.pipeline.building.unite", broken_for_a)
    assert pipeline.materialize([*PEOPLE_AND_PROJECTS]).success
    assert pipeline.materialize(RAW_DAYS, tags=rectangle([THIS_MONTH])).success
    counted = pipeline.materialize(["events"], tags=rectangle([THIS_MONTH]))
    assert messages(counted) == ["a: unexpected KeyError; the run's log says where it came from"]
    log = [entry.user_message for entry in pipeline.instance.all_logs(counted.run_id)]
    assert any("in broken_for_a" in line for line in log)
    assert not any(ADA in line for line in log)
    assert recorded(pipeline, "events").keys() == {f"b|{THIS_MONTH}"}
