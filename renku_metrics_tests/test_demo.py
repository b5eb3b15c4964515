"""``renku-metrics demo`` where only the wheel is installed, far from a checkout and its tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.environment import PROJECT
from renku_metrics_tests.servers.fetched import NotToBeHadError, cannot_have, run

pytestmark = pytest.mark.usefixtures("real_clock")
UV = (sys.executable, "-m", "uv", "--quiet")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is built of the project; in a copy, because building leaves files where it is done."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("renku_metrics", "renku_metrics_tests", "renkulab"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT / name, folder)
    try:
        run(*UV, "build", "--wheel", "--out-dir", folder / "wheels", folder)
    except NotToBeHadError as error:
        cannot_have(f"a wheel: {error}")
    [built] = (folder / "wheels").glob("*.whl")
    return built


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """An environment that has the wheel and, of what is installed for the tests, all but the project."""
    venv.create(tmp_path / "installed", symlinks=True)
    python = tmp_path / "installed" / "bin" / "python"
    run(*UV, "pip", "install", "--python", python, "--no-deps", "--offline", wheel)
    [packages] = (tmp_path / "installed" / "lib").glob("python*/site-packages")
    # The project is installed there as a file of this kind, and these are not read through one another.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return tmp_path / "installed"


def call(installed: Path, folder: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("RENKU_", "DAGSTER_", "PYTHON"))
    }
    # .ci/on-other-days needs what it has put there.
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and Path(path) != PROJECT]
    folder.mkdir()
    return subprocess.run(
        [installed / "bin" / program, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(others), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_it_needs_neither_tests_nor_checkout(installed: Path, tmp_path: Path) -> None:
    for package, there in {"renku_metrics_tests": False, "benchmarks": False, "renku_metrics": True}.items():
        found = call(installed, tmp_path / package, "python", "-c", f"import {package}; print({package}.__file__)")
        assert found.stdout.startswith(str(installed)) == there, found.stdout
    shown = call(installed, tmp_path / "empty", "renku-metrics", "demo")
    assert shown.returncode == 0, shown.stderr
    [store] = (tmp_path / "empty" / "data" / "demo").glob("*/store")
    for kind in ("weekly", "monthly"):
        published = pd.read_parquet(store / "published" / f"{kind}.parquet")
        assert set(published["deployment"]) == {"demo-lab", "demo-institute"}
        assert (published["users"] > 0).any()
        # The latest are shown, of both deployments.
        for period in sorted(published["period"].unique())[-10:]:
            assert sum(line.startswith(f"{period} ") for line in shown.stdout.splitlines()) == 2


def test_an_installation_without_the_simulated_renkulab_says_so_in_one_line(installed: Path, tmp_path: Path) -> None:
    [simulated] = installed.rglob("renkulab")
    shutil.rmtree(simulated)
    refused = call(installed, tmp_path / "empty", "renku-metrics", "demo")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "Error: the demo is not installed here; run `make demo` in a checkout of the project\n"
    assert not [*(tmp_path / "empty").iterdir()]
