"""Tests that need the real histories are never left out unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from renku_metrics_tests.histories import real_histories
from renku_metrics_tests.servers.fetched import ASKED_FOR


def test_without_the_histories_a_test_is_skipped_and_where_all_is_asked_for_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(ASKED_FOR, raising=False)
    with pytest.raises(pytest.skip.Exception, match="cannot have the real histories"):
        real_histories(tmp_path)
    monkeypatch.setenv(ASKED_FOR, "1")
    with pytest.raises(pytest.fail.Exception, match="cannot have the real histories"):
        real_histories(tmp_path)


def test_with_the_histories_their_folder_is_given(tmp_path: Path) -> None:
    (tmp_path / "flights.jsonl").touch()
    assert real_histories(tmp_path) == tmp_path
