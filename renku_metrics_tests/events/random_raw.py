"""Random raw tables of a small deployment: few users, addresses, projects and days, so that everything collides."""

from __future__ import annotations

import datetime as dt

from hypothesis import strategies as st

from renku_metrics_tests.events.raw_rows import (
    Row,
    at,
    commit,
    gitlab_user,
    keycloak_user,
    login,
    project,
    session_lines,
)

# The last day of a month but one.
FIRST_DAY = at("2026-11-29")
ADDRESSES = ["ada", "bob", "eve", "lab"]
KEYCLOAK_IDS = ["k-1", "k-2", "k-3"]
ACTIONS: list[Row] = [
    {},
    {"renku_surface": "cli", "renku_command": "run"},
    {"renku_surface": "ui", "renku_command": "dataset create"},
    {"renku_surface": "cli", "renku_command": "dataset add", "renku_options": ["--create"]},
    {"renku_surface": "cli", "renku_helper": "migrated workflow"},
    {"autosave": True},
]
# Around midnight, where days and months meet.
TIMES = st.sampled_from(
    [0, 1, 86_398_999, 86_399_999, 86_400_000, 100_000_000, 2 * 86_400_000 - 1, 2 * 86_400_000, 2 * 86_400_000 + 7]
).map(lambda milliseconds: FIRST_DAY + dt.timedelta(milliseconds=milliseconds))
OPTIONAL_KEYCLOAK_ID = st.sampled_from([None, *KEYCLOAK_IDS])


def iso(time: dt.datetime) -> str:
    return time.replace(tzinfo=None).isoformat()


PROJECTS = st.lists(TIMES, min_size=3, max_size=3).map(
    lambda times: [project(number, iso(time)) for number, time in enumerate(times, start=1)]
)
GITLAB_USERS = st.lists(
    st.builds(
        lambda addresses, keycloak_id, bot: (addresses, keycloak_id, bot),
        st.lists(st.sampled_from(ADDRESSES), max_size=2),
        OPTIONAL_KEYCLOAK_ID,
        st.sampled_from([False, False, False, True]),
    ),
    max_size=3,
).map(
    lambda users: [
        gitlab_user(number, *addresses, keycloak_id=keycloak_id, bot=bot)
        for number, (addresses, keycloak_id, bot) in enumerate(users, start=1)
    ]
)
KEYCLOAK_USERS = st.lists(st.lists(st.sampled_from(ADDRESSES), max_size=2), max_size=3).map(
    lambda users: [
        keycloak_user(keycloak_id, *addresses) for keycloak_id, addresses in zip(KEYCLOAK_IDS, users, strict=False)
    ]
)


@st.composite
def commits(draw: st.DrawFn) -> list[Row]:
    """Commits that one to three of four projects hold, one of which is not listed; pushes differ by project."""
    rows = []
    for number in range(draw(st.integers(0, 5))):
        time = iso(draw(TIMES))
        kind = draw(st.sampled_from(["personal", "personal", "personal", "noreply", "bot", "shared"]))
        shared_by_copies = {
            "address": draw(st.sampled_from(ADDRESSES)),
            "author_address_kind": kind,
            "author_gitlab_id": draw(st.integers(1, 4)) if kind == "noreply" else None,
            **draw(st.sampled_from(ACTIONS)),
        }
        for project_id in draw(st.sets(st.integers(1, 4), min_size=1, max_size=3)):
            push: Row = {
                "pusher_id": draw(st.sampled_from([None, 1, 2, 4])),
                "push_addresses": draw(st.sampled_from([None, 1, 2])),
            }
            rows.append(commit(f"c{number}", time, project_id=project_id, **shared_by_copies, **push))
    return rows


@st.composite
def sessions(draw: st.DrawFn) -> list[Row]:
    """Lines of up to three sessions, some lost, some told twice."""
    states = [None, "starting", "running", "hibernated", "stopping"]
    lines: dict[tuple[object, ...], Row] = {}
    for uid in ("u", "v", "w")[: draw(st.integers(0, 3))]:
        created_at = draw(TIMES)
        for _ in range(draw(st.integers(1, 4))):
            changed_at = max(created_at, draw(TIMES))
            for line in session_lines(
                uid,
                iso(changed_at),
                draw(st.sampled_from(states)),
                draw(st.sampled_from(states[1:])),
                iso(created_at),
                draw(OPTIONAL_KEYCLOAK_ID),
                gitlab_project_id=draw(st.sampled_from([None, 1])),
                renku_project_id=draw(st.sampled_from([None, "01J"])),
            ):
                key = (line["event_day"], uid, line["changed_at"], line["old_status"], line["status"])
                lines[key] = line
    return list(lines.values())


@st.composite
def logins(draw: st.DrawFn) -> list[Row]:
    count = draw(st.integers(0, 3))
    return [login(f"l{number}", draw(OPTIONAL_KEYCLOAK_ID), iso(draw(TIMES))) for number in range(count)]


@st.composite
def raw_rows(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Rows by the names of ``raw_rows.raw``."""
    return {
        "commits": draw(commits()),
        "logins": draw(logins()),
        "sessions": draw(sessions()),
        "projects": draw(PROJECTS),
        "gitlab_users": draw(GITLAB_USERS),
        "keycloak_users": draw(KEYCLOAK_USERS),
    }
