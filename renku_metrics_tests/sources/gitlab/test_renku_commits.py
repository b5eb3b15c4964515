"""Messages as renku 0.3 to 2.9 write them, and messages that people write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.renku_words import COMMANDS, HELPERS
from renku_metrics.sources.gitlab.renku_commits import RenkuMessage, is_renku_committer, read_message
from renku_metrics_tests.histories import real_histories

NOT_RENKU = RenkuMessage()
DOMAINS = ["renkulab.io"]


def cli(command: str, *options: str) -> RenkuMessage:
    return RenkuMessage(surface="cli", command=command, options=options)


def ui(command: str) -> RenkuMessage:
    return RenkuMessage(surface="ui", command=command)


def helper(name: str) -> RenkuMessage:
    return RenkuMessage(surface="cli", helper=name)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        # The command table of the facts.
        ("renku init\n", cli("init")),
        ("renku init -s https://github.com/x/template renku-arc\n", cli("init", "--template-source")),
        ("renku dataset create flights", cli("dataset create")),
        ("renku dataset create -t Flights -c Ada flights", cli("dataset create", "--creator", "--title")),
        ("renku dataset add --copy --create flights a.csv", cli("dataset add", "--copy", "--create")),
        ("renku dataset add -c flights a.csv", cli("dataset add", "--create")),
        ("renku dataset add flights a.csv", cli("dataset add")),
        ("renku dataset import --name x https://doi.org/10.1/2", cli("dataset import", "--name")),
        ("renku dataset update -c", cli("dataset update", "--check-data-directory")),
        ("renku dataset edit -c Ada flights", cli("dataset edit", "--creator")),
        ("renku dataset tag flights v1", cli("dataset tag")),
        ("renku dataset rm-tags flights v1", cli("dataset rm-tags")),
        ("renku dataset unlink flights -I a.csv -y", cli("dataset unlink", "--include", "--yes")),
        ("renku dataset rm flights", cli("dataset rm")),
        ("renku run --name plot -- python plot.py --name x -c y", cli("run", "--name")),
        ("renku run python plot.py --input a -c b --create", cli("run")),
        ("renku run wf.yaml", cli("run")),
        ("renku rerun out.csv", cli("rerun")),
        ("renku update", cli("update")),
        ("renku update --all", cli("update", "--all")),
        ("renku workflow execute -p toil --set a=b NAME", cli("workflow execute", "--provider", "--set")),
        ("renku workflow iterate --map a=[1,2] NAME", cli("workflow iterate", "--map")),
        ("renku workflow compose main a b", cli("workflow compose")),
        ("renku workflow revert ID", cli("workflow revert")),
        ("renku migrate", cli("migrate")),
        ("renku config set autocommit_lfs true", cli("config set")),
        ("renku mv a b", cli("mv")),
        ("renku template update", cli("template update")),
        ("renku storage migrate --all", cli("storage migrate", "--all")),
        ("Saved changes to: a.csv b.csv", cli("save")),
        # Global options stand before the sub-command.
        ("renku -S dataset create x", cli("dataset create")),
        ("renku --disable-version-check run python a.py", cli("run")),
        ("renku --path /tmp/run run python a.py", cli("run")),
        ("renku --path=/tmp/x --no-external-storage dataset create x", cli("dataset create")),
        ("renku --some-later-option=3 update", cli("update")),
        # The program by another name.
        ("python -m renku.cli run python a.py", cli("run")),
        ("python -m renku dataset create x", cli("dataset create")),
        # Wrapped at 100 characters, the second paragraph is not the command's.
        ("renku dataset add\n\t--create\n\tflights a.csv\n\nrenku-transaction: 0123\n", cli("dataset add", "--create")),
        ("renku dataset\r\n\tcreate flights\r\n\r\nrenku-transaction: 0123\r\n", cli("dataset create")),
        ("renku dataset add flights a.csv\n\nthen renku dataset add --create b", cli("dataset add")),
        # Clusters and values of short options.
        ("renku dataset add -fc flights a.csv", cli("dataset add", "--create", "--force")),
        ("renku dataset add -cf flights a.csv", cli("dataset add", "--create", "--force")),
        ("renku dataset add -dc flights a.csv", cli("dataset add", "--destination")),
        ("renku dataset add -d -c flights a.csv", cli("dataset add", "--destination")),
        ("renku dataset add --source=-c flights a.csv", cli("dataset add", "--source")),
        ("renku dataset add flights -- -c", cli("dataset add")),
        ("renku dataset add flights create-c.csv a-c", cli("dataset add")),
        # Cut off at 100 characters by old versions.
        ("renku dataset add --destination somewhere --cre...", cli("dataset add", "--destination")),
        # The UI, of any deployment.
        ("service: dataset create flights", ui("dataset create")),
        ("service: dataset import of https://doi.org/10.1/2", ui("dataset import")),
        ("service: dataset import https://doi.org/10.1/2", ui("dataset import")),
        ("service: dataset add flights a.csv -c", ui("dataset add")),
        ("service: dataset edit flights", ui("dataset edit")),
        ("service: unlink dataset flights -I a", ui("dataset unlink")),
        ("service: renku migrate", ui("migrate")),
        ('service: renku init -n "inflation" -s "https://github.com/x..."', ui("init")),
        ("service: project edit", ui("project edit")),
        ("renkulab.io: dataset create flights", ui("dataset create")),
        ("renkulab.io: dataset import of 10.1/2", ui("dataset import")),
        ("renkulab.io: dataset remove flights", ui("dataset rm")),
        ("limited.renku.ch: init mltox", ui("init")),
        ("dslab-renku.epfl.ch: init route", ui("init")),
        ("renku.example.org:8443: dataset create x", ui("dataset create")),
        ("10.0.0.7:30080: dataset create x", ui("dataset create")),
        ("renkulab.io: migrate to latest version for renku 2.9.2", ui("migrate")),
        ("renkulab.io: config set interactive.default_url", ui("config set")),
        # Helper commits are neither datasets nor runs.
        ("renku dataset: committing 3 newly added files", helper("adding files")),
        ("renku dataset: commiting 1 newly added files", helper("adding files")),
        ("renku run: committing 1 newly added files", helper("adding files")),
        ("renku update: committing 1 newly added files", helper("adding files")),
        ("renku dataset: updated 2 files and deleted 1 files", helper("updating files")),
        ("renku dataset rm: final mutation", helper("final mutation")),
        ("renku mv: committing 2 moved files", helper("moved files")),
        ("renku migrate: committing migrated workflow", helper("migrated workflow")),
        ("renku migrate: committing structural changes\n\nrenku-transaction: 01", helper("structural changes")),
        (
            "Auto-saving for ada on branch main from commit 995ee16",
            RenkuMessage(autosave=True),
        ),
    ],
)
def test_message_of_renku_is_read(message: str, expected: RenkuMessage) -> None:
    assert read_message(message, by_renku=True, domains=()) == expected
    if expected.surface == "cli" or message.startswith("service: "):
        # As after a rebase, which puts a person in renku's place.
        assert read_message(message, by_renku=False, domains=DOMAINS) == expected


@pytest.mark.parametrize(
    "message",
    [
        "",
        "renku",
        "renku run",
        "renku foo",
        "renku dataset flights is new",
        "renku workflow",
        "renku: dataset create x",
        "renku update: new figures",
        "updated renku run of yesterday",
        'Revert "renku dataset create x"',
        "v1.2: update figures",
        "v1.2: dataset create x",
        "renkulab.io: update --all",
        "renkulab.io: run python a.py",
        "service: restarted",
        "service: dataset created",
        "feat: dataset create form",
        "Auto-saving is on",
        "first line\n\nrenku run python a.py",
        "flights.py: dataset create helper",
        "notes.md: dataset create section",
        "config.yaml: init defaults",
        "main.rs: dataset add fix",
        "localhost: dataset create flights",
    ],
)
def test_what_people_write_is_not_renkus(message: str) -> None:
    assert read_message(message, by_renku=False, domains=DOMAINS) == NOT_RENKU


@pytest.mark.parametrize(
    "message", ["renkulab.io: dataset create x", "renku.example:8443: dataset create x", "localhost: dataset create x"]
)
def test_a_message_of_the_ui_is_told_by_renkus_committer_or_a_domain_of_the_deployment(message: str) -> None:
    domains = ["renkulab.io", "renku.example", "localhost"]
    assert read_message(message, by_renku=False, domains=domains) == ui("dataset create")
    assert read_message(message, by_renku=True, domains=()) == ui("dataset create")
    assert read_message(message, by_renku=False, domains=["limited.renku.ch"]) == NOT_RENKU


@pytest.mark.parametrize(
    ("message", "command"),
    [
        ("renku update to version 0.16", "update"),
        ("renku run is broken, fix Dockerfile", "run"),
        ("renku dataset create tutorial", "dataset create"),
    ],
)
def test_a_persons_own_message_that_reads_like_a_command_passes_for_one(message: str, command: str) -> None:
    # Nothing tells it from a command whose commit lost renku's committer: a known gap.
    assert read_message(message, by_renku=False, domains=DOMAINS) == cli(command)


WORDS = st.sampled_from(
    [
        *("renku", "dataset", "add", "create", "import", "of", "run", "workflow", "execute", "\n", "\n\n"),
        *("service:", "renkulab.io:", "-c", "-fc", "--create", "--name", "--secret=1", "-", "--"),
        *("ada@example.org", "secret-data"),
    ]
)


@settings(deadline=None)
@given(
    st.one_of(st.text(), st.lists(WORDS).map(" ".join), st.lists(WORDS).map(lambda w: "renku " + " ".join(w))),
    st.booleans(),
)
def test_nothing_but_words_of_renku_survives(message: str, by_renku: bool) -> None:
    read = read_message(message, by_renku=by_renku, domains=DOMAINS)

    assert read.command is None or read.command in COMMANDS
    assert read.helper is None or read.helper in HELPERS.values()
    known = COMMANDS[read.command] if read.command else None
    assert set(read.options) <= {*known.flags.values(), *known.valued.values()} if known else not read.options


@pytest.mark.parametrize(
    ("name", "email", "expected"),
    [
        ("renku 2.9.4", "https://github.com/swissdatasciencecenter/renku-python/tree/v2.9.4", True),
        ("renku 0.15.2.dev9+g0e9b132", "", True),
        ("renku 0.0.0", "renku@datascience.ch", True),
        ("renku", "renku+0.3.3@datascience.ch", True),
        ("Ada", "https://github.com/SwissDataScienceCenter/renku-python/tree/v0.10.5", True),
        ("Ada Lovelace", "ada@datascience.ch", False),
        ("renku fan", "fan@example.org", False),
        ("", "", False),
    ],
)
def test_committer_is_renku(name: str, email: str, *, expected: bool) -> None:
    assert is_renku_committer(name, email) is expected


def real_commits() -> Iterator[dict[str, Any]]:
    for path in sorted(real_histories().glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def read_real(commit: dict[str, Any]) -> RenkuMessage:
    by_renku = is_renku_committer(commit["committer_name"], commit["committer_email"])
    return read_message(commit["message"], by_renku=by_renku, domains=DOMAINS)


def test_datasets_and_runs_of_real_histories_are_those_an_independent_search_finds() -> None:
    # Of these histories it is known that all are by renku itself and no user command behind `renku run` matters.
    patterns = {
        "dataset_created": r"(renku|service:|[a-z.]+\.(io|ch):) dataset (create |add .*--create)",
        "dataset_imported": r"(renku|service:|[a-z.]+\.(io|ch):) dataset import ",
        "workflow_run": r"renku (run|rerun|update|workflow execute|workflow iterate)( |$)",
    }
    searched: dict[str, set[str]] = {kind: set() for kind in patterns}
    found: dict[str, set[str]] = {kind: set() for kind in patterns}
    for commit in real_commits():
        line = " ".join(commit["message"].split("\n\n")[0].split())
        for kind, pattern in patterns.items():
            if "/renku-python/tree/v" in commit["committer_email"] and re.match(pattern, line):
                searched[kind].add(commit["id"])
        read = read_real(commit)
        if read.command == "dataset create" or (read.command == "dataset add" and "--create" in read.options):
            found["dataset_created"].add(commit["id"])
        elif read.command == "dataset import":
            found["dataset_imported"].add(commit["id"])
        elif read.command in {"run", "rerun", "update", "workflow execute", "workflow iterate"}:
            found["workflow_run"].add(commit["id"])

    assert found == searched
    assert {kind: len(ids) for kind, ids in found.items()} == {
        "dataset_created": 15,
        "dataset_imported": 1,
        "workflow_run": 77,
    }


def test_every_message_of_the_renku_committer_in_real_histories_is_recognised() -> None:
    by_renku = [c for c in real_commits() if is_renku_committer(c["committer_name"], c["committer_email"])]

    assert len(by_renku) == 180
    assert [c["message"] for c in by_renku if read_real(c).surface is None] == []
