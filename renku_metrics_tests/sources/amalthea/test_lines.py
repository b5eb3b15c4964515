"""What a line of the audit log becomes, and which lines become nothing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from renku_metrics.object_storage import DirectoryStorage
from renku_metrics.periods import Span
from renku_metrics_tests.sources.amalthea.audit_logs import (
    ADA,
    PULLED_AT,
    SESSION,
    ULID,
    Bucket,
    line,
    log,
    name,
    one_row,
    pull,
    utc,
)
from renkulab.amalthea import Amalthea


def test_a_line_becomes_a_row_with_user_and_project() -> None:
    labels = {"renku.io/userId": ADA, "renku.io/gitlabProjectId": "1234", "renku.io/projectId": ULID}

    assert one_row(line("2026-11-02T09:12:45+00:00", labels)) == {
        "deployment": "lab",
        "month": "2026-11-01",
        "event_day": "2026-11-02",
        "namespace": "renku",
        "session_uid": SESSION,
        "created_at": pd.Timestamp("2026-11-02T09:12:44Z"),
        "changed_at": pd.Timestamp("2026-11-02T09:12:45Z"),
        "old_status": None,
        "status": "starting",
        "keycloak_id": ADA,
        "anonymous": False,
        "gitlab_project_id": 1234,
        "renku_project_id": ULID,
        "pulled_at": pd.Timestamp(PULLED_AT),
    }


@pytest.mark.parametrize(
    ("session", "labels", "keycloak_id", "anonymous"),
    [
        ("ada-1", {"renku.io/userId": ADA}, ADA, False),
        ("ada-1", {"renku.io/userId": "not a uuid"}, "not a uuid", False),
        ("anon-2dfoo-1", {"renku.io/userId": ADA}, ADA, False),
        ("ada-1", {"renku.io/userId": "anon-00ff"}, None, True),
        ("anon-2d00ff-1", {}, None, True),
        ("anon-00ff-1", {}, None, True),
        ("ada-1", {}, None, False),
        ("ada-1", {"renku.io/userId": ""}, None, False),
        ("ada-1", {"renku.io/safe-username": "ada"}, None, False),
    ],
)
def test_who_the_session_belongs_to(
    session: str, labels: dict[str, str], keycloak_id: str | None, *, anonymous: bool
) -> None:
    row = one_row(line("2026-11-02T10:00:00+00:00", labels, name=session))

    assert (row["keycloak_id"], row["anonymous"]) == (keycloak_id, anonymous)


@pytest.mark.parametrize(
    ("labels", "gitlab_project_id", "renku_project_id"),
    [
        ({"renku.io/gitlabProjectId": "7"}, 7, None),
        ({"renku.io/gitlabProjectId": "seven"}, None, None),
        ({"renku.io/gitlabProjectId": ""}, None, None),
        ({"renku.io/gitlabProjectId": "9" * 30}, None, None),
        ({"renku.io/projectId": ULID}, None, ULID),
        ({"renku.io/projectId": "group/secret-project"}, None, None),
    ],
)
def test_which_project_the_session_belongs_to(
    labels: dict[str, str], gitlab_project_id: int | None, renku_project_id: str | None
) -> None:
    row = one_row(line("2026-11-02T10:00:00+00:00", labels))

    assert (row["gitlab_project_id"], row["renku_project_id"]) == (gitlab_project_id, renku_project_id)


@pytest.mark.parametrize(
    ("time", "changed_at"),
    [
        ("2026-11-02T10:00:00+00:00", "2026-11-02T10:00:00Z"),
        ("2026-11-02T12:00:00+02:00", "2026-11-02T10:00:00Z"),
        ("2026-11-02T10:00:00Z", "2026-11-02T10:00:00Z"),
        ("2026-11-02T10:00:00.123987+00:00", "2026-11-02T10:00:00.123Z"),
        ("2026-11-02T10:00:00", "2026-11-02T10:00:00Z"),
    ],
)
def test_times_are_utc(time: str, changed_at: str) -> None:
    assert one_row(line(time))["changed_at"] == pd.Timestamp(changed_at)


def test_a_change_is_filed_under_its_day_and_the_day_of_the_creation() -> None:
    created = "2026-11-02T23:30:00+00:00"
    bucket = Bucket(
        {
            name("20261102_000000+0000"): log(
                line("2026-11-02T23:30:01+00:00", creation_timestamp=created),
                line("2026-11-04T08:00:00+00:00", creation_timestamp=created, old_status="running", status="stopping"),
            )
        }
    )

    rows, _, _ = pull(bucket)

    assert sorted(zip(rows["event_day"], rows["status"], strict=True)) == [
        ("2026-11-02", "starting"),
        ("2026-11-02", "stopping"),
        ("2026-11-04", "stopping"),
    ]


def test_lines_that_are_no_changes_of_a_session_are_counted() -> None:
    good = line("2026-11-02T10:00:00+00:00")
    content = (
        log(
            good,
            good,
            "",
            "no JSON",
            "[]",
            '"text"',
            '{"time": "2026-11-02T10:00:00+00:00"}',
            '{"message": {}}',
            line("yesterday"),
            line("2026-11-02T10:00:00+00:00", uid=None),
            line("2026-11-02T10:00:00+00:00", uid="ada-project"),
            line("2026-11-02T10:00:00+00:00", creation_timestamp=None),
            line("2026-11-02T10:00:00+00:00", additional_labels=None, status="unheard_of"),
        )
        + b'\xff\xfe\n{"time":"2026-11-02T10:00:0'
    )
    bucket = Bucket({name("20261102_000000+0000"): content})

    rows, state, [batch] = pull(bucket)

    assert sorted(rows["status"]) == ["starting", "unheard_of"]
    assert batch.facts == {
        "files_read": 1,
        "lines": 14,
        "unreadable_lines": 8,
        "without_session": 3,
        "without_user": 3,
        "duplicate_lines": 1,
    }
    assert [(file.lines, file.unreadable_lines) for file in state.files.values()] == [(14, 8)]


def test_lines_that_stand_twice_are_counted_once_each() -> None:
    first = line("2026-11-02T09:12:45+00:00")
    later = line("2026-11-03T09:12:45+00:00", status="running", old_status="starting")
    files = {
        name("20261102_000000+0000"): log(first, first, line("2026-11-02T09:12:46+00:00", status="running")),
        # The second begins with what the first one ended with; the day of creation has a row of it as well.
        name("20261103_000000+0000"): log(first, later, later),
    }
    rows, _, [batch] = pull(Bucket(files))
    assert (batch.facts["lines"], batch.facts["duplicate_lines"]) == (6, 3)
    assert len(rows) == 4


def test_nothing_personal_is_kept() -> None:
    row = one_row(line("2026-11-02T09:12:45+00:00", {"renku.io/username": "ada", "renku.io/projectName": "secret"}))

    kept = " ".join(str(value) for value in row.values())
    assert not any(word in kept for word in ("ada", "secret", "registry"))


def test_texts_of_another_form_are_left_out() -> None:
    row = one_row(line("2026-11-02T09:12:45+00:00", namespace="Ada's", status="stopped by ada", old_status="Ada"))

    assert (row["namespace"], row["status"], row["old_status"]) == (None, None, None)
    assert row["session_uid"] == SESSION


def test_sessions_of_a_simulated_operator_are_all_found(tmp_path: Path) -> None:
    operator = Amalthea(tmp_path, utc("2026-11-02T00:00:00"), "lab.example")
    ada = operator.start_session(utc("2026-11-02T09:00:00"), user_id=ADA, gitlab_project_id=7)
    anonymous = operator.start_session(utc("2026-11-02T10:00:00"))
    operator.change(ada, "hibernated", utc("2026-11-03T09:00:00"), times=2)
    operator.change(ada, "running", utc("2026-11-04T10:00:00"))
    lost = operator.start_session(utc("2026-11-05T12:00:00"), user_id=ADA, renku_project_id=ULID, lost=True)
    operator.restart(utc("2026-11-06T00:00:00"))
    operator.start_session(utc("2026-11-06T09:00:00"), user_id=ADA)

    rows, state, _ = pull(DirectoryStorage(tmp_path))

    who = rows[["session_uid", "created_at", "keycloak_id", "anonymous"]].drop_duplicates()
    assert {(uid, at, None if pd.isna(user) else user, anon) for uid, at, user, anon in who.to_numpy().tolist()} == {
        (ada.uid, pd.Timestamp(ada.created_at), ADA, False),
        (anonymous.uid, pd.Timestamp(anonymous.created_at), None, True),
        (lost.uid, pd.Timestamp(lost.created_at), ADA, False),
    }
    hibernated = rows[rows["status"] == "hibernated"]
    assert list(hibernated["event_day"]) == ["2026-11-02", "2026-11-03"]
    # The last file began with the restart of 5 November that its first record caused; it covers nothing yet.
    assert state.spans() == [Span(utc("2026-11-02"), utc("2026-11-05T12:01:00"))]
