"""The rules by which raw rows become events, once more, row by row in plain Python; shares nothing with the product."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from renku_metrics_tests.events.raw_rows import Row

# event key, user, rule, project
Event = tuple[str, str | None, str | None, str | None]


def holders(users: Iterable[Row], key: str, address: str) -> set[object]:
    return {user[key] for user in users if address in user["address_hashes"]}


def gitlab_user_id(number: int, gitlab: list[Row], keycloak: list[Row]) -> str:
    for user in gitlab:
        if user["gitlab_user_id"] == number:
            if user["keycloak_id"]:
                return str(user["keycloak_id"])
            own = [a for a in user["address_hashes"] if holders(gitlab, "gitlab_user_id", a) == {number}]
            found = set().union(*(holders(keycloak, "keycloak_id", address) for address in own))
            if len(found) == 1:
                return str(found.pop())
    return f"gitlab:{number}"


def link(copies: list[Row], gitlab: list[Row], keycloak: list[Row]) -> tuple[str | None, str | None, bool]:
    """User, rule and whether it is a bot, for the copies of one commit in projects old enough."""
    row = copies[0]
    bots = {user["gitlab_user_id"] for user in gitlab if user["bot"]}
    address, kind = row["author_address_hash"], row["author_address_kind"]
    if kind == "noreply":
        number = row["author_gitlab_id"]
        return gitlab_user_id(number, gitlab, keycloak), "noreply", number in bots
    in_gitlab = holders(gitlab, "gitlab_user_id", address)
    in_keycloak = holders(keycloak, "keycloak_id", address)
    if kind == "personal" and len(in_gitlab) == 1:
        [number] = in_gitlab
        return gitlab_user_id(number, gitlab, keycloak), "gitlab_address", number in bots  # type: ignore[arg-type]
    if kind == "personal" and not in_gitlab and len(in_keycloak) == 1:
        return str(in_keycloak.pop()), "keycloak_address", False
    pushers = {copy["pusher_id"] for copy in copies if copy["push_addresses"] == 1 and copy["pusher_id"]} - bots
    if len(pushers) == 1:
        return gitlab_user_id(pushers.pop(), gitlab, keycloak), "push", False
    return (None, None, False) if kind == "shared" else (f"email:{address}", "address_hash", False)


def commit_events(rows: dict[str, list[Row]]) -> Iterator[Event]:
    created = {project["project_id"]: project["created_at"] for project in rows["projects"]}
    for sha in {row["sha"] for row in rows["commits"]}:
        copies = [row for row in rows["commits"] if row["sha"] == sha and row["project_id"] in created]
        copies = [row for row in copies if not row["autosave"] and row["author_address_kind"] != "bot"]
        copies = [row for row in copies if row.get("renku_helper") != "migrated workflow"]
        copies = [
            row
            for row in copies
            if created[row["project_id"]].replace(microsecond=0) <= row["dated_at"].replace(microsecond=0)
        ]
        if not copies:
            continue
        user, rule, bot = link(copies, rows["gitlab_users"], rows["keycloak_users"])
        if bot:
            continue
        oldest = min(copies, key=lambda row: (created[row["project_id"]], row["project_id"]))
        project = f"gitlab:{oldest['project_id']}"
        yield f"commit:{sha}", user, rule, project
        command, options = oldest.get("renku_command"), oldest.get("renku_options") or []
        if command == "dataset create" or (command == "dataset add" and "--create" in options):
            yield f"dataset_created:{sha}", user, rule, project
        if command == "run" and oldest["renku_surface"] == "cli":
            yield f"workflow_run:{sha}", user, rule, project


def session_events(rows: dict[str, list[Row]]) -> Iterator[Event]:
    def event(key: str, lines: list[Row]) -> Event:
        def first(name: str) -> object:
            return next((line[name] for line in lines if line[name]), None)

        user, gitlab, renku = first("keycloak_id"), first("gitlab_project_id"), first("renku_project_id")
        project = f"gitlab:{gitlab}" if gitlab else f"renku:{renku}" if renku else None
        return key, str(user) if user else None, "keycloak_id" if user else None, project

    for uid in {line["session_uid"] for line in rows["sessions"]}:
        lines = [line for line in rows["sessions"] if line["session_uid"] == uid]
        lines.sort(
            key=lambda line: (line["changed_at"], line["old_status"] or "", line["status"], line["keycloak_id"] or "")
        )
        created_day = f"{lines[0]['created_at']:%Y-%m-%d}"
        yield event(f"session_started:renku/{uid}", [line for line in lines if line["event_day"] == created_day])
        told = set()
        for line in lines:
            day, time = f"{line['changed_at']:%Y-%m-%d}", line["changed_at"]
            resumes = line["old_status"] == "hibernated" and line["status"] in ("starting", "running")
            if resumes and line["event_day"] == day and time not in told:
                told.add(time)
                same_day = [other for other in lines if other["event_day"] == day]
                milliseconds = (time - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
                yield event(f"session_resumed:renku/{uid}/{milliseconds}", [line, *same_day])


def login_events(rows: dict[str, list[Row]]) -> Iterator[Event]:
    for row in rows["logins"]:
        user = row["keycloak_id"]
        yield f"login:{row['login_key']}", user, "keycloak_id" if user else None, None


def events(rows: dict[str, list[Row]]) -> list[Event]:
    found = [*commit_events(rows), *session_events(rows), *login_events(rows)]
    return sorted(found, key=lambda event: event[0])
