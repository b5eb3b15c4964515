"""What a population does can be seen on its deployment, and its ledger counts right."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.registry import read_deployment
from renkulab.population import Population
from renkulab.server import RenkuLab, write_deployment
from renkulab.truth import Count, Ledger

MONDAY = dt.datetime(2026, 9, 7, tzinfo=dt.UTC)
WEEK = dt.timedelta(weeks=1)


def lived(folder: Path, *stops: dt.datetime, seed: int = 1) -> Population:
    population = Population(RenkuLab("one", folder, now=MONDAY), seed=seed)
    for stop in stops:
        population.live(stop)
    return population


def test_a_hand_worked_ledger() -> None:
    ledger = Ledger()
    sunday, monday = dt.datetime(2027, 1, 3, 23, 59, tzinfo=dt.UTC), dt.datetime(2027, 1, 4, tzinfo=dt.UTC)
    ledger.note("a", "login", sunday)
    ledger.note("a", "dataset_created", sunday)
    ledger.note("b", "session_resumed", sunday)
    ledger.note("b", "workflow_run", monday)
    ledger.note("b", "workflow_run", monday.astimezone(dt.timezone(dt.timedelta(hours=-7))))
    ledger.note("address:c@elsewhere.example", "dataset_imported", monday)
    weeks = ledger.counts("week")
    assert weeks[dt.date(2026, 12, 28), "creating_a_dataset"] == Count(1, 1)
    assert weeks[dt.date(2026, 12, 28), "contributing_to_a_project"] == Count(1, 1)
    assert weeks[dt.date(2027, 1, 4), "creating_a_dataset"] == Count(0, 2)
    assert weeks[dt.date(2027, 1, 4), "contributing_to_a_project"] == Count(2, 2)
    assert weeks[dt.date(2027, 1, 4), "running_a_workflow"] == Count(1, 2)
    assert ledger.counts("month")[dt.date(2027, 1, 1), "starting_a_session"] == Count(0, 3)


def test_a_seed_gives_one_life_however_it_is_cut(tmp_path: Path) -> None:
    whole = lived(tmp_path / "a", MONDAY + 2 * WEEK)
    parts = lived(tmp_path / "b", MONDAY + dt.timedelta(days=3, hours=5), MONDAY + WEEK, MONDAY + 2 * WEEK)
    other = lived(tmp_path / "c", MONDAY + 2 * WEEK, seed=2)
    assert whole.ledger.deeds == parts.ledger.deeds
    assert whole.ledger.deeds != other.ledger.deeds
    assert whole.lab.amalthea.objects() == parts.lab.amalthea.objects()
    assert whole.lab.gitlab.events == parts.lab.gitlab.events


def test_every_commit_of_the_ledger_is_on_a_branch_at_its_time(tmp_path: Path) -> None:
    population = lived(tmp_path, MONDAY + 8 * WEEK)
    gitlab = population.lab.gitlab
    for deed in population.ledger.deeds:
        if deed.action in ("commit", "dataset_created", "dataset_imported", "workflow_run"):
            repository = gitlab.projects[deed.project_id or 0].repository
            assert repository is not None
            held = repository.reachable(repository.branches.values())
            assert any(repository.commits[sha].committed_at == deed.at for sha in held)


def test_commits_that_are_not_in_the_ledger_are_nobodys_work(tmp_path: Path) -> None:
    population = lived(tmp_path, MONDAY + 8 * WEEK)
    noted = {(deed.project_id, deed.at) for deed in population.ledger.deeds}
    seen: set[str] = set()
    for project in sorted(population.lab.gitlab.projects.values(), key=lambda project: project.created_at):
        repository = project.repository
        if repository is None:
            continue
        for sha in repository.reachable(repository.branches.values()) - seen:
            commit = repository.commits[sha]
            nobodys = (
                commit.committed_at < project.created_at
                or "_bot_" in commit.author.email
                or commit.message.startswith("Auto-saving")
            )
            assert ((project.id, commit.committed_at) in noted) is not nobodys
            seen.add(sha)


def test_people_of_every_kind_leave_traces(tmp_path: Path) -> None:
    population = lived(tmp_path, MONDAY + 8 * WEEK)
    active = {deed.person for deed in population.ledger.deeds}
    assert {person.identity for person in population.people} <= active
    assert any(person.startswith("gitlab:") for person in active)
    assert any(person.startswith("address:outsider") for person in active)
    log = "".join(content.decode() for content in population.lab.amalthea.objects().values())
    assert '"renku.io/userId": "anon-' in log
    assert '"status": "hibernated"' in log


def test_the_deployment_file_is_one_the_product_reads(tmp_path: Path) -> None:
    lab = RenkuLab("lab-one", tmp_path / "audit", now=MONDAY)
    secrets = write_deployment(lab, tmp_path / "deployments", MONDAY.date())
    deployment = read_deployment(tmp_path / "deployments" / "lab-one.yaml")
    assert deployment.configured(GitLab).url == lab.gitlab_url
    assert deployment.start == MONDAY.date()
    assert set(secrets) == {"LAB_ONE_GITLAB_TOKEN", "LAB_ONE_KEYCLOAK_SECRET"}
    assert not any(re.search(value, (tmp_path / "deployments/lab-one.yaml").read_text()) for value in secrets.values())
