"""The metric dictionary: every core action and the denominator, declared once.

Assets, tables, published rows and documents come from these declarations. A new core action is one more of them.
"""

from __future__ import annotations

from renku_metrics.metrics import gaps
from renku_metrics.metrics.definition import Change, CoreAction, Denominator, Example, Gap

FIRST = (Change("1", "2026-11-24", "First definition."),)
SHARE = "{key} / active_users of the same deployment and period; empty if nobody was active"

PEOPLE = ("users of private and public projects alike", "disabled and deleted users")
NOT_PEOPLE = ("bots and access tokens", "anonymous visitors")
NOT_WORK = (
    "autosaves of sessions",
    "the commits that `renku migrate` makes, one for each workflow",
    "imported history: commits older than every project that holds them",
    "the same commit a second time, in a fork or an import",
)
COMMIT_TIME = "committed date, UTC, or the time of the pull that first saw the commit if that was earlier"

ACTIVE_USERS = Denominator(
    key="active_users",
    name="Active users",
    sentence="Distinct users who logged in, made a commit or started a session.",
    who_counts=PEOPLE,
    does_not_count=(*NOT_PEOPLE, *NOT_WORK, "resuming a session"),
    event_types=("login", "commit", "session_started"),
    rule="Creating a dataset and running a workflow are commits, so they count too.",
    version="1",
    examples=(
        Example(True, {"table": "raw_keycloak_logins", "keycloak_id": "5f1b"}),
        Example(True, "fix: read the right column"),
        Example(
            True, {"table": "raw_amalthea_sessions", "old_status": None, "status": "starting", "keycloak_id": "5f1b"}
        ),
        Example(
            False,
            {"table": "raw_amalthea_sessions", "old_status": None, "status": "starting", "anonymous": True},
            "an anonymous session has no user",
        ),
    ),
    timestamp=f"login: time of the event; commit: {COMMIT_TIME}; session: its creation",
    gaps=(*gaps.OF_EVERYBODY, *gaps.OF_LOGINS, *gaps.OF_COMMITS, *gaps.OF_SESSIONS),
    changes=FIRST,
)

CONTRIBUTING_TO_A_PROJECT = CoreAction(
    key="contributing_to_a_project",
    name="Contributing to a project",
    area="Projects",
    sentence="Distinct users who made at least one commit to any project.",
    share=SHARE.format(key="contributing_to_a_project"),
    who_counts=(*PEOPLE, "the author of the commit, on any branch, merge commits included"),
    does_not_count=(*NOT_PEOPLE, *NOT_WORK),
    event_types=("commit",),
    rule="One commit is one event, in the oldest project that is not younger than the commit.",
    version="1",
    examples=(
        Example(True, "fix: read the right column"),
        Example(True, "renku dataset: committing 1 newly added files", "a helper commit of renku is a commit"),
        Example(True, "renkulab.io: init flights", "creating a project is a commit by its creator"),
        Example(False, "Auto-saving for ada on branch master from commit 1a2b3c4"),
        Example(False, "renku migrate: committing migrated workflow"),
    ),
    timestamp=COMMIT_TIME,
    gaps=(*gaps.OF_EVERYBODY, *gaps.OF_COMMITS),
    changes=FIRST,
)

CREATING_A_DATASET = CoreAction(
    key="creating_a_dataset",
    name="Creating a dataset",
    area="Datasets",
    sentence="Distinct users who created at least one dataset, on RenkuLab or with the renku CLI.",
    share=SHARE.format(key="creating_a_dataset"),
    who_counts=(*PEOPLE, "the author of the commit"),
    does_not_count=(*NOT_PEOPLE, *NOT_WORK, "importing, editing or adding to a dataset", "failed and dry runs"),
    event_types=("dataset_created",),
    rule="The message of the commit is that of `dataset create`, or of `dataset add` with --create or -c.",
    version="1",
    examples=(
        Example(True, "renku dataset create flights"),
        Example(True, "renku -S dataset create flights"),
        Example(True, "renkulab.io: dataset create flights"),
        Example(True, "service: dataset create flights"),
        Example(True, "renku dataset add --copy --create flights data.csv"),
        Example(True, "renku dataset add -c flights data.csv"),
        Example(False, "renku dataset add flights data.csv"),
        Example(False, "renku dataset edit -c ada flights", "-c is --creator here"),
        Example(False, "renku dataset import https://doi.org/10.5281/zenodo.1"),
        Example(False, "renku dataset: committing 1 newly added files"),
        Example(False, "create a dataset of flights", "somebody's own message"),
    ),
    timestamp=COMMIT_TIME,
    gaps=(*gaps.OF_EVERYBODY, *gaps.OF_COMMITS, *gaps.OF_MESSAGES, gaps.MESSAGE_CUT),
    changes=FIRST,
)

STARTING_A_SESSION = CoreAction(
    key="starting_a_session",
    name="Starting a session",
    area="Sessions",
    sentence="Distinct users who started at least one session on RenkuLab.",
    share=SHARE.format(key="starting_a_session"),
    who_counts=(*PEOPLE, "users whom Keycloak no longer knows", "sessions that failed to start"),
    does_not_count=(*NOT_PEOPLE, "resuming a session", "sessions without the label renku.io/userId"),
    event_types=("session_started",),
    rule="A session counts once, at its creation, even if the line that tells of it was lost.",
    version="1",
    examples=(
        Example(
            True, {"table": "raw_amalthea_sessions", "old_status": None, "status": "starting", "keycloak_id": "5f1b"}
        ),
        Example(
            True,
            {"table": "raw_amalthea_sessions", "old_status": "starting", "status": "running", "keycloak_id": "5f1b"},
            "the first line was lost",
        ),
        Example(
            False,
            {"table": "raw_amalthea_sessions", "old_status": None, "status": "starting", "anonymous": True},
        ),
    ),
    timestamp="creation of the session, UTC",
    gaps=(*gaps.OF_EVERYBODY, *gaps.OF_SESSIONS),
    changes=FIRST,
)

RUNNING_A_WORKFLOW = CoreAction(
    key="running_a_workflow",
    name="Running a workflow",
    area="Workflows",
    sentence="Distinct users who ran at least one workflow with the renku CLI.",
    share=SHARE.format(key="running_a_workflow"),
    who_counts=(*PEOPLE, "the author of the commit"),
    does_not_count=(*NOT_PEOPLE, *NOT_WORK, "composing, editing or reverting a workflow", "failed and dry runs"),
    event_types=("workflow_run",),
    rule="The message of the commit is that of `run`, `rerun`, `update`, `workflow execute` or `workflow iterate`.",
    version="1",
    examples=(
        Example(True, "renku run -- python train.py"),
        Example(True, "renku --disable-version-check run python train.py"),
        Example(True, "python -m renku.cli rerun figures/map.png"),
        Example(True, "renku update --all"),
        Example(True, "renku workflow execute train"),
        Example(True, "renku workflow iterate --map n=[1,2] train"),
        Example(False, "renku workflow compose pipeline train plot"),
        Example(False, "renku run: committing 1 newly added files", "a helper commit of renku"),
        Example(False, "v1.2: update figures", "somebody's own message: the UI never runs workflows"),
    ),
    timestamp=COMMIT_TIME,
    gaps=(
        *gaps.OF_EVERYBODY,
        *gaps.OF_COMMITS,
        *gaps.OF_MESSAGES,
        # docs/sources/renku-commits.md#runs-without-a-commit
        Gap("Runs with --skip-metadata-update (renku 1.6 and later) make no commit.", "under"),
    ),
    changes=FIRST,
)

CORE_ACTIONS = (CONTRIBUTING_TO_A_PROJECT, CREATING_A_DATASET, STARTING_A_SESSION, RUNNING_A_WORKFLOW)
