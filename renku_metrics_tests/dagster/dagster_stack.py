"""Dagster's own processes on loopback, as a server runs them: code server, webserver, daemon."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from renku_metrics.environment import PROJECT

# Dagster's daemon, looking for backfills and evaluating automation more often than every half minute.
QUICK_DAEMON = """
from dagster._core.remote_representation import external
from dagster._daemon import controller
controller.DEFAULT_DAEMON_INTERVAL_SECONDS = 2
external.DEFAULT_SENSOR_DAEMON_INTERVAL = 5
from dagster._daemon.cli import main
main()
"""
LAUNCH = """
mutation Launch($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on Error { message }
  }
}
"""
RUNS = "{ runsOrError { ... on Runs { results { status jobName assetSelection { path } } } } }"
FAILED = {"FAILURE", "CANCELED", "CANCELING"}


@dataclass(frozen=True)
class Stack:
    """Running processes that share one instance."""

    webserver: str

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.webserver}/graphql", json={"query": query, "variables": variables}, timeout=60)
        content: dict[str, Any] = answer.json()
        assert "errors" not in content, content["errors"]
        data: dict[str, Any] = content["data"]
        return data

    def backfill(self, partitions: Mapping[str, tuple[str, str]]) -> None:
        """Launches one over the partitions of each asset, from a first to a last one."""
        parameters = {
            "partitionsByAssets": [
                {"assetKey": {"path": [name]}, "partitions": {"ranges": [{"start": first, "end": last}]}}
                for name, (first, last) in partitions.items()
            ]
        }
        launched = self.ask(LAUNCH, parameters=parameters)["launchPartitionBackfill"]
        assert launched["__typename"] == "LaunchBackfillSuccess", launched

    def failed_runs(self) -> list[str]:
        runs = self.ask(RUNS)["runsOrError"]["results"]
        return [str(run["assetSelection"]) for run in runs if run["status"] in FAILED]


def dagster_home(folder: Path) -> Path:
    """The folder, now with the project's settings of an instance."""
    folder.mkdir(exist_ok=True)
    shutil.copy(PROJECT / "dagster.yaml", folder)
    return folder


@contextlib.contextmanager
def dagster_stack(home: Path) -> Iterator[Stack]:
    """The three processes on the instance in the folder, with the environment of this one; ends them afterwards."""
    code, web = _free_port(), _free_port()
    workspace = home / "workspace.yaml"
    workspace.write_text(
        f"load_from: [{{grpc_server: {{host: 127.0.0.1, port: {code}, location_name: renku_metrics}}}}]\n"
    )
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    scripts = Path(sys.executable).parent
    at_code, at_web = (["-h", "127.0.0.1", "-p", str(port)] for port in (code, web))
    with contextlib.ExitStack() as stack, (home / "output.txt").open("wb") as output:

        def start(*command: str) -> None:
            process = subprocess.Popen(
                command, env=environment, cwd=PROJECT, stdout=output, stderr=output, start_new_session=True
            )
            stack.callback(_end, process)

        start(str(scripts / "dagster"), "code-server", "start", "-m", "renku_metrics.definitions", *at_code)
        _wait_for(code)
        start(str(scripts / "dagster-webserver"), "-w", str(workspace), *at_web)
        start(sys.executable, "-c", QUICK_DAEMON, "run", "-w", str(workspace))
        _wait_for(web)
        yield Stack(f"http://127.0.0.1:{web}")


def _end(process: subprocess.Popen[bytes]) -> None:
    # With its children, such as the runs of the code server.
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
