"""What ``renku-metrics check`` finds out about one thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from renku_metrics.errors import RenkuMetricsError
from renku_metrics.sources.http import Patience, RefusedError

Level = Literal["ok", "warning", "failed"]
# Short, because a person waits for the answer.
SHORT_PATIENCE = Patience(tries=2, longest_asked_wait=10.0)


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


def failed(what: str, text: str, do: str) -> Finding:
    return Finding("failed", what, f"{text}: {do}")


Attempt = Callable[[], Finding]


def attempt(what: str, where: str, check: Attempt, otherwise: str) -> Finding:
    """What the check finds; a failed finding if it ends with an error.

    ``where`` begins the errors of its source. ``otherwise`` says what to do if the error itself does not.
    """
    try:
        return check()
    except RenkuMetricsError as error:
        # These say what to do.
        return Finding("failed", what, error.message.removeprefix(f"{where}: "))
    except RefusedError as error:
        return failed(what, f"refused with {error}", otherwise)
    except Exception as error:  # noqa: BLE001
        # Its message may quote the answer, which may be personal.
        return failed(what, f"unexpected {type(error).__name__}", otherwise)


def attempts(where: str, checks: Sequence[tuple[str, Attempt]], otherwise: str) -> Iterator[Finding]:
    """The findings of the checks, each given with its subject; only the first finding if that is a failure."""
    for number, (what, check) in enumerate(checks):
        found = attempt(what, where, check, otherwise)
        yield found
        if number == 0 and found.level == "failed":
            return
