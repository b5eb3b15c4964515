"""Commands in the documentation can be typed as they stand there."""

from __future__ import annotations

import datetime as dt
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import dagster as dg
import pytest

from renku_metrics.cli import renku_metrics
from renku_metrics.definitions import defs
from renku_metrics.environment import PROJECT

PAGES = [PROJECT / "README.md", PROJECT / "hosting" / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def commands(page: Path) -> Iterator[list[str]]:
    """The words of each command line in the page's blocks of code, without what a shell puts around it."""
    for block in re.findall(r"^ *```\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.count("'") % 2 == 0 and "$(" not in line:
                yield shlex.split(line, comments=True)


def found(program: str) -> list[list[str]]:
    """The arguments of each call of a program in the pages."""
    calls: list[list[str]] = []
    for page in PAGES:
        calls += [words[1:] for words in commands(page) if words and Path(words[0]).name == program]
    return calls


MATERIALIZED = [call for call in found("dagster") if call[:2] == ["asset", "materialize"]]
OWN = found("renku-metrics")


def test_the_commands_are_found() -> None:
    assert len(MATERIALIZED) >= 10
    assert {call[0] for call in OWN} == {"check", "erase", "show"}


@pytest.mark.parametrize("call", MATERIALIZED, ids=" ".join)
def test_what_is_materialized_together_shares_its_partitions(call: list[str]) -> None:
    options = dict(zip(call[2::2], call[3::2], strict=True))
    names = options["--select"].split(",")
    selections = [dg.AssetSelection.from_string(name) for name in names]
    graph = defs.resolve_asset_graph()
    selected = [selection.resolve(graph) for selection in selections]
    assert all(selected)
    (partitions,) = {graph.get(key).partitions_def for keys in selected for key in keys}
    ranges = [options[name] for name in ("--partition", "--partition-range") if name in options]
    assert bool(ranges) == (partitions is not None)
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        for key in ranges[0].split("..."):
            deployment, begins = key.split("|")
            day = dt.date.fromisoformat(begins)
            names_of_days = {dimension.name for dimension in partitions.partitions_defs}
            assert re.fullmatch("[a-z-]+", deployment)
            # Weeks are called by their Monday, months by their first.
            assert day.weekday() == 0 or "week" not in names_of_days
            assert day.day == 1 or "month" not in names_of_days


@pytest.mark.parametrize("call", [call for call in found("dagster") if call[:2] == ["job", "execute"]], ids=" ".join)
def test_jobs_are_there_and_their_partitions_are_named_rightly(call: list[str]) -> None:
    options = dict(zip(call[2::2], call[3::2], strict=True))
    job = defs.resolve_job_def(options["--job"])
    (partition,) = json.loads(options["--tags"]).values()
    assert isinstance(job.partitions_def, dg.MultiPartitionsDefinition)
    assert re.fullmatch(r"[a-z-]+\|\d{4}-\d\d-\d\d", partition)


@pytest.mark.parametrize("call", OWN, ids=" ".join)
def test_renku_metrics_knows_its_commands(call: list[str]) -> None:
    command = renku_metrics.commands[call[0]]
    assert isinstance(command, click.Command)
    command.make_context(call[0], call[1:])


def test_one_spelling_for_the_weekly_numbers() -> None:
    weekly = {word for call in MATERIALIZED for word in call if "_weekly" in word}
    assert weekly == {"key:*_weekly"}
