"""The two deployments of ``make demo``: a larger one whose history is whole, and one whose Keycloak forgets."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment

ONE_DAY = dt.timedelta(days=1)


@contextmanager
def simulated_deployments(
    folder: Path, audit_logs: Path, first_day: dt.date, today: dt.date
) -> Iterator[dict[str, str]]:
    """Serves both deployments, with activity from the first day until today begins, UTC.

    Writes their files into the folder and returns the environment variables that these files name. The same days have
    the same activity on whatever day this runs.
    """
    with ExitStack() as stack:
        variables: dict[str, str] = {}
        for seed, (name, people, projects) in enumerate([("demo-lab", 40, 18), ("demo-institute", 16, 8)], start=1):
            lab = RenkuLab(name, audit_logs / name, now=midnight(first_day))
            lab.keycloak.events_expiration = None if name == "demo-lab" else ONE_DAY
            population = Population(lab, seed=seed, people=people, projects=projects)
            for days in range(1, (today - first_day).days + 1):
                population.live(midnight(first_day + days * ONE_DAY))
            lab.clock.set(dt.datetime.now(dt.UTC))
            variables |= write_deployment(lab, folder, first_day)
            stack.enter_context(lab)
        yield variables


def midnight(day: dt.date) -> dt.datetime:
    """The instant when the day begins, UTC."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)
