"""Patience, politeness, and credentials that go nowhere else."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from renku_metrics.errors import SourceError
from renku_metrics.sources.http import Connection, NoAnswerError, Patience, asked_wait, content_of
from renkulab.faults import (
    Fault,
    Instead,
    body_cut_off,
    connection_reset,
    html_page,
    no_answer,
    redirect,
    server_error,
    too_many_requests,
)
from renkulab.server import RenkuLab

NOW = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[RenkuLab]:
    with RenkuLab("lab", tmp_path / "audit", now=NOW) as lab:
        yield lab


class Asking:
    """A connection to the lab that notes how long it would wait."""

    def __init__(self, lab: RenkuLab) -> None:
        self.waits: list[float] = []
        self.said: list[str] = []
        patience = Patience(sleep=self.waits.append, clock=lambda: sum(self.waits))
        self.connection = Connection("lab: gitlab", patience=patience, say=self.said.append)
        self._session = self.connection.session()
        self._url = f"{lab.gitlab_url}/api/v4/version"
        self._token = lab.gitlab_token

    def ask(self, timeout: float = 10, **query: str) -> requests.Response:
        return self._session.get(self._url, params=query, headers={"PRIVATE-TOKEN": self._token}, timeout=timeout)


@pytest.fixture
def asking(lab: RenkuLab) -> Asking:
    return Asking(lab)


@pytest.mark.parametrize(
    "fault",
    [
        too_many_requests(),
        too_many_requests(3),
        too_many_requests("Mon, 16 Nov 2026 12:00:00 GMT"),
        too_many_requests("soon"),
        server_error(500),
        server_error(502),
        server_error(503, retry_after=3),
        server_error(504),
        Instead(524),
        connection_reset(),
        body_cut_off(),
        html_page(),
        Instead(200, b'{"version": "16.', JSON),
        Instead(200, b"", JSON),
        Instead(204),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
def test_what_passes_is_waited_out(lab: RenkuLab, asking: Asking, fault: Fault, times: int) -> None:
    lab.faults.add("version", fault, times=times)
    assert content_of(asking.ask())["version"] == "16.11.0"
    assert asking.connection.requests_made == len(lab.requests) == times + 1
    assert len(asking.waits) == times


def test_a_server_that_says_nothing_is_asked_again(lab: RenkuLab, asking: Asking) -> None:
    lab.faults.add("version", no_answer())
    assert content_of(asking.ask(timeout=0.05))["version"] == "16.11.0"


def test_waits_grow_and_are_never_the_same_for_all(lab: RenkuLab, asking: Asking) -> None:
    lab.faults.add("version", server_error(503), times=None)
    with pytest.raises(NoAnswerError) as caught:
        asking.ask(secret="ada")
    assert str(caught.value) == (
        "lab: gitlab: /gitlab/api/v4/version gave status 503, 7 times in a row; try again when the server is well"
    )
    for wait, longest in zip(asking.waits, [0.5, 1, 2, 4, 8, 16], strict=True):
        assert longest / 2 <= wait <= longest
    others = Asking(lab)
    with pytest.raises(NoAnswerError):
        others.ask()
    assert others.waits != asking.waits


@pytest.mark.parametrize(
    ("headers", "asked"),
    [
        ({"Retry-After": "30"}, 30),
        ({"Retry-After": " 0 "}, 0),
        ({"Retry-After": "30", "RateLimit-Reset": str(int(NOW.timestamp()) + 99)}, 30),
        ({"Retry-After": format_datetime(NOW + dt.timedelta(seconds=45), usegmt=True)}, 45),
        ({"Retry-After": format_datetime(NOW - dt.timedelta(seconds=45), usegmt=True)}, 0),
        ({"Retry-After": "Mon, 16 Nov 2026 12:00:20 -0000"}, None),
        ({"Retry-After": "in a while"}, None),
        ({"RateLimit-Reset": str(int(NOW.timestamp()) + 20), "RateLimit-Remaining": "0"}, 20),
        ({"RateLimit-Reset": str(int(NOW.timestamp()) + 20)}, 20),
        ({"RateLimit-Reset": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_is_what_the_server_asks_for(headers: dict[str, str], asked: float | None) -> None:
    response = requests.Response()
    response.status_code = 429
    response.headers.update(headers)
    assert asked_wait(response, NOW) == asked


@given(st.sampled_from(["Retry-After", "RateLimit-Reset"]), st.text())
def test_no_header_is_too_strange(header: str, text: str) -> None:
    response = requests.Response()
    response.status_code = 429
    response.headers[header] = text
    asked = asked_wait(response, NOW)
    assert asked is None or asked >= 0


def test_a_server_gets_the_wait_it_asks_for_and_a_little_more(lab: RenkuLab, asking: Asking) -> None:
    lab.faults.add("version", too_many_requests(33))
    asking.ask()
    assert 33 < asking.waits[0] <= 33.5


@pytest.mark.parametrize("asked", [3_701, 10**30])
def test_nobody_waits_for_longer_than_a_pull_may_take(lab: RenkuLab, asking: Asking, asked: int) -> None:
    lab.faults.add("version", too_many_requests(asked))
    with pytest.raises(SourceError, match=r"^lab: gitlab: the server asks to wait .* more than a pull waits"):
        asking.ask()
    assert asking.waits == []


def test_a_refusal_is_an_answer(lab: RenkuLab, asking: Asking) -> None:
    for status in (400, 401, 403, 404, 405, 422):
        lab.faults.add("version", Instead(status, b'{"message":"no"}', JSON))
        assert asking.ask().status_code == status
    assert asking.waits == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_never_follow_a_redirect(lab: RenkuLab, asking: Asking, tmp_path: Path, status: int) -> None:
    with RenkuLab("other", tmp_path / "other", now=NOW) as other:
        location = f"{other.gitlab_url}/api/v4/version?secret=1"
        lab.faults.add("version", Instead(status, b"", {"Location": location}))
        with pytest.raises(SourceError) as caught:
            asking.ask()
        assert other.requests == []
    assert str(caught.value) == (
        "lab: gitlab: /gitlab/api/v4/version redirects to 127.0.0.1; credentials are not sent there: "
        "correct the url in the deployment file"
    )


def test_a_redirect_on_the_same_host_is_refused_too(lab: RenkuLab, asking: Asking) -> None:
    lab.faults.add("version", redirect("/users/sign_in"))
    with pytest.raises(SourceError, match="version redirects elsewhere"):
        asking.ask()
    assert len(lab.requests) == 1


def test_settings_of_the_machine_change_nothing(
    lab: RenkuLab, asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    answer = asking.ask()
    assert answer.status_code == 200
    assert "Authorization" not in answer.request.headers


def test_requests_in_flight_are_bounded_over_all_threads() -> None:
    pairs = threading.Barrier(2)
    in_flight: list[int] = []
    counting = threading.Lock()
    now = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal now
            with counting:
                now += 1
                in_flight.append(now)
            pairs.wait(10)
            with counting:
                now -= 1
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    connection = Connection("lab: gitlab", concurrency=2)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: connection.session().get(url, timeout=10).status_code, range(8)))
    server.shutdown()
    server.server_close()
    assert statuses == [200] * 8
    assert max(in_flight) == 2
    assert connection.requests_made == 8


def test_what_the_server_asks_of_one_request_it_asks_of_all(lab: RenkuLab, asking: Asking) -> None:
    asking.connection.pause(100)
    assert asking.said == ["lab: gitlab: the server asks to wait 100 s"]
    asking.ask()
    assert asking.waits == [100]
    asking.ask()
    assert asking.waits == [100]


def test_a_short_wait_is_not_worth_a_line(lab: RenkuLab, asking: Asking) -> None:
    lab.faults.add("version", too_many_requests(3))
    asking.ask()
    assert asking.said == []


def test_requests_come_no_faster_than_they_may(lab: RenkuLab, asking: Asking) -> None:
    asking.connection.requests_per_minute = 20
    for _ in range(4):
        asking.ask()
    assert asking.waits == [3, 3, 3]
