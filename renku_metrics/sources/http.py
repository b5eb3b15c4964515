"""Patient and polite HTTP for every source: retries, bounded concurrency, and credentials that go nowhere else.

It is an adapter for ``requests``, so python-gitlab and plain sessions behave alike. If trying again cannot help, the
caller gets the answer (4xx) or an error of one clear line.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
import urllib3
from requests import exceptions
from requests.adapters import HTTPAdapter

from renku_metrics.errors import SourceError

# Answers after which asking again may help.
PASSING = frozenset({408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530})
BROKEN_ANSWERS = (exceptions.ConnectionError, exceptions.Timeout, urllib3.exceptions.HTTPError)
# A body is read in pieces of at most so many bytes.
PIECE = 65_536

# A wait of so many seconds is worth a line.
LONG_WAIT = 10.0
# How many items a page of a list holds. GitLab gives no more.
PAGE_LENGTH = 100


Say = Callable[[str], None]


def say_nothing(_line: str) -> None:
    """For callers that nobody listens to."""


class NoAnswerError(SourceError):
    """One request got no usable answer in any of its tries; other requests may get theirs.

    ``trouble`` says what came instead.
    """

    def __init__(self, where: str, trouble: str) -> None:
        super().__init__(f"{where}: {trouble}")
        self.trouble = trouble


class RefusedError(Exception):
    """A source answered one request with a 4xx status; other requests may go on."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


@dataclass(frozen=True)
class Patience:
    """How often to try and how long to wait for an answer, in seconds."""

    tries: int = 7
    # Without a connection, or without a further byte of the answer.
    timeout: float = 60.0
    # For the whole body of an answer, even if it comes byte by byte all the time.
    longest_body: float = 300.0
    first_wait: float = 0.5
    longest_wait: float = 60.0
    # A server may ask for a wait. GitLab's usual period is an hour; this is a little more.
    # docs/sources/gitlab.md#rate-limits-ask-to-wait
    longest_asked_wait: float = 3_700.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


@dataclass
class Connection:
    """The way to one source of one deployment. It limits the requests in flight and in a minute, and counts them.

    ``where`` begins every message: ``<deployment>: <source>``. ``say`` hears of long waits.
    """

    where: str
    concurrency: int = 1
    patience: Patience = field(default_factory=Patience)
    requests_per_minute: int | None = None
    say: Say = say_nothing
    requests_made: int = 0

    def __post_init__(self) -> None:
        self._free = threading.BoundedSemaphore(self.concurrency)
        self._count = threading.Lock()
        # When the next request may be sent, by patience.clock. The first one waits too, because an earlier pull may
        # have sent one just now.
        self._next_at = self.patience.clock() + self._interval if self.requests_per_minute else 0.0

    def session(self) -> requests.Session:
        """A new session, for one thread. All sessions share the limit of requests in flight."""
        session = requests.Session()
        # So that no proxy, .netrc or other setting of the machine's user sends credentials elsewhere.
        session.trust_env = False
        session.verify = certificates()
        adapter = PatientAdapter(self)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        return session

    def wait_turn(self) -> None:
        """Waits as long as the server asked for and as the rate demands; counts one request."""
        with self._count:
            now = self.patience.clock()
            turn = max(now, self._next_at)
            if self.requests_per_minute:
                self._next_at = turn + self._interval
            self.requests_made += 1
        if turn > now:
            self.patience.sleep(turn - now)

    def pause(self, seconds: float) -> None:
        """Sends nothing for so many seconds, because what a server asks of one request, it asks of all."""
        with self._count:
            until = self.patience.clock() + seconds
            news = until - self._next_at
            self._next_at = max(self._next_at, until)
        if seconds >= LONG_WAIT and news >= LONG_WAIT:
            self.say(f"{self.where}: the server asks to wait {seconds:.0f} s")

    def slot(self) -> threading.BoundedSemaphore:
        return self._free

    @property
    def _interval(self) -> float:
        return 60.0 / self.requests_per_minute if self.requests_per_minute else 0.0


class PatientAdapter(HTTPAdapter):
    """Sends a request until it has an answer that is worth passing on.

    Raises NoAnswerError if all tries fail. Raises SourceError if further tries cannot help: on a redirect, or if the
    server asks for too long a wait.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(pool_connections=1, pool_maxsize=connection.concurrency)
        self._connection = connection

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        patience = self._connection.patience
        kwargs["timeout"] = kwargs.get("timeout") or patience.timeout
        trouble = ""
        for attempt in range(patience.tries):
            asked: float | None = None
            try:
                with self._connection.slot():
                    self._connection.wait_turn()
                    response = super().send(request, *args, **kwargs)
                    # Read the body here, so that a body that is cut off is asked for again.
                    _read_body(response, patience)
            except BROKEN_ANSWERS as error:
                trouble = f"no whole answer ({type(error).__name__})"
            else:
                if response.is_redirect or response.is_permanent_redirect:
                    raise SourceError(self._redirected(request, response))
                if response.status_code in PASSING:
                    trouble = f"status {response.status_code}"
                elif not response.ok or _decode(response):
                    return response
                else:
                    trouble = "a page that is not JSON"
                asked = asked_wait(response, dt.datetime.now(dt.UTC))
            if attempt + 1 < patience.tries:
                patience.sleep(self._wait(attempt, asked))
        raise NoAnswerError(
            self._connection.where,
            f"{_place(request)} gave {trouble}, {patience.tries} times in a row; try again when the server is well",
        )

    def _wait(self, attempt: int, asked: float | None) -> float:
        patience = self._connection.patience
        if asked is not None:
            if asked > patience.longest_asked_wait:
                raise SourceError(
                    f"{self._connection.where}: the server asks to wait {asked:.0f} s, more than a pull waits; "
                    "raise its rate limit for this token or pull less often"
                )
            self._connection.pause(asked)
        backoff = min(patience.first_wait * 2.0**attempt, patience.longest_wait)
        # A random part, so that the requests in flight do not all come back at once.
        return (asked or 0.0) + backoff * random.uniform(0.5, 1.0)  # noqa: S311

    def _redirected(self, request: requests.PreparedRequest, response: requests.Response) -> str:
        target = urlsplit(response.headers.get("Location", ""))
        where = f"to {target.hostname}" if target.hostname else "elsewhere"
        return (
            f"{self._connection.where}: {_place(request)} redirects {where}; credentials are not sent there: "
            "correct the url in the deployment file"
        )


def asked_wait(response: requests.Response, now: dt.datetime) -> float | None:
    """The seconds that Retry-After (seconds or a date) or RateLimit-Reset (seconds since 1970) asks to wait, if any.

    docs/sources/gitlab.md#rate-limits-ask-to-wait
    """
    after = response.headers.get("Retry-After", "").strip()
    if after.isdecimal():
        return float(after)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(after) - now).total_seconds())
    except (ValueError, TypeError):
        # It is no date, or a date without a time zone.
        pass
    reset = response.headers.get("RateLimit-Reset", "").strip()
    if response.status_code == 429 and reset.isdecimal():
        return max(0.0, float(reset) - now.timestamp())
    return None


def _read_body(response: requests.Response, patience: Patience) -> None:
    """Reads the whole body. ``response.content`` would do the same, but wait for ever if a byte comes now and then."""
    begun, pieces = patience.clock(), []
    try:
        while piece := response.raw.read1(PIECE, decode_content=True):
            pieces.append(piece)
            if patience.clock() - begun > patience.longest_body:
                raise exceptions.Timeout
    except BaseException:
        response.close()
        raise
    # requests itself keeps here what it has read.
    response.__dict__.update(_content=b"".join(pieces), _content_consumed=True)


def content_of(response: requests.Response) -> Any:
    """The JSON of an answer with a status below 400."""
    return response.__dict__["decoded"]


def _decode(response: requests.Response) -> bool:
    """Whether the answer is JSON. It is decoded here, so that anything else is asked for again."""
    if "json" not in response.headers.get("Content-Type", ""):
        return False
    try:
        response.__dict__["decoded"] = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return False
    return True


def _place(request: requests.PreparedRequest) -> str:
    # Without the query, which may hold what a person typed.
    return urlsplit(request.url or "").path


def certificates() -> str | bool:
    """The certificates that REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or requests itself name."""
    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
