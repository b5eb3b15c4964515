"""Every table of the store, declared once: columns, types, keys, shapes of texts, and whose data a column holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa

from renku_metrics.schema import READ_BY, STRINGS, TIMESTAMP, Column, Person, Shape, Table
from renku_metrics.shapes import (
    CLIENT,
    COMMAND,
    DATE,
    DATE_OR_NONE,
    DEFINITIONS,
    DEPLOYMENT_NAME,
    EVENT_KEY,
    FIRST_OF_MONTH,
    HELPER,
    KEYCLOAK_ID,
    KEYED_HASH,
    LABEL,
    METRIC,
    OPTION,
    PERIOD,
    PROJECT_ID,
    SHA,
    ULID,
    USER_ID,
    UUID,
    VERSION,
    WORD,
    one_of,
)

# What a source can tell about.
Activity = Literal["logins", "commits", "sessions"]
# Each event type, with its activity.
EVENT_TYPES: Mapping[str, Activity] = {
    "login": "logins",
    "commit": "commits",
    "dataset_created": "commits",
    "dataset_imported": "commits",
    "workflow_run": "commits",
    "session_started": "sessions",
    "session_resumed": "sessions",
}
ACTIVITIES = tuple(dict.fromkeys(EVENT_TYPES.values()))
# Why a period is not complete: it is not over; nothing tells of an activity; or some days of an activity are missing.
NOT_OVER, NOT_CONFIGURED = "period not over", "not configured"
_REASON = f"(?:{NOT_OVER}|(?:{'|'.join(ACTIVITIES)}):(?:{NOT_CONFIGURED}|{DATE.pattern}\\.\\.{DATE.pattern}))"
MISSING = Shape("reasons why a period is not complete", f"(?:{_REASON}(?:; {_REASON})*)?")

# The rules that link an event to its user: the first for logins and sessions, the others for commits.
USER_LINKS = ("keycloak_id", "noreply", "gitlab_address", "keycloak_address", "push", "address_hash")

DEPLOYMENT_COLUMN = Column(
    "deployment", pa.string(), "Name of the RenkuLab deployment.", required=True, shape=DEPLOYMENT_NAME
)
MONTH_COLUMN = Column(
    "month", pa.string(), "Month in UTC, by its first day, YYYY-MM-01.", required=True, shape=FIRST_OF_MONTH
)
DAY_COLUMN = Column("event_day", pa.string(), "Day in UTC, YYYY-MM-DD.", required=True, shape=DATE)
PULLED_AT = Column("pulled_at", TIMESTAMP, "When the row was first pulled.", required=True)
BY_DEPLOYMENT = ("deployment",)
BY_MONTH = ("deployment", "month")

RAW_GITLAB_PROJECTS = Table(
    name="raw_gitlab_projects",
    folder="raw",
    description="Projects of the deployment's GitLab, also those that were deleted later. One row per project.",
    partitioned_by=BY_DEPLOYMENT,
    key=("deployment", "project_id"),
    columns=(
        DEPLOYMENT_COLUMN,
        Column("project_id", pa.int64(), "GitLab's id of the project.", required=True),
        Column("created_at", TIMESTAMP, "When the project was created.", required=True),
        Column("creator_id", pa.int64(), "GitLab user who created it.", merge="last", person="gitlab", emptied=True),
        # A person's own namespace identifies them just as their account does.
        Column(
            "namespace_id",
            pa.int64(),
            "GitLab namespace it lives in.",
            merge="last",
            emptied_with="creator_id",
            unless=("namespace_kind", "group"),
        ),
        Column("namespace_kind", pa.string(), "user or group.", merge="last", shape=one_of("user", "group")),
        Column("forked_from_id", pa.int64(), "Project it was forked from.", merge="last"),
        Column(
            "visibility",
            pa.string(),
            "private, internal or public.",
            merge="last",
            shape=one_of("private", "internal", "public"),
        ),
        Column("archived", pa.bool_(), "Whether it is archived.", merge="last"),
        Column("last_activity_at", TIMESTAMP, "GitLab's last activity, at most an hour behind.", merge="last"),
        PULLED_AT,
    ),
)

RAW_GITLAB_USERS = Table(
    name="raw_gitlab_users",
    folder="raw",
    description="Users of the deployment's GitLab, also blocked and deleted ones. One row per user.",
    partitioned_by=BY_DEPLOYMENT,
    key=("deployment", "gitlab_user_id"),
    columns=(
        DEPLOYMENT_COLUMN,
        Column("gitlab_user_id", pa.int64(), "GitLab's id of the user.", required=True, person="gitlab"),
        Column(
            "keycloak_id",
            pa.string(),
            "Keycloak id, from the user's identities.",
            merge="last",
            shape=KEYCLOAK_ID,
            person="keycloak",
        ),
        Column(
            "address_hashes",
            STRINGS,
            "Keyed hashes of every confirmed email address the user was ever seen with.",
            required=True,
            merge="union",
            shape=KEYED_HASH,
            person="address",
            emptied=True,
        ),
        Column(
            "addresses_on",
            pa.string(),
            "The latest day of activity of any user, YYYY-MM-DD, when this user's secondary addresses were read; empty "
            "if GitLab knew of no activity, missing until they are read.",
            merge="last",
            shape=DATE_OR_NONE,
        ),
        Column("bot", pa.bool_(), "Whether the account is a bot or an access token.", required=True, merge="last"),
        Column("state", pa.string(), "active, blocked, deactivated, ...", merge="last", shape=WORD),
        Column("created_at", TIMESTAMP, "When the account was created."),
        Column("last_activity_on", pa.string(), "Last day of activity, YYYY-MM-DD.", merge="last", shape=DATE),
        PULLED_AT,
    ),
)

RAW_KEYCLOAK_USERS = Table(
    name="raw_keycloak_users",
    folder="raw",
    description="Users of the deployment's Keycloak realm, also disabled and deleted ones. One row per user.",
    partitioned_by=BY_DEPLOYMENT,
    key=("deployment", "keycloak_id"),
    columns=(
        DEPLOYMENT_COLUMN,
        Column(
            "keycloak_id",
            pa.string(),
            "Keycloak's id of the user.",
            required=True,
            shape=KEYCLOAK_ID,
            person="keycloak",
        ),
        Column(
            "address_hashes",
            STRINGS,
            "Keyed hashes of every email address the user was ever seen with.",
            required=True,
            merge="union",
            shape=KEYED_HASH,
            person="address",
            emptied=True,
        ),
        Column("enabled", pa.bool_(), "Whether the account is enabled.", merge="last"),
        Column("created_at", TIMESTAMP, "When the account was created."),
        PULLED_AT,
    ),
)


def _reading(
    name: str,
    kind: pa.DataType,
    description: str,
    *,
    required: bool = False,
    shape: Shape | None = None,
    person: Person | None = None,
) -> Column:
    return Column(name, kind, description, required, merge="reading", shape=shape, person=person)


RAW_GITLAB_COMMITS = Table(
    name="raw_gitlab_commits",
    folder="raw",
    description="Commits on any branch, in the file of the month they are dated. One row per project and commit.",
    partitioned_by=BY_MONTH,
    key=("deployment", "event_day", "project_id", "sha"),
    one_thing=("event_day", "sha"),
    columns=(
        DEPLOYMENT_COLUMN,
        MONTH_COLUMN,
        DAY_COLUMN,
        Column("project_id", pa.int64(), "GitLab's id of the project that holds the commit.", required=True),
        Column("sha", pa.string(), "Commit id.", required=True, shape=SHA),
        Column(
            "dated_at",
            TIMESTAMP,
            "Committed date, or the time of the pull that first saw the commit if that was earlier.",
            required=True,
        ),
        Column("parent_count", pa.int64(), "Number of parents: 0 a root, 2 and more a merge.", required=True),
        Column(
            "author_address_hash",
            pa.string(),
            "Keyed hash of the author's email address.",
            required=True,
            shape=KEYED_HASH,
            person="address",
            unless=("author_address_kind", "shared"),
        ),
        _reading(
            "author_address_kind",
            pa.string(),
            "personal, noreply (of this deployment), bot, or shared (empty and default addresses).",
            required=True,
            shape=one_of("personal", "noreply", "bot", "shared"),
        ),
        _reading(
            "author_gitlab_id",
            pa.int64(),
            "GitLab user named by a noreply address of this deployment.",
            person="gitlab",
        ),
        _reading(
            "renku_surface",
            pa.string(),
            "cli or ui for a message made by renku, missing for any other.",
            shape=one_of("cli", "ui"),
        ),
        _reading(
            "renku_command",
            pa.string(),
            "Sub-command of a message made by renku, such as dataset create.",
            shape=COMMAND,
        ),
        _reading("renku_options", STRINGS, "Names of the sub-command's own options, without values.", shape=OPTION),
        _reading(
            "renku_helper",
            pa.string(),
            "What a helper commit of the renku CLI does, such as adding files.",
            shape=HELPER,
        ),
        _reading("renku_committer", pa.bool_(), "Whether renku itself is the committer.", required=True),
        _reading("autosave", pa.bool_(), "Whether the platform made it when a session stopped.", required=True),
        _reading(READ_BY, pa.int64(), "Version of the reader of address, message and committer."),
        Column(
            "pusher_id",
            pa.int64(),
            "GitLab user of the push that brought the commit, if known.",
            person="gitlab",
            emptied=True,
        ),
        Column(
            "push_addresses",
            pa.int64(),
            "How many author addresses the commits of that push carry.",
            emptied_with="pusher_id",
        ),
        PULLED_AT,
    ),
)

RAW_GITLAB_PUSHES = Table(
    name="raw_gitlab_pushes",
    folder="raw",
    description="Push events of projects. One row per event.",
    partitioned_by=BY_MONTH,
    key=("deployment", "event_day", "push_id"),
    columns=(
        DEPLOYMENT_COLUMN,
        MONTH_COLUMN,
        DAY_COLUMN,
        Column("push_id", pa.int64(), "GitLab's id of the event.", required=True),
        Column("project_id", pa.int64(), "GitLab's id of the project.", required=True),
        Column(
            "gitlab_user_id",
            pa.int64(),
            "GitLab user who pushed; missing once the account is deleted.",
            person="gitlab",
        ),
        Column("pushed_at", TIMESTAMP, "When GitLab received the push.", required=True),
        Column("action", pa.string(), "pushed, created or removed.", shape=WORD),
        Column("ref_type", pa.string(), "branch or tag.", shape=WORD),
        Column("commit_count", pa.int64(), "Number of commits GitLab counted in the push."),
        Column("commit_from", pa.string(), "Head before the push; missing for a new branch.", shape=SHA),
        Column("commit_to", pa.string(), "Head after the push; missing for a removed branch.", shape=SHA),
        PULLED_AT,
    ),
)

RAW_KEYCLOAK_LOGINS = Table(
    name="raw_keycloak_logins",
    folder="raw",
    description="LOGIN events of the Keycloak realm. One row per event; one login can make several.",
    partitioned_by=BY_MONTH,
    key=("deployment", "event_day", "login_key"),
    columns=(
        DEPLOYMENT_COLUMN,
        MONTH_COLUMN,
        DAY_COLUMN,
        Column("login_key", pa.string(), "Keyed hash of the event's fields.", required=True, shape=KEYED_HASH),
        Column("occurred_at", TIMESTAMP, "Time of the event.", required=True),
        Column("keycloak_id", pa.string(), "Keycloak user who logged in.", shape=KEYCLOAK_ID, person="keycloak"),
        Column("client_id", pa.string(), "OAuth client that was logged in to.", shape=CLIENT),
        PULLED_AT,
    ),
)

RAW_AMALTHEA_SESSIONS = Table(
    name="raw_amalthea_sessions",
    folder="raw",
    description=(
        "Status changes of sessions from Amalthea's audit log. One row per change on the day of the change. If the "
        "session was created on another day, the change has one more row on that day."
    ),
    partitioned_by=BY_MONTH,
    key=("deployment", "event_day", "namespace", "session_uid", "changed_at", "old_status", "status"),
    one_thing=("namespace", "session_uid"),
    columns=(
        DEPLOYMENT_COLUMN,
        MONTH_COLUMN,
        DAY_COLUMN,
        Column("namespace", pa.string(), "Kubernetes namespace of the session.", shape=LABEL),
        Column("session_uid", pa.string(), "Kubernetes uid of the session.", required=True, shape=UUID),
        Column("created_at", TIMESTAMP, "When the session was created.", required=True),
        Column("changed_at", TIMESTAMP, "When the status changed.", required=True),
        Column("old_status", pa.string(), "Status before; missing at the creation.", shape=WORD),
        Column("status", pa.string(), "Status after.", shape=WORD),
        Column(
            "keycloak_id",
            pa.string(),
            "Keycloak user of the session; missing if the session is anonymous or has no label.",
            shape=KEYCLOAK_ID,
            person="keycloak",
        ),
        Column("anonymous", pa.bool_(), "Whether the session belongs to an anonymous visitor.", required=True),
        Column("gitlab_project_id", pa.int64(), "GitLab project of the session."),
        Column("renku_project_id", pa.string(), "Renku 2.0 project (ULID) of the session.", shape=ULID),
        PULLED_AT,
    ),
)

EVENTS = Table(
    name="events",
    description="What users did: the cleaned union of all raw tables. One row per thing that one user did.",
    partitioned_by=BY_MONTH,
    key=("deployment", "event_day", "event_key"),
    columns=(
        DEPLOYMENT_COLUMN,
        MONTH_COLUMN,
        DAY_COLUMN,
        Column(
            "event_type",
            pa.string(),
            f"{', '.join(EVENT_TYPES)}.",
            required=True,
            shape=one_of(*EVENT_TYPES),
        ),
        Column("occurred_at", TIMESTAMP, "When it was done.", required=True),
        Column(
            "user_id",
            pa.string(),
            "Keycloak id if known, else gitlab:<id>, else email:<keyed hash>; missing if the user is not known.",
            shape=USER_ID,
            person="user",
        ),
        Column("user_link", pa.string(), "Rule that linked the event to the user.", shape=one_of(*USER_LINKS)),
        Column("project_id", pa.string(), "gitlab:<id> or renku:<ULID>; missing for a login.", shape=PROJECT_ID),
        Column("source", pa.string(), "Name of the source, such as gitlab.", required=True, shape=WORD),
        Column("event_key", pa.string(), "Unique within the deployment.", required=True, shape=EVENT_KEY),
    ),
)

USER_DAYS = Table(
    name="user_days",
    description="Who did what on which day and where. One row per distinct day, user, event type, project and link.",
    partitioned_by=BY_MONTH,
    key=("deployment", "event_day", "event_type", "user_id", "project_id", "user_link"),
    columns=(
        DEPLOYMENT_COLUMN,
        MONTH_COLUMN,
        DAY_COLUMN,
        Column("event_type", pa.string(), "As in events.", required=True, shape=one_of(*EVENT_TYPES)),
        Column(
            "user_id",
            pa.string(),
            "As in events; events without a user are left out.",
            required=True,
            shape=USER_ID,
            person="user",
        ),
        Column("project_id", pa.string(), "As in events.", shape=PROJECT_ID),
        Column("user_link", pa.string(), "As in events.", required=True, shape=one_of(*USER_LINKS)),
    ),
)

PeriodKind = Literal["week", "month"]
KINDS: tuple[PeriodKind, ...] = ("week", "month")

_LINKED_BY = tuple(
    Column(
        f"linked_by_{rule}",
        pa.int64(),
        f"Active users whom the rule {rule} linked to an event. A user whom several rules linked is in each of them.",
        required=True,
    )
    for rule in USER_LINKS
)


_PERIOD = Column("period", pa.string(), "2026-W47 or 2026-11.", required=True, shape=PERIOD)
_CORE_ACTION = Column("core_action", pa.string(), "Key of the core action.", required=True, shape=METRIC)


def _first_day_of(kind: PeriodKind) -> Column:
    shape = FIRST_OF_MONTH if kind == "month" else DATE
    return Column(kind, pa.string(), f"First day of the {kind}, YYYY-MM-DD.", required=True, shape=shape)


def active_users_table(kind: PeriodKind) -> Table:
    """The table of the denominator: one row per period, none for a period that is not counted."""
    return Table(
        name=f"active_users_{kind}ly",
        folder="metrics",
        description=f"Distinct users who logged in, committed or started a session. One row per {kind}.",
        partitioned_by=BY_DEPLOYMENT,
        key=("deployment", kind),
        columns=(
            DEPLOYMENT_COLUMN,
            _first_day_of(kind),
            Column("users", pa.int64(), "Distinct active users.", required=True),
            Column("unlinked_users", pa.int64(), "Those who are known only by the hash of an email.", required=True),
            *_LINKED_BY,
            Column("definition", pa.string(), "Version of the definition.", required=True, shape=VERSION),
            Column("computed_at", TIMESTAMP, "When it was counted.", required=True),
        ),
    )


def core_action_table(core_action: str, description: str, kind: PeriodKind) -> Table:
    """The table of one core action: one row per period, none for a period that is not counted."""
    return Table(
        name=f"{core_action}_{kind}ly",
        folder="metrics",
        description=description,
        partitioned_by=BY_DEPLOYMENT,
        key=("deployment", kind),
        columns=(
            DEPLOYMENT_COLUMN,
            _first_day_of(kind),
            Column("users", pa.int64(), "Distinct users who did it at least once.", required=True),
            Column("definition", pa.string(), "Version of the definition.", required=True, shape=VERSION),
            Column("computed_at", TIMESTAMP, "When it was counted.", required=True),
        ),
    )


def published_table(kind: PeriodKind) -> Table:
    """The table the team reads: one row per deployment, period and core action."""
    return Table(
        name=f"{kind}ly",
        folder="published",
        description=f"Users of each core action and their share of the active users, by {kind}.",
        key=("deployment", "period", "core_action"),
        columns=(
            DEPLOYMENT_COLUMN,
            _PERIOD,
            Column("period_start", pa.date32(), "First day of the period.", required=True),
            Column("period_end", pa.date32(), "Last day of the period.", required=True),
            _CORE_ACTION,
            Column("users", pa.int64(), "Distinct users who did it at least once.", required=True),
            Column("active_users", pa.int64(), "The denominator.", required=True),
            Column(
                "share",
                pa.float64(),
                "users / active_users; 0 to 1 in every complete row; empty if nobody was active.",
            ),
            Column(
                "complete",
                pa.bool_(),
                "The period is over, and logins, commits and sessions cover each of its days.",
                required=True,
            ),
            Column("missing", pa.string(), "Why it is not complete; empty if it is.", required=True, shape=MISSING),
            Column(
                "unlinked",
                pa.float64(),
                "Share of active_users who are known only by the hash of an email; empty if nobody was active. Like "
                "complete and missing it says how much is known today, so it changes without a record in revisions.",
            ),
            Column(
                "definition",
                pa.string(),
                "Versions of the metric's and the denominator's definition.",
                required=True,
                shape=DEFINITIONS,
            ),
            Column("computed_at", TIMESTAMP, "When it was counted.", required=True),
        ),
    )


# Why a published number changed: what it was counted from changed (several may come together), or something else.
CAUSES = ("late facts", "people known since", "new rules of events", "erasure")
OTHER_REASONS = ("new definition", "no longer published", "published again")
REASON = Shape(
    "a reason of a revision", "|".join([*OTHER_REASONS, "(?:{0})(?: and (?:{0}))*".format("|".join(CAUSES))])
)

REVISIONS = Table(
    name="revisions",
    folder="published",
    description="Published numbers that changed. One row per change.",
    key=("deployment", "period", "core_action", "changed_at"),
    columns=(
        DEPLOYMENT_COLUMN,
        _PERIOD,
        _CORE_ACTION,
        Column("users_before", pa.int64(), "Users as published before.", required=True),
        Column("users_after", pa.int64(), "Users as published now; empty if no longer published."),
        Column("active_users_before", pa.int64(), "Active users as published before.", required=True),
        Column("active_users_after", pa.int64(), "Active users as published now; empty if no longer published."),
        Column("definition_before", pa.string(), "Definitions as published before.", required=True, shape=DEFINITIONS),
        Column(
            "definition_after",
            pa.string(),
            "Definitions as published now; empty if no longer published.",
            shape=DEFINITIONS,
        ),
        Column("changed_at", TIMESTAMP, "When the new number was published.", required=True),
        Column(
            "reason",
            pa.string(),
            "late facts (events or pushers that were pulled later, or commits that a corrected reader read again), "
            "people known since (users who are linked in another way now), new rules of events, erasure; several of "
            "these are joined by and. Or: new definition, no longer published, published again (with other numbers).",
            required=True,
            shape=REASON,
        ),
    ),
)

COVERAGE = Table(
    name="coverage",
    folder="published",
    description=(
        "For each published period: on how many of its days everything was pulled and counted, and which rules linked "
        "its active users. One row per deployment and period."
    ),
    key=("deployment", "period"),
    columns=(
        DEPLOYMENT_COLUMN,
        _PERIOD,
        Column("period_start", pa.date32(), "First day of the period.", required=True),
        Column("period_end", pa.date32(), "Last day of the period.", required=True),
        Column("days", pa.int64(), "Days of the period.", required=True),
        *(
            Column(
                f"{activity}_days",
                pa.int64(),
                f"Days on which all {activity} are in the numbers; empty if the deployment has no source of them.",
            )
            for activity in ACTIVITIES
        ),
        Column("active_users", pa.int64(), "As in weekly and monthly.", required=True),
        *_LINKED_BY,
    ),
)
