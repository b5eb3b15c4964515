"""The union: all raw tables of one deployment, cleaned and linked, as one table of events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from renku_metrics.events.cleaning import (
    BOT,
    CORRECTIONS,
    REASONS,
    RECOVERED,
    REDATED,
    classify,
    clean_commits,
    clean_sessions,
    days_without_users,
)
from renku_metrics.events.links import COMMIT_RULES, KEYCLOAK_LINK, Identities
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
)

# Raise it with every change of which events or user days there are, or whose they are. Everything that other rules
# built is then built again.
RULES_VERSION = "1"
NOBODY = "nobody"
NONE = pd.Series([], dtype=object)


# Raw tables of one deployment, by name. Tables by month may hold any set of whole days; the others are whole.
Frames = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class EventsBuilt:
    """Events of some days, and what became of every raw row.

    Each raw row of a day (commits, logins, sessions) is the origin of one event or ``dropped`` for one reason.
    ``derived`` events are extra: their row is already the origin of another event (a commit that created a dataset, a
    resume that also counts as the start). ``account`` has one row per ``event_day`` with raw rows, and the columns
    ``rows``, ``derived``, each reason and each correction.
    """

    events: pd.DataFrame
    account: pd.DataFrame

    @property
    def rows(self) -> int:
        return int(self.account["rows"].sum())

    @property
    def derived(self) -> int:
        return int(self.account["derived"].sum())

    @property
    def origins(self) -> int:
        """How many rows are the origin of an event."""
        return len(self.events) - self.derived

    @property
    def dropped(self) -> dict[str, int]:
        """How many rows each reason dropped."""
        return {reason: int(self.account[reason].sum()) for reason in REASONS}

    @property
    def corrected(self) -> dict[str, int]:
        """How many events come from a row with each correction."""
        return {correction: int(self.account[correction].sum()) for correction in CORRECTIONS}

    @property
    def linked(self) -> dict[str, int]:
        """How many events each rule linked to a user, and how many are nobody's."""
        counts = self.events["user_link"].fillna(NOBODY).value_counts()
        return {rule: int(counts.get(rule, 0)) for rule in (KEYCLOAK_LINK, *COMMIT_RULES, NOBODY)}

    @property
    def conserved(self) -> bool:
        """Whether rows in = events out + dropped."""
        return self.rows == self.origins + sum(self.dropped.values())

    def of_month(self, month: str) -> EventsBuilt:
        """The same for one of the months."""
        days = self.account.index.str[:7] == month[:7]
        return EventsBuilt(self.events[self.events["month"] == month], self.account[days])


@dataclass(frozen=True)
class Part:
    """What one source gives.

    ``derived``: the days of its derived events. ``dropped`` and ``corrected``: a reason and a correction by row.
    ``nameless_days``: the days on which too many users are not known.
    """

    raw: pd.DataFrame
    events: pd.DataFrame
    derived: pd.Series
    dropped: pd.Series
    corrected: pd.Series
    nameless_days: frozenset[str] = frozenset()


def unite(deployment: str, parts: Sequence[Part]) -> EventsBuilt:
    """The events of the parts, as a frame of EVENTS, sorted by key.

    The rows are the same if days are built one by one or together, and for every order of the raw rows.
    """
    found = [part.events for part in parts if len(part.events)]
    together = pd.concat(found, ignore_index=True) if found else EVENTS.frame()
    return EventsBuilt(EVENTS.conform(together.assign(deployment=deployment)), _account(parts))


def user_days(events: pd.DataFrame) -> pd.DataFrame:
    """The distinct rows of USER_DAYS in a frame of EVENTS; events without a user are left out."""
    columns = [column.name for column in USER_DAYS.columns]
    return USER_DAYS.conform(events.loc[events["user_id"].notna(), columns].drop_duplicates())


def _account(parts: Sequence[Part]) -> pd.DataFrame:
    rows = pd.concat([part.raw["event_day"] for part in parts]).value_counts()
    derived = pd.concat([part.derived for part in parts]).value_counts()
    told = [(part.raw["event_day"], reasons) for part in parts for reasons in (part.dropped, part.corrected)]
    reasons = pd.concat([of_rows.to_frame("reason").join(days) for days, of_rows in told])
    columns = [*REASONS, *CORRECTIONS]
    by_reason = reasons.groupby(["event_day", "reason"]).size().unstack().reindex(index=rows.index, columns=columns)
    account = by_reason.assign(rows=rows, derived=derived)[["rows", "derived", *columns]]
    return account.fillna(0).astype("int64").sort_index().rename_axis(index="event_day", columns=None)


def from_commits(frames: Frames) -> Part:
    """Commits, and what renku did with them, linked to people."""
    raw = frames[RAW_GITLAB_COMMITS.name].reset_index(drop=True)
    identities = Identities(frames[RAW_GITLAB_USERS.name], frames[RAW_KEYCLOAK_USERS.name])
    clean = clean_commits(raw, frames[RAW_GITLAB_PROJECTS.name])
    links = identities.link_commits(clean.commits, clean.copies)
    bots = links["bot"].astype(bool)
    commits, links = clean.commits[~bots], links[~bots]
    dropped = pd.concat([clean.dropped, pd.Series(BOT, index=clean.commits.index[bots], dtype=object)])
    events = pd.DataFrame(
        {
            "event_type": "commit",
            "occurred_at": commits["dated_at"],
            "event_day": commits["event_day"],
            "user_id": links["user_id"],
            "user_link": links["user_link"],
            "project_id": "gitlab:" + commits["project_id"].astype("str"),
            "source": "gitlab",
            "event_key": "commit:" + commits["sha"],
        }
    )
    did = classify(commits).dropna()
    derived = events.loc[did.index].assign(event_type=did, event_key=did + ":" + commits.loc[did.index, "sha"])
    redated = commits.index[commits["dated_at"] == commits["pulled_at"]]
    corrected = pd.Series(REDATED, index=redated, dtype=object)
    return Part(raw, pd.concat([events, derived]), derived["event_day"], dropped, corrected)


def from_logins(frames: Frames) -> Part:
    """One login for each row of RAW_KEYCLOAK_LOGINS."""
    logins = frames[RAW_KEYCLOAK_LOGINS.name].reset_index(drop=True)
    events = pd.DataFrame(
        {
            "event_type": "login",
            "occurred_at": logins["occurred_at"],
            "event_day": logins["event_day"],
            "user_id": logins["keycloak_id"],
            "user_link": _linked(logins["keycloak_id"]),
            "project_id": None,
            "source": "keycloak",
            "event_key": "login:" + logins["login_key"],
        }
    )
    return Part(logins, events, NONE, NONE, NONE)


def from_sessions(frames: Frames) -> Part:
    """Starts and resumes of sessions."""
    sessions = frames[RAW_AMALTHEA_SESSIONS.name].reset_index(drop=True)
    clean = clean_sessions(sessions)
    started = _session_events(clean.started, "session_started", clean.started["created_at"])
    resumed = _session_events(clean.resumed, "session_resumed", clean.resumed["changed_at"])
    milliseconds = clean.resumed["changed_at"].dt.as_unit("ms").astype("int64").astype("str")
    resumed["event_key"] += "/" + milliseconds
    recovered = pd.Series(RECOVERED, index=clean.started.index[clean.started["old_status"].notna()], dtype=object)
    nameless = frozenset(days_without_users(sessions))
    return Part(sessions, pd.concat([started, resumed]), clean.twice["event_day"], clean.dropped, recovered, nameless)


def _session_events(lines: pd.DataFrame, event_type: str, occurred_at: pd.Series) -> pd.DataFrame:
    gitlab_project = "gitlab:" + lines["gitlab_project_id"].astype("str")
    return pd.DataFrame(
        {
            "event_type": event_type,
            "occurred_at": occurred_at,
            "event_day": lines["event_day"],
            "user_id": lines["keycloak_id"],
            "user_link": _linked(lines["keycloak_id"]),
            "project_id": gitlab_project.fillna("renku:" + lines["renku_project_id"]),
            "source": "amalthea",
            "event_key": f"{event_type}:" + lines["namespace"].fillna("") + "/" + lines["session_uid"],
        }
    )


def _linked(keycloak_ids: pd.Series) -> pd.Series:
    return pd.Series(KEYCLOAK_LINK, index=keycloak_ids.index, dtype=object).where(keycloak_ids.notna(), None)
