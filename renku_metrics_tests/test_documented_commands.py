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
from renku_metrics.tables import KINDS

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
        (kind,) = {dimension.name for dimension in partitions.partitions_defs} - {"deployment"}
        for key in ranges[0].split("..."):
            assert_named_rightly(key, kind)


def assert_named_rightly(key: str, kind: str) -> None:
    """Weeks are called by their Monday, months by their first day."""
    deployment, begins = key.split("|")
    day = dt.date.fromisoformat(begins)
    assert re.fullmatch("[a-z-]+", deployment)
    assert (day.weekday() == 0) if kind == "week" else (day.day == 1)


@pytest.mark.parametrize("call", [call for call in found("dagster") if call[:2] == ["job", "execute"]], ids=" ".join)
def test_jobs_are_there_and_their_partitions_are_named_rightly(call: list[str]) -> None:
    options = dict(zip(call[2::2], call[3::2], strict=True))
    job = defs.resolve_job_def(options["--job"])
    (partition,) = json.loads(options["--tags"]).values()
    assert isinstance(job.partitions_def, dg.MultiPartitionsDefinition)
    assert_named_rightly(partition, "month")


@pytest.mark.parametrize("call", OWN, ids=" ".join)
def test_renku_metrics_knows_its_commands(call: list[str]) -> None:
    command = renku_metrics.commands[call[0]]
    assert isinstance(command, click.Command)
    command.make_context(call[0], call[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_one_spelling_for_the_weekly_and_one_for_the_monthly_numbers(kind: str) -> None:
    numbers = {word for call in MATERIALIZED for word in call if f"_{kind}ly" in word}
    assert numbers == {f"key:*_{kind}ly"}


def test_what_the_readme_types_makes_everything_in_its_order() -> None:
    graph = defs.resolve_asset_graph()
    made: list[dg.AssetKey] = []
    for words in commands(PROJECT / "README.md"):
        if words[1:3] == ["asset", "materialize"]:
            options = dict(zip(words[3::2], words[4::2], strict=True))
            selections = [dg.AssetSelection.from_string(name) for name in options["--select"].split(",")]
            made += [key for selection in selections for key in selection.resolve(graph)]
            assert all(graph.get(key).parent_keys <= set(made) for key in made)
    assert sorted(made) == sorted(graph.get_all_asset_keys())
