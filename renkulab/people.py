"""The kinds of people of a simulated RenkuLab: which accounts and addresses they have, and who they count as."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from renkulab import gitlab, keycloak
from renkulab.git import Identity
from renkulab.server import RenkuLab

# In this order, so that even a small population has each kind.
KINDS = (
    "plain",
    "second address",  # commits with a confirmed secondary address
    "noreply",  # edits in GitLab, which hides the address
    "visitor",  # only ever logs in
    "unknown address",  # commits with an address that no account has; the push tells who it is
    "plain",
    "unconfirmed",  # commits with an address that was never confirmed; a mirror pushes: nobody can tell
    "no Keycloak",  # has only a GitLab account
    "same address",  # only the address connects the two accounts
    "default address",  # never told git an address; the push tells who it is
    "plain",
    "leaver",  # the account is disabled in the end
)
ZONES = tuple(dt.timezone(dt.timedelta(hours=hours)) for hours in (1, 2, 0, 9, -7))


@dataclass
class Person:
    """``identity``: the user as whom this person counts. ``cli_identity``: the same for commits from a terminal."""

    name: str
    kind: str
    zone: dt.timezone
    email: str
    identity: str
    cli_address: str
    cli_identity: str
    login: keycloak.User | None
    account: gitlab.User | None

    @property
    def profile(self) -> Identity:
        """The author that the UI and sessions write."""
        return Identity(self.name, self.email)

    @property
    def terminal(self) -> Identity:
        return Identity(self.name, self.cli_address)


def settle(lab: RenkuLab, number: int, at: dt.datetime) -> Person:
    """The ``number``-th person (from 1), with the accounts of the kind that has this number."""
    kind, name = KINDS[(number - 1) % len(KINDS)], f"person-{number:04}"
    email = f"{name}@university.example"
    login = None if kind == "no Keycloak" else lab.keycloak.add_user(email, at)
    account = None
    if kind != "visitor":
        # Some write their address with capitals in one of the accounts.
        given = email.capitalize() if number % 5 == 0 else email
        linked = login.id if login and kind != "same address" else None
        account = lab.gitlab.add_user(name, given, at, keycloak_id=linked)
    identity = login.id if login else f"gitlab:{account.id if account else 0}"
    person = Person(name, kind, ZONES[number % len(ZONES)], email, identity, email, identity, login, account)
    if account is None:
        return person
    if kind == "second address":
        person.cli_address = f"{name}@home.example"
        lab.gitlab.add_email(account, person.cli_address, at)
    elif kind == "noreply":
        person.cli_address = f"{account.id}-{name}@users.noreply.{lab.noreply_host}"
        account.commit_email = person.cli_address
    elif kind == "unknown address":
        person.cli_address = f"{name}@laptop.example"
    elif kind == "default address":
        person.cli_address = "jovyan@jupyter-5f1b2c3d"
    elif kind == "unconfirmed":
        person.cli_address = f"{name}@old.example"
        person.cli_identity = f"address:{person.cli_address}"
        lab.gitlab.add_email(account, person.cli_address, at, confirmed=False)
    return person
