"""The files of the audit log: each is read once, and what time they cover."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import boto3
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renku_metrics.errors import SourceError
from renku_metrics.merging import merge
from renku_metrics.object_storage import DirectoryStorage, open_storage
from renku_metrics.periods import Span
from renku_metrics.sources.amalthea import audit_log as amalthea
from renku_metrics.sources.amalthea.audit_log import FilesRead, pull_sessions
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS
from renku_metrics_tests.sources.amalthea.audit_logs import (
    DEPLOYMENT,
    PULLED_AT,
    SESSION,
    Bucket,
    days_files,
    line,
    log,
    name,
    pull,
    utc,
)


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
    keys += [f"a folder/of@x/{name('20261104_000000')}", f"a\nb/{name('20261105_000000')}"]
    bucket = Bucket(dict.fromkeys([*keys, "readme.txt", "other/log.json"], text))

    _, state, _ = pull(bucket)

    assert set(state.files) == set(bucket.reads) == set(keys)


# The second is in the year before the first one of the calendar.
@pytest.mark.parametrize("start", ["latest", "00010101_000000+2359"])
def test_a_file_whose_name_holds_no_time_is_noted(start: str) -> None:
    _, state, [batch] = pull(Bucket({name(start): log(line("2026-11-02T10:00:00Z"))}))

    assert not state.files
    assert batch.notes[1] == "1 files named amalthea_audit_log_….txt were left out: their names hold no time"


def test_days_before_the_deployment_began_are_left_out_and_read_once_it_begins_earlier() -> None:
    text = line("2026-01-02T08:00:00+00:00", creation_timestamp="2025-12-31T08:00:00+00:00")
    bucket = Bucket({name("20251231_000000+0000"): log(text)})

    rows, state, _ = pull(bucket)
    assert list(rows["event_day"]) == ["2026-01-02"]

    rows, _, _ = pull(bucket, state, DEPLOYMENT.model_copy(update={"start": dt.date(2025, 12, 1)}))
    assert list(rows["event_day"]) == ["2025-12-31", "2026-01-02"]


def test_no_file_at_all_is_noted(tmp_path: Path) -> None:
    rows, state, [batch] = pull(DirectoryStorage(tmp_path))

    assert (len(rows), state.spans()) == (0, [])
    assert batch.notes == ["0 files read, 0 left", f"no amalthea_audit_log_….txt was found at {tmp_path}"]


def test_no_file_readable_at_all_stops_the_pull() -> None:
    bucket = Bucket(days_files(1, 2))
    bucket.refused = set(bucket.objects)

    with pytest.raises(SourceError, match=r"^lab: amalthea: no file .*20261101_000000\+0000\.txt: access denied$"):
        pull(bucket)


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


# What time they cover


def test_a_file_covers_the_time_up_to_the_next_one() -> None:
    _, state, _ = pull(Bucket(days_files(1, 2, 5)))

    assert state.spans() == [Span(utc("2026-11-01"), utc("2026-11-05"))]


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


def test_one_file_alone_covers_nothing_yet() -> None:
    _, state, _ = pull(Bucket(days_files(1)))

    assert state.spans() == []


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
