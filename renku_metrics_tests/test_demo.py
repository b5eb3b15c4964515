"""``renku-metrics demo`` where the tests are not installed; and where it is not installed itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.environment import PROJECT

pytestmark = pytest.mark.usefixtures("real_clock")
NOT_HERE = "Error: the demo is not installed here; run `make demo` in a checkout of the project\n"
COMMAND = "from renku_metrics.cli import main; main()"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The project without its tests."""
    for name in ("renku_metrics", "renkulab"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "dagster.yaml", tmp_path)
    hide(tmp_path, "renku_metrics_tests")
    return tmp_path


def hide(checkout: Path, *packages: str) -> None:
    """Wherever else this machine has these packages, Python finds none."""
    hidden = "".join(f"sys.modules[{name!r}] = None\n" for name in packages)
    (checkout / "sitecustomize.py").write_text(f"import sys\n{hidden}")


def demo(checkout: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RENKU_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "demo"],
        cwd=checkout.parent,
        env={**environment, "PYTHONPATH": str(checkout), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def test_it_needs_none_of_the_tests(checkout: Path) -> None:
    shown = demo(checkout)
    assert shown.returncode == 0, shown.stderr
    [store] = (checkout / "data" / "demo").glob("*/store")
    for kind in ("weekly", "monthly"):
        published = pd.read_parquet(store / "published" / f"{kind}.parquet")
        assert set(published["deployment"]) == {"demo-lab", "demo-institute"}
        assert (published["users"] > 0).any()
        # The latest are shown, of both deployments.
        for period in sorted(published["period"].unique())[-10:]:
            assert sum(line.startswith(f"{period} ") for line in shown.stdout.splitlines()) == 2


def test_an_installation_without_the_simulated_renkulab_says_so_in_one_line(checkout: Path) -> None:
    hide(checkout, "renkulab")
    refused = demo(checkout)
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", NOT_HERE)


def test_an_installation_outside_a_checkout_says_so_in_one_line(checkout: Path) -> None:
    (checkout / "dagster.yaml").unlink()
    refused = demo(checkout)
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", NOT_HERE)
    assert not (checkout / "data").exists()
