"""What ``renku-metrics check`` finds out about one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from renku_metrics.errors import RenkuMetricsError
from renku_metrics.sources.gitlab_client import RefusedError
from renku_metrics.sources.http import Patience

Level = Literal["ok", "warning", "failed"]
# Somebody waits for the answer.
PATIENCE = Patience(tries=2, longest_asked_wait=10.0)


@dataclass(frozen=True)
class Finding:
    """One line: ``ok``, ``warning`` (it works, but numbers may suffer) or ``failed``, and what to do about it."""

    level: Level
    what: str
    text: str


def ok(what: str, text: str) -> Finding:
    return Finding("ok", what, text)


def warning(what: str, text: str) -> Finding:
    return Finding("warning", what, text)


def failed(what: str, text: str) -> Finding:
    return Finding("failed", what, text)


# What a check finds about one thing.
Attempt = Callable[[], Finding]


def attempt(what: str, where: str, check: Attempt) -> Finding:
    """What the check finds; that it failed when it ends with an error. ``where`` begins the errors of its source."""
    try:
        return check()
    except RenkuMetricsError as error:
        # Several lines are several faults of one file; here each thing has one.
        text = "; ".join(error.message.splitlines())
        return failed(what, text.removeprefix(f"{where}: "))
    except RefusedError as error:
        return failed(what, f"refused with {error}")
    except Exception as error:  # noqa: BLE001
        # Its message may hold what was answered, which may be personal.
        return failed(what, f"unexpected {type(error).__name__}: the answer is not what this source gives")


def attempts(where: str, checks: Sequence[tuple[str, Attempt]]) -> Iterator[Finding]:
    """Each of the checks, by what it is about; only the first one, if that fails."""
    for number, (what, check) in enumerate(checks):
        found = attempt(what, where, check)
        yield found
        if number == 0 and found.level == "failed":
            return
