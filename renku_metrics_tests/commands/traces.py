"""How tests erase people of a population by ``renku-metrics erase``, and what is left of whom."""

from __future__ import annotations

from click.testing import CliRunner, Result

from renku_metrics.cli import renku_metrics
from renku_metrics.sources.addresses import AddressBook
from renku_metrics.tables import EVENTS, USER_DAYS
from renku_metrics_tests.pipeline.kept_deployment import PLACES, KeptDeployment
from renkulab.people import Person

# Kinds of people, and of whom an operator has to name an address that no account has.
KINDS = ("plain", "second address", "noreply", "visitor", "unknown address", "same address", "default address")
NAMED = ("unknown address",)
BOOK = AddressBook(b"a key of tests", ["lab.example"])


def erase(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(renku_metrics, ["erase", "--deployment", "lab", *arguments], input=answer)


def arguments_for(person: Person) -> list[str]:
    named = ["--email", person.cli_address] if person.kind in NAMED else []
    return ["--user", person.identity, *named]


def traces(pulled: KeptDeployment, person: Person) -> list[str]:
    """Where any id or address of the person stands in the store."""
    texts = [BOOK.hash(address) for address in (person.email, person.cli_address) if "jovyan" not in address]
    texts += [person.email.lower(), person.cli_address, person.name]
    if person.login:
        texts.append(person.login.id)
    if person.account:
        number = person.account.id
        texts.append(f"'gitlab:{number}'")
        columns = ("creator_id", "pusher_id", "gitlab_user_id", "author_gitlab_id")
        texts += [f"'{column}': {number}," for column in columns]
    content = pulled.content()
    return [f"{key}: {text}" for key in content for text in texts if text in content[key]]


def of_others(pulled: KeptDeployment, *people: Person) -> dict[str, list[list[str]]]:
    """Events and user days of everybody else; there are some."""
    theirs = {user for person in people for user in (person.identity, f"email:{BOOK.hash(person.cli_address)}")}
    frames = {table.name: pulled.store.read(table, PLACES) for table in (EVENTS, USER_DAYS)}
    rows = {
        name: frame.loc[~frame["user_id"].isin(theirs)].astype(str).to_numpy().tolist()
        for name, frame in frames.items()
    }
    assert all(rows.values())
    return rows
