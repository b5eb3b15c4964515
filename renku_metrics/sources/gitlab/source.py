"""GitLab as a source. It is a state: it tells only of commits that are still on a branch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import replace

from renku_metrics import user_ids
from renku_metrics.deployments import Deployment
from renku_metrics.events.union import from_commits
from renku_metrics.schema import Shape
from renku_metrics.shapes import COMMAND, DATE, HELPER, KEYED_HASH, NOTHING, NUMBER, OPTION, SHA, TIME, WORD, any_of
from renku_metrics.sources.budget import lock_of_gitlab
from renku_metrics.sources.gitlab.check import check_gitlab
from renku_metrics.sources.gitlab.client import GitLabClient
from renku_metrics.sources.gitlab.commits import Commit
from renku_metrics.sources.gitlab.cost import cost_of_pull
from renku_metrics.sources.gitlab.history import History
from renku_metrics.sources.gitlab.projects import pull_projects
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.gitlab.state import GitLabState
from renku_metrics.sources.gitlab.users import pull_users
from renku_metrics.sources.http import Say
from renku_metrics.sources.source import Batch, Harvest, Request, Source, Stored
from renku_metrics.tables import (
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_USERS,
)

BRANCH = Shape("the beginning of a keyed hash", r"[0-9a-f]{16}")


def _projects(request: Request) -> Iterator[Batch]:
    client = GitLabClient(request.deployment, say=request.say)
    rows = pull_projects(client, request.deployment, request.pulled_at)
    yield Batch({RAW_GITLAB_PROJECTS.name: rows}, facts={"requests": client.connection.requests_made})


def _users(request: Request) -> Iterator[Batch]:
    client = GitLabClient(request.deployment, say=request.say)
    yield from pull_users(client, request.deployment, request.book, request.stored(RAW_GITLAB_USERS), request.pulled_at)


def _history(request: Request) -> Iterator[Batch]:
    """Commits and the projects that they are in, and push events if they are wanted."""
    return History(
        GitLabClient(request.deployment, say=request.say),
        request.deployment,
        request.book,
        GitLabState.from_json(request.state),
        request.pulled_at,
        # A reconciliation always asks who pushed.
        with_pushes=request.whole or RAW_GITLAB_PUSHES.name in request.tables,
        anew=request.whole,
        say=request.say,
    ).batches()


def _plan(deployment: Deployment, state: bytes | None, stored: Stored, now: dt.datetime, say: Say) -> Iterator[str]:
    client = GitLabClient(deployment, say=say)
    cost = cost_of_pull(client, deployment, GitLabState.from_json(state), stored(RAW_GITLAB_USERS), now)
    return cost.lines(client.connection, f", for {cost.changed_projects:,} projects to read")


def _clear_state(content: bytes, is_erased: Callable[[str], bool]) -> tuple[bytes, int]:
    """The state without those commits of erased people that wait for their push event, and how many these were."""

    def theirs(commit: Commit) -> bool:
        users = [number for number in (commit.address.gitlab_user_id, commit.pusher_id) if number is not None]
        own_address = commit.address.kind != "shared" and is_erased(user_ids.of_address(commit.address.hash))
        return own_address or any(is_erased(user_ids.of_gitlab(number)) for number in users)

    state = GitLabState.from_json(content)
    projects = {
        number: replace(project, unpushed=[commit for commit in project.unpushed if not theirs(commit)])
        for number, project in state.projects.items()
    }
    before, after = (sum(len(project.unpushed) for project in known.values()) for known in (state.projects, projects))
    return (replace(state, projects=projects).to_json() if before > after else content), before - after


GITLAB = Source(
    name="gitlab",
    activity="commits",
    section=GitLab,
    harvests=(
        Harvest("raw_gitlab_projects", (RAW_GITLAB_PROJECTS,), _projects),
        Harvest("raw_gitlab_users", (RAW_GITLAB_USERS,), _users),
        # One pull brings both, because push events tell who pushed a commit.
        Harvest("raw_gitlab_history", (RAW_GITLAB_PUSHES, RAW_GITLAB_COMMITS), _history),
    ),
    events_from=(RAW_GITLAB_COMMITS, RAW_GITLAB_PROJECTS, RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS),
    events=from_commits,
    state_texts=any_of(NOTHING, NUMBER, WORD, TIME, DATE, KEYED_HASH, BRANCH, SHA, COMMAND, OPTION, HELPER),
    check=check_gitlab,
    plan=_plan,
    lock=lock_of_gitlab,
    reconciled=True,
    # Pulls run daily. One may fail, and the next one may wait for its turn.
    within=dt.timedelta(hours=54),
    clear_state=_clear_state,
)
