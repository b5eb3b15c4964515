"""Cases that between them touch every rule of what counts, each built on its own."""

from __future__ import annotations

from typing import Any

from renku_metrics.metrics.definition import Example, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.sources.renku_commits import is_renku_committer, read_message
from renku_metrics_tests.events.raw_rows import (
    Row,
    Rows,
    commit,
    gitlab_user,
    keycloak_user,
    login,
    project,
    session_lines,
)

Case = dict[str, Rows]


def message_case(message: str) -> Case:
    """One commit with this message, by an author nobody knows."""
    read = read_message(message)
    fields: dict[str, Any] = {
        "renku_surface": read.surface,
        "renku_command": read.command,
        "renku_options": list(read.options),
        "renku_helper": read.helper,
        "renku_committer": is_renku_committer("ada", "ada@example.org"),
        "autosave": read.autosave,
    }
    return {"commits": [commit("c", **fields)]}


def row_case(row: dict[str, Any]) -> Case:
    """One raw row with these fields, in the table it names."""
    fields = {name: value for name, value in row.items() if name != "table"}
    if row["table"] == "raw_keycloak_logins":
        return {"logins": [login("l") | fields]}
    assert row["table"] == "raw_amalthea_sessions"
    return {"sessions": [line | fields for line in session_lines("u", keycloak_id=None)]}


def example_case(example: Example) -> Case:
    return message_case(example.case) if isinstance(example.case, str) else row_case(dict(example.case))


def name_of(example: Example) -> str:
    """The message, or the fields of the row."""
    if isinstance(example.case, str):
        return example.case
    return ", ".join(f"{field}={value}" for field, value in example.case.items())


def commits(*rows: Row, **tables: Rows) -> Case:
    return {"commits": list(rows), **tables}


ADA = gitlab_user(7, "ada", keycloak_id="k-ada")
SHARED: Row = {"author_address_kind": "shared"}
PUSHED: Row = {"pusher_id": 7, "push_addresses": 1}
RAN: Row = {"renku_surface": "cli", "renku_command": "run"}

OTHER_CASES: dict[str, Case] = {
    "two commits of one user under two addresses": commits(
        commit("a", address="ada"), commit("b", address="home"), gitlab_users=[gitlab_user(7, "ada", "home")]
    ),
    "two commits of two unknown addresses": commits(commit("a", address="ada"), commit("b", address="bob")),
    "a commit and a login of one user": commits(commit("a"), gitlab_users=[ADA], logins=[login("l", "k-ada")]),
    "a commit and a login of one user whom only the address joins": commits(
        commit("a"),
        gitlab_users=[gitlab_user(7, "ada")],
        keycloak_users=[keycloak_user("k-ada", "ada")],
        logins=[login("l")],
    ),
    "an address of two gitlab users, and the login of one": commits(
        commit("a"), gitlab_users=[ADA, gitlab_user(8, "ada")], logins=[login("l", "k-ada")]
    ),
    "a shared address": commits(commit("a", **SHARED)),
    "a shared address with a push": commits(commit("a", **SHARED, **PUSHED)),
    "a shared address with a push of several addresses": commits(
        commit("a", **SHARED, **PUSHED | {"push_addresses": 2})
    ),
    "an unknown address pushed by a user who logged in": commits(
        commit("a", address="home", **PUSHED), gitlab_users=[ADA], logins=[login("l", "k-ada")]
    ),
    "a noreply address of a user who logged in": commits(
        commit("a", address="noreply", author_address_kind="noreply", author_gitlab_id=7),
        gitlab_users=[ADA],
        logins=[login("l", "k-ada")],
    ),
    "a bot's address": commits(commit("a", author_address_kind="bot")),
    "a bot's account": commits(commit("a"), gitlab_users=[gitlab_user(7, "ada", bot=True)]),
    "a run in a fork and its origin": commits(
        commit("a", **RAN), commit("a", project_id=2, **RAN), projects=[project(1), project(2)]
    ),
    "a run older than its project": commits(commit("a", **RAN), projects=[project(1, "2026-11-17")]),
    "a run of the second in which the project was made": commits(
        commit("a", "2026-11-16T09:30", **RAN), projects=[project(1, "2026-11-16T09:30:00.900")]
    ),
    "a merge commit": commits(commit("a", parent_count=2)),
    "a login nobody made": {"logins": [login("l", None)]},
    "a session with its first line lost": {"sessions": session_lines("u", old_status="running", status="stopping")},
    "a session of an earlier week that stops in this one": {
        "sessions": session_lines("u", "2026-11-16T10:00", "running", "stopping", created_at="2026-11-10T10:00")
    },
    "a session of an earlier week resumed in this one": {
        "sessions": session_lines("u", "2026-11-16T10:00", "hibernated", "starting", created_at="2026-11-10T10:00")
    },
    "a commit at the first instant of the week": commits(commit("a", "2026-11-16T00:00:00")),
    "a commit at the last instant of the week": commits(commit("a", "2026-11-22T23:59:59.999")),
    "a commit just before the week": commits(commit("a", "2026-11-15T23:59:59.999")),
    "a commit just after the week": commits(commit("a", "2026-11-23T00:00:00")),
    **{
        message: message_case(message)
        for message in (
            "renku dataset add --create --copy flights data.csv",
            "renku dataset add flights -- --create",
            "renkulab.io: dataset import of https://doi.org/10.5281/zenodo.1",
            "renkulab.io: dataset add flights data.csv",
            "renku dataset update --all",
            "renku dataset rm flights",
            "renku workflow revert 1f",
            "renku workflow edit train",
            "renku migrate",
            "renku init",
            "renku save -m done",
            "renku migrate: committing structural changes",
        )
    },
}


def all_cases(metrics: tuple[Metric, ...] = (*CORE_ACTIONS, ACTIVE_USERS)) -> dict[str, Case]:
    examples = {name_of(example): example_case(example) for metric in metrics for example in metric.examples}
    return examples | OTHER_CASES
