"""A store that another version of renku-metrics has written: one clear line, and nothing is changed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.dagster.resources import CentralStore
from renku_metrics.environment import deployments_folder
from renku_metrics.errors import StoreError
from renku_metrics.store.version import FORMAT
from renku_metrics_tests.pipeline.kept_deployment import MONTHS, KeptDeployment
from renku_metrics_tests.pipeline.pipeline import Pipeline

COMMITS = f"raw/raw_gitlab_commits/deployment=lab/month={MONTHS[0]}/data.parquet"
EVENTS = f"events/deployment=lab/month={MONTHS[0]}/data.parquet"
COMMANDS = {
    "check": ["check"],
    "plan": ["plan", "lab"],
    "show": ["show"],
    "erase": ["erase", "--deployment", "lab", "--user", "gitlab:1", "--yes"],
}


def files(pulled: KeptDeployment) -> dict[str, bytes]:
    folder = Path(pulled.store.storage.address())
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def newer(folder: Path) -> str:
    (folder / "version.json").write_text(json.dumps({"format": FORMAT + 1, "program": "99.0"}))
    return f"{folder}/: the store is of format {FORMAT + 1}, and this version of renku-metrics knows {FORMAT}: "


def older(folder: Path) -> str:
    (folder / "version.json").write_text(json.dumps({"format": FORMAT - 1, "program": "0.1"}))
    return f"{folder}/: the store is of format {FORMAT - 1}, and this version of renku-metrics knows {FORMAT}: "


def oldest(folder: Path) -> str:
    (folder / "version.json").unlink()
    return f"{folder}/: the store is of an older version of renku-metrics: "


def garbled(folder: Path) -> str:
    (folder / "version.json").write_text("{}")
    return f"{folder}/version.json: is not what renku-metrics writes there"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("written", [newer, older, oldest, garbled])
def test_no_command_touches_a_store_of_another_format(
    pulled: KeptDeployment, written: Callable[[Path], str], command: str
) -> None:
    said = written(Path(pulled.store.storage.address())).replace("/: ", ": ")
    before = files(pulled)
    result = CliRunner().invoke(renku_metrics, COMMANDS[command])
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if said in line.replace("/: ", ": ")]
    if command == "check":
        # Once, though it concerns more than one thing.
        assert lines[0].startswith("  failed")
    else:
        assert lines == result.output.splitlines()
        assert lines[0].startswith("Error: ")
    assert "Traceback" not in result.output
    assert files(pulled) == before


@pytest.mark.parametrize("written", [newer, older, oldest])
def test_no_run_touches_a_store_of_another_format(pulled: KeptDeployment, written: Callable[[Path], str]) -> None:
    address = pulled.store.storage.address()
    written(Path(address))
    before = files(pulled)
    with pytest.raises(StoreError, match="the store is of"):
        CentralStore(address=address).open()
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(deployments_folder(), address, instance)
        for names, partition in (
            (["raw_gitlab_users"], "lab"),
            (["events"], f"lab|{MONTHS[0]}"),
            (["published"], None),
        ):
            assert not pipeline.materialize(names, partition=partition).success
    assert files(pulled) == before


@pytest.mark.parametrize("key", [COMMITS, EVENTS])
def test_a_file_with_a_column_that_is_not_known_is_left_as_it_is(pulled: KeptDeployment, key: str) -> None:
    path = Path(pulled.store.storage.address()) / key
    rows = pq.ParquetFile(path).read()
    later = rows.append_column("commit_mood", pa.array(["sad"] * len(rows)))
    sink = io.BytesIO()
    pq.write_table(later, sink)
    path.write_bytes(sink.getvalue())
    before = files(pulled)
    result = CliRunner().invoke(renku_metrics, COMMANDS["erase"])
    said = (
        f"{path}: has columns that this version of renku-metrics does not know (commit_mood); install the version that "
        "wrote it, or a later one"
    )
    assert (result.exit_code, result.output.splitlines()[1:]) == (1, ["", f"Error: {said}"])
    with dg.DagsterInstance.ephemeral() as instance:
        pipeline = Pipeline(deployments_folder(), pulled.store.storage.address(), instance)
        name = "events" if key == COMMITS else "user_days"
        assert not pipeline.materialize([name], partition=f"lab|{MONTHS[0]}").success
    assert files(pulled) == before
