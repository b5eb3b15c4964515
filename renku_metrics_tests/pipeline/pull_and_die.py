"""Pulls the commits of yesterday in a process of its own that is killed on the way; see test_killed_pulls."""

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
from renku_metrics_tests.pipeline.pipeline import Pipeline
from renku_metrics_tests.present import constant_present


def die(*_: Any) -> Never:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def die_at_second_day() -> None:
    write = DirectoryStorage.write
    days = []

    def write_one(storage: DirectoryStorage, key: str, content: bytes) -> None:
        if key.startswith("raw/raw_gitlab_commits/"):
            days.append(key)
            if len(days) > 1:
                die()
        write(storage, key, content)

    patch.object(DirectoryStorage, "write", write_one).start()


def die_before_heads_are_remembered() -> None:
    patch.object(Pull, "_remember", die).start()


def die_before_dagster_is_told() -> None:
    patch.object(raw, "materialized", die).start()


def die_once_dagster_is_told() -> None:
    patch.object(Pull, "reported", die).start()


PLACES: dict[str, Callable[[], None]] = {
    "at the second day": die_at_second_day,
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
