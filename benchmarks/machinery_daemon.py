"""From a pull to what is published, with Dagster's own daemon: how long it takes, and how many runs.

Five simulated deployments are pulled, counted and published. Then each has late commits on seven days, and is pulled as
the schedule of the day does. Code server, webserver and daemon run on loopback with an instance in a directory, as
``dagster.yaml`` has it. By default the daemon looks for backfills, and evaluates the automation, every half minute, as
it does for good; ``--quick`` every few seconds, which leaves what the work itself takes.

    python -m benchmarks.machinery_daemon [--quick]
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import requests

from renku_metrics.dagster.materializing import materialize
from renku_metrics.dagster.partitions import range_tags
from renku_metrics.definitions import build_definitions
from renku_metrics.environment import PROJECT
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.sources.registry import raw_tables, read_deployments
from renkulab.git import Identity
from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment

NAMES = [f"lab-{number}" for number in range(5)]
DAYS_CHANGED = 7
DAYS_OF_HISTORY = 60
LONGEST_WAIT_SECONDS = 900
QUICK = """
from dagster._core.remote_representation import external
from dagster._daemon import controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
external.DEFAULT_SENSOR_DAEMON_INTERVAL = 5
from dagster._daemon.cli import main
main()
"""
LAUNCH = """
mutation Launch($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
LOCATION = {"repositoryLocationName": "renku_metrics", "repositoryName": "__repository__"}
UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def main() -> None:
    quick = "--quick" in sys.argv
    today = dt.datetime.now(dt.UTC).date()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home, labs = Path(folder), []
        os.environ |= {
            "DAGSTER_HOME": str(home / "dagster"),
            "RENKU_METRICS_DEPLOYMENTS": str(home / "deployments"),
            "RENKU_METRICS_STORE": str(home / "store"),
            "RENKU_METRICS_HASH_KEY": "a key of benchmarks",
            "PYTHONWARNINGS": "ignore",
        }
        os.environ.pop("DAGSTER_IS_DEV_CLI", None)
        (home / "dagster").mkdir()
        (home / "dagster" / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
        start = today - DAYS_OF_HISTORY * ONE_DAY
        for seed, name in enumerate(NAMES):
            lab = RenkuLab(name, home / name, now=midnight(start))
            Population(lab, seed=seed, people=12, projects=6).live(midnight(today))
            os.environ |= write_deployment(lab, home / "deployments", start)
            labs.append(running.enter_context(lab))
        instance = running.enter_context(dg.DagsterInstance.get())
        _materialize_everything(home)
        webserver = running.enter_context(_processes(home, quick=quick))
        _wait_for_ticks(instance, 2)
        for lab in labs:
            _commit_late(lab, today)
        known = {run.run_id for run in instance.get_runs()}
        begun = time.time()
        for name in NAMES:
            _launch(
                webserver, "pull_all_sources_daily", range_tags(name, today - ONE_DAY, today) | {"deployment": name}
            )
        published = _wait_until_published(instance, begun)
        runs = [run for run in instance.get_runs() if run.run_id not in known]
        print(
            f"daemon {'quick' if quick else 'as it is'}: {len(runs)} runs; published after "
            + ", ".join(f"{at - begun:.0f} s" for at in published)
        )
        for kind, count in Counter(_kind(run) for run in runs).items():
            print(f"  {count} of {kind}")
        for record in reversed(instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id for run in runs]))):
            created, ended = record.create_timestamp.timestamp() - begun, (record.end_time or begun) - begun
            first = (record.start_time or begun) - begun
            print(
                f"  {created:5.0f} s created, {first:5.0f} s begun, {ended:5.0f} s ended: {_kind(record.dagster_run)}"
            )
        print(f"  failed: {sum(run.status == dg.DagsterRunStatus.FAILURE for run in runs)}")


def _materialize_everything(home: Path) -> None:
    definitions = build_definitions(read_deployments(home / "deployments"), str(home / "store"))
    metrics = [metric.key for metric in (ACTIVE_USERS, *CORE_ACTIONS)]
    by_month = [table.name for table in raw_tables() if table.by_month]
    for names in (
        [table.name for table in raw_tables() if not table.by_month],
        [*by_month, "events", "user_days", *(f"{key}_monthly" for key in metrics)],
        [f"{key}_weekly" for key in metrics],
        ["published"],
    ):
        materialize(definitions, names)


def _commit_late(lab: RenkuLab, today: dt.date) -> None:
    project = next(project for project in lab.gitlab.projects.values() if project.repository is not None)
    assert project.repository is not None
    for days in range(1, DAYS_CHANGED + 1):
        at = midnight(today - days * ONE_DAY) + dt.timedelta(hours=3)
        branch, parent = next(iter(project.repository.branches.items()))
        author = Identity("late", f"late-{days}@elsewhere.example")
        made = project.repository.commit("late\n", author, at, parents=[parent])
        lab.gitlab.push(project, lab.administrator, {branch: made.sha}, midnight(today))


@contextlib.contextmanager
def _processes(home: Path, *, quick: bool) -> Iterator[str]:
    code, web = _free_port(), _free_port()
    workspace = home / "workspace.yaml"
    workspace.write_text(
        f"load_from: [{{grpc_server: {{host: 127.0.0.1, port: {code}, location_name: renku_metrics}}}}]\n"
    )
    scripts = Path(sys.executable).parent
    with ExitStack() as stack, (home / "output.txt").open("wb") as output:

        def start(*command: str) -> None:
            process = subprocess.Popen(command, cwd=PROJECT, stdout=output, stderr=output, start_new_session=True)
            stack.callback(_end, process)

        at_code, at_web = (["-h", "127.0.0.1", "-p", str(port)] for port in (code, web))
        start(str(scripts / "dagster"), "code-server", "start", "-m", "renku_metrics.definitions", *at_code)
        _wait_for(code)
        start(str(scripts / "dagster-webserver"), "-w", str(workspace), *at_web)
        daemon = [sys.executable, "-c", QUICK] if quick else [str(scripts / "dagster-daemon")]
        start(*daemon, "run", "-w", str(workspace))
        _wait_for(web)
        yield f"http://127.0.0.1:{web}/graphql"


def _launch(webserver: str, job: str, tags: dict[str, str]) -> None:
    parameters: dict[str, Any] = {
        "selector": {**LOCATION, "jobName": job},
        "mode": "default",
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    answer = requests.post(webserver, json={"query": LAUNCH, "variables": {"parameters": parameters}}, timeout=60)
    launched = answer.json()
    assert launched.get("data", {}).get("launchRun", {}).get("__typename") == "LaunchRunSuccess", launched


def _wait_for_ticks(instance: dg.DagsterInstance, count: int) -> None:
    """Until the automation has looked at everything so often."""
    until = time.monotonic() + LONGEST_WAIT_SECONDS
    while time.monotonic() < until:
        for state in instance.all_instigator_state():
            if state.name == "follow_changed_months":
                ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id)
                if sum(tick.is_completed for tick in ticks) >= count:
                    return
        time.sleep(1)
    raise AssertionError("the automation does not tick")


def _wait_until_published(instance: dg.DagsterInstance, begun: float) -> list[float]:
    """When it was published, once nothing follows any more."""
    until, quiet_since = time.monotonic() + LONGEST_WAIT_SECONDS, time.monotonic()
    while time.monotonic() < until:
        time.sleep(1)
        records = instance.fetch_materializations(dg.AssetKey("published"), limit=10).records
        published = sorted(record.timestamp for record in records if record.timestamp > begun)
        busy = instance.get_runs(dg.RunsFilter(statuses=UNDER_WAY)) or any(
            backfill.status.value == "REQUESTED" for backfill in instance.get_backfills()
        )
        if busy or not published:
            quiet_since = time.monotonic()
        # Longer than from one tick of the automation to the next.
        if time.monotonic() - quiet_since > 45:
            return published
    raise AssertionError("nothing was published")


def _kind(run: dg.DagsterRun) -> str:
    names = {key.to_user_string() for key in run.asset_selection or ()}
    if names == {"published"}:
        return "published"
    if any(name.startswith("raw_") for name in names) or run.job_name.startswith("pull_"):
        return "pulls"
    return " and ".join(
        sorted(
            {
                "weekly numbers"
                if name.endswith("_weekly")
                else "monthly numbers"
                if name.endswith("_monthly")
                else name
                for name in names
            }
        )
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, ending)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(15)


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"nothing answers on port {port}")


if __name__ == "__main__":
    main()
