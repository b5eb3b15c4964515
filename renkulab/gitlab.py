"""What a simulated GitLab holds: users, tokens, projects and push events, and what people do to them.

Every deed gets its time. Deeds on one project must come in the order of time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from renkulab.clock import Clock
from renkulab.git import Repository
from renkulab.gitlab_merged import MergedBranches

Visibility = Literal["private", "internal", "public"]
# docs/sources/gitlab.md#activity-is-an-hour-late
ACTIVITY_INTERVAL = dt.timedelta(hours=1)
# docs/sources/gitlab.md#a-push-of-many-branches-is-one-event
BULK_PUSH_LIMIT = 3


@dataclass
class Address:
    id: int
    email: str
    confirmed_at: dt.datetime | None


@dataclass
class User:
    id: int
    username: str
    email: str
    created_at: dt.datetime
    keycloak_id: str | None = None
    commit_email: str | None = None
    public_email: str | None = None
    confirmed_at: dt.datetime | None = None
    is_admin: bool = False
    bot: bool = False
    state: str = "active"
    emails: list[Address] = field(default_factory=list)
    last_activity_on: dt.date | None = None


@dataclass(frozen=True)
class Namespace:
    id: int
    path: str
    kind: Literal["user", "group"]


@dataclass
class Token:
    id: int
    user_id: int
    scopes: tuple[str, ...]
    expires_on: dt.date | None = None
    revoked: bool = False


@dataclass
class Project:
    """``repository`` is None if nothing was ever pushed. Then the server answers 404 for it."""

    id: int
    path: str
    namespace: Namespace
    creator_id: int
    created_at: dt.datetime
    last_activity_at: dt.datetime
    visibility: Visibility
    repository: Repository | None
    default_branch: str = "master"
    forked_from_id: int | None = None
    archived: bool = False
    repository_enabled: bool = True
    deleted: bool = False

    @property
    def path_with_namespace(self) -> str:
        return f"{self.namespace.path}/{self.path}"


@dataclass(frozen=True)
class PushEvent:
    id: int
    project_id: int
    author_id: int
    created_at: dt.datetime
    action: Literal["pushed", "created", "removed"]
    commit_count: int
    commit_from: str | None
    commit_to: str | None
    ref: str | None
    commit_title: str | None
    ref_count: int | None = None


class GitLab:
    """The state of one GitLab and the deeds that change it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.version: tuple[int, int, int] = (16, 11, 0)
        # The address in the server's configuration. Its Link headers point there, even if another address was asked.
        self.external_url = "http://gitlab.example"
        # docs/sources/gitlab.md#admin-mode-hides-too
        self.admin_mode = False
        # docs/sources/gitlab.md#a-disabled-repository
        self.disabled_repository_status: Literal[403, 404] = 403
        # GitLab's feature flag, which is off by default: pages branches by key if the request asks for it.
        self.branch_list_keyset_pagination = False
        self.merged_branches = MergedBranches(clock)
        self.event_retention = dt.timedelta(days=3 * 365)
        self.users: dict[int, User] = {}
        self.projects: dict[int, Project] = {}
        self.events: list[PushEvent] = []
        self.tokens: dict[str, Token] = {}
        self._last_id = 0

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    # People

    def add_user(
        self,
        username: str,
        email: str,
        at: dt.datetime,
        *,
        keycloak_id: str | None = None,
        confirmed: bool = True,
        is_admin: bool = False,
        bot: bool = False,
    ) -> User:
        user = User(self._next_id(), username, email, at, keycloak_id=keycloak_id, is_admin=is_admin, bot=bot)
        user.confirmed_at = at if confirmed else None
        self.users[user.id] = user
        return user

    def add_email(self, user: User, email: str, at: dt.datetime, *, confirmed: bool = True) -> None:
        """A secondary address."""
        user.emails.append(Address(self._next_id(), email, at if confirmed else None))

    def add_project_bot(self, project: Project, host: str, at: dt.datetime) -> User:
        """The user that comes with a project access token."""
        username = f"project_{project.id}_bot_{self._last_id:x}"
        return self.add_user(username, f"{username}@noreply.{host}", at, bot=True)

    def delete_user(self, user: User) -> None:
        """Deletes the account. Its push events stay, without an author."""
        del self.users[user.id]

    def add_token(
        self, value: str, user: User, scopes: Sequence[str] = ("read_api",), expires_on: dt.date | None = None
    ) -> Token:
        token = Token(self._next_id(), user.id, tuple(scopes), expires_on)
        self.tokens[value] = token
        return token

    # Projects

    def personal_namespace(self, user: User) -> Namespace:
        return Namespace(1_000_000 + user.id, user.username, "user")

    def add_group(self, path: str) -> Namespace:
        return Namespace(self._next_id(), path, "group")

    def create_project(
        self,
        path: str,
        namespace: Namespace,
        creator: User,
        at: dt.datetime,
        *,
        visibility: Visibility = "private",
        repository: Repository | None = None,
        default_branch: str = "master",
        forked_from_id: int | None = None,
    ) -> Project:
        """A new project. An imported one brings its repository, and no push event tells of its commits."""
        project = Project(
            self._next_id(), path, namespace, creator.id, at, at, visibility, repository, default_branch, forked_from_id
        )
        self.projects[project.id] = project
        return project

    def fork(self, project: Project, namespace: Namespace, creator: User, at: dt.datetime) -> Project:
        """A copy with the same commits, under another id."""
        return self.create_project(
            project.path,
            namespace,
            creator,
            at,
            visibility=project.visibility,
            repository=project.repository.copy() if project.repository else None,
            default_branch=project.default_branch,
            forked_from_id=project.id,
        )

    def transfer(self, project: Project, namespace: Namespace) -> None:
        project.namespace = namespace

    def delete_project(self, project: Project) -> None:
        project.deleted = True

    def restore_project(self, project: Project) -> None:
        project.deleted = False

    # Pushes

    def push(
        self, project: Project, pusher: User, heads: dict[str, str | None], at: dt.datetime, *, quiet: bool = False
    ) -> list[PushEvent]:
        """Moves branches to commits that the repository already holds; None removes the branch.

        Every move is accepted. To an older or unrelated commit it is a force push; the old commits stay until
        ``Repository.collect_garbage``. ``quiet`` leaves no event and no activity, like a mirror or a lost event.
        """
        if project.repository is None:
            raise ValueError("the project has no repository; set one first")
        events = [self._move(project, pusher, branch, head, at) for branch, head in heads.items()]
        if quiet:
            return []
        if len(events) > BULK_PUSH_LIMIT:
            events = [
                replace(
                    events[0],
                    commit_count=0,
                    commit_from=None,
                    commit_to=None,
                    ref=None,
                    commit_title=None,
                    ref_count=len(events),
                )
            ]
        self.events.extend(events)
        pusher.last_activity_on = at.date()
        if at - project.last_activity_at >= ACTIVITY_INTERVAL:
            project.last_activity_at = at
        return events

    def _move(self, project: Project, pusher: User, branch: str, head: str | None, at: dt.datetime) -> PushEvent:
        repository = project.repository
        assert repository is not None
        old = repository.branches.get(branch)
        if old is None or head is None:
            self.merged_branches.forget(project.id)
        if head is None:
            repository.delete_branch(branch)
            return PushEvent(self._next_id(), project.id, pusher.id, at, "removed", 0, old, None, branch, None)
        known = old or repository.branches.get(project.default_branch)
        new = repository.log([head], without=[known] if known else [])
        repository.move(branch, head)
        title = repository.commits[head].message.partition("\n")[0][:70]
        action: Literal["pushed", "created"] = "pushed" if old else "created"
        return PushEvent(self._next_id(), project.id, pusher.id, at, action, len(new), old, head, branch, title)
