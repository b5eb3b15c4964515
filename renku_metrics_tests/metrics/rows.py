"""Short ways to write user days, counts and coverage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import pandas as pd

from renku_metrics.metrics.coverage import Coverage
from renku_metrics.periods import Period, Span
from renku_metrics.tables import USER_DAYS, PeriodKind

DEPLOYMENT = "renkulab-io"
NOW = dt.datetime(2026, 11, 24, 6, tzinfo=dt.UTC)


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def periods(kind: PeriodKind, *days: str) -> list[Period]:
    """The weeks or months that hold the days."""
    return [Period.of(kind, day(one)) for one in days]


def user_days(*rows: tuple[str, str, str], deployment: str = DEPLOYMENT) -> pd.DataFrame:
    """User days from (day, event type, user); a user called email:… is linked by the address alone."""
    return USER_DAYS.conform(
        USER_DAYS.frame(
            {
                "deployment": deployment,
                "event_day": one,
                "event_type": event_type,
                "user_id": user,
                "project_id": None if event_type == "login" else "gitlab:1",
                "user_link": "address_hash" if user.startswith("email:") else "keycloak_id",
            }
            for one, event_type, user in sorted(set(rows))
        )
    )


def span(first: str, until: str) -> Span:
    """From the beginning of a day (or a time) up to the beginning of another; UTC."""
    return Span(*(dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC) for text in (first, until)))


def covered(logins: Iterable[Span], commits: Iterable[Span], sessions: Iterable[Span]) -> Coverage:
    return {"logins": list(logins), "commits": list(commits), "sessions": list(sessions)}


ALWAYS = [span("2020-01-01", "2027-01-01")]
EVERYTHING = covered(ALWAYS, ALWAYS, ALWAYS)
