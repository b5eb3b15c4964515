"""The code location as Dagster and a person at its UI see it."""

from __future__ import annotations

import datetime as dt

import dagster as dg
import pytest

from renku_metrics.definitions import build_definitions
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.definition import Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.metrics.documents import describe
from renku_metrics.tables import PeriodKind

RAW_OF_DEPLOYMENTS = {"raw_gitlab_projects", "raw_gitlab_users", "raw_keycloak_users"}
RAW_OF_MONTHS = {"raw_gitlab_commits", "raw_gitlab_pushes", "raw_keycloak_logins", "raw_amalthea_sessions"}
METRICS = {
    "active_users",
    "contributing_to_a_project",
    "creating_a_dataset",
    "starting_a_session",
    "running_a_workflow",
}
WEEKLY = {f"{metric}_weekly" for metric in METRICS}
MONTHLY = {f"{metric}_monthly" for metric in METRICS}
DIMENSIONS = (
    dict.fromkeys(RAW_OF_DEPLOYMENTS, ("deployment",))
    | dict.fromkeys(RAW_OF_MONTHS | {"events", "user_days"} | MONTHLY, ("deployment", "month"))
    | dict.fromkeys(WEEKLY, ("deployment", "week"))
    | {"published": ()}
)
GROUPS = {
    "raw": RAW_OF_DEPLOYMENTS | RAW_OF_MONTHS,
    "events": {"events", "user_days"},
    "metrics": WEEKLY | MONTHLY,
    "published": {"published"},
}


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    deployments = [
        Deployment(name="alps", title="Alps", start=dt.date(2026, 9, 17)),
        Deployment(name="renkulab-io", title="RenkuLab.io", start=dt.date(2026, 10, 20)),
    ]
    return build_definitions(
        {deployment.name: deployment for deployment in deployments}, str(tmp_path_factory.mktemp("store"))
    )


def spec_of(definitions: dg.Definitions, name: str) -> dg.AssetSpec:
    return definitions.resolve_assets_def(name).specs_by_key[dg.AssetKey(name)]


def test_the_code_location_is_valid(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)


def test_the_assets_are_those_that_people_type(definitions: dg.Definitions) -> None:
    keys = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert keys == DIMENSIONS.keys()


@pytest.mark.parametrize("name", sorted(DIMENSIONS))
def test_every_asset_says_what_it_is_and_whose(definitions: dg.Definitions, name: str) -> None:
    spec = spec_of(definitions, name)
    assert spec.description
    assert spec.description.splitlines()[0].endswith(".")
    assert spec.owners == ["team:renku"]
    assert "parquet" in spec.kinds
    assert name in GROUPS[str(spec.group_name)]
    columns = spec.metadata["dagster/column_schema"].columns
    assert columns[0].name == "deployment"
    assert all(column.description and column.type for column in columns)


@pytest.mark.parametrize("name", sorted(DIMENSIONS))
def test_every_asset_has_the_partitions_of_its_grain(definitions: dg.Definitions, name: str) -> None:
    grain = definitions.resolve_assets_def(name).partitions_def
    if len(DIMENSIONS[name]) == 2:
        assert isinstance(grain, dg.MultiPartitionsDefinition)
        assert {dimension.name for dimension in grain.partitions_defs} == set(DIMENSIONS[name])
        first = grain.get_partition_keys()[0]
        # A key reads deployment|time, whatever the time is called.
        assert str(first).startswith("alps|2026-09-")
    elif DIMENSIONS[name]:
        assert isinstance(grain, dg.StaticPartitionsDefinition)
        assert list(grain.get_partition_keys()) == ["alps", "renkulab-io"]
    else:
        assert grain is None


@pytest.mark.parametrize("name", sorted(DIMENSIONS.keys() - {"published"}))
def test_a_backfill_of_any_asset_is_one_run_and_not_one_a_partition(definitions: dg.Definitions, name: str) -> None:
    assert definitions.resolve_assets_def(name).backfill_policy == dg.BackfillPolicy.single_run()


@pytest.mark.parametrize(("kind", "names"), [("week", WEEKLY), ("month", MONTHLY)])
def test_the_numbers_of_a_kind_are_counted_in_one_step_or_each_alone(
    definitions: dg.Definitions, kind: str, names: set[str]
) -> None:
    steps = {definitions.resolve_assets_def(name) for name in names}
    assert [step.op.name for step in steps] == [f"{kind}ly_counts"]
    assert all(step.can_subset for step in steps)


def test_data_flows_as_the_design_draws_it(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()

    def made_of(name: str) -> set[str]:
        return {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}

    # Push events tell who pushed the commits, and reach the events with them.
    assert {name: made_of(name) for name in RAW_OF_DEPLOYMENTS | RAW_OF_MONTHS if made_of(name)} == {
        "raw_gitlab_commits": {"raw_gitlab_pushes"}
    }
    assert made_of("events") == (RAW_OF_DEPLOYMENTS | RAW_OF_MONTHS) - {"raw_gitlab_pushes"}
    assert made_of("user_days") == {"events"}
    for metric in WEEKLY | MONTHLY:
        assert made_of(metric) == {"user_days"}
    assert made_of("published") == WEEKLY | MONTHLY


def test_raw_tables_show_the_source_they_come_from(definitions: dg.Definitions) -> None:
    for name in RAW_OF_DEPLOYMENTS | RAW_OF_MONTHS:
        source = name.split("_")[1]
        assert spec_of(definitions, name).kinds == {source, "parquet"}


def test_no_job_mixes_partitions(definitions: dg.Definitions) -> None:
    jobs = {
        schedule.job_name for schedule in definitions.schedules or [] if isinstance(schedule, dg.ScheduleDefinition)
    }
    assert len(jobs) == 6
    for name in jobs:
        job = definitions.resolve_job_def(name)
        grains = {definitions.resolve_assets_def(key).partitions_def for key in job.asset_layer.selected_asset_keys}
        assert len(grains) == 1
        assert job.partitions_def in grains


def test_steps_of_a_run_share_one_process(definitions: dg.Definitions) -> None:
    assert definitions.executor is dg.in_process_executor


@pytest.mark.parametrize("kind", ["week", "month"])
@pytest.mark.parametrize("metric", [ACTIVE_USERS, *CORE_ACTIONS], ids=lambda metric: metric.key)
def test_what_the_ui_tells_of_a_number_is_its_declaration(
    definitions: dg.Definitions, metric: Metric, kind: PeriodKind
) -> None:
    spec = spec_of(definitions, f"{metric.key}_{kind}ly")
    assert spec.description == describe(metric)
    assert spec.code_version == metric.version
