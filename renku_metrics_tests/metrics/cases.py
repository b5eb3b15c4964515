"""Cases that between them touch every rule of what counts, each as the sources of a deployment of its own tell it."""

from __future__ import annotations

from typing import Any

from renku_metrics.metrics.definition import Example, Metric
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics_tests.metrics.as_sources_tell import (
    RENKU,
    Case,
    Json,
    Push,
    commit,
    commits,
    gitlab_user,
    keycloak_user,
    line,
    login,
    secondary,
)


def message_case(message: str) -> Case:
    """One commit with this message, by an author nobody knows and, as after a rebase, not by renku."""
    return commits(commit(message=message))


def row_case(row: dict[str, Any]) -> Case:
    """What becomes a raw row with these fields in the table it names."""
    if row["table"] == "raw_keycloak_logins":
        return Case(logins=[login(row["keycloak_id"])])
    assert row["table"] == "raw_amalthea_sessions"
    user = "anon-1a2b3c" if row.get("anonymous") else row["keycloak_id"]
    return Case(lines=[line(user, old_status=row["old_status"], status=row["status"])])


def example_case(example: Example) -> Case:
    return message_case(example.case) if isinstance(example.case, str) else row_case(dict(example.case))


def name_of(example: Example) -> str:
    """The message, or the fields of the row."""
    if isinstance(example.case, str):
        return example.case
    return ", ".join(f"{field}={value}" for field, value in example.case.items())


ADA_MAIL, HOME, SHARED = "ada@uni.example", "ada@home.example", "root@localhost"
ADA = gitlab_user(7, ADA_MAIL, "k-ada")
BOB = gitlab_user(8, "bob@uni.example", "k-bob")
RUN = "renku run -- python train.py"
# Of an earlier week.
BEFORE = "2026-11-10T10:00:00+00:00"


def by(address: str, **more: Any) -> Case:
    """One commit under the address."""
    return commits(commit(by=address), **more)


def bot(number: int, **fields: Any) -> Json:
    return gitlab_user(number, ADA_MAIL, **fields)


ADDRESSES: dict[str, Case] = {
    "two commits of one user under two addresses": commits(
        commit("a"), commit("b", by=HOME), gitlab_users=[ADA], addresses={7: [secondary(HOME)]}
    ),
    "two commits of one user, one under an address not confirmed": commits(
        commit("a"), commit("b", by=HOME), gitlab_users=[ADA], addresses={7: [secondary(HOME, confirmed=False)]}
    ),
    "a commit under a primary address not confirmed, and a login": by(
        ADA_MAIL, gitlab_users=[ADA | {"confirmed_at": None}], logins=[login()]
    ),
    "two commits of two unknown addresses": commits(commit("a"), commit("b", by="bob@uni.example")),
    "two ways to write one address": commits(commit("a", by="Ada@Uni.example "), commit("b")),
    **{
        f"a commit by {address or 'nobody'}": by(address)
        for address in (
            *("", "root@localhost", "you@example.com", "johndoe@example.org", "you@email.com", "root@local.host"),
            *("jovyan@jupyter-ada.svc", "foo@bar.com", "nobody@nowhere.invalid", "root@1f2e3d4c5b6a"),
            *("ada@email.com", "root@ethz.ch", "ada@localhost.example"),
            *("dependabot[bot]@users.noreply.github.com", "project_12_bot_1a@noreply.renkulab.io", "robot@uni.example"),
        )
    },
    "a noreply address of a user who logged in": by(
        "7-ada@users.noreply.gitlab.renkulab.io", gitlab_users=[ADA], logins=[login()]
    ),
    "a noreply address by a domain of the deployment": by(
        "7-ada@users.noreply.renkulab.io", gitlab_users=[ADA], logins=[login()]
    ),
    "a noreply address of another host": by("7-ada@users.noreply.github.com", gitlab_users=[ADA], logins=[login()]),
}

ACCOUNTS: dict[str, Case] = {
    "a commit and a login of one user": by(ADA_MAIL, gitlab_users=[ADA], logins=[login()]),
    "a commit and a login of one user whom only the address joins": by(
        ADA_MAIL,
        gitlab_users=[gitlab_user(7, ADA_MAIL)],
        keycloak_users=[keycloak_user("k-ada", ADA_MAIL)],
        logins=[login()],
    ),
    "a commit and a login of one user who is in Keycloak alone": by(
        ADA_MAIL, keycloak_users=[keycloak_user("k-ada", ADA_MAIL)], logins=[login()]
    ),
    "an address of two gitlab users, and the login of one": by(
        ADA_MAIL, gitlab_users=[ADA, gitlab_user(8, ADA_MAIL)], logins=[login()]
    ),
    "an address of two gitlab users, and of one in Keycloak who logged in": by(
        ADA_MAIL,
        gitlab_users=[gitlab_user(7, ADA_MAIL), gitlab_user(8, ADA_MAIL)],
        keycloak_users=[keycloak_user("k-ada", ADA_MAIL)],
        logins=[login()],
    ),
    "an account made anew in Keycloak, and a login of the old one": by(
        ADA_MAIL,
        gitlab_users=[gitlab_user(7, ADA_MAIL, "k-new")],
        keycloak_users=[keycloak_user("k-ada", ADA_MAIL, enabled=False), keycloak_user("k-new", ADA_MAIL)],
        logins=[login()],
    ),
    "a blocked user": by(ADA_MAIL, gitlab_users=[ADA | {"state": "blocked"}]),
    "a bot's account": by(ADA_MAIL, gitlab_users=[bot(7, bot=True)]),
    "a token's account that GitLab does not mark": by(ADA_MAIL, gitlab_users=[bot(7, username="project_1_bot")]),
    "the ghost": by(ADA_MAIL, gitlab_users=[bot(7, username="ghost")]),
    "the first administrator": by(ADA_MAIL, gitlab_users=[bot(1, username="root")]),
}

PUSHES: dict[str, Case] = {
    "an unknown address pushed by a user who logged in": by(
        HOME, gitlab_users=[ADA], pushes=[Push(7, "c")], logins=[login()]
    ),
    "a shared address with a push": by(SHARED, gitlab_users=[ADA], pushes=[Push(7, "c")]),
    "a shared address pushed by a bot": by(SHARED, gitlab_users=[bot(7, bot=True)], pushes=[Push(7, "c")]),
    "a shared address with a push of several addresses": commits(
        commit("a", by=SHARED, parents=["b"]),
        commit("b", by=HOME),
        gitlab_users=[ADA],
        pushes=[Push(7, "a", count=2)],
        logins=[login()],
    ),
    "a shared address that two users pushed into two projects": Case(
        commits={1: [commit(by=SHARED)], 2: [commit(by=SHARED)]},
        projects={1: "2020-01-01T00:00:00Z", 2: "2020-01-01T00:00:00Z"},
        gitlab_users=[ADA, BOB],
        pushes=[Push(7, "c"), Push(8, "c", project=2, number=2)],
    ),
    "a shared address of which the push tells another count": by(
        SHARED, gitlab_users=[ADA], pushes=[Push(7, "c", count=2)]
    ),
}

COMMITS: dict[str, Case] = {
    "a run in a fork and its origin": Case(
        commits={1: [commit(message=RUN)], 2: [commit(message=RUN)]},
        projects={1: "2020-01-01T00:00:00Z", 2: "2020-01-01T00:00:00Z"},
    ),
    "a run older than its project": commits(commit(message=RUN), projects={1: "2026-11-17T00:00:00Z"}),
    "a run of the second in which the project was made": commits(
        commit(message=RUN), projects={1: "2026-11-16T09:30:00.900Z"}
    ),
    "a merge commit": commits(commit(parents=["a", "b"])),
    "a commit dated next year, of a pull in this week": commits(
        commit(at="2027-11-16T09:30:00.000+00:00"), pulled_at="2026-11-18T00:00:00Z"
    ),
    "a commit at the first instant of the week": commits(commit(at="2026-11-16T00:00:00.000+00:00")),
    "a commit at the last instant of the week": commits(commit(at="2026-11-22T23:59:59.000+00:00")),
    "a commit just before the week": commits(commit(at="2026-11-15T23:59:59.000+00:00")),
    "a commit just after the week": commits(commit(at="2026-11-23T00:00:00.000+00:00")),
    "a commit of a Sunday elsewhere, and Monday here": commits(commit(at="2026-11-15T23:00:00.000-02:00")),
}

LOGINS: dict[str, Case] = {
    "a login nobody made": Case(logins=[login(None)]),
    "a login that failed": Case(logins=[login(error="invalid_user_credentials")]),
    "a login of a client": Case(logins=[login(type="CLIENT_LOGIN")]),
    "a login of an administrator of Keycloak": Case(logins=[login(realmId="master")]),
    "a login of the Sunday before": Case(logins=[login(at="2026-11-15T23:59:59+00:00")]),
}

SESSIONS: dict[str, Case] = {
    "a session": Case(lines=[line()]),
    "a session that no label names a user of": Case(lines=[line(None)]),
    "a session with its first line lost": Case(lines=[line(old_status="running", status="stopping")]),
    "a session of an earlier week that stops in this one": Case(
        lines=[line(old_status="running", status="stopping", created=BEFORE)]
    ),
    **{
        f"a session of an earlier week resumed in this one, {status}": Case(
            lines=[line(old_status="hibernated", status=status, created=BEFORE)]
        )
        for status in ("starting", "running")
    },
}

MESSAGES: dict[str, Case] = {
    **{
        message: message_case(message)
        for message in (
            *("renku dataset add --create --copy flights data.csv", "renku dataset add flights -- --create"),
            *("renku dataset add -fc flights data.csv", "renku dataset update --all", "renku dataset rm flights"),
            *("renku --path /srv/flights dataset create flights", "python -m renku run python train.py"),
            *("renkulab.io: dataset import of https://doi.org/10.5281/zenodo.1", "renku init", "renku migrate"),
            *("renkulab.io: dataset add flights data.csv", "renku workflow revert 1f", "renku workflow edit train"),
            *("limited.renku.ch: dataset create flights", "flights.py: dataset create helper"),
            *("renku update to version 0.16", "renku save -m done", "renku migrate: committing structural changes"),
        )
    },
    "limited.renku.ch: dataset create flights, by renku": commits(
        commit(message="limited.renku.ch: dataset create flights", **RENKU)
    ),
}

OTHER_CASES = ADDRESSES | ACCOUNTS | PUSHES | COMMITS | LOGINS | SESSIONS | MESSAGES


def all_cases(metrics: tuple[Metric, ...] = (*CORE_ACTIONS, ACTIVE_USERS)) -> dict[str, Case]:
    examples = {name_of(example): example_case(example) for metric in metrics for example in metric.examples}
    return examples | OTHER_CASES
