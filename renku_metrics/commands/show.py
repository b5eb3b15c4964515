"""``renku-metrics show``: the published numbers as a person likes to read them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import pandas as pd
from rich.console import Console
from rich.table import Table as Grid

from renku_metrics import environment
from renku_metrics.errors import StoreError
from renku_metrics.metrics.dictionary import CORE_ACTIONS
from renku_metrics.store.store import WHOLE, Store
from renku_metrics.tables import PeriodKind, published_table

# Wide enough for every column where the output is no terminal that has a width of its own.
PLAIN_WIDTH = 132


def show(weeks: int, months: int, deployments: Sequence[str]) -> None:
    """Prints the latest weeks and months of each deployment.

    Raises StoreError when nothing is published yet, or nothing of a deployment that was asked for.
    """
    store = Store.at(environment.store_address())
    limits: dict[PeriodKind, int] = {"week": weeks, "month": months}
    published = {kind: store.read_if_there(published_table(kind), [WHOLE]) for kind in limits}
    known = {name for frame in published.values() for name in frame["deployment"]}
    if not known:
        raise StoreError(f"{store.storage.address('published')}: nothing is published yet; materialize `published`")
    if unknown := sorted(set(deployments) - known):
        raise StoreError(f"nothing is published of {', '.join(unknown)}; there is {', '.join(sorted(known))}")
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for name in sorted(set(deployments) or known):
        for kind, frame in published.items():
            of_deployment = frame[frame["deployment"] == name]
            latest = sorted(of_deployment["period"].unique())[-limits[kind] :]
            if latest:
                print_periods(console, name, kind, of_deployment[of_deployment["period"].isin(latest)])


def print_periods(console: Console, deployment: str, kind: PeriodKind, rows: pd.DataFrame) -> None:
    """One line per period: active users, and for each core action its users and their share."""
    grid = Grid(title=f"{deployment}, by {kind}", title_justify="left", box=None, pad_edge=False)
    grid.add_column(kind.capitalize())
    for name in ("Active users", *(action.name for action in CORE_ACTIONS)):
        grid.add_column(name, justify="right")
    grid.add_column("Complete")
    reasons: list[str] = []
    for period, of_period in rows.groupby("period"):
        by_action = of_period.set_index("core_action")
        first = of_period.iloc[0]
        if not first["complete"] and first["missing"] not in reasons:
            reasons.append(first["missing"])
        grid.add_row(
            str(period),
            str(first["active_users"]),
            *_cells(by_action),
            "yes" if first["complete"] else f"no ({reasons.index(first['missing']) + 1})",
        )
    console.print(grid)
    for number, reason in enumerate(reasons, start=1):
        console.print(f"  ({number}) {reason}", highlight=False)
    console.print()


def _cells(by_action: pd.DataFrame) -> Iterable[str]:
    for action in CORE_ACTIONS:
        if action.key not in by_action.index:
            yield ""
            continue
        row = by_action.loc[action.key]
        share = "" if row["active_users"] == 0 else f"{row['users'] / row['active_users']:.0%}"
        yield f"{row['users']} {share:>4}"
