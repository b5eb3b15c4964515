"""The simulated audit log against docs/sources/amalthea.md."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from renkulab.amalthea import Amalthea

NOON = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def messages(amalthea: Amalthea) -> list[dict[str, Any]]:
    lines = [line for content in amalthea.objects().values() for line in content.decode().splitlines()]
    return [json.loads(line)["message"] for line in lines]


def test_a_file_is_uploaded_by_the_first_record_after_a_day(tmp_path: Path) -> None:
    amalthea = Amalthea(tmp_path, NOON, "one.example")
    amalthea.start_session(NOON + HOUR, user_id="0001")
    amalthea.start_session(NOON + DAY - HOUR, user_id="0001")
    assert amalthea.objects() == {}
    amalthea.start_session(NOON + 3 * DAY, user_id="0001")
    assert list(amalthea.objects()) == ["amalthea_audit_log_20261116_120000+0000.txt"]
    amalthea.restart(NOON + 4 * DAY)
    assert list(amalthea.objects())[1:] == ["amalthea_audit_log_20261119_120000+0000.txt"]
    assert len(messages(amalthea)) == 6


def test_a_file_without_records_is_not_uploaded_and_a_crash_loses_one(tmp_path: Path) -> None:
    amalthea = Amalthea(tmp_path, NOON, "one.example")
    amalthea.restart(NOON + HOUR)
    amalthea.start_session(NOON + 2 * HOUR)
    amalthea.crash(NOON + 3 * HOUR)
    amalthea.restart(NOON + 4 * HOUR)
    assert amalthea.objects() == {}


def test_a_line_is_in_amaltheas_format(tmp_path: Path) -> None:
    amalthea = Amalthea(tmp_path, NOON, "one.example")
    session = amalthea.start_session(NOON, user_id="0001", gitlab_project_id=12)
    amalthea.restart(NOON + HOUR)
    [content] = amalthea.objects().values()
    first = content.decode().splitlines()[0]
    assert first.startswith('{"time":"2026-11-16T12:00:00+00:00", "message":{"name": ')
    message = json.loads(first)["message"]
    assert list(message) == [
        *("name", "namespace", "uid", "creation_timestamp", "resource_request", "image"),
        *("status", "old_status", "additional_labels"),
    ]
    assert message["uid"] == session.uid
    assert message["creation_timestamp"] == "2026-11-16T12:00:00+00:00"
    assert (message["status"], message["old_status"]) == ("starting", None)
    assert message["additional_labels"] == {"renku.io/userId": "0001", "renku.io/gitlabProjectId": "12"}


def test_the_log_names_nobody_unless_labels_are_listed(tmp_path: Path) -> None:
    amalthea = Amalthea(tmp_path, NOON, "one.example", labels=())
    amalthea.start_session(NOON, user_id="0001", gitlab_project_id=12)
    amalthea.restart(NOON + HOUR)
    assert [message["additional_labels"] for message in messages(amalthea)] == [{}, {}]


def test_an_anonymous_visitor_has_an_id_that_says_so(tmp_path: Path) -> None:
    amalthea = Amalthea(tmp_path, NOON, "one.example")
    session = amalthea.start_session(NOON)
    assert session.name.startswith("anon-")
    assert session.labels["renku.io/userId"].startswith("anon-")


def test_changes_of_status_carry_the_old_one(tmp_path: Path) -> None:
    amalthea = Amalthea(tmp_path, NOON, "one.example")
    session = amalthea.start_session(NOON, user_id="0001", lost=True)
    amalthea.change(session, "hibernated", NOON + HOUR, times=2)
    amalthea.change(session, "starting", NOON + 2 * HOUR)
    amalthea.restart(NOON + 3 * HOUR)
    assert [(message["old_status"], message["status"]) for message in messages(amalthea)] == [
        ("starting", "running"),
        ("running", "hibernated"),
        ("running", "hibernated"),
        ("hibernated", "starting"),
    ]
