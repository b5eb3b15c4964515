"""Who is found by ``renku-metrics erase``, what it shows, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.environment import deployments_folder
from renku_metrics.tables import EVENTS
from renku_metrics_tests.commands.traces import BOOK, erase
from renku_metrics_tests.pipeline.kept_deployment import PLACES, KeptDeployment


def test_a_person_is_found_by_any_of_their_ids(pulled: KeptDeployment) -> None:
    person = pulled.person("second address")
    assert person.account
    assert person.login
    found = [
        erase(*which, answer="n\n").output.splitlines()[0]
        for which in (
            ["--user", person.login.id],
            ["--user", f"gitlab:{person.account.id}"],
            ["--user", f"email:{BOOK.hash(person.email)}"],
            ["--email", f" {person.email.upper()}"],
            ["--email", person.cli_address],
        )
    ]
    ids = f"{person.login.id}, gitlab:{person.account.id}, 2 addresses"
    assert found == [f"lab in {pulled.store.storage.address()}: {ids}"] * 5


def test_a_noreply_address_of_the_deployment_finds_its_account(pulled: KeptDeployment) -> None:
    person = pulled.person("noreply")
    first = erase("--email", person.cli_address, answer="n\n").output.splitlines()[0]
    assert person.identity in first


def test_what_is_stored_is_shown_and_nothing_is_erased_without_a_yes(pulled: KeptDeployment) -> None:
    person = pulled.person("second address")
    before = pulled.content()
    events = pulled.store.read(EVENTS, PLACES)
    days = sorted(events.loc[events["user_id"] == person.identity, "event_day"])
    result = erase("--user", person.identity, answer="n\n")
    assert result.exit_code == 1
    lines = {line.split()[0]: line for line in result.output.splitlines() if line.startswith("  ")}
    assert f"{len(days)} rows; on {len(set(days))} days, {days[0]} to {days[-1]}" in lines["events"]
    assert "1 row" in lines["raw_keycloak_users"]
    assert person.email not in result.output
    assert pulled.content() == before


def test_once_erased_nothing_is_left_to_erase(pulled: KeptDeployment) -> None:
    person = pulled.person("plain")
    erase("--user", person.identity, "--yes")
    before = pulled.content()
    result = erase("--user", person.identity, "--yes")
    assert result.exit_code == 0
    assert "Nothing is stored of this person" in result.output
    assert pulled.content() == before


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "Error: name the person by --user or --email"),
        (
            ["--user", "ada"],
            "Error: --user is a Keycloak id, gitlab:<number>, or email:<hash> as in the table of events",
        ),
        (["--user", "ada@university.example"], "Error: --user is a Keycloak id"),
        (["--user", "gitlab:ada"], "Error: --user is a Keycloak id"),
        (["--user", "12"], "Error: --user is a Keycloak id"),
        (["--email", "you@example.com"], "Error: an address given by --email belongs to a tool or to many people"),
        (["--email", "ada"], "Error: an address given by --email belongs to a tool or to many people"),
    ],
)
def test_what_names_nobody_is_refused_in_one_line(pulled: KeptDeployment, arguments: Sequence[str], line: str) -> None:
    result = erase(*arguments, "--yes")
    assert result.exit_code != 0
    last = result.output.splitlines()[-1]
    assert last.startswith(line)
    assert "ada@university" not in last


def test_a_stranger_leaves_the_store_as_it_is(pulled: KeptDeployment) -> None:
    before = pulled.content()
    result = erase("--email", "nobody@elsewhere.example", "--yes")
    assert result.exit_code == 0
    assert "Nothing is stored of this person" in result.output
    assert pulled.content() == before


def test_an_unknown_deployment_is_one_line(pulled: KeptDeployment) -> None:
    result = CliRunner().invoke(renku_metrics, ["erase", "--deployment", "moon", "--user", "gitlab:1"])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {deployments_folder()}: there is no deployment moon; there is lab\n",
    )
