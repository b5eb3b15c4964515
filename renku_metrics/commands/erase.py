"""``renku-metrics erase``: removes a person's data from the store, and shows what that is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import click

from renku_metrics import environment
from renku_metrics.commands.choosing import chosen_files
from renku_metrics.errors import RenkuMetricsError
from renku_metrics.pipeline.erasing import Erasing, Found, erasing
from renku_metrics.sources.registry import read_deployment
from renku_metrics.store.store import Store
from renku_metrics.user_ids import EMAIL_PREFIX, GITLAB_PREFIX, is_of_address

# The last two are Keycloak ids: that of a user who is read from a directory, under any name there, and any other.
GIVEN_USER = re.compile(
    f"{GITLAB_PREFIX}[0-9]{{1,18}}|({EMAIL_PREFIX})?[0-9a-f]{{64}}"
    f"|f:[^:]+:.+|(?!{GITLAB_PREFIX}|{EMAIL_PREFIX})(?=.*[-:])[^\\s@]+"
)
AFTERWARDS = """
Published numbers stay as they are. If a week or month is counted again later, it is counted without this person. If
its number is lower then, published/revisions.parquet says `erasure`. From now on pulls leave this person out.
This command does not reach older versions of objects in the bucket, backups of the store, or the sources themselves."""


def erase(name: str, users: Sequence[str], emails: Sequence[str], *, confirmed: bool) -> None:
    """Shows what is stored of the person, asks unless ``confirmed``, and erases it.

    Raises UsageError for ids that are none, RenkuMetricsError for addresses that are not one person's, or if something
    of the person is still stored in the end.
    """
    if not users and not emails:
        raise click.UsageError("name the person by --user or --email")
    if any(not GIVEN_USER.fullmatch(user) for user in users):
        raise click.UsageError("--user is a Keycloak id, gitlab:<number>, or email:<hash> as in the table of events")
    [path] = chosen_files([name])
    store = Store.at(environment.store_address())
    work = erasing(store, read_deployment(path), users, emails)
    click.echo(f"{name} in {store.storage.address()}: {_described(work)}\n")
    stored = _something(work.look())
    if not stored:
        click.echo("Nothing is stored of this person, so nothing was changed.")
        return
    _print(stored)
    if not confirmed:
        click.confirm("\nErase this for good?", abort=True)
    erased = _something(work.erase(sorted({day for found in stored for day in found.days})))
    if _something(work.look()):
        raise RenkuMetricsError(f"{name}: a run stored something of this person meanwhile: erase again after it ends")
    click.echo("\nErased:\n")
    _print(erased)
    click.echo(AFTERWARDS)


def _described(work: Erasing) -> str:
    """The ids of the accounts (they are not names) and the number of addresses."""
    accounts = sorted(user_id for user_id in work.user_ids if not is_of_address(user_id))
    addresses = len(work.user_ids) - len(accounts)
    counted = [f"{addresses} address{'es' if addresses > 1 else ''}"] if addresses else []
    return ", ".join([*accounts, *counted])


def _something(findings: Iterable[Found]) -> list[Found]:
    return [found for found in findings if found.rows or found.mentions]


def _print(findings: Sequence[Found]) -> None:
    width = max(len(found.name) for found in findings)
    for found in findings:
        parts = []
        if found.rows:
            parts.append(f"{found.rows:,} row{'s' if found.rows > 1 else ''}")
        if found.days:
            days = f"{len(found.days):,} day{'s' if len(found.days) > 1 else ''}"
            parts.append(f"on {days}, {found.days[0]} to {found.days[-1]}")
        if found.mentions:
            parts.append(f"{found.mentions:,} mention{'s' if found.mentions > 1 else ''} in rows that stay")
        click.echo(f"  {found.name:<{width}}  {'; '.join(parts)}")
