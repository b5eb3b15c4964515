"""A store whose files somebody takes out, or replaces by older ones."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.periods import ONE_DAY, midnight
from renku_metrics.schema import Table
from renku_metrics.store.store import Store
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS, RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment
from renku_metrics_tests.pipeline.small_lab import SmallLab
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served

START = dt.date(2026, 9, 1)
SEPTEMBER = "2026-09-01"
# Nobody did anything on other days. LATE is after the older files were saved.
SAVED_ON, LATE = dt.date(2026, 9, 22), dt.date(2026, 9, 28)
DAYS = [dt.date(2026, 9, 1), dt.date(2026, 9, 10), dt.date(2026, 9, 20), LATE, dt.date(2026, 10, 5)]
DAYS += [dt.date(2026, 10, 25), dt.date(2026, 11, 5)]
BY_MONTH = [RAW_GITLAB_COMMITS, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS]
OLDER = "is not what was stored, but older or changed by another program"
GONE = "is gone from the store"


@contextmanager
def published(small: SmallLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptDeployment]:
    """September and October of the lab are published; ``older`` holds what was stored on SAVED_ON."""
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    with served([small.lab], tmp_path / "deployments", START, monkeypatch) as deployments:
        kept = KeptDeployment(small.lab, deployments["lab"], Store.at(str(tmp_path / "store")))
        # So that it is known since when everything is known.
        small.log_in(START - ONE_DAY)
        small.start_session(START - ONE_DAY)
        for day in DAYS:
            if day > SAVED_ON and not (tmp_path / "older").exists():
                small.lab.clock.set(midnight(SAVED_ON))
                kept.bring_up_to_date()
                shutil.copytree(tmp_path / "store", tmp_path / "older")
            small.live(day)
        small.lab.amalthea.restart(midnight(TODAY))
        small.lab.clock.set(midnight(TODAY) + dt.timedelta(hours=1))
        kept.bring_up_to_date()
        kept.said.clear()
        yield kept


def damage(kept: KeptDeployment, tmp_path: Path, how: str, tables: Sequence[Table], month: str = SEPTEMBER) -> None:
    for table in tables:
        path = Path(kept.store.address(table, ("lab", month) if table.by_month else ("lab",)))
        if how == GONE:
            path.unlink()
        else:
            shutil.copy(tmp_path / "older" / path.relative_to(tmp_path / "store"), path)


def missing(kept: KeptDeployment, period: str) -> str:
    monthly = kept.published("month")
    [found] = set(monthly.loc[monthly["period"] == period, "missing"])
    return str(found)


def checked() -> dict[str, str]:
    """What ``renku-metrics check`` says of what is stored, where that failed."""
    lines = CliRunner().invoke(renku_metrics, ["check"]).output.splitlines()
    found = [line.split(maxsplit=1)[1] for line in lines if line.startswith("  failed")]
    return {" ".join(line.split()[:2]): " ".join(line.split()[2:]) for line in found}


def numbers(kept: KeptDeployment) -> pd.DataFrame:
    return kept.published("month").drop(columns="computed_at")
