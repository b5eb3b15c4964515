from __future__ import annotations

from typing import Any

import pytest

from renku_metrics_tests.events.raw_rows import build, commit


def event_types(surface: str, command: str, *options: str, **fields: Any) -> list[str]:
    row = commit("c", renku_surface=surface, renku_command=command, renku_options=list(options), **fields)
    built = build(commits=[row])
    assert built.derived == len(built.events) - 1
    return sorted(built.events["event_type"])


@pytest.mark.parametrize(
    ("surface", "command", "options", "event_type"),
    [
        ("cli", "dataset create", [], "dataset_created"),
        ("ui", "dataset create", [], "dataset_created"),
        ("cli", "dataset create", ["--creator"], "dataset_created"),
        ("cli", "dataset add", ["--copy", "--create"], "dataset_created"),
        ("cli", "dataset import", ["--name"], "dataset_imported"),
        ("ui", "dataset import", [], "dataset_imported"),
        ("cli", "run", ["--name"], "workflow_run"),
        ("cli", "rerun", [], "workflow_run"),
        ("cli", "update", ["--all"], "workflow_run"),
        ("cli", "workflow execute", [], "workflow_run"),
        ("cli", "workflow iterate", ["--map"], "workflow_run"),
    ],
)
def test_a_commit_of_renku_is_also_what_renku_did(
    surface: str, command: str, options: list[str], event_type: str
) -> None:
    assert event_types(surface, command, *options) == sorted(["commit", event_type])


@pytest.mark.parametrize(
    ("surface", "command", "options"),
    [
        ("cli", "dataset add", []),
        ("cli", "dataset add", ["--copy"]),
        ("ui", "dataset add", []),
        ("cli", "dataset edit", ["--creator"]),
        ("cli", "dataset update", ["--check-data-directory"]),
        ("cli", "workflow compose", []),
        ("cli", "workflow revert", []),
        ("cli", "init", []),
        ("cli", "migrate", []),
        ("ui", "run", []),
        ("ui", "update", []),
    ],
)
def test_other_commands_are_commits_only(surface: str, command: str, options: list[str]) -> None:
    assert event_types(surface, command, *options) == ["commit"]


def test_the_committer_may_have_been_lost_in_a_rebase() -> None:
    assert event_types("cli", "dataset create", renku_committer=False) == ["commit", "dataset_created"]


def test_the_derived_event_carries_user_project_and_time_of_its_commit() -> None:
    events = build(commits=[commit("c", renku_surface="cli", renku_command="run")]).events
    first, second = events.drop(columns=["event_type", "event_key"]).to_dict("records")
    assert first == second
    assert list(events["event_key"]) == ["commit:c", "workflow_run:c"]
