"""Pulls of GitLab and Keycloak at the same time never ask a deployment for more at once than it allows."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from renku_metrics.sources.keycloak.admin import KeycloakAdmin
from renku_metrics.sources.registry import read_deployments
from renku_metrics.store.store import Store
from renku_metrics_tests.pipeline.pulls import KEYCLOAK_USERS, LOGINS, USERS, pull_once
from renku_metrics_tests.served import served
from renkulab.server import RenkuLab
from renkulab.web import Request

NOW = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RenkuLab]:
    """Forty people: a request for each of them to GitLab, and for each two of their logins to Keycloak."""
    monkeypatch.setattr(KeycloakAdmin, "page_length", 2)
    lab = RenkuLab("lab", tmp_path / "audit-log", now=NOW)
    for number in range(40):
        address = f"person-{number}@university.example"
        lab.gitlab.add_user(f"person-{number}", address, NOW)
        login = lab.keycloak.add_user(address, NOW)
        lab.keycloak.log_in(login, NOW - dt.timedelta(minutes=number), ("renku",))
    with served([lab], tmp_path / "deployments", dt.date(2026, 1, 1), monkeypatch):
        yield lab


class InFlight:
    """Counts the lab's requests that are not answered yet.

    None is answered before as many as are allowed are there, where the two sources can be; and then each waits for
    a moment whether one more comes.
    """

    def __init__(self, lab: RenkuLab, allowed: int) -> None:
        self.most = 0
        self.asked = {"gitlab": 0, "keycloak": 0}
        # Whether both sources ever waited for answers at the same time.
        self.side_by_side = False
        self._now = dict.fromkeys(self.asked, 0)
        self._changed = threading.Condition()
        handle = lab._web.handle

        def watched(request: Request) -> object:
            source = "gitlab" if request.path.startswith("/gitlab/") else "keycloak"
            with self._changed:
                self._now[source] += 1
                self.asked[source] += 1
                self.most = max(self.most, sum(self._now.values()))
                self.side_by_side |= all(self._now.values())
                self._changed.notify_all()
                if request.path.endswith(("/emails", "/events")):
                    self._changed.wait_for(lambda: self.most >= allowed, 20)
                self._changed.wait_for(lambda: sum(self._now.values()) > allowed, 0.005)
            try:
                return handle(request)
            finally:
                with self._changed:
                    self._now[source] -= 1

        lab._web.handle = watched  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize("concurrency", [1, 2, 4])
def test_both_sources_together_have_so_many_requests_in_flight_and_no_more(
    lab: RenkuLab, tmp_path: Path, concurrency: int
) -> None:
    file = tmp_path / "deployments" / "lab.yaml"
    file.write_text(file.read_text().replace("gitlab:\n", f"gitlab:\n  concurrency: {concurrency}\n"))
    in_flight = InFlight(lab, concurrency)

    def pull(harvest: str) -> None:
        deployment = read_deployments(tmp_path / "deployments")["lab"]
        pull_once(Store.at(str(tmp_path / "store")), deployment, harvest, clock=lambda: NOW)

    with ThreadPoolExecutor(3) as pool:
        pulls = [pool.submit(pull, harvest) for harvest in (USERS, LOGINS, KEYCLOAK_USERS)]
        for done in pulls:
            done.result()

    assert in_flight.most == concurrency
    assert min(in_flight.asked.values()) >= 40
    assert in_flight.side_by_side == (concurrency > 1)
