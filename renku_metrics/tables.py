"""Every table of the store, declared once: columns, types, keys, and how two pulls of the same row unite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

TIMESTAMP = pa.timestamp("ms", tz="UTC")
STRINGS = pa.list_(pa.string())

# How a row that was stored and the same row pulled again unite, column by column:
# keep what was seen first, take what was seen last, or (lists) keep everything ever seen.
# A missing value never replaces a known one: a pull loses nothing. What is not the source's word but our reading of it
# is taken as a whole, missing values included, from the row that the newest reader read; among its equals the stored.
Merge = Literal["first", "last", "union", "reading"]
READ_BY = "read_by"


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    description: str
    required: bool = False
    merge: Merge = "first"


@dataclass(frozen=True)
class Table:
    """A table of the store.

    ``partitioned_by`` names the columns that are in the path (``deployment=…/event_day=…``) and not in the
    file; frames in memory always carry them.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partitioned_by: tuple[str, ...] = ()
    folder: str = ""

    @cached_property
    def schema(self) -> pa.Schema:
        """All columns, those of the path included."""
        return pa.schema(
            [
                pa.field(c.name, c.type, nullable=not c.required, metadata={"description": c.description})
                for c in self.columns
            ]
        )

    @cached_property
    def file_schema(self) -> pa.Schema:
        """The columns inside a data file."""
        return pa.schema([field for field in self.schema if field.name not in self.partitioned_by])

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}" if self.folder else self.name

    def frame(self, rows: Iterable[Mapping[str, Any]] = ()) -> pd.DataFrame:
        """One row per mapping, with every column of the table in its type; columns not given are missing.

        Raises ValueError when a value does not fit its column.
        """
        given = list(rows)
        return self.frame_of_columns({name: [row.get(name) for row in given] for name in self.schema.names})

    def frame_of_columns(self, columns: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
        """The same from the values of every column, in the order of the rows; the fast way to many rows."""
        arrays = []
        for field in self.schema:
            try:
                arrays.append(pa.array(columns[field.name], field.type))
            except (pa.ArrowException, OverflowError, UnicodeError):
                # The value itself stays out of the message: it may be personal.
                raise ValueError(f"{self.name}: {field.name} holds a value that is no {field.type}") from None
        return to_pandas(pa.table(arrays, schema=self.schema))

    def conform(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The same rows with exactly the table's columns and types, sorted by key.

        Raises ValueError when a column or a required value is missing, a value does not fit its column, or a key
        stands twice.
        """
        absent = [column.name for column in self.columns if column.name not in frame.columns]
        if absent:
            raise ValueError(f"{self.name}: there is no column {', '.join(absent)}")
        for column in self.columns:
            if column.required and frame[column.name].isna().any():
                raise ValueError(f"{self.name}: {column.name} is missing in some rows")
        try:
            table = pa.Table.from_pandas(frame, schema=self.schema, preserve_index=False)
        except (pa.ArrowException, OverflowError, UnicodeError) as error:
            # Arrow names the value first, which may be personal, and the column last.
            which = f": {error.args[-1]}" if isinstance(error, pa.ArrowException) and len(error.args) > 1 else ""
            raise ValueError(f"{self.name}: a value does not fit its column{which}") from None
        result = to_pandas(table).sort_values(list(self.key), ignore_index=True)
        if result.duplicated(list(self.key)).any():
            raise ValueError(f"{self.name}: a key ({', '.join(self.key)}) stands twice")
        return result

    def merge(self, stored: pd.DataFrame, pulled: pd.DataFrame) -> pd.DataFrame:
        """What is stored and what was pulled, one row per key; nothing stored is lost.

        Pulling the same rows again gives the stored rows unchanged.
        """
        both = pd.concat([stored, pulled], ignore_index=True)
        for column in self.columns:
            if column.merge == "union":
                # In one order from the first pull on, so that the second finds nothing to change.
                both[column.name] = pd.Series([_union([items]) for items in both[column.name]], dtype=object)
        repeated = both.duplicated(list(self.key), keep=False)
        if not repeated.any():
            return self.conform(both)
        groups = both[repeated].groupby(list(self.key), dropna=False, sort=False)
        readings = [c.name for c in self.columns if c.merge == "reading"]
        kept = [c for c in self.columns if c.name not in {*self.key, *readings}]
        how = {c.name: _union if c.merge == "union" else c.merge for c in kept}
        united = groups.agg(how).reset_index()
        if readings:
            readers = both.loc[repeated, READ_BY].fillna(-1).astype("int64")
            newest = readers.groupby(groups.ngroup()).idxmax()
            united[readings] = both.loc[newest, readings].set_axis(united.index)
        return self.conform(pd.concat([both[~repeated], united], ignore_index=True))


def _union(lists: Iterable[Iterable[str] | None]) -> list[str] | None:
    known = [items for items in lists if items is not None]
    return sorted({item for items in known for item in items}) if known else None


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """The same table with nullable integers and booleans, and dates as ``datetime.date``."""
    kinds = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    frame: pd.DataFrame = table.to_pandas(types_mapper=kinds.get)
    return frame


# The rules by which an event is linked to its user: that of logins and sessions, then those of commits.
USER_LINKS = ("keycloak_id", "noreply", "gitlab_address", "keycloak_address", "push", "address_hash")

DEPLOYMENT = Column("deployment", pa.string(), "Name of the RenkuLab deployment.", required=True)
EVENT_DAY = Column("event_day", pa.string(), "Day in UTC, YYYY-MM-DD.", required=True)
PULLED_AT = Column("pulled_at", TIMESTAMP, "When the row was first pulled.", required=True)
BY_DEPLOYMENT = ("deployment",)
BY_DAY = ("deployment", "event_day")

RAW_GITLAB_PROJECTS = Table(
    name="raw_gitlab_projects",
    folder="raw",
    description="Projects of the deployment's GitLab, those deleted since included. One row per project.",
    partitioned_by=BY_DEPLOYMENT,
    key=("deployment", "project_id"),
    columns=(
        DEPLOYMENT,
        Column("project_id", pa.int64(), "GitLab's id of the project.", required=True),
        Column("created_at", TIMESTAMP, "When the project was created.", required=True),
        Column("creator_id", pa.int64(), "GitLab user who created it.", merge="last"),
        Column("namespace_id", pa.int64(), "GitLab namespace it lives in.", merge="last"),
        Column("namespace_kind", pa.string(), "user or group.", merge="last"),
        Column("forked_from_id", pa.int64(), "Project it was forked from.", merge="last"),
        Column("visibility", pa.string(), "private, internal or public.", merge="last"),
        Column("archived", pa.bool_(), "Whether it is archived.", merge="last"),
        Column("last_activity_at", TIMESTAMP, "GitLab's last activity, at most an hour behind.", merge="last"),
        PULLED_AT,
    ),
)

RAW_GITLAB_USERS = Table(
    name="raw_gitlab_users",
    folder="raw",
    description="Users of the deployment's GitLab, blocked and deleted ones included. One row per user.",
    partitioned_by=BY_DEPLOYMENT,
    key=("deployment", "gitlab_user_id"),
    columns=(
        DEPLOYMENT,
        Column("gitlab_user_id", pa.int64(), "GitLab's id of the user.", required=True),
        Column("keycloak_id", pa.string(), "Keycloak id, from the user's identities.", merge="last"),
        Column(
            "address_hashes",
            STRINGS,
            "Keyed hashes of every confirmed email address the user was ever seen with.",
            required=True,
            merge="union",
        ),
        Column(
            "addresses_on",
            pa.string(),
            "Last day, YYYY-MM-DD, of which GitLab knew of anybody's activity when the user's secondary addresses were "
            "read; empty when it knew of none, missing until they are read.",
            merge="last",
        ),
        Column("bot", pa.bool_(), "Whether the account is a bot or an access token.", required=True, merge="last"),
        Column("state", pa.string(), "active, blocked, deactivated, ...", merge="last"),
        Column("created_at", TIMESTAMP, "When the account was created."),
        Column("last_activity_on", pa.string(), "Last day of activity, YYYY-MM-DD.", merge="last"),
        PULLED_AT,
    ),
)

RAW_KEYCLOAK_USERS = Table(
    name="raw_keycloak_users",
    folder="raw",
    description="Users of the deployment's Keycloak realm, disabled and deleted ones included. One row per user.",
    partitioned_by=BY_DEPLOYMENT,
    key=("deployment", "keycloak_id"),
    columns=(
        DEPLOYMENT,
        Column("keycloak_id", pa.string(), "Keycloak's id of the user.", required=True),
        Column(
            "address_hashes",
            STRINGS,
            "Keyed hashes of every email address the user was ever seen with.",
            required=True,
            merge="union",
        ),
        Column("enabled", pa.bool_(), "Whether the account is enabled.", merge="last"),
        Column("created_at", TIMESTAMP, "When the account was created."),
        PULLED_AT,
    ),
)


def _reading(name: str, kind: pa.DataType, description: str, *, required: bool = False) -> Column:
    return Column(name, kind, description, required, merge="reading")


RAW_GITLAB_COMMITS = Table(
    name="raw_gitlab_commits",
    folder="raw",
    description="Commits on any branch, in the file of the day they are dated. One row per project and commit.",
    partitioned_by=BY_DAY,
    key=("deployment", "event_day", "project_id", "sha"),
    columns=(
        DEPLOYMENT,
        EVENT_DAY,
        Column("project_id", pa.int64(), "GitLab's id of the project that holds the commit.", required=True),
        Column("sha", pa.string(), "Commit id.", required=True),
        Column(
            "dated_at",
            TIMESTAMP,
            "Committed date; the time of the pull that first saw the commit if that was earlier.",
            required=True,
        ),
        Column("parent_count", pa.int64(), "Number of parents: 0 a root, 2 and more a merge.", required=True),
        Column("author_address_hash", pa.string(), "Keyed hash of the author's email address.", required=True),
        Column(
            "author_address_kind",
            pa.string(),
            "personal, noreply (of this deployment), bot, or shared (empty and default addresses).",
            required=True,
            merge="reading",
        ),
        _reading("author_gitlab_id", pa.int64(), "GitLab user named by a noreply address of this deployment."),
        _reading("renku_surface", pa.string(), "cli or ui for a message made by renku, missing for any other."),
        _reading("renku_command", pa.string(), "Sub-command of a message made by renku, such as dataset create."),
        _reading("renku_options", STRINGS, "Names of the sub-command's own options, without values."),
        _reading("renku_helper", pa.string(), "What a helper commit of the renku CLI does, such as adding files."),
        _reading("renku_committer", pa.bool_(), "Whether renku itself is the committer.", required=True),
        _reading("autosave", pa.bool_(), "Whether the platform made it when a session stopped.", required=True),
        _reading(READ_BY, pa.int64(), "Version of the reader of address, message and committer."),
        Column("pusher_id", pa.int64(), "GitLab user of the push that brought the commit, where known."),
        Column("push_addresses", pa.int64(), "How many author addresses the commits of that push carry."),
        PULLED_AT,
    ),
)

RAW_GITLAB_PUSHES = Table(
    name="raw_gitlab_pushes",
    folder="raw",
    description="Push events of projects. One row per event.",
    partitioned_by=BY_DAY,
    key=("deployment", "event_day", "push_id"),
    columns=(
        DEPLOYMENT,
        EVENT_DAY,
        Column("push_id", pa.int64(), "GitLab's id of the event.", required=True),
        Column("project_id", pa.int64(), "GitLab's id of the project.", required=True),
        Column("gitlab_user_id", pa.int64(), "GitLab user who pushed; missing once the account is deleted."),
        Column("pushed_at", TIMESTAMP, "When GitLab received the push.", required=True),
        Column("action", pa.string(), "pushed, created or removed."),
        Column("ref_type", pa.string(), "branch or tag."),
        Column("commit_count", pa.int64(), "Number of commits GitLab counted in the push."),
        Column("commit_from", pa.string(), "Head before the push; missing for a new branch."),
        Column("commit_to", pa.string(), "Head after the push; missing for a removed branch."),
        PULLED_AT,
    ),
)

RAW_KEYCLOAK_LOGINS = Table(
    name="raw_keycloak_logins",
    folder="raw",
    description="LOGIN events of the Keycloak realm. One row per event; one login can make several.",
    partitioned_by=BY_DAY,
    key=("deployment", "event_day", "login_key"),
    columns=(
        DEPLOYMENT,
        EVENT_DAY,
        Column("login_key", pa.string(), "Keyed hash of the event's fields.", required=True),
        Column("occurred_at", TIMESTAMP, "Time of the event.", required=True),
        Column("keycloak_id", pa.string(), "Keycloak user who logged in."),
        Column("client_id", pa.string(), "OAuth client that was logged in to."),
        PULLED_AT,
    ),
)

RAW_AMALTHEA_SESSIONS = Table(
    name="raw_amalthea_sessions",
    folder="raw",
    description=(
        "Status changes of sessions from Amalthea's audit log. One row per change, in the file of the day of "
        "the change and, where another, also of the day the session was created."
    ),
    partitioned_by=BY_DAY,
    key=("deployment", "event_day", "namespace", "session_uid", "changed_at", "old_status", "status"),
    columns=(
        DEPLOYMENT,
        EVENT_DAY,
        Column("namespace", pa.string(), "Kubernetes namespace of the session."),
        Column("session_uid", pa.string(), "Kubernetes uid of the session.", required=True),
        Column("created_at", TIMESTAMP, "When the session was created.", required=True),
        Column("changed_at", TIMESTAMP, "When the status changed.", required=True),
        Column("old_status", pa.string(), "Status before; missing at the creation."),
        Column("status", pa.string(), "Status after."),
        Column("keycloak_id", pa.string(), "Keycloak user of the session; missing when anonymous or unlabelled."),
        Column("anonymous", pa.bool_(), "Whether the session belongs to an anonymous visitor.", required=True),
        Column("gitlab_project_id", pa.int64(), "GitLab project of the session."),
        Column("renku_project_id", pa.string(), "Renku 2.0 project (ULID) of the session."),
        PULLED_AT,
    ),
)

SourceKind = Literal["logins", "commits", "sessions"]
# Each event type with the kind of source that tells of it.
EVENT_TYPES: Mapping[str, SourceKind] = {
    "login": "logins",
    "commit": "commits",
    "dataset_created": "commits",
    "dataset_imported": "commits",
    "workflow_run": "commits",
    "session_started": "sessions",
    "session_resumed": "sessions",
}
SOURCES = tuple(dict.fromkeys(EVENT_TYPES.values()))

EVENTS = Table(
    name="events",
    description="What users did: the cleaned union of all raw tables. One row per thing one user did.",
    partitioned_by=BY_DAY,
    key=("deployment", "event_day", "event_key"),
    columns=(
        DEPLOYMENT,
        Column(
            "event_type",
            pa.string(),
            f"{', '.join(EVENT_TYPES)}.",
            required=True,
        ),
        Column("occurred_at", TIMESTAMP, "When it was done.", required=True),
        EVENT_DAY,
        Column(
            "user_id",
            pa.string(),
            "Keycloak id where known, else gitlab:<id>, else email:<keyed hash>; missing when nobody is known.",
        ),
        Column("user_link", pa.string(), "Rule that linked the event to the user."),
        Column("project_id", pa.string(), "gitlab:<id> or renku:<ULID>; missing for a login."),
        Column("source", pa.string(), "gitlab, keycloak or amalthea.", required=True),
        Column("event_key", pa.string(), "Unique within the deployment.", required=True),
    ),
)

USER_DAYS = Table(
    name="user_days",
    description="Who did what on which day, where. One row per distinct user, event type, project and link.",
    partitioned_by=BY_DAY,
    key=("deployment", "event_day", "event_type", "user_id", "project_id", "user_link"),
    columns=(
        DEPLOYMENT,
        EVENT_DAY,
        Column("event_type", pa.string(), "As in events.", required=True),
        Column("user_id", pa.string(), "As in events; events without a user are left out.", required=True),
        Column("project_id", pa.string(), "As in events."),
        Column("user_link", pa.string(), "As in events.", required=True),
    ),
)

RAW_TABLES = (
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_USERS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PUSHES,
    RAW_KEYCLOAK_LOGINS,
    RAW_AMALTHEA_SESSIONS,
)

PeriodKind = Literal["week", "month"]

_LINKED_BY = tuple(
    Column(
        f"linked_by_{rule}",
        pa.int64(),
        f"Active users whom the rule {rule} linked to an event; one whom several rules linked is in several.",
        required=True,
    )
    for rule in USER_LINKS
)


def active_users_table(kind: PeriodKind) -> Table:
    """The table of the denominator: one row, or none where nothing is published for the period."""
    return Table(
        name=f"active_users_{kind}ly",
        folder="metrics",
        description=f"Distinct users who logged in, committed or started a session in the {kind}.",
        partitioned_by=("deployment", kind),
        key=("deployment", kind),
        columns=(
            DEPLOYMENT,
            Column(kind, pa.string(), f"First day of the {kind}, YYYY-MM-DD.", required=True),
            Column("users", pa.int64(), "Distinct active users.", required=True),
            Column("unlinked_users", pa.int64(), "Those known by the hash of an email alone.", required=True),
            *_LINKED_BY,
            Column("definition", pa.string(), "Version of the definition.", required=True),
            Column("computed_at", TIMESTAMP, "When it was counted.", required=True),
        ),
    )


def core_action_table(core_action: str, description: str, kind: PeriodKind) -> Table:
    """The table of one core action: one row, or none where nothing is published for the period."""
    return Table(
        name=f"{core_action}_{kind}ly",
        folder="metrics",
        description=description,
        partitioned_by=("deployment", kind),
        key=("deployment", kind),
        columns=(
            DEPLOYMENT,
            Column(kind, pa.string(), f"First day of the {kind}, YYYY-MM-DD.", required=True),
            Column("users", pa.int64(), "Distinct users who did it at least once.", required=True),
            Column("definition", pa.string(), "Version of the definition.", required=True),
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
            DEPLOYMENT,
            Column("period", pa.string(), "2026-W47 or 2026-11.", required=True),
            Column("period_start", pa.date32(), "First day, inside.", required=True),
            Column("period_end", pa.date32(), "Last day, inside.", required=True),
            Column("core_action", pa.string(), "Key of the core action.", required=True),
            Column("users", pa.int64(), "Distinct users who did it at least once.", required=True),
            Column("active_users", pa.int64(), "The denominator.", required=True),
            Column(
                "share",
                pa.float64(),
                "users / active_users; 0 to 1 in every row that is complete; empty when nobody was active.",
            ),
            Column(
                "complete",
                pa.bool_(),
                "The period is over and every source it needs covers each of its days.",
                required=True,
            ),
            Column("missing", pa.string(), "Why it is not complete; empty when it is.", required=True),
            Column(
                "unlinked",
                pa.float64(),
                "Share of active_users known by the hash of an email alone; empty when nobody was active. Like "
                "complete and missing it says how much is known by now: it changes without a record in revisions.",
            ),
            Column(
                "definition",
                pa.string(),
                "Versions of the metric's and the denominator's definition.",
                required=True,
            ),
            Column("computed_at", TIMESTAMP, "When it was counted.", required=True),
        ),
    )


REVISIONS = Table(
    name="revisions",
    folder="published",
    description="Published numbers that changed. One row per change.",
    key=("deployment", "period", "core_action", "changed_at"),
    columns=(
        DEPLOYMENT,
        Column("period", pa.string(), "2026-W47 or 2026-11.", required=True),
        Column("core_action", pa.string(), "Key of the core action.", required=True),
        Column("users_before", pa.int64(), "Users as published before.", required=True),
        Column("users_after", pa.int64(), "Users as published now; empty where no longer published."),
        Column("active_users_before", pa.int64(), "Active users as published before.", required=True),
        Column("active_users_after", pa.int64(), "Active users as published now; empty where no longer published."),
        Column("definition_before", pa.string(), "Definitions as published before.", required=True),
        Column("definition_after", pa.string(), "Definitions as published now; empty where no longer published."),
        Column("changed_at", TIMESTAMP, "When the new number was published.", required=True),
        Column(
            "reason",
            pa.string(),
            "late facts (events learned later, who pushed them, or read anew by a corrected reader), people known "
            "since, new rules of events, erasure (several of these joined by and); or new definition, no longer "
            "published, published again with other numbers.",
            required=True,
        ),
    ),
)

COVERAGE = Table(
    name="coverage",
    folder="published",
    description=(
        "Of each published period: for how many of its days the pulls saw everything and it is counted, and how its "
        "active users are known. One row per deployment and period."
    ),
    key=("deployment", "period"),
    columns=(
        DEPLOYMENT,
        Column("period", pa.string(), "2026-W47 or 2026-11.", required=True),
        Column("period_start", pa.date32(), "First day, inside.", required=True),
        Column("period_end", pa.date32(), "Last day, inside.", required=True),
        Column("days", pa.int64(), "Days of the period.", required=True),
        *(
            Column(
                f"{source}_days",
                pa.int64(),
                f"Days of which all {source} are in the numbers; empty for a deployment without that source.",
            )
            for source in SOURCES
        ),
        Column("active_users", pa.int64(), "As in weekly and monthly.", required=True),
        *_LINKED_BY,
    ),
)
