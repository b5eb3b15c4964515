"""The steps of the Dockerfile's build stage, run in a clean directory: what can be tried without an engine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from renku_metrics.environment import PROJECT
from renku_metrics_tests.hosting.test_image import DOCKERFILE
from renku_metrics_tests.servers.fetched import NOT_ASKED_FOR, asked_for

pytestmark = pytest.mark.skipif(not asked_for(), reason=NOT_ASKED_FOR)
# Where the steps put the environment that the finished image gets.
INSTALLED = "/opt/renku-metrics"
MEGABYTE = 1024**2
LARGEST = 700 * MEGABYTE


def steps() -> Iterator[tuple[str, str]]:
    """Instruction and arguments of each line of the build stage."""
    build = DOCKERFILE.split("FROM ")[1]
    lines = re.sub(r"\\\n", " ", re.sub(r"^ *#.*\n", "", build, flags=re.MULTILINE)).splitlines()[1:]
    for line in filter(None, lines):
        instruction, arguments = line.split(maxsplit=1)
        yield instruction, arguments


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the steps install."""
    folder = tmp_path_factory.mktemp("image")
    (folder / "build").mkdir()
    # As in the base image, there is a Python with pip and nothing else.
    subprocess.run([sys.executable, "-m", "venv", folder / "base"], check=True)
    environment = {"PATH": f"{folder / 'base' / 'bin'}:/usr/bin:/bin", "HOME": str(folder)}
    for instruction, arguments in steps():
        if instruction == "COPY":
            *sources, target = arguments.split()
            for source in sources:
                _copy(PROJECT / source, folder / "build" / target)
        elif instruction == "RUN":
            command = arguments.replace(INSTALLED, str(folder / "installed"))
            subprocess.run(["/bin/sh", "-e", "-c", command], cwd=folder / "build", env=environment, check=True)
        else:
            assert (instruction, arguments) == ("WORKDIR", "/build")
    return folder / "installed"


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def run(installed: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A program of the image, far from the project, with nothing in its environment but what the image sets."""
    environment = {
        "PATH": f"{installed / 'bin'}:/usr/bin:/bin",
        "HOME": str(installed.parent),
        "RENKU_METRICS_DEPLOYMENTS": str(PROJECT / "deployments"),
    }
    return subprocess.run(
        [installed / "bin" / command[0], *command[1:]],
        cwd=installed.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_code_location_loads(installed: Path) -> None:
    validated = run(installed, "dagster", "definitions", "validate", "-m", "renku_metrics.definitions")
    assert validated.returncode == 0, validated.stdout + validated.stderr


@pytest.mark.parametrize("program", ["dagster-webserver", "dagster-daemon", "renku-metrics"])
def test_every_program_of_a_process_starts(installed: Path, program: str) -> None:
    assert run(installed, program, "--help").returncode == 0


def test_it_has_no_demo_and_says_so_in_one_line(installed: Path) -> None:
    # Its simulated RenkuLab is for those who try the project out.
    refused = run(installed, "renku-metrics", "demo")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert "the demo is not installed here" in refused.stderr


def test_the_run_launcher_of_kubernetes_and_the_logs_on_s3_are_there(installed: Path) -> None:
    modules = "dagster_k8s, dagster_aws.s3, dagster_postgres, kubernetes.client, pyarrow.parquet, pandas"
    imported = run(installed, "python", "-c", f"import {modules}")
    assert imported.returncode == 0, imported.stderr


def test_it_holds_neither_pip_nor_tests_nor_headers_and_is_no_larger_than_it_is_said_to_be(installed: Path) -> None:
    assert not list(installed.rglob("site-packages/pip"))
    assert [path for path in installed.rglob("*") if path.is_dir() and path.name in ("tests", "include")] == []
    assert sum(path.stat().st_size for path in installed.rglob("*") if path.is_file()) < LARGEST
