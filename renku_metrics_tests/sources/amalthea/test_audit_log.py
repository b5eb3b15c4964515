"""The audit log: every file once, every session, and what time was really seen."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError, StoreError
from renku_metrics.object_storage import DirectoryStorage, ObjectInfo, ObjectStorage, open_storage
from renku_metrics.periods import Span
from renku_metrics.sources.amalthea import audit_log as amalthea
from renku_metrics.sources.amalthea.audit_log import FilesRead, pull_sessions
from renku_metrics.sources.source import Batch
from renku_metrics.store.merging import merge
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS
from renkulab.amalthea import Amalthea

ADA = "5f1b2c3d-0000-4000-8000-000000000001"
ULID = "01HZX2K3M4N5P6Q7R8S9T0V1W2"
SESSION = "8f1a2b3c-0000-4000-8000-000000000001"
PULLED_AT = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
DEPLOYMENT = Deployment(name="lab", title="Lab", start=dt.date(2026, 1, 1))


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


class Bucket:
    """Objects in memory; those in ``refused`` cannot be read."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}
        self.refused: set[str] = set()
        self.reads: Counter[str] = Counter()

    def address(self, key: str = "") -> str:
        return f"s3://bucket/{key}"

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        for key, content in sorted(self.objects.items()):
            yield ObjectInfo(key, len(content), str(hash(content)))

    def read(self, key: str) -> bytes:
        self.reads[key] += 1
        if key in self.refused:
            raise StoreError(f"{self.address(key)}: access denied")
        return self.objects[key]

    def read_versioned(self, key: str) -> tuple[bytes, str]:
        raise AssertionError("a source replaces nothing")

    def replace(self, key: str, content: bytes, version: str | None) -> str:
        raise AssertionError("a source replaces nothing")

    def write(self, key: str, content: bytes) -> None:
        raise AssertionError("a source writes nothing")

    def delete(self, key: str) -> None:
        raise AssertionError("a source deletes nothing")

    def alone(self, name: str) -> AbstractContextManager[ObjectStorage]:
        raise AssertionError("a source locks nothing")


def line(time: str, labels: dict[str, str] | None = None, **message: Any) -> str:
    filled = {
        "name": "ada-project-8f1a2b3c",
        "namespace": "renku",
        "uid": SESSION,
        "creation_timestamp": "2026-11-02T09:12:44+00:00",
        "image": "registry.example/ada/secret-project:8f1a2b3",
        "status": "starting",
        "old_status": None,
        "additional_labels": labels or {},
    } | message
    return json.dumps({"time": time, "message": filled})


def log(*lines: str) -> bytes:
    return "".join(f"{text}\n" for text in lines).encode()


def name(start: str) -> str:
    return f"amalthea_audit_log_{start}.txt"


def pull(
    bucket: Any, state: FilesRead | None = None, deployment: Deployment = DEPLOYMENT
) -> tuple[pd.DataFrame, FilesRead, list[Batch]]:
    """Everything a pull brings, merged as the store does it, and the state as it comes back from the store."""
    batches = list(pull_sessions(bucket, deployment, state or FilesRead(), PULLED_AT))
    merged = RAW_AMALTHEA_SESSIONS.frame()
    for batch in batches:
        merged = merge(RAW_AMALTHEA_SESSIONS, merged, batch.rows[RAW_AMALTHEA_SESSIONS.name])
    return merged, FilesRead.from_json(batches[-1].state), batches


def one_row(text: str) -> dict[str, Any]:
    rows, _, _ = pull(Bucket({name("20261102_000000+0000"): log(text)}))
    assert len(rows) == 1
    return {str(key): None if pd.isna(value) else value for key, value in rows.iloc[0].to_dict().items()}


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


def test_days_before_the_deployment_began_are_left_out_and_read_once_it_begins_earlier() -> None:
    text = line("2026-01-02T08:00:00+00:00", creation_timestamp="2025-12-31T08:00:00+00:00")
    bucket = Bucket({name("20251231_000000+0000"): log(text)})

    rows, state, _ = pull(bucket)
    assert list(rows["event_day"]) == ["2026-01-02"]

    rows, _, _ = pull(bucket, state, DEPLOYMENT.model_copy(update={"start": dt.date(2025, 12, 1)}))
    assert list(rows["event_day"]) == ["2025-12-31", "2026-01-02"]


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


def test_nothing_personal_is_kept() -> None:
    row = one_row(line("2026-11-02T09:12:45+00:00", {"renku.io/username": "ada", "renku.io/projectName": "secret"}))

    kept = " ".join(str(value) for value in row.values())
    assert not any(word in kept for word in ("ada", "secret", "registry"))


def test_texts_of_another_form_are_left_out() -> None:
    row = one_row(line("2026-11-02T09:12:45+00:00", namespace="Ada's", status="stopped by ada", old_status="Ada"))

    assert (row["namespace"], row["status"], row["old_status"]) == (None, None, None)
    assert row["session_uid"] == SESSION


def test_each_file_is_read_once_and_again_only_when_it_changed() -> None:
    first, second = name("20261101_000000+0000"), name("20261102_000000+0000")
    bucket = Bucket({first: log(line("2026-11-01T10:00:00Z")), second: log(line("2026-11-02T10:00:00Z"))})

    _, state, [batch] = pull(bucket)
    assert batch.facts["files_read"] == 2
    rows, state, [batch] = pull(bucket, state)
    assert (len(rows), batch.facts["files_read"]) == (0, 0)
    assert bucket.reads == {first: 1, second: 1}

    bucket.objects[second] += log(line("2026-11-02T11:00:00Z", old_status="starting", status="running"))
    rows, _, _ = pull(bucket, state)
    assert bucket.reads == {first: 1, second: 2}
    assert sorted(rows["status"]) == ["running", "starting"]


def test_files_are_found_below_prefixes_and_others_are_left_alone() -> None:
    text = log(line("2026-11-02T10:00:00Z"))
    keys = [f"2026/11/{name('20261102_000000+0000')}", f"/{name('20261101_000000+0000')}", name("20261103_000000")]
    bucket = Bucket(dict.fromkeys([*keys, "readme.txt", "other/log.json"], text))

    _, state, _ = pull(bucket)

    assert set(state.files) == set(bucket.reads) == set(keys)


# The second is in the year before the first one of the calendar.
@pytest.mark.parametrize("start", ["latest", "00010101_000000+2359"])
def test_a_file_whose_name_holds_no_time_is_noted(start: str) -> None:
    _, state, [batch] = pull(Bucket({name(start): log(line("2026-11-02T10:00:00Z"))}))

    assert not state.files
    assert batch.notes[1] == "1 files named amalthea_audit_log_….txt were left out: their names hold no time"


def days_files(*days: int, content: bytes = b"") -> dict[str, bytes]:
    return {name(f"202611{day:02}_000000+0000"): content or log(line(f"2026-11-{day:02}T10:00:00Z")) for day in days}


def test_a_file_covers_the_time_up_to_the_next_one() -> None:
    _, state, _ = pull(Bucket(days_files(1, 2, 5)))

    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-05"))]


def test_one_file_alone_covers_nothing_yet() -> None:
    _, state, _ = pull(Bucket(days_files(1)))

    assert state.spans() == []


def test_a_file_with_an_unreadable_line_is_a_hole() -> None:
    _, state, _ = pull(Bucket(days_files(1, 2, 4) | days_files(3, content=b"cut of")))

    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-03"))]


def test_a_file_that_cannot_be_read_is_a_hole_until_it_is() -> None:
    bucket = Bucket(days_files(1, 2, 3, 4))
    bucket.refused = {name("20261102_000000+0000")}

    rows, state, [batch] = pull(bucket)

    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-02")), Span(utc("2026-11-03"), utc("2026-11-04"))]
    assert sorted(set(rows["event_day"])) == ["2026-11-01", "2026-11-02", "2026-11-03", "2026-11-04"]
    assert len(rows[rows["changed_at"] == utc("2026-11-02T10:00:00")]) == 0
    assert batch.notes == [
        "3 files read, 0 left",
        f"1 files could not be read, such as s3://bucket/{name('20261102_000000+0000')}: access denied",
    ]

    bucket.refused = set()
    rows, state, _ = pull(bucket, state)
    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-04"))]
    assert set(rows["changed_at"]) == {pd.Timestamp("2026-11-02T10:00:00Z")}


def test_files_that_leave_the_bucket_keep_their_time() -> None:
    bucket = Bucket(days_files(1, 2, 3))
    _, state, _ = pull(bucket)

    bucket.objects = days_files(4)
    _, state, _ = pull(bucket, state)

    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-04"))]


def test_a_pull_ended_early_covers_only_what_it_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(amalthea, "FILES_A_BATCH", 2)

    first = next(pull_sessions(Bucket(days_files(1, 2, 3, 4, 5)), DEPLOYMENT, FilesRead(), PULLED_AT))

    assert (first.facts["files_read"], first.notes) == (2, ["2 files read, 3 left"])
    assert first.seen == FilesRead.from_json(first.state).spans() == [Span(utc("2026-11-01"), utc("2026-11-03"))]


def test_no_file_at_all_is_noted(tmp_path: Path) -> None:
    rows, state, [batch] = pull(DirectoryStorage(tmp_path))

    assert (len(rows), state.spans()) == (0, [])
    assert batch.notes == ["0 files read, 0 left", f"no amalthea_audit_log_….txt was found at {tmp_path}"]


def test_no_file_readable_at_all_stops_the_pull() -> None:
    bucket = Bucket(days_files(1, 2))
    bucket.refused = set(bucket.objects)

    with pytest.raises(SourceError, match=r"^lab: amalthea: no file .*20261101_000000\+0000\.txt: access denied$"):
        pull(bucket)


@settings(max_examples=25, deadline=None)
@given(
    lines=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 47), st.sampled_from(["starting", "running"])), max_size=12
    ),
    cuts=st.lists(st.integers(0, 3), min_size=12, max_size=12),
    order=st.permutations(range(4)),
    together=st.integers(1, 4),
)
def test_the_order_and_the_number_of_pulls_do_not_matter(
    lines: list[tuple[int, int, str]], cuts: list[int], order: list[int], together: int
) -> None:
    files: dict[str, bytes] = {name(f"202611{day:02}_000000+0000"): b"" for day in range(1, 5)}
    for (session, hour, status), file in zip(lines, cuts, strict=False):
        time = (utc("2026-11-01") + dt.timedelta(hours=hour)).isoformat()
        files[name(f"202611{file + 1:02}_000000+0000")] += log(
            line(time, uid=f"{SESSION[:-1]}{session}", status=status)
        )
    at_once, _, _ = pull(Bucket(files))

    keys = sorted(files)
    merged, state, bucket = RAW_AMALTHEA_SESSIONS.frame(), FilesRead(), Bucket()
    for place in range(0, 4, together):
        bucket.objects |= {keys[index]: files[keys[index]] for index in order[place : place + together]}
        rows, state, _ = pull(bucket, state)
        merged = merge(RAW_AMALTHEA_SESSIONS, merged, rows)

    pd.testing.assert_frame_equal(merged, at_once)
    assert len(merged) == len(set(merged[list(RAW_AMALTHEA_SESSIONS.key)].itertuples(index=False, name=None)))
    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-04"))]


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


def test_files_in_a_bucket_without_prefix_are_read(bucket: str) -> None:
    for key, content in days_files(1, 2).items():
        # With an empty pathPrefix Amalthea begins the key with a slash.
        boto3.client("s3").put_object(Bucket=bucket, Key=f"/{key}", Body=content)

    rows, state, _ = pull(open_storage(f"s3://{bucket}"))

    assert set(rows["changed_at"]) == {pd.Timestamp("2026-11-01T10:00:00Z"), pd.Timestamp("2026-11-02T10:00:00Z")}
    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-02"))]


def test_a_bucket_that_does_not_exist_is_named(s3_environment: str) -> None:
    with pytest.raises(SourceError, match=r"^lab: amalthea: audit_log: s3://nowhere/logs/: there is no bucket nowhere"):
        pull(open_storage("s3://nowhere/logs", s3_environment))
