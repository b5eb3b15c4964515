"""Which rows of the raw tables do not become an event, and why; and what renku did in a commit.

Facts: docs/sources/gitlab.md#forks-and-imports-hold-the-same-commits, renku-commits.md#sub-commands,
#sessions-save-themselves and #migrating-makes-a-commit-for-each-workflow, amalthea.md#lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

# Reasons in the order in which they are checked. A row is dropped for the first that holds.
AUTOSAVE = "autosave of a session"
BOT = "commit by a bot"
MIGRATED_WORKFLOW = "migrated workflow"
UNKNOWN_PROJECT = "project is not known"
IMPORTED_HISTORY = "imported history"
OTHER_PROJECT = "same commit in another project"
COUNTED_ON_ANOTHER_DAY = "session line that counts on another day"
DUPLICATE_LINE = "session line that comes twice"
NO_START_OR_RESUME = "session line that neither starts nor resumes"
REASONS = (
    AUTOSAVE,
    BOT,
    MIGRATED_WORKFLOW,
    UNKNOWN_PROJECT,
    IMPORTED_HISTORY,
    OTHER_PROJECT,
    COUNTED_ON_ANOTHER_DAY,
    DUPLICATE_LINE,
    NO_START_OR_RESUME,
)

# What was corrected in rows that are events.
REDATED = "commit dated later than it was pulled"
RECOVERED = "start of a session whose own line was lost"
CORRECTIONS = (REDATED, RECOVERED)

# The value of renku_helper for the one-per-workflow commits of `renku migrate`.
MIGRATED_WORKFLOW_HELPER = "migrated workflow"
# If more of a day's sessions than this share lack a user, the day is not known. Anonymous sessions are left out.
NAMELESS_AT_MOST = 0.05
TOLD_BY_ANY_LINE = ("keycloak_id", "gitlab_project_id", "renku_project_id")


@dataclass(frozen=True)
class CleanCommits:
    """``commits``: one row per commit, in its project. ``copies``: its rows in every project that is not younger.

    ``dropped``: the reason for each row left out of ``commits``.
    """

    commits: pd.DataFrame
    copies: pd.DataFrame
    dropped: pd.Series


def clean_commits(commits: pd.DataFrame, projects: pd.DataFrame) -> CleanCommits:
    """One row per commit that is somebody's work, in the oldest project that is not younger than the commit.

    Takes frames of RAW_GITLAB_COMMITS and RAW_GITLAB_PROJECTS. Rows with the same sha and day are copies of one commit,
    because a commit has the same date in every project. Times are compared in whole seconds, as git keeps them.
    """
    known = projects.set_index("project_id")["created_at"]
    created_at = known.reindex(commits["project_id"]).set_axis(commits.index)
    reason = pd.Series(None, index=commits.index, dtype=object)
    tests = {
        AUTOSAVE: commits["autosave"].astype(bool),
        BOT: commits["author_address_kind"].eq("bot"),
        MIGRATED_WORKFLOW: commits["renku_helper"].eq(MIGRATED_WORKFLOW_HELPER).fillna(value=False),
        UNKNOWN_PROJECT: created_at.isna(),
    }
    for why, holds in tests.items():
        reason[reason.isna() & holds.astype(bool)] = why

    commit = commits.groupby(["event_day", "sha"], sort=False).ngroup()
    old_enough = reason.isna() & (created_at.dt.floor("s") <= commits["dated_at"].dt.floor("s"))
    places = pd.DataFrame({"commit": commit, "created_at": created_at, "project_id": commits["project_id"]})[old_enough]
    chosen = places.sort_values(["created_at", "project_id"]).drop_duplicates("commit").index.sort_values()

    held = commit.isin(commit[chosen])
    reason[reason.isna() & ~held] = IMPORTED_HISTORY
    reason[reason.isna() & ~reason.index.isin(chosen)] = OTHER_PROJECT
    return CleanCommits(commits.loc[chosen], commits[old_enough], reason.dropna())


@dataclass(frozen=True)
class CleanSessions:
    """Rows of RAW_AMALTHEA_SESSIONS. User and project come from all lines of the session with the same ``event_day``.

    ``started``: one per session. ``resumed``: one per session and time. ``dropped``: the reason for each row that
    is in neither. ``twice``: the rows that are in both, so they make two events.
    """

    started: pd.DataFrame
    resumed: pd.DataFrame
    dropped: pd.Series

    @property
    def twice(self) -> pd.DataFrame:
        return self.started[self.started.index.isin(self.resumed.index)]


def clean_sessions(sessions: pd.DataFrame) -> CleanSessions:
    """The rows that start or resume a session.

    A session starts once, at its creation, for the first user that any of its lines names. A resume belongs to the user
    of its own line, or else to that first user.
    """
    session = ["event_day", "namespace", "session_uid"]
    lines = sessions.sort_values([*session, "changed_at", "old_status", "status", "keycloak_id"], na_position="first")
    first = lines.groupby(session, dropna=False, sort=False)[list(TOLD_BY_ANY_LINE)].transform("first")
    changed_today = _day(lines["changed_at"]) == lines["event_day"]
    resumes = lines["old_status"].eq("hibernated") & lines["status"].isin(["starting", "running"])
    created_today = lines[_day(lines["created_at"]) == lines["event_day"]]
    # If the first lines of a session were lost, a resume may be the only line left. It then counts as the start too.
    started = created_today.loc[resumes[created_today.index].sort_values(kind="stable").index].drop_duplicates(session)
    resumed = lines[resumes & changed_today].drop_duplicates([*session, "changed_at"])

    started = started.assign(**{column: first.loc[started.index, column] for column in TOLD_BY_ANY_LINE})
    resumed = resumed.fillna(first.loc[resumed.index])
    reason = pd.Series(NO_START_OR_RESUME, index=lines.index, dtype=object)
    reason[resumes] = DUPLICATE_LINE
    reason[~changed_today] = COUNTED_ON_ANOTHER_DAY
    return CleanSessions(started, resumed, reason.drop(started.index.union(resumed.index)))


def days_without_users(sessions: pd.DataFrame) -> set[str]:
    """The days on which more than NAMELESS_AT_MOST of the sessions have no known user.

    ``sessions`` is a frame of RAW_AMALTHEA_SESSIONS of whole days. Such a day must not count as seen: by default
    Amalthea labels no session, and nobody would be counted. docs/sources/amalthea.md#no-label-by-default
    """
    created_today = _day(sessions["created_at"]) == sessions["event_day"]
    lines = sessions[created_today & ~sessions["anonymous"].astype(bool)]
    # Any line of a session may name its user.
    nameless = lines.groupby(["event_day", "namespace", "session_uid"], dropna=False)["keycloak_id"].count() == 0
    share = nameless.groupby("event_day").mean()
    return set(share.index[share > NAMELESS_AT_MOST])


def _day(times: pd.Series) -> pd.Series:
    days: pd.Series = times.dt.strftime("%Y-%m-%d")
    return days


@dataclass(frozen=True)
class CommandRule:
    """Commits of these sub-commands are events of this type. With ``options``, they must also have one of these."""

    event_type: str
    commands: tuple[str, ...]
    surfaces: tuple[str, ...] = ("cli", "ui")
    options: tuple[str, ...] = ()


COMMAND_RULES = (
    CommandRule("dataset_created", ("dataset create",)),
    CommandRule("dataset_created", ("dataset add",), options=("--create",)),
    CommandRule("dataset_imported", ("dataset import",)),
    # The UI never runs workflows: `v1.2: update figures` is somebody's own message.
    CommandRule("workflow_run", ("run", "rerun", "update", "workflow execute", "workflow iterate"), surfaces=("cli",)),
)


def classify(commits: pd.DataFrame) -> pd.Series:
    """What each commit is besides a commit, as an event type on the same index; missing for most.

    ``commits`` is a frame of RAW_GITLAB_COMMITS. Helper commits are only commits. The committer is not checked, because
    a rebase replaces it: docs/sources/renku-commits.md#a-rebase-replaces-the-committer
    """
    found = pd.Series(None, index=commits.index, dtype=object)
    candidates = commits[commits["renku_command"].notna() & commits["renku_helper"].isna()]
    for rule in COMMAND_RULES:
        holds = candidates["renku_command"].isin(rule.commands) & candidates["renku_surface"].isin(rule.surfaces)
        if rule.options:
            holds &= candidates["renku_options"].map(lambda names, of=rule.options: _has_any(names, of)).astype(bool)
        found[candidates.index[holds]] = rule.event_type
    return found


def _has_any(names: object, wanted: tuple[str, ...]) -> bool:
    return names is not None and any(name in wanted for name in list(names))  # type: ignore[call-overload]
