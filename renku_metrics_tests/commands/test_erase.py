"""What an erasure takes out of the store for good, and what it leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest

from renku_metrics.errors import StoreError
from renku_metrics.events.union import unite
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.object_storage import DirectoryStorage
from renku_metrics.pipeline.building import read_raw, store_events, store_user_days
from renku_metrics.pipeline.completeness import read_standing
from renku_metrics.schema import Table
from renku_metrics.sources.registry import all_sources, raw_tables, sources_of
from renku_metrics.store.ledger import BEFORE, Ledger
from renku_metrics.store.store import Store
from renku_metrics.tables import (
    EVENTS,
    RAW_GITLAB_COMMITS,
    RAW_GITLAB_PROJECTS,
    RAW_GITLAB_PUSHES,
    RAW_GITLAB_USERS,
    RAW_KEYCLOAK_USERS,
)
from renku_metrics_tests.commands.traces import KINDS, arguments_for, erase, of_others, traces
from renku_metrics_tests.pipeline.kept_deployment import MONTHS, PLACES, KeptDeployment
from renku_metrics_tests.pipeline.pulls import HARVESTS, pull_once
from renku_metrics_tests.present import NOW, TODAY
from renkulab.git import Identity


@pytest.mark.parametrize("kind", KINDS)
def test_an_erased_person_is_nowhere_in_the_store_and_nobody_else_is_touched(pulled: KeptDeployment, kind: str) -> None:
    person = pulled.person(kind)
    others = of_others(pulled, person)
    assert traces(pulled, person)

    result = erase(*arguments_for(person), "--yes")

    assert result.exit_code == 0, result.output
    assert traces(pulled, person) == []
    assert of_others(pulled, person) == others
    # What is counted again some day is what stands there now.
    sources = sources_of(pulled.deployment)
    told = {source.name: pulled.ledger.pulled(source.name) for source in sources}
    frames = read_raw(pulled.ledger, pulled.deployment, MONTHS, told)
    rebuilt = unite("lab", [source.events(frames) for source in sources])
    pd.testing.assert_frame_equal(rebuilt.events, pulled.store.read(EVENTS, PLACES))


def test_no_later_pull_brings_erased_people_back(pulled: KeptDeployment) -> None:
    people = [pulled.person(kind) for kind in KINDS]
    assert all(traces(pulled, person) for person in people)
    erase(*(argument for person in people for argument in arguments_for(person)), "--yes")
    others = of_others(pulled, *people)
    for source in all_sources():
        # So that everything is read again.
        assert Ledger(pulled.store, "lab").state(source.name)
        Ledger(pulled.store, "lab").forget_state(source.name)

    pulled.pull()
    pulled.build(MONTHS)

    assert [trace for person in people for trace in traces(pulled, person)] == []
    assert of_others(pulled, *people) == others


def test_what_an_erased_person_does_later_is_not_stored(pulled: KeptDeployment) -> None:
    person, other = pulled.person("second address"), pulled.person("plain")
    erase("--user", person.identity, "--yes")
    [project, *_] = [
        project for project in pulled.lab.gitlab.projects.values() if project.repository and not project.deleted
    ]
    assert project.repository
    assert person.account
    stays, goes = (
        project.repository.commit("later\n", Identity(author.name, author.cli_address), NOW, branch="later")
        for author in (other, person)
    )
    pulled.lab.gitlab.push(project, person.account, {"later": goes.sha}, NOW, quiet=True)
    project.last_activity_at = NOW
    pulled.pull()
    pulled.build(MONTHS)
    stored = set(pulled.store.read(RAW_GITLAB_COMMITS, PLACES)["sha"])
    assert stays.sha in stored
    assert goes.sha not in stored
    assert traces(pulled, person) == []


def test_of_other_peoples_rows_the_mention_goes_and_the_row_stays(pulled: KeptDeployment) -> None:
    rows = pulled.store.read(RAW_GITLAB_PROJECTS, [("lab",)])
    creator = rows["creator_id"].dropna().iloc[0]
    assert erase("--user", f"gitlab:{creator}", "--yes").exit_code == 0
    after = pulled.store.read(RAW_GITLAB_PROJECTS, [("lab",)])
    assert after["project_id"].tolist() == rows["project_id"].tolist()
    mine = rows["creator_id"] == creator
    at_home = mine & (rows["namespace_kind"] == "user")
    assert at_home.any()
    assert not mine.all()
    assert after.loc[mine, "creator_id"].isna().all()
    assert after.loc[at_home, "namespace_id"].isna().all()
    pd.testing.assert_frame_equal(after[~mine], rows[~mine])


@pytest.mark.parametrize("writes", [1, 6, 14])
def test_killed_on_the_way_and_run_again_it_completes(
    pulled: KeptDeployment, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    person = pulled.person("noreply")
    replace, done = DirectoryStorage.replace, list[str]()

    def replace_some(self: DirectoryStorage, key: str, content: bytes, version: str | None) -> str:
        if len(done) == writes:
            raise StoreError("killed")
        done.append(key)
        return replace(self, key, content, version)

    with monkeypatch.context() as patch:
        patch.setattr(DirectoryStorage, "replace", replace_some)
        assert erase("--user", person.identity, "--yes").exit_code == 1
    assert traces(pulled, person)

    assert erase("--user", person.identity, "--yes").exit_code == 0
    assert traces(pulled, person) == []


def test_the_copy_of_users_that_a_killed_pull_left_is_erased_from_too(pulled: KeptDeployment) -> None:
    person = pulled.person("plain")
    for table in (RAW_GITLAB_USERS, RAW_KEYCLOAK_USERS):
        pulled.store.write(BEFORE[table.name], pulled.store.read(table, [("lab",)]), [("lab",)])
    assert any("state/users_before/" in trace for trace in traces(pulled, person))
    assert erase("--user", person.identity, "--yes").exit_code == 0
    assert traces(pulled, person) == []


def test_another_erasure_does_not_undo_the_first(pulled: KeptDeployment) -> None:
    first, second = pulled.person("plain"), pulled.person("visitor")
    assert traces(pulled, first)
    assert traces(pulled, second)
    erase("--user", first.identity, "--yes")
    erase("--user", second.identity, "--yes")
    pulled.pull()
    pulled.build(MONTHS)
    assert traces(pulled, first) + traces(pulled, second) == []


def test_pushes_of_the_person_are_gone_and_pushes_of_others_stay(pulled: KeptDeployment) -> None:
    person = pulled.person("default address")
    assert person.account
    before = pulled.store.read_if_there(RAW_GITLAB_PUSHES, pulled.store.partitions(RAW_GITLAB_PUSHES, "lab"))
    theirs = set(before.loc[before["gitlab_user_id"] == person.account.id, "push_id"])
    assert set() < theirs < set(before["push_id"])
    erase("--user", person.identity, "--yes")
    after = pulled.store.read_if_there(RAW_GITLAB_PUSHES, pulled.store.partitions(RAW_GITLAB_PUSHES, "lab"))
    assert set(before["push_id"]) - set(after["push_id"]) == theirs


def test_erased_days_are_remembered_for_the_record_of_revisions(pulled: KeptDeployment) -> None:
    person = pulled.person("plain")
    events = pulled.store.read(EVENTS, PLACES)
    days = set(events.loc[events["user_id"] == person.identity, "event_day"])
    assert days
    erase("--user", person.identity, "--yes")
    erased = Ledger(pulled.store, "lab").erased().days
    assert days <= set(erased)
    assert max(erased) <= TODAY.isoformat()


def test_what_an_erasure_rewrites_is_not_taken_for_lost(pulled: KeptDeployment) -> None:
    people = [pulled.person(kind) for kind in KINDS]
    ledger = Ledger(pulled.store, "lab")
    covered = {source.name: ledger.pulled(source.name).covered for source in all_sources()}
    before = pulled.content()
    erase(*(argument for person in people for argument in arguments_for(person)), "--yes")
    rewritten = {key for key, text in pulled.content().items() if before.get(key) != text}
    assert {key.split("/")[1] for key in rewritten if key.startswith("raw/")} == {table.name for table in raw_tables()}

    deployment = pulled.deployment
    [standing] = read_standing(pulled.store, deployment, {"week": [ACTIVE_USERS]})
    assert standing.lost == []
    said: list[str] = []
    for harvest in HARVESTS:
        pull_once(pulled.store, deployment, harvest, say=said.append)
    assert not any("not covered" in line for line in said)
    for source in all_sources():
        [known], [now] = covered[source.name], ledger.pulled(source.name).covered
        assert (now.start, now.end) >= (known.start, known.end)
        assert now.start == known.start


def test_events_that_are_built_meanwhile_bring_nobody_back(
    pulled: KeptDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = pulled.person("plain")
    built, erasing = threading.Event(), threading.Event()
    write, alone = Store.write, Ledger.alone

    def write_late(store: Store, table: Table, *rest: Any) -> Any:
        if table is EVENTS and not built.is_set():
            # All raw rows are read, the person's among them.
            built.set()
            assert erasing.wait(timeout=60)
        return write(store, table, *rest)

    def want(ledger: Ledger, *names: str) -> Any:
        if "gitlab" in names:
            erasing.set()
        return alone(ledger, *names)

    monkeypatch.setattr(Store, "write", write_late)
    monkeypatch.setattr(Ledger, "alone", want)
    with ThreadPoolExecutor(1) as pool:
        building = pool.submit(store_events, pulled.store, pulled.deployment, MONTHS)
        assert built.wait(timeout=60)
        result = erase("--user", person.identity, "--yes")
        building.result(timeout=60)
    assert result.exit_code == 0, result.output
    store_user_days(pulled.store, pulled.deployment, MONTHS)
    assert traces(pulled, person) == []
