"""Faults that a test asks for. Real servers and networks have them now and then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Instead:
    """An answer in place of the true one."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """No proper answer.

    A reset connection, half a body, ``seconds`` of silence and then a closed connection, or an endless body that comes
    byte by byte, ``seconds`` apart.
    """

    kind: Literal["reset", "cut off", "silence", "drip"]
    seconds: float = 0.0
    answer: bytes = b""


Fault = Instead | Broken


@dataclass
class _Plan:
    pattern: re.Pattern[str]
    fault: Fault
    at: int
    times: int | None
    seen: int = 0


class Faults:
    """Decides which request meets which fault."""

    def __init__(self) -> None:
        self._plans: list[_Plan] = []

    def add(self, pattern: str, fault: Fault, *, at: int = 1, times: int | None = 1) -> None:
        """Requests whose path holds the pattern meet the fault: ``times`` of them, beginning with the ``at``-th.

        Counting begins now, at 1. If ``times`` is None, all later ones meet it too.
        """
        self._plans.append(_Plan(re.compile(pattern), fault, at, times))

    def clear(self) -> None:
        self._plans.clear()

    def next_for(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets. The first plan that is due wins; all matching plans count the request."""
        met: Fault | None = None
        for plan in self._plans:
            if not plan.pattern.search(path):
                continue
            plan.seen += 1
            due = plan.seen >= plan.at and (plan.times is None or plan.seen < plan.at + plan.times)
            if due and met is None:
                met = plan.fault
        return met


def too_many_requests(retry_after: int | str | None = None, *, limits: Mapping[str, str] | None = None) -> Instead:
    """429 of GitLab's Rack::Attack. ``retry_after``: seconds or an HTTP date; ``limits``: the RateLimit headers."""
    headers = {"Content-Type": "text/plain", **(limits or {})}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Instead(429, b"Retry later\n", headers)


def server_error(status: Literal[500, 502, 503, 504] = 502, retry_after: int | None = None) -> Instead:
    """500 comes with GitLab's JSON, the others with the HTML page of the proxy in front."""
    if status == 500:
        return Instead(500, b'{"message":"500 Internal Server Error"}', {"Content-Type": "application/json"})
    headers = {"Content-Type": "text/html"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Instead(status, b"<!DOCTYPE html><html><h1>GitLab is not responding</h1></html>", headers)


def connection_reset() -> Broken:
    return Broken("reset")


def body_cut_off() -> Broken:
    return Broken("cut off")


def no_answer(seconds: float = 30.0) -> Broken:
    """Silence until the client gives up, the seconds are over or the server stops."""
    return Broken("silence", seconds)


def dripping_body(seconds: float = 0.02) -> Broken:
    """A body without an end. Its bytes come so often that no client takes it for silence."""
    return Broken("drip", seconds)


def html_page() -> Instead:
    """A maintenance page with status 200."""
    return Instead(200, b"<!DOCTYPE html><html><h1>Deploy in progress</h1></html>", {"Content-Type": "text/html"})


def redirect(location: str) -> Instead:
    """A redirect to a login page or to another host."""
    return Instead(302, b"", {"Location": location, "Content-Type": "text/html"})


def refused(status: int) -> Instead:
    """A refusal that tells nothing but its status."""
    return Instead(status, b'{"message":"no"}', {"Content-Type": "application/json"})


def json_object() -> Instead:
    """An object where a list belongs."""
    return Instead(200, b'{"message":"something else"}', {"Content-Type": "application/json"})


def unauthorized() -> Instead:
    """The answer to a revoked token."""
    body = b'{"error":"invalid_token","error_description":"Token was revoked. You have to re-authorize from the user."}'
    headers = {"Content-Type": "application/json", "WWW-Authenticate": 'Bearer realm="Protected by OAuth 2.0"'}
    return Instead(401, body, headers)


# Each is over when the request is made again.
PASSING = {
    "429": too_many_requests(),
    "429 with Retry-After": too_many_requests(2),
    "429 until a date": too_many_requests("Mon, 16 Nov 2026 12:00:00 GMT"),
    "500": server_error(500),
    "502": server_error(502),
    "503": server_error(503, retry_after=1),
    "504": server_error(504),
    "reset": connection_reset(),
    "cut off": body_cut_off(),
    "no answer": no_answer(),
    "dripping": dripping_body(),
    "maintenance page": html_page(),
}
