"""Faults reach the client as the real ones do, and only the requests they were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from renkulab import faults
from renkulab.server import RenkuLab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RenkuLab]:
    with RenkuLab("one", tmp_path / "audit") as lab:
        yield lab


def ask(lab: RenkuLab, timeout: float = 5) -> requests.Response:
    headers = {"PRIVATE-TOKEN": lab.gitlab_token}
    return requests.get(f"{lab.gitlab_url}/api/v4/version", headers=headers, timeout=timeout, allow_redirects=False)


def test_a_fault_meets_the_nth_request_and_so_many_after_it(lab: RenkuLab) -> None:
    lab.faults.add("/version", faults.server_error(500), at=2, times=2)
    assert [ask(lab).status_code for _ in range(4)] == [200, 500, 500, 200]
    lab.faults.add("/version", faults.unauthorized(), times=None)
    assert [ask(lab).status_code for _ in range(3)] == [401, 401, 401]
    lab.faults.clear()
    assert ask(lab).status_code == 200
    assert [request.status for request in lab.requests] == [200, 500, 500, 200, 401, 401, 401, 200]


def test_answers_in_place_of_the_true_one(lab: RenkuLab) -> None:
    limits = {"RateLimit-Remaining": "0", "RateLimit-Reset": "1794816060"}
    lab.faults.add("/version", faults.too_many_requests(7, limits=limits))
    refused = ask(lab)
    assert (refused.status_code, refused.text, refused.headers["Retry-After"]) == (429, "Retry later\n", "7")
    assert refused.headers["RateLimit-Remaining"] == "0"
    lab.faults.add("/version", faults.too_many_requests())
    assert "Retry-After" not in ask(lab).headers
    lab.faults.add("/version", faults.server_error(502))
    assert ask(lab).headers["Content-Type"] == "text/html"
    lab.faults.add("/version", faults.html_page())
    assert ask(lab).text.startswith("<!DOCTYPE html>")
    lab.faults.add("/version", faults.redirect("https://elsewhere.example/login"))
    assert ask(lab).headers["Location"] == "https://elsewhere.example/login"
    lab.faults.add("/version", faults.json_object())
    assert ask(lab).json() == {"message": "something else"}


def test_answers_that_break(lab: RenkuLab) -> None:
    lab.faults.add("/version", faults.connection_reset())
    with pytest.raises(requests.ConnectionError):
        ask(lab)
    lab.faults.add("/version", faults.body_cut_off())
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        ask(lab)
    lab.faults.add("/version", faults.no_answer(30))
    with pytest.raises(requests.Timeout):
        ask(lab, timeout=0.05)
    assert [request.status for request in lab.requests] == [None, None, None]


def test_every_request_is_logged_without_its_token(lab: RenkuLab) -> None:
    ask(lab)
    requests.get(f"{lab.gitlab_url}/api/v4/users", {"page": 2}, timeout=5)
    first, second = lab.requests
    assert (first.method, first.path, first.token) == ("GET", "/gitlab/api/v4/version", True)
    assert (second.query, second.token, second.status) == ({"page": ["2"]}, False, 401)
    assert lab.requests.matching("/users$") == [second]
    assert lab.gitlab_token not in repr(lab.requests)
