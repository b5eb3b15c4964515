"""Dagster as it runs on a server: a backfill of what is pulled, and everything else follows by itself."""

from __future__ import annotations

import time
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
import yaml

from renku_metrics.dagster.instance import COMPUTE_LOGS, POSTGRES, POSTGRES_PORT
from renku_metrics.environment import PROJECT
from renku_metrics.periods import ONE_DAY, Period, midnight
from renku_metrics_tests.dagster.dagster_stack import Stack, dagster_home, dagster_stack
from renku_metrics_tests.pipeline.pipeline import PEOPLE_AND_PROJECTS, RAW_DAYS, Pipeline
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served
from renku_metrics_tests.servers.fetched import asked_for
from renkulab.population import Population
from renkulab.server import RenkuLab

pytestmark = pytest.mark.usefixtures("real_clock")
START = Period.of("week", TODAY).start - 21 * ONE_DAY
FIRST_MONTH, THIS_MONTH = (Period.of("month", day).start for day in (START, TODAY))
# A whole week that both sources and audit log cover.
WEEK = Period.of("week", START + 7 * ONE_DAY)
# On an idle machine it takes a hundred or so.
LONGEST_WAIT_SECONDS = 600
# What Dagster keeps its own records in, and the deployments that are pulled. It takes minutes: where there is a real
# PostgreSQL, as production has one, SQLite gets the smaller share.
STORAGES = {"postgres": ["first-lab", "second-lab"], "sqlite": ["first-lab"]}
# What production sets because it is on PostgreSQL.
OF_POSTGRES = ("DAGSTER_EVENT_BATCH_SIZE", "DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS")


@pytest.fixture(params=[*STORAGES] if asked_for() else ["sqlite"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The storage that the environment names."""
    for name in (*POSTGRES, POSTGRES_PORT, COMPUTE_LOGS, *OF_POSTGRES):
        monkeypatch.delenv(name, raising=False)
    kind: str = request.param
    if kind == "postgres":
        hosting = yaml.safe_load((PROJECT / "hosting" / "compose.yaml").read_text())
        daemon = hosting["services"]["daemon"]["environment"]
        settings = {name: daemon[name] for name in OF_POSTGRES} | request.getfixturevalue("postgres")
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
    return kind


@pytest.mark.stack
def test_a_backfill_is_followed_up_to_the_true_published_numbers(
    storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = STORAGES[storage if asked_for() else "postgres"]
    labs = [RenkuLab(name, tmp_path / name, now=midnight(START)) for name in names]
    populations = [Population(lab, seed=seed, people=12, projects=6) for seed, lab in enumerate(labs, start=1)]
    for population in populations:
        population.live(midnight(TODAY))
    pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), dg.DagsterInstance.ephemeral())
    monkeypatch.setenv("RENKU_METRICS_STORE", pipeline.address)
    monkeypatch.delenv("DAGSTER_IS_DEV_CLI", raising=False)

    home = dagster_home(tmp_path / "home")
    with served(labs, pipeline.deployments, START, monkeypatch), dagster_stack(home) as stack:
        deployments, months = (names[0], names[-1]), (f"{names[0]}|{FIRST_MONTH}", f"{names[-1]}|{THIS_MONTH}")
        stack.backfill(dict.fromkeys(PEOPLE_AND_PROJECTS, deployments) | dict.fromkeys([*RAW_DAYS, "events"], months))
        published = wait_for_complete(pipeline, stack, [lab.name for lab in labs])

    # Nothing tells the storage that was used but what is and is not in the folder.
    assert (home / "history").exists() == (storage == "sqlite")
    settling = "Sleeping 5s before evaluation" in (home / "output.txt").read_text()
    assert settling == (storage == "postgres")
    for population in populations:
        truth = population.ledger.counts("week")
        rows = published[published["deployment"] == population.lab.name]
        assert len(rows) == 4
        assert (rows["users"] > 0).any()
        for row in rows.to_dict(orient="records"):
            count = truth[row["period_start"], row["core_action"]]
            assert (row["users"], row["active_users"]) == (count.users, count.active_users)


def wait_for_complete(pipeline: Pipeline, stack: Stack, deployments: list[str]) -> pd.DataFrame:
    """The published rows of the week, once those of every deployment are complete."""
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while time.monotonic() < until:
        weekly = pipeline.published("week")
        rows = weekly[weekly["period_start"] == WEEK.start]
        if set(rows["deployment"]) == set(deployments) and rows["complete"].all():
            return rows
        assert stack.failed_runs() == []
        time.sleep(1)
    raise AssertionError(f"after {LONGEST_WAIT_SECONDS} seconds there was only:\n{rows}")
