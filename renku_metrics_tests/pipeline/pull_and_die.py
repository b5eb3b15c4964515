"""Pulls the commits of a deployment in a process of its own that is killed on the way; see test_killed_pulls."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Never
from unittest.mock import patch

import dagster as dg

from renku_metrics.dagster import raw
from renku_metrics.object_storage.directory import DirectoryStorage
from renku_metrics.pipeline.pulling import Pull
from renku_metrics.store.ledger import Ledger
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.present import constant_present


def die(*_: Any) -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_at_second_month() -> None:
    replace = DirectoryStorage.replace
    months = []

    def replace_one(storage: DirectoryStorage, key: str, content: bytes, version: str | None) -> str:
        if key.startswith("raw/raw_gitlab_commits/"):
            months.append(key)
            if len(months) > 1:
                die()
        return replace(storage, key, content, version)

    patch.object(DirectoryStorage, "replace", replace_one).start()


def die_before_what_is_stored_is_noted() -> None:
    patch.object(Ledger, "record", die).start()


def die_before_heads_are_remembered() -> None:
    patch.object(Ledger, "keep_state", die).start()


def die_before_dagster_is_told() -> None:
    patch.object(raw, "materialized", die).start()


def die_once_dagster_is_told() -> None:
    patch.object(Pull, "told", die).start()


PLACES: dict[str, Callable[[], None]] = {
    "at the second month": die_at_second_month,
    "before what is stored is noted": die_before_what_is_stored_is_noted,
    "before heads are remembered": die_before_heads_are_remembered,
    "before Dagster is told": die_before_dagster_is_told,
    "once Dagster is told": die_once_dagster_is_told,
}


if __name__ == "__main__":
    place, deployments, store, partition, present = sys.argv[1:]
    PLACES[place]()
    with constant_present(dt.datetime.fromisoformat(present)), dg.DagsterInstance.get() as instance:
        Pipeline(Path(deployments), store, instance).materialize(
            ["raw_gitlab_commits", "raw_gitlab_pushes"], partition=partition
        )
