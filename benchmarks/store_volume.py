"""How large the store grows: a year of a deployment of RenkuLab's size, written through the store.

The size is an assumption (SIZE below); the rows are random, but of the right kind: ids and hashes that do not
compress, people of whom few do most. Events, user days and counts are made by the product's own functions.

    python benchmarks/store_volume.py [directory]
"""

from __future__ import annotations

import datetime as dt
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from renku_metrics.events.union import from_commits, from_logins, from_sessions, unite, user_days
from renku_metrics.metrics.counting import count
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics.schema import Table
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    EVENTS,
    KINDS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    USER_DAYS,
)

NAME = "renkulab-io"
FIRST = dt.date(2025, 1, 1)
LAST = dt.date(2025, 12, 31)
SIZE = {
    "users": 8_000,
    "projects": 20_000,
    "commits a day": 1_500_000 // (8 * 365),
    "commits a push": 3,
    "people who log in a day": 200,
    "LOGIN events of one login": 3,
    "sessions a day": 100,
    "status changes of a session": 4,
}
COMMANDS = ["run", "dataset create", "dataset add", "update", "workflow execute", "init", "migrate"]
STATUSES = [None, "starting", "running", "hibernated", "stopping"]

Row = dict[str, Any]
chance = random.Random(20261124)


def digits(count: int) -> str:
    return f"{chance.getrandbits(4 * count):0{count}x}"


def keycloak_id() -> str:
    return f"{digits(8)}-{digits(4)}-{digits(4)}-{digits(4)}-{digits(12)}"


PEOPLE = [(number, keycloak_id(), digits(64)) for number in range(1, SIZE["users"] + 1)]


def somebody() -> tuple[int, str, str]:
    """Few people do most of it."""
    return PEOPLE[min(int(chance.paretovariate(0.6)) - 1, len(PEOPLE) - 1)]


def project_of(person: int) -> int:
    return (person * 7 + min(int(chance.paretovariate(1.0)) - 1, 5)) % SIZE["projects"] + 1


def moment(day: dt.date) -> dt.datetime:
    return midnight(day) + dt.timedelta(milliseconds=chance.randrange(86_400_000))


def base(day: dt.date) -> Row:
    pulled = midnight(day + ONE_DAY) + dt.timedelta(hours=2)
    return {"deployment": NAME, "event_day": day.isoformat(), "pulled_at": pulled}


def commits(day: dt.date) -> Iterator[Row]:
    for _ in range(busy(day, SIZE["commits a day"])):
        number, _, address = somebody()
        made_by_renku = chance.random() < 0.15
        pushed = chance.random() < 0.5
        yield base(day) | {
            "project_id": project_of(number),
            "sha": digits(40),
            "dated_at": moment(day).replace(microsecond=0),
            "parent_count": 2 if chance.random() < 0.05 else 1,
            "author_address_hash": address,
            "author_address_kind": "personal",
            "renku_surface": "cli" if made_by_renku else None,
            "renku_command": chance.choice(COMMANDS) if made_by_renku else None,
            "renku_committer": made_by_renku,
            "autosave": False,
            "pusher_id": number if pushed else None,
            "push_addresses": 1 if pushed else None,
        }


def pushes(day: dt.date) -> Iterator[Row]:
    for _ in range(busy(day, SIZE["commits a day"] // SIZE["commits a push"])):
        number = somebody()[0]
        yield base(day) | {
            "push_id": chance.getrandbits(30),
            "project_id": project_of(number),
            "gitlab_user_id": number,
            "pushed_at": moment(day),
            "action": "pushed",
            "ref_type": "branch",
            "commit_count": 3,
            "commit_from": digits(40),
            "commit_to": digits(40),
        }


def logins(day: dt.date) -> Iterator[Row]:
    for _ in range(busy(day, SIZE["people who log in a day"])):
        person, at = somebody()[1], moment(day)
        for client in ["renku", "renku-cli", "gitlab"][: SIZE["LOGIN events of one login"]]:
            yield base(day) | {"login_key": digits(64), "occurred_at": at, "keycloak_id": person, "client_id": client}


def sessions(day: dt.date) -> Iterator[Row]:
    for _ in range(busy(day, SIZE["sessions a day"])):
        number, person, _ = somebody()
        session = {"namespace": "renku", "session_uid": keycloak_id(), "created_at": midnight(day), "anonymous": False}
        for step in range(SIZE["status changes of a session"]):
            yield (
                base(day)
                | session
                | {
                    "changed_at": moment(day),
                    "old_status": STATUSES[step],
                    "status": STATUSES[step + 1],
                    "keycloak_id": person,
                    "gitlab_project_id": project_of(number),
                }
            )


def busy(day: dt.date, mean: int) -> int:
    """Working days see about three times what weekends see."""
    return round(chance.gauss(mean * (0.47 if day.weekday() > 4 else 1.21), mean * 0.1))


def of_deployment() -> dict[Table, list[Row]]:
    common = {"deployment": NAME, "pulled_at": midnight(LAST)}
    created = midnight(FIRST - 365 * ONE_DAY)
    return {
        RAW_GITLAB_PROJECTS: [
            common
            | {
                "project_id": number,
                "created_at": created + dt.timedelta(milliseconds=chance.randrange(1000)),
                "creator_id": somebody()[0],
                "namespace_id": number + 10,
                "namespace_kind": "user",
                "visibility": "private",
                "archived": False,
                "last_activity_at": moment(LAST),
            }
            for number in range(1, SIZE["projects"] + 1)
        ],
        RAW_GITLAB_USERS: [
            common
            | {
                "gitlab_user_id": number,
                "keycloak_id": person,
                "address_hashes": [address],
                "bot": False,
                "state": "active",
                "created_at": moment(FIRST),
                "last_activity_on": LAST.isoformat(),
            }
            for number, person, address in PEOPLE
        ],
        RAW_KEYCLOAK_USERS: [
            common | {"keycloak_id": person, "address_hashes": [address], "enabled": True, "created_at": moment(FIRST)}
            for _, person, address in PEOPLE
        ],
    }


def write_year(store: Store) -> None:
    """Every table of a year."""
    whole = {table: table.frame(rows) for table, rows in of_deployment().items()}
    for table, frame in whole.items():
        store.write(table, frame, [(NAME,)])
    makers = {
        RAW_GITLAB_COMMITS: commits,
        RAW_GITLAB_PUSHES: pushes,
        RAW_KEYCLOAK_LOGINS: logins,
        RAW_AMALTHEA_SESSIONS: sessions,
    }
    active = []
    for month in sorted({Period.of("month", day) for day in days_between(FIRST, LAST)}):
        place = (NAME, month.start.isoformat())
        raw = {table: table.frame(row for day in month.days for row in maker(day)) for table, maker in makers.items()}
        for table, frame in raw.items():
            store.write(table, frame, [place])
        frames = {table.name: frame for table, frame in (whole | raw).items()}
        built = unite(NAME, [from_commits(frames), from_logins(frames), from_sessions(frames)])
        store.write(EVENTS, built.events, [place])
        days = user_days(built.events)
        store.write(USER_DAYS, days, [place])
        active.append(days)
    write_counts(store, pd.concat(active, ignore_index=True))


def write_counts(store: Store, days: pd.DataFrame) -> None:
    for kind in KINDS:
        periods = sorted({Period.of(kind, day) for day in days_between(FIRST, LAST)})
        for metric in (ACTIVE_USERS, *CORE_ACTIONS):
            store.write(metric.table(kind), count(metric, days, NAME, periods, midnight(LAST)), [(NAME,)])


def report(store: Store) -> str:
    """One line per folder of the store, as a table in Markdown."""
    sizes: dict[str, list[int]] = {}
    for info in store.storage.list():
        parts = info.key.split("/")
        folder = "/".join(parts[:2]) if parts[0] == "raw" else parts[0]
        sizes.setdefault(folder, []).append(len(store.storage.read(info.key)))
    rows = {}
    for table in (*of_deployment(), RAW_GITLAB_COMMITS, RAW_GITLAB_PUSHES, RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS):
        rows[table.path] = len(store.read(table, store.partitions(table, NAME)))
    for table in (EVENTS, USER_DAYS):
        rows[table.path] = len(store.read(table, store.partitions(table, NAME)))
    lines = ["| table | rows | files | size | bytes a row |", "| --- | ---: | ---: | ---: | ---: |"]
    for folder, of_files in sizes.items():
        count = rows.get(folder)
        each = f"{sum(of_files) / count:.0f}" if count else ""
        shown = f"{count:,}" if count else ""
        lines.append(f"| `{folder}` | {shown} | {len(of_files):,} | {sum(of_files) / 1e6:.1f} MB | {each} |")
    everything = [size for of_files in sizes.values() for size in of_files]
    lines.append(f"| all | | {len(everything):,} | {sum(everything) / 1e6:.1f} MB | |")
    return "\n".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        store = Store.at(sys.argv[1] if len(sys.argv) > 1 else str(Path(temporary)))
        begun = time.monotonic()
        write_year(store)
        print(f"A year in {time.monotonic() - begun:.0f} s, with {SIZE}\n\n{report(store)}")


if __name__ == "__main__":
    main()
