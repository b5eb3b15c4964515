"""The users of a deployment's GitLab, with the hashes of their confirmed addresses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.shapes import UUID
from renku_metrics.sources.addresses import ACCESS_TOKEN, AddressBook
from renku_metrics.sources.crew import Crew
from renku_metrics.sources.gitlab.client import GitLabClient, Json
from renku_metrics.sources.gitlab.projects import ADMINISTRATOR, BY_ID, read_time
from renku_metrics.sources.http import NoAnswerError, RefusedError
from renku_metrics.sources.progress import Progress
from renku_metrics.sources.source import Batch
from renku_metrics.tables import RAW_GITLAB_USERS

# What GitLab's identities call Keycloak: with the Renku chart, and with GitLab's own OpenID Connect.
# docs/sources/gitlab.md#keycloaks-id-is-an-identity
KEYCLOAK_PROVIDERS = ("oauth2_generic", "openid_connect")
# GitLab's own accounts. Older versions do not mark them as bots: docs/sources/gitlab.md#gitlab-has-users-of-its-own
INTERNAL_ACCOUNTS = frozenset({"ghost", "alert-bot", "support-bot", "migration-bot", "security-bot", "automation-bot"})
USERS_A_BATCH = 500
# If the addresses of so many users in a row cannot be read, the fault is the server's.
UNREAD_IN_A_ROW = 10


@dataclass(frozen=True)
class _Addresses:
    """The secondary addresses of a user, or why they could not be read. ``asked``: whether they were due."""

    user: Json
    asked: bool
    found: tuple[str, ...] = ()
    trouble: SourceError | None = None


def pull_users(
    client: GitLabClient, deployment: Deployment, book: AddressBook, stored: pd.DataFrame, pulled_at: dt.datetime
) -> Iterator[Batch]:
    """All users as RAW_GITLAB_USERS, one row per user, in at least one batch.

    Secondary addresses cost a request per user, so only those of the users in ``addresses_due`` are asked for. If they
    cannot be read, the user's row says so, the fact ``users_unread`` counts it and the next pull asks again. Raises
    SourceError if the token does not see addresses and identities. Raises it also if the server gives up on the way,
    after a batch of what was read.
    """
    progress = Progress(client.where, client.connection.say, client.connection.patience.clock, things="users")
    users: list[Json] = []
    for page in _list_users(client):
        users += page
        progress.tell(len(users), None, None, client.connection.requests_made)
    if not all("identities" in user and "email" in user for user in users):
        raise SourceError(f"{client.where}: {client.token_name} sees no addresses of users; {ADMINISTRATOR}")
    due = addresses_due(users, stored)
    last_day = max((user["last_activity_on"] for user in users if user.get("last_activity_on")), default="")

    def row(read: _Addresses) -> dict[str, Any]:
        return {
            "deployment": deployment.name,
            "gitlab_user_id": read.user["id"],
            "keycloak_id": keycloak_id(read.user.get("identities") or []),
            "address_hashes": _hashes(book, [*_confirmed_addresses(read.user), *read.found]),
            "addresses_on": last_day if read.asked and read.trouble is None else None,
            "bot": is_bot(read.user),
            "state": read.user.get("state"),
            "created_at": read_time(read.user.get("created_at")),
            "last_activity_on": read.user.get("last_activity_on"),
            "pulled_at": pulled_at,
        }

    rows, unread, done = list[dict[str, Any]](), 0, 0
    try:
        for read in _addresses(client, users, due):
            rows.append(row(read))
            unread += read.trouble is not None
            done += 1
            progress.tell(done, len(users), None, client.connection.requests_made)
            if len(rows) == USERS_A_BATCH:
                yield Batch({RAW_GITLAB_USERS.name: RAW_GITLAB_USERS.frame(rows)})
                rows = []
    except Exception:
        yield Batch({RAW_GITLAB_USERS.name: RAW_GITLAB_USERS.frame(rows)})
        raise
    requests = client.connection.requests_made
    told = f"addresses of {unread} users could not be read; the next pull asks again"
    yield Batch(
        {RAW_GITLAB_USERS.name: RAW_GITLAB_USERS.frame(rows)},
        facts={"requests": requests, "users_unread": unread},
        notes=[told] if unread else [],
    )
    progress.finish(done, None, requests)


def addresses_due(users: Iterable[Json], stored: pd.DataFrame) -> set[int]:
    """The ids of the people whose addresses were never read or can have changed since.

    They can have changed if the person was active on or after ``addresses_on``: the last day on which anybody was
    active, as far as GitLab knew when it was asked.
    """
    read = stored.dropna(subset="addresses_on")
    read_on = dict(zip(read["gitlab_user_id"], read["addresses_on"], strict=True))
    return {
        user["id"]
        for user in users
        if not is_bot(user)
        and (
            user["id"] not in read_on
            or (user.get("last_activity_on") and user["last_activity_on"] >= read_on[user["id"]])
        )
    }


def keycloak_id(identities: Iterable[Json]) -> str | None:
    """The Keycloak id among a user's identities: the one of Keycloak's provider, else the first that is a UUID."""
    known = sorted((str(item["provider"]), item["extern_uid"]) for item in identities if item["extern_uid"])
    for provider in KEYCLOAK_PROVIDERS:
        for name, uid in known:
            if name == provider:
                return str(uid)
    return next((str(uid) for _, uid in known if UUID.fits(uid)), None)


def is_bot(user: Json) -> bool:
    """Whether the account belongs to no person: a bot, an access token, or an account of GitLab itself."""
    name = user["username"]
    return bool(user.get("bot")) or bool(ACCESS_TOKEN.match(name)) or name in INTERNAL_ACCOUNTS


def _list_users(client: GitLabClient) -> Iterator[list[Json]]:
    # Before 16.5 GitLab does not page users by key: it answers 405, or ignores the parameter.
    # docs/sources/gitlab.md#users-by-key-since-165
    try:
        try:
            yield from client.pages("/users", BY_ID)
        except RefusedError as error:
            if error.status != 405:
                raise
            yield from client.pages("/users", {"order_by": "id", "sort": "asc"})
    except RefusedError as error:
        raise SourceError(
            f"{client.where}: the list of users was refused with status {error.status}; {ADMINISTRATOR}"
        ) from None


def _confirmed_addresses(user: Json) -> list[str]:
    # GitLab should accept only a confirmed address as the commit or the public one. An older GitLab accepts any address
    # of the user as the public one, so an unconfirmed one can get in here.
    # docs/sources/gitlab.md#the-commit-and-the-public-address-should-be-confirmed
    primary = [user.get("email")] if user.get("confirmed_at") else []
    chosen = [user.get("commit_email"), user.get("public_email")] if primary else []
    return [address for address in (*primary, *chosen) if address and "@users.noreply." not in address]


def _addresses(client: GitLabClient, users: Iterable[Json], due: set[int]) -> Iterator[_Addresses]:
    """The secondary addresses of the users, in the order in which they come.

    Raises SourceError if too many users in a row fail.
    """

    def read(user: Json) -> Iterator[_Addresses]:
        yield _secondary_addresses(client, user) if user["id"] in due else _Addresses(user, asked=False)

    crew = Crew(client.connection.concurrency, read, lambda _: 1, USERS_A_BATCH)
    in_a_row = 0
    for addresses in crew.results(users):
        yield addresses
        if addresses.asked:
            in_a_row = in_a_row + 1 if addresses.trouble else 0
        if addresses.trouble and in_a_row >= max(UNREAD_IN_A_ROW, 2 * client.connection.concurrency):
            raise addresses.trouble


def _secondary_addresses(client: GitLabClient, user: Json) -> _Addresses:
    try:
        pages = list(client.pages(f"/users/{user['id']}/emails", {}))
    except NoAnswerError as error:
        return _Addresses(user, asked=True, trouble=error)
    except RefusedError as error:
        # The user was deleted after the listing.
        if error.status == 404:
            return _Addresses(user, asked=True)
        trouble = SourceError(
            f"{client.where}: addresses of users were refused with status {error.status}; {ADMINISTRATOR}"
        )
        return _Addresses(user, asked=True, trouble=trouble)
    found = [email["email"] for page in pages for email in page if email.get("confirmed_at")]
    return _Addresses(user, asked=True, found=tuple(found))


def _hashes(book: AddressBook, addresses: Iterable[str]) -> list[str]:
    return sorted({book.hash(address) for address in addresses})
