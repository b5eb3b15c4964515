"""``renku-metrics show``: the published numbers, easy to read in a shell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
import pandas as pd

from renku_metrics import environment
from renku_metrics.errors import StoreError
from renku_metrics.metrics.dictionary import CORE_ACTIONS
from renku_metrics.store.files import WHOLE
from renku_metrics.store.store import Store
from renku_metrics.tables import PeriodKind, published_table

WHAT_STANDS_HERE = "Active users; how many of them did each core action, and what share that is:"


def show(weeks: int, months: int, deployments: Sequence[str]) -> None:
    """Prints the latest weeks and months of each deployment.

    Raises StoreError if nothing is published yet, or nothing of a deployment that was named.
    """
    store = Store.at(environment.store_address())
    limits: dict[PeriodKind, int] = {"week": weeks, "month": months}
    published = {kind: store.read_if_there(published_table(kind), [WHOLE]) for kind in limits}
    known = {name for frame in published.values() for name in frame["deployment"]}
    if not known:
        raise StoreError(f"{store.storage.address('published')}: nothing is published yet; materialize `published`")
    if unknown := sorted(set(deployments) - known):
        raise StoreError(f"nothing is published of {', '.join(unknown)}; there is {', '.join(sorted(known))}")
    click.echo("\n".join([WHAT_STANDS_HERE, *(f"  {heading:<9}  {what}" for heading, what in _headings()), ""]))
    for name in sorted(set(deployments) or known):
        for kind, frame in published.items():
            of_deployment = frame[frame["deployment"] == name]
            latest = sorted(of_deployment["period"].unique())[-limits[kind] :]
            if latest:
                print_periods(name, kind, of_deployment[of_deployment["period"].isin(latest)])


def print_periods(deployment: str, kind: PeriodKind, rows: pd.DataFrame) -> None:
    """One line per period: active users, and for each core action its users and their share."""
    lines = [[kind.capitalize(), "Active", *(heading for heading, _ in _headings()), "Complete"]]
    reasons: list[str] = []
    for period, of_period in rows.groupby("period"):
        by_action = of_period.set_index("core_action")
        first = of_period.iloc[0]
        if not first["complete"] and first["missing"] not in reasons:
            reasons.append(first["missing"])
        complete = "yes" if first["complete"] else f"no ({reasons.index(first['missing']) + 1})"
        lines.append([str(period), str(first["active_users"]), *_cells(by_action), complete])
    click.secho(f"{deployment}, by {kind}", bold=True)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for period, *numbers, complete in lines:
        cells = [f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=False)]
        click.echo("  ".join([f"{period:<{widths[0]}}", *cells, complete]).rstrip())
    for number, reason in enumerate(reasons, start=1):
        click.echo(f"  ({number}) {reason}")
    click.echo()


def _headings() -> Iterator[tuple[str, str]]:
    """The heading of each core action's column, and the name of the core action."""
    for action in CORE_ACTIONS:
        yield action.area, action.name


def _cells(by_action: pd.DataFrame) -> Iterator[str]:
    for action in CORE_ACTIONS:
        if action.key not in by_action.index:
            yield ""
            continue
        row = by_action.loc[action.key]
        share: str = "" if pd.isna(row["share"]) else f"{row['share']:.0%}"
        yield f"{row['users']} {share:>4}"
