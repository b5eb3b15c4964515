"""Deployments whose automation ticks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from renku_metrics_tests.dagster.automated import World, begun


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Deployments a and b, pulled, counted and published; and deployment c, known but never pulled."""
    with begun(tmp_path_factory.mktemp("world"), "abc", counted="ab") as world:
        yield world
