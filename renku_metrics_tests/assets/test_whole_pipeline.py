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

from renku_metrics.metrics.dictionary import CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, Period, midnight
from renku_metrics.tables import PeriodKind
from renku_metrics_tests.assets.pipeline import Pipeline, counts_of
from renku_metrics_tests.renkulab.histories import serve_histories
from renku_metrics_tests.renkulab.population import Population
from renku_metrics_tests.renkulab.server import RenkuLab, write_deployment

HISTORIES = Path(__file__).resolve().parents[3] / "shared" / "data" / "renku_projects"
TODAY = dt.datetime.now(dt.UTC).date()
KINDS: tuple[PeriodKind, ...] = ("week", "month")
THIS_WEEK = Period.of("week", TODAY).start


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of tests")
    (tmp_path / "deployments").mkdir()
    with dg.DagsterInstance.ephemeral() as instance:
        yield Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)


def serve(lab: RenkuLab, pipeline: Pipeline, start: dt.date, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in write_deployment(lab, pipeline.deployments, start).items():
        monkeypatch.setenv(name, value)


def test_published_numbers_are_the_true_ones_of_each_simulated_deployment(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = THIS_WEEK - 42 * ONE_DAY
    truths = {}
    labs = []
    for seed, name in enumerate(["first-lab", "second-lab"], start=1):
        lab = RenkuLab(name, tmp_path / name, now=midnight(start))
        population = Population(lab, seed=seed, people=20, projects=9)
        population.live(midnight(TODAY))
        truths[name] = population.ledger
        labs.append(lab)
    with labs[0], labs[1]:
        for lab in labs:
            serve(lab, pipeline, start, monkeypatch)
        pipeline.materialize_everything()

    for kind in KINDS:
        published = pipeline.published(kind)
        for name, ledger in truths.items():
            counts = ledger.counts(kind)
            rows = published[published["deployment"] == name]
            # Nothing is published for a period that begins before the deployment does.
            assert set(rows["period_start"]) == {first for first, _ in counts if first >= start}
            for row in rows.itertuples(index=False):
                truth = counts[row.period_start, row.core_action]
                published_numbers = (row.users, row.active_users)
                if row.complete:
                    assert published_numbers == (truth.users, truth.active_users)
                else:
                    # Nobody knows whether Keycloak remembers the hours before the first login it remembers, and
                    # the audit log of the last day or two is not there yet.
                    reasons = {reason.split(":")[0] for reason in row.missing.split("; ")}
                    assert reasons <= {"logins", "sessions", "period not over"}
                    assert row.users <= truth.users
                    assert row.active_users <= truth.active_users
    weekly = pipeline.published("week")
    inner = weekly[(weekly["period_start"] > start) & (weekly["period_start"] < THIS_WEEK - 7 * ONE_DAY)]
    assert len(inner) == 2 * 4 * len(CORE_ACTIONS)
    assert inner["complete"].all()
    assert (weekly["users"] > 0).sum() > 40


@pytest.mark.skipif(not HISTORIES.is_dir(), reason=f"the real histories are not at {HISTORIES}")
def test_published_numbers_of_real_histories_are_those_that_git_facts_give(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = dt.date(2019, 1, 1)
    lab = RenkuLab("histories", tmp_path / "histories", now=midnight(TODAY))
    serve_histories(lab, HISTORIES)
    with lab:
        serve(lab, pipeline, start, monkeypatch)
        pipeline.materialize_everything()
    for kind in KINDS:
        assert counts_of(pipeline.published(kind), "histories") == counted_from_files(kind, start)


def counted_from_files(kind: str, start: dt.date) -> dict[tuple[dt.date, str], tuple[int, int]]:
    """Git facts in, counts out: who committed, by the first day of the period and core action."""
    people: dict[tuple[dt.date, str], set[str]] = defaultdict(set)
    seen = set()
    for path in sorted(HISTORIES.glob("*.jsonl")):
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
        (first, action): (
            len(people[first, action]) if (first, action) in people else 0,
            len(people[first, "contributing_to_a_project"]),
        )
        for first in {first for first, _ in list(people)}
        if first >= start
        for action in ("contributing_to_a_project", "creating_a_dataset", "running_a_workflow", "starting_a_session")
    }
