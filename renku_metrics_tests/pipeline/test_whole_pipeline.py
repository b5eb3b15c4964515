"""From simulated deployments and real histories to the published numbers."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from renku_metrics.metrics.counting import count
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.metrics.published import publish
from renku_metrics.periods import ONE_DAY, Period, midnight, now
from renku_metrics.pipeline.building import store_events, store_user_days
from renku_metrics.tables import (
    KINDS,
    RAW_AMALTHEA_SESSIONS,
    RAW_GITLAB_COMMITS,
    RAW_KEYCLOAK_LOGINS,
    RAW_KEYCLOAK_USERS,
    PeriodKind,
)
from renku_metrics_tests.histories import real_histories
from renku_metrics_tests.pipeline.pipeline import Pipeline, counts_of
from renku_metrics_tests.pipeline.pulls import HISTORY, KEYCLOAK_USERS, USERS, pull_once
from renku_metrics_tests.present import TODAY
from renku_metrics_tests.served import served
from renkulab.histories import serve_histories
from renkulab.population import Population
from renkulab.server import RenkuLab

THIS_WEEK = Period.of("week", TODAY).start


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)


def test_published_numbers_are_the_true_ones_of_each_simulated_deployment(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A Monday, and the month after it is whole and over.
    start, month = dt.date(2026, 9, 28), dt.date(2026, 10, 1)
    truths = {}
    labs = []
    for seed, name in enumerate(["first-lab", "second-lab"], start=1):
        lab = RenkuLab(name, tmp_path / name, now=midnight(start))
        population = Population(lab, seed=seed, people=20, projects=9)
        population.live(midnight(TODAY))
        truths[name] = population.ledger
        labs.append(lab)
    with served(labs, pipeline.deployments, start, monkeypatch):
        pipeline.materialize_everything()

    for kind in KINDS:
        published = pipeline.published(kind)
        for name, ledger in truths.items():
            counts = ledger.counts(kind)
            rows = published[published["deployment"] == name]
            # Nothing is published for a period that begins before the deployment does.
            assert set(rows["period_start"]) == {first for first, _ in counts if first >= start}
            for row in rows.to_dict(orient="records"):
                truth = counts[row["period_start"], row["core_action"]]
                if row["complete"]:
                    assert (row["users"], row["active_users"]) == (truth.users, truth.active_users)
                else:
                    # Nobody knows whether Keycloak remembers the hours before the first login it remembers, and
                    # the audit log of the last day or two is not there yet.
                    reasons = {reason.split(":")[0] for reason in row["missing"].split("; ")}
                    assert reasons <= {"logins", "sessions", "period not over"}
                    assert row["users"] <= truth.users
                    assert row["active_users"] <= truth.active_users
    weekly = pipeline.published("week")
    inner = weekly[(weekly["period_start"] > start) & (weekly["period_start"] < THIS_WEEK - 7 * ONE_DAY)]
    assert len(inner) == 2 * 6 * len(CORE_ACTIONS)
    assert inner["complete"].all()
    monthly = pipeline.published("month")
    assert list(monthly.loc[monthly["complete"], "period_start"]) == [month] * 2 * len(CORE_ACTIONS)
    assert (weekly["users"] > 0).sum() > 40


def test_numbers_of_real_histories_are_those_that_git_facts_give(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = dt.date(2016, 1, 1)
    lab = RenkuLab("histories", tmp_path / "histories", now=midnight(TODAY))

    serve_histories(lab, real_histories())
    with served([lab], pipeline.deployments, start, monkeypatch) as deployments:
        deployment = deployments["histories"]
        for harvest in (USERS, HISTORY, KEYCLOAK_USERS):
            pull_once(pipeline.store, deployment, harvest)
    months = [month for _, month in pipeline.store.partitions(RAW_GITLAB_COMMITS, "histories")]
    # Nobody has an account in its Keycloak.
    pipeline.store.ensure(RAW_KEYCLOAK_USERS, [("histories",)])
    for table in (RAW_KEYCLOAK_LOGINS, RAW_AMALTHEA_SESSIONS):
        pipeline.store.ensure(table, [("histories", month) for month in months])
    # Dagster's part is in the test above.
    store_events(pipeline.store, deployment, months)
    days, _ = store_user_days(pipeline.store, deployment, months)
    for kind in KINDS:
        periods = sorted({Period.of(kind, dt.date.fromisoformat(day)) for day in days["event_day"]})
        active = count(ACTIVE_USERS, days, "histories", periods, now())
        counts = {action.key: count(action, days, "histories", periods, now()) for action in CORE_ACTIONS}
        published = publish(kind, active, counts, {"histories": {}}, now())
        assert counts_of(published, "histories") == counted_from_files(kind)


def counted_from_files(kind: PeriodKind) -> dict[tuple[dt.date, str], tuple[int, int]]:
    """Git facts in, counts out: who committed, by the first day of the period and core action."""
    people: dict[tuple[dt.date, str], set[str]] = defaultdict(set)
    seen = set()
    for path in sorted(real_histories().glob("*.jsonl")):
        for line in path.read_text().splitlines():
            commit = json.loads(line)
            if commit["id"] in seen:
                continue
            seen.add(commit["id"])
            message = " ".join(commit["message"].split("\n\n")[0].split())
            if message.startswith("Auto-saving for") or "committing migrated workflow" in message:
                continue
            if "[bot]" in commit["author_email"]:
                continue
            day = dt.datetime.fromisoformat(commit["committed_date"]).astimezone(dt.UTC).date()
            first = day - dt.timedelta(days=day.weekday()) if kind == "week" else day.replace(day=1)
            actions = ["contributing_to_a_project"]
            command = r"(?:renku|python -m renku\.cli)(?: -\S+)* "
            service = r"(?:service|[a-z0-9-]+(?:\.[a-z0-9-]+)+): "
            if re.match(rf"(?:{command}|{service})dataset create\b", message) or (
                re.match(rf"(?:{command}|{service})dataset add\b", message)
                and re.search(r" (?:--create|-c)\b", message)
            ):
                actions.append("creating_a_dataset")
            if re.match(rf"{command}(?:run|rerun|update|workflow (?:execute|iterate))\b(?!:)", message):
                actions.append("running_a_workflow")
            for action in actions:
                people[first, action].add(commit["author_email"].strip().lower())
    return {
        (first, action): (len(people.get((first, action), ())), len(people[first, "contributing_to_a_project"]))
        for first in {first for first, _ in people}
        for action in ("contributing_to_a_project", "creating_a_dataset", "running_a_workflow", "starting_a_session")
    }
