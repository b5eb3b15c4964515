"""Session status changes from the audit log that Amalthea writes to an object store.

The log's form and its traps: docs/sources/amalthea.md#files.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import orjson
import pandas as pd

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError, StoreError
from renku_metrics.merging import merge
from renku_metrics.object_storage import ObjectStorage
from renku_metrics.periods import Span
from renku_metrics.sources.amalthea.lines import Lines, read_lines, utc
from renku_metrics.sources.source import Batch
from renku_metrics.tables import RAW_AMALTHEA_SESSIONS

PARALLEL_READS = 8
FILES_A_BATCH = 200
LINES_A_BATCH = 100_000

AUDIT_LOG = re.compile(r"(?:.*/)?amalthea_audit_log_(?P<start>.*)\.txt", re.DOTALL)


@dataclass(frozen=True)
class FileRead:
    """One file of the audit log. ``version``: a hash of the server's; empty if the file was never read."""

    start: dt.datetime
    version: str = ""
    lines: int = 0
    unreadable_lines: int = 0

    @property
    def complete(self) -> bool:
        return bool(self.version) and not self.unreadable_lines


@dataclass(frozen=True)
class FilesRead:
    """All files of the audit log that were ever seen, by key, also those that have left the bucket since.

    ``first_day``: the earliest day whose lines were kept.
    """

    files: Mapping[str, FileRead] = field(default_factory=dict)
    first_day: dt.date = dt.date.max

    def spans(self) -> list[Span]:
        """The time (UTC) that the files cover: each file from its start to the start of the next one.

        The newest file covers nothing yet, because its end is not known. A file that is not wholly readable covers
        nothing (docs/sources/amalthea.md#a-file-ends-where-the-next-begins).
        """
        complete: dict[dt.datetime, bool] = {}
        for file in sorted(self.files.values(), key=lambda file: file.start):
            complete[file.start] = complete.get(file.start, True) and file.complete
        spans: list[Span] = []
        for start, end in itertools.pairwise(complete):
            if complete[start]:
                joined = spans.pop().start if spans and spans[-1].end == start else start
                spans.append(Span(joined, end))
        return spans

    def to_json(self) -> bytes:
        files = {
            key: [file.start.isoformat(), file.version, file.lines, file.unreadable_lines]
            for key, file in sorted(self.files.items())
        }
        return orjson.dumps({"first_day": self.first_day, "files": files})

    @classmethod
    def from_json(cls, content: bytes | None) -> FilesRead:
        """What ``to_json`` wrote; no files for None."""
        if content is None:
            return cls()
        state = orjson.loads(content)
        files = {
            key: FileRead(dt.datetime.fromisoformat(start), *rest) for key, (start, *rest) in state["files"].items()
        }
        return cls(files, dt.date.fromisoformat(state["first_day"]))


def pull_sessions(
    storage: ObjectStorage, deployment: Deployment, state: FilesRead, pulled_at: dt.datetime
) -> Iterator[Batch]:
    """The status changes in every file that was not read yet, oldest file first, in at least one batch.

    The facts of a batch count ``files_read``, ``lines``, ``unreadable_lines``, ``duplicate_lines``, lines
    ``without_session``, and lines ``without_user``: their session has neither a user's label nor an anonymous visitor.

    Days before the deployment's start are left out. A file that cannot be read is noted and leaves a hole in the
    coverage; the next pull tries it again. Raises SourceError if the audit log cannot be listed, or if no file of it
    could ever be read.
    """
    # If the deployment starts earlier than before, the days that were left out are needed.
    files = dict(state.files) if state.first_day <= deployment.start else {}
    versions, notes = list_files(storage, deployment)
    unread = _unread(files, versions)
    # Remembered before they are read, because each is a hole in the coverage until then.
    files |= {key: FileRead(versions[key][0]) for key in unread}

    gathered, read, failures = Lines(), 0, list[str]()
    for done, (key, content) in enumerate(_in_order(lambda key: _read(storage, key), unread), start=1):
        if isinstance(content, str):
            failures.append(content)
        else:
            lines = read_lines(content, deployment, pulled_at)
            files[key] = FileRead(*versions[key], lines.lines, lines.unreadable)
            gathered.add(lines)
            read += 1
        if read + len(failures) == FILES_A_BATCH or gathered.lines >= LINES_A_BATCH:
            yield _batch(deployment, gathered, files, read, len(unread) - done, [*notes, *_explain(failures)])
            gathered, read, failures, notes = Lines(), 0, [], []
    if failures and not any(file.version for file in files.values()):
        raise SourceError(f"{deployment.name}: amalthea: no file of the audit log can be read: {failures[0]}")
    yield _batch(deployment, gathered, files, read, 0, [*notes, *_explain(failures)])


def count_unread(storage: ObjectStorage, deployment: Deployment, state: FilesRead) -> int:
    """How many files the next pull reads. Raises SourceError if the audit log cannot be listed."""
    files = state.files if state.first_day <= deployment.start else {}
    return len(_unread(files, list_files(storage, deployment)[0]))


def _unread(files: Mapping[str, FileRead], versions: Mapping[str, tuple[dt.datetime, str]]) -> list[str]:
    return [key for key, (_, version) in versions.items() if key not in files or files[key].version != version]


def list_files(storage: ObjectStorage, deployment: Deployment) -> tuple[dict[str, tuple[dt.datetime, str]], list[str]]:
    """Start and version of each file by key, oldest first, and notes on files without a time and on an empty log.

    Raises SourceError if the audit log cannot be listed.
    """
    found: dict[str, tuple[dt.datetime, str]] = {}
    nameless = 0
    try:
        for info in storage.list():
            if match := AUDIT_LOG.fullmatch(info.key):
                start = _start(match["start"])
                if start is None:
                    nameless += 1
                else:
                    # A server may write anything into a version.
                    found[info.key] = (start, hashlib.sha256(info.version.encode()).hexdigest()[:16])
    except StoreError as error:
        raise SourceError(f"{deployment.name}: amalthea: audit_log: {error}") from None
    notes = []
    if nameless:
        notes.append(f"{nameless} files named amalthea_audit_log_….txt were left out: their names hold no time")
    if not found:
        notes.append(f"no amalthea_audit_log_….txt was found at {storage.address()}")
    return dict(sorted(found.items(), key=lambda item: (item[1][0], item[0]))), notes


def _start(text: str) -> dt.datetime | None:
    for form in ("%Y%m%d_%H%M%S%z", "%Y%m%d_%H%M%S"):
        try:
            return utc(dt.datetime.strptime(text, form))  # noqa: DTZ007
        except (ValueError, OverflowError):
            # In UTC, the first or last day of the calendar can lie outside it.
            continue
    return None


def _read(storage: ObjectStorage, key: str) -> bytes | str:
    """The file's content, or why it cannot be read."""
    try:
        return storage.read(key)
    except FileNotFoundError:
        return f"{storage.address(key)}: is gone"
    except StoreError as error:
        return str(error)


def _in_order(read: Callable[[str], bytes | str], keys: Sequence[str]) -> Iterator[tuple[str, bytes | str]]:
    """Each key with what was read, in the order of the keys. Only a few files are read ahead."""
    waiting: deque[tuple[str, Future[bytes | str]]] = deque()
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        for key in keys:
            waiting.append((key, pool.submit(read, key)))
            if len(waiting) == 2 * PARALLEL_READS:
                first, content = waiting.popleft()
                yield first, content.result()
        while waiting:
            first, content = waiting.popleft()
            yield first, content.result()


def _explain(failures: Sequence[str]) -> list[str]:
    return [f"{len(failures)} files could not be read, such as {failures[0]}"] if failures else []


def _batch(
    deployment: Deployment, lines: Lines, files: Mapping[str, FileRead], read: int, left: int, notes: list[str]
) -> Batch:
    rows = RAW_AMALTHEA_SESSIONS.frame(lines.rows)
    # Duplicate lines become one row by the same rule as duplicate rows of two pulls.
    united = merge(RAW_AMALTHEA_SESSIONS, RAW_AMALTHEA_SESSIONS.frame(), rows)
    state = FilesRead(dict(files), deployment.start)
    return Batch(
        {RAW_AMALTHEA_SESSIONS.name: united},
        state.to_json(),
        seen=state.spans(),
        facts={
            "files_read": read,
            "lines": lines.lines,
            "unreadable_lines": lines.unreadable,
            "without_session": lines.without_session,
            "without_user": lines.without_user,
            "duplicate_lines": _lines_in(rows) - _lines_in(united),
        },
        notes=[f"{read} files read, {left} left", *notes],
    )


def _lines_in(rows: pd.DataFrame) -> int:
    """How many lines the rows come from. A line makes two rows if its session was created on another day."""
    return int((rows["changed_at"].dt.strftime("%Y-%m-%d") == rows["event_day"]).sum())
