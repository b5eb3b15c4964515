"""What sources really tell fits the shapes of the tables; what nobody thought of does not stop a pull."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from renku_metrics.periods import midnight
from renku_metrics.schema import Table
from renku_metrics.tables import (
    EVENTS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
)
from renku_metrics_tests.every_table import TABLES
from renku_metrics_tests.pipeline.kept_deployment import MONTHS, KeptDeployment, populated
from renku_metrics_tests.plain_rows import Row, plain
from renku_metrics_tests.present import YESTERDAY

NOON = midnight(YESTERDAY).replace(hour=12)
ODD = "Ada's own words"


def rows_of(kept: KeptDeployment, table: Table) -> list[Row]:
    places = [("lab", month) for month in MONTHS] if table.by_month else [("lab",)]
    return plain(kept.store.read(table, places))


def test_what_a_population_leaves_fits_and_fills_every_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with populated(str(tmp_path / "store"), tmp_path, monkeypatch) as kept:
        kept.bring_up_to_date()
        assert [line for line in kept.said if "left out" in line] == []
        for table in TABLES:
            places = kept.store.partitions(table, "lab") if table.partitioned_by else [()]
            rows = kept.store.read(table, places)
            table.check_shapes(table.typed(rows))
            if table.name not in ("revisions", "coverage"):
                assert len(rows)
        # The people have ids, addresses and projects, so that shapes were put to the test.
        assert {row["state"] for row in rows_of(kept, RAW_GITLAB_USERS)} >= {"active"}
        assert all(row["keycloak_id"] for row in rows_of(kept, RAW_KEYCLOAK_LOGINS))
        assert {row["user_link"] for row in rows_of(kept, USER_DAYS)} > {"keycloak_id", "gitlab_address"}
        assert len({row["event_type"] for row in rows_of(kept, EVENTS)}) > 4


def test_odd_values_do_not_stop_a_pull_and_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with populated(str(tmp_path / "store"), tmp_path, monkeypatch) as kept:
        gitlab, keycloak, amalthea = kept.lab.gitlab, kept.lab.keycloak, kept.lab.amalthea
        person = next(user for user in gitlab.users.values() if user.keycloak_id)
        person.state = ODD
        stranger = gitlab.add_user("eve", "eve@university.example", NOON, keycloak_id="f:1b2c:eve.of.the.directory")
        project = next(project for project in gitlab.projects.values() if project.repository)
        odd: Any = ODD
        project.visibility = odd
        project.namespace = dataclasses.replace(project.namespace, kind=odd)
        push = next(event for event in gitlab.events if event.project_id == project.id)
        gitlab.events[gitlab.events.index(push)] = dataclasses.replace(push, commit_from=ODD)

        login = keycloak.add_user("ada@university.example", NOON, user_id="ada.lovelace")
        keycloak.log_in(login, NOON, ("a client of Ada", "renku"))

        session = amalthea.start_session(NOON, user_id="ada.lovelace")
        session.namespace = "Ada-Lovelace"
        amalthea.change(session, odd, NOON.replace(minute=2))
        amalthea.restart(NOON.replace(minute=3))

        kept.bring_up_to_date()

        [blocked] = [row for row in rows_of(kept, RAW_GITLAB_USERS) if row["gitlab_user_id"] == person.id]
        assert (blocked["state"], blocked["keycloak_id"]) == (None, person.keycloak_id)
        [told] = [row for row in rows_of(kept, RAW_GITLAB_PROJECTS) if row["project_id"] == project.id]
        assert (told["visibility"], told["namespace_kind"], told["creator_id"]) == (None, None, project.creator_id)
        [pushed] = [row for row in rows_of(kept, RAW_GITLAB_PUSHES) if row["push_id"] == push.id]
        assert (pushed["commit_from"], pushed["commit_to"]) == (None, push.commit_to)

        # Ids that may be names are kept as hashes: the same of a person whatever source tells them.
        [ada] = {row["keycloak_id"] for row in rows_of(kept, RAW_KEYCLOAK_USERS)} - uuids(kept)
        logins = [row for row in rows_of(kept, RAW_KEYCLOAK_LOGINS) if row["keycloak_id"] == ada]
        assert [row["client_id"] for row in sorted(logins, key=lambda row: row["occurred_at"])] == [None, "renku"]
        sessions = [row for row in rows_of(kept, RAW_AMALTHEA_SESSIONS) if row["session_uid"] == session.uid]
        assert {row["keycloak_id"] for row in sessions} == {ada}
        assert [(row["namespace"], row["status"]) for row in sorted(sessions, key=lambda row: row["changed_at"])] == [
            ("renku", "starting"),
            ("renku", "running"),
            (None, None),
        ]
        [eve] = [row for row in rows_of(kept, RAW_GITLAB_USERS) if row["gitlab_user_id"] == stranger.id]
        assert len(eve["keycloak_id"]) == 64

        # What may be empty is left out, and told without the text. Projects come with both pulls of GitLab.
        assert {line.removeprefix("lab: gitlab: ") for line in kept.said if "left out" in line} == {
            "raw_gitlab_projects: 1 texts of namespace_kind are not one of user, group, and were left out",
            "raw_gitlab_projects: 1 texts of visibility are not one of private, internal, public, and were left out",
            "raw_gitlab_pushes: 1 texts of commit_from are not a commit id, and were left out",
            "raw_gitlab_users: 1 texts of state are not one lower case word, and were left out",
        }
        for text in (*kept.said, *kept.content().values()):
            assert [word for word in ("lovelace", "own words", "client of", "directory") if word in text.lower()] == []


def uuids(kept: KeptDeployment) -> set[str]:
    return {user.id for user in kept.lab.keycloak.users.values() if len(user.id) == 36}
