"""A server that cannot be had is a reason to skip, but not where real servers were asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from renku_metrics_tests.servers.ceph import ceph_server
from renku_metrics_tests.servers.fetched import ASKED_FOR, NotToBeHadError, cannot_have, fetched


def unreachable(_: Path) -> None:
    raise NotToBeHadError("there is no network")


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was fetched yet, and no program is installed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


def test_without_having_been_asked_for_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ASKED_FOR, raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"^this machine cannot have PostgreSQL: not installed$"):
        cannot_have("PostgreSQL: not installed")


def test_once_asked_for_it_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASKED_FOR, "1")
    with pytest.raises(pytest.fail.Exception, match=rf"^{ASKED_FOR}=1, but this machine cannot have PostgreSQL: not"):
        cannot_have("PostgreSQL: not installed")


def test_software_that_cannot_be_fetched_is_named_and_tried_again_the_next_time(
    empty_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ASKED_FOR, "1")
    with pytest.raises(pytest.fail.Exception, match=r"cannot have keycloak-1: there is no network$"):
        fetched("keycloak-1", unreachable)

    folder = fetched("keycloak-1", lambda folder: (folder / "program").touch())
    assert folder == tmp_path / "renku-metrics-tests" / "keycloak-1"
    assert (folder / "program").exists()


def test_ceph_is_named_with_the_packages_it_comes_in(empty_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASKED_FOR, "1")
    with (
        pytest.raises(pytest.fail.Exception, match=r"Ceph: ceph, .* \(apt-get install ceph-mon ceph-osd radosgw ceph"),
        ceph_server("tests:tests", "secret", 50),
    ):
        raise AssertionError("without programs nothing starts")
