"""Whatever is pulled, counted and published when: a number that says it is complete is the true one."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.tables import PeriodKind
from renku_metrics_tests.pipeline.random_schedule import Schedule
from renku_metrics_tests.served import served
from renkulab.population import Population
from renkulab.server import RenkuLab

# A month that is over, the week between two, and a month that is not.
START = dt.date(2026, 9, 1)
END = dt.date(2026, 10, 7)
# More of them, for a long run by hand: RENKU_METRICS_SEEDS=40 pytest renku_metrics_tests/pipeline/test_any_schedule.py
SEEDS = int(os.environ.get("RENKU_METRICS_SEEDS", "1"))
NUMBERS = ["period", "core_action", "users", "active_users", "complete", "missing", "unlinked"]


@contextmanager
def schedule(
    folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int, *, forgets: bool, deadly: float, careless: float
) -> Iterator[Schedule]:
    """A deployment of the same people with the same deeds, whatever the seed; two days old when it begins."""
    lab = RenkuLab("lab", folder / "audit_log", now=midnight(START - 2 * ONE_DAY))
    lab.keycloak.events_expiration = ONE_DAY if forgets else None
    population = Population(lab, seed=5, people=12, projects=5)
    population.live(midnight(START - ONE_DAY))
    with served([lab], folder / "deployments", START, monkeypatch) as deployments:
        yield Schedule(population, deployments["lab"], seed, deadly=deadly, careless=careless)


def test_a_complete_number_is_the_true_one_whatever_was_done_in_which_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = checked = 0
    for seed in range(25, 25 + SEEDS):
        # What Keycloak has forgotten is never complete again once it is lost, so files are lost in every second one.
        forgets, careless = seed % 4 != 0, 0.1 if seed % 2 == 0 else 0.0
        with schedule(
            tmp_path / str(seed), monkeypatch, seed, forgets=forgets, deadly=0.15, careless=careless
        ) as random_one:
            random_one.live(midnight(END))
            random_one.bring_up_to_date()
            assert not random_one.published("week")["missing"].str.contains("commits").any(), seed
            killed += random_one.killed
            checked += random_one.complete_rows_checked
    assert killed > 2
    assert checked > 12


def test_in_the_end_the_numbers_do_not_depend_on_the_schedule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published: dict[PeriodKind, list[pd.DataFrame]] = {"week": [], "month": []}
    lost = checked = 0
    for seed in (1, *range(3, 3 + SEEDS)):
        with schedule(tmp_path / str(seed), monkeypatch, seed, forgets=False, deadly=0.1, careless=0.1) as random_one:
            if seed > 1:
                # The first one is all backfill: nothing is done until the end.
                random_one.live(midnight(END))
            random_one.population.live(midnight(END))
            random_one.learn_everybody()
            random_one.bring_up_to_date()
            for kind, rows in published.items():
                rows.append(random_one.published(kind)[NUMBERS])
            lost += random_one.lost
            checked += random_one.complete_rows_checked
            # Nothing that was pulled is left uncounted.
            assert not rows[-1]["missing"].str.contains("commits").any()
    assert lost > 0
    assert checked > 12
    for first, *others in published.values():
        for other in others:
            pd.testing.assert_frame_equal(first, other)
    assert published["week"][0]["complete"].any()
