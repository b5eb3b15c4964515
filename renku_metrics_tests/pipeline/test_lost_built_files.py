"""Events and user days that are not what was stored: not covered, never built from; and a store that is copied."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.errors import StoreError
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import ONE_DAY
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.schema import Table
from renku_metrics.sources.registry import raw_tables
from renku_metrics.store.store import Store
from renku_metrics.tables import EVENTS, USER_DAYS
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment
from renku_metrics_tests.pipeline.losses import (
    BY_MONTH,
    GONE,
    OLDER,
    SEPTEMBER,
    START,
    checked,
    damage,
    missing,
    numbers,
    published,
)
from renku_metrics_tests.pipeline.small_lab import SmallLab


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeptDeployment]:
    with published(SmallLab("lab", tmp_path, START - ONE_DAY), tmp_path, monkeypatch) as kept:
        yield kept


@pytest.mark.parametrize("table", [EVENTS, USER_DAYS], ids=lambda table: table.name)
@pytest.mark.parametrize("how", [GONE, OLDER])
def test_events_and_user_days_that_are_lost_are_built_again(
    kept: KeptDeployment, tmp_path: Path, table: Table, how: str
) -> None:
    before = numbers(kept)
    damage(kept, tmp_path, how, [table])
    assert kept.publish() == [
        f"lab: {table.name} of 2026-09 {how}: its days are published as not covered; materialize {table.name} again"
    ]
    nothing = "2026-09-01..2026-09-30"
    assert missing(kept, "2026-09") == f"logins:{nothing}; commits:{nothing}; sessions:{nothing}"
    assert missing(kept, "2026-10") == ""
    kept.count([SEPTEMBER])
    assert kept.publish() == []
    pd.testing.assert_frame_equal(numbers(kept), before)


def build_events(kept: KeptDeployment) -> None:
    store_events(kept.store, kept.deployment, [SEPTEMBER])


def build_user_days(kept: KeptDeployment) -> None:
    store_user_days(kept.store, kept.deployment, [SEPTEMBER])


def build_counts(kept: KeptDeployment) -> None:
    # The week begins in September.
    store_counts(kept.store, kept.deployment, "week", [ACTIVE_USERS], ["2026-09-28"], kept.now)


# What each step is built from, and what the operator is to do if that is not what was stored.
NEXT_STEPS: dict[str, tuple[Table, Callable[[KeptDeployment], None], str]] = {
    **{table.name: (table, build_events, "restore the file, or pull") for table in BY_MONTH},
    EVENTS.name: (EVENTS, build_user_days, "materialize events"),
    USER_DAYS.name: (USER_DAYS, build_counts, "materialize user_days"),
}


@pytest.mark.parametrize("name", NEXT_STEPS)
def test_nothing_is_built_from_a_file_that_is_not_what_was_stored(
    kept: KeptDeployment, tmp_path: Path, name: str
) -> None:
    table, build, remedy = NEXT_STEPS[name]
    before = numbers(kept)
    path = Path(kept.store.address(table, ("lab", SEPTEMBER)))
    shutil.copy(path, tmp_path / "right")
    damage(kept, tmp_path, OLDER, [table])
    with pytest.raises(StoreError) as error:
        build(kept)
    assert str(error.value) == f"lab: {name} of 2026-09 {OLDER}: {remedy} again"
    # So it is not noted as counted, and as soon as the file is back, all is well.
    shutil.copy(tmp_path / "right", path)
    kept.publish()
    pd.testing.assert_frame_equal(numbers(kept), before)
    assert missing(kept, "2026-09") == ""
    build(kept)


def test_a_store_that_is_copied_is_whole_and_is_looked_through_once(
    kept: KeptDeployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = numbers(kept)
    # All marks are others, all bytes the same.
    shutil.copytree(tmp_path / "store", tmp_path / "elsewhere")
    marks = {info.key: info.version for info in kept.store.storage.list()}
    copied = replace(kept, store=Store.at(str(tmp_path / "elsewhere")))
    assert not {info.version for info in copied.store.storage.list()} & set(marks.values())
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "elsewhere"))

    read: list[str] = []
    version = Store.version

    def noted(store: Store, table: Table, partition: tuple[str, ...]) -> str:
        read.append(table.name)
        return version(store, table, partition)

    monkeypatch.setattr(Store, "version", noted)
    assert copied.publish() == []
    assert {EVENTS.name, USER_DAYS.name, *(table.name for table in raw_tables())} == set(read)
    pd.testing.assert_frame_equal(numbers(copied), before)
    assert "stored" not in " ".join(checked())
    assert copied.bring_up_to_date() == []
    assert not any("not covered" in line for line in copied.said)
    assert any("0 new commits" in line for line in copied.said)
    read.clear()
    assert (copied.publish(), read) == ([], [])
    pd.testing.assert_frame_equal(numbers(copied), before)
