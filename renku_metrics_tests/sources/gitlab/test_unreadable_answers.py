"""Answers in JSON that are not what GitLab gives: they concern the project they are about and no other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from renku_metrics_tests.sources.gitlab.world import DAY, LONG_BEFORE, Pulls, World
from renkulab import gitlab_entities as entities

Change = Callable[[dict[str, Any]], dict[str, Any]]


def without(name: str) -> Change:
    return lambda entity: {key: value for key, value in entity.items() if key != name}


def with_null(name: str) -> Change:
    return lambda entity: entity | {name: None}


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, Change], Callable[[], None]]:
    """Changes all entities of a kind and project from now on, until what it returns is called."""

    def change(kind: str, project_id: int, alter: Change) -> Callable[[], None]:
        entity = getattr(entities, kind)

        def altered(lab: Any, *facts: Any, **options: Any) -> dict[str, Any]:
            content: dict[str, Any] = entity(lab, *facts, **options)
            place = facts[0].project_id if kind == "event_entity" else facts[0].id
            return alter(content) if place == project_id else content

        monkeypatch.setattr(entities, kind, altered)
        return lambda: monkeypatch.setattr(entities, kind, entity)

    return change


@pytest.mark.parametrize(
    ("kind", "alter"),
    [
        ("commit_entity", with_null("parent_ids")),
        ("commit_entity", without("parent_ids")),
        ("commit_entity", with_null("committed_date")),
        ("commit_entity", without("author_email")),
        ("commit_entity", without("id")),
        ("branch_entity", without("commit")),
        ("branch_entity", without("name")),
        ("branch_entity", lambda entity: entity | {"commit": "0" * 40}),
    ],
)
def test_a_project_told_of_in_another_shape_is_marked_stops_no_other_and_is_tried_again(
    kind: str, alter: Change, changed: Callable[..., Callable[[], None]], world: World, pulls: Pulls
) -> None:
    projects = [world.project(commits=2) for _ in range(12)]
    strange, *others = projects
    undo = changed(kind, strange.id, alter)
    for _ in range(2):
        summary = pulls.pull(with_pushes=True)
        assert summary.finished
        assert summary.unread == {strange.id: "an answer that cannot be read"}
        assert all(pulls.of(project) == world.reachable(project) for project in others)
        world.advance(9 * DAY)
    undo()
    assert pulls.pull(with_pushes=True).complete
    assert pulls.of(strange) == world.reachable(strange)


@pytest.mark.parametrize("name", ["author_email", "message", "committer_name", "committer_email"])
def test_a_commit_without_an_author_or_a_message_is_a_commit(
    name: str, changed: Callable[..., Callable[[], None]], world: World, pulls: Pulls
) -> None:
    project = world.project(commits=2)
    changed("commit_entity", project.id, with_null(name))
    assert pulls.pull().complete
    assert pulls.of(project) == world.reachable(project)


@pytest.mark.parametrize(
    ("alter", "kept"),
    [
        (with_null("created_at"), False),
        (without("created_at"), False),
        (with_null("id"), False),
        (without("author_id"), True),
        (with_null("author_id"), True),
        (with_null("push_data"), True),
        (without("push_data"), True),
    ],
)
def test_a_push_event_in_another_shape_costs_at_most_the_pusher(
    alter: Change, kept: bool, changed: Callable[..., Callable[[], None]], world: World, pulls: Pulls
) -> None:
    strange, other = world.project(commits=1), world.project(commits=1)
    for project in (strange, other):
        world.commit(project)
    changed("event_entity", strange.id, alter)
    assert pulls.pull(with_pushes=True).complete
    assert pulls.of(strange) == world.reachable(strange)
    told_of = sorted(pulls.pushes["project_id"])
    assert told_of == ([strange.id, other.id] if kept else [other.id])


@pytest.mark.parametrize("name", ["last_activity_at", "created_at"])
def test_a_project_without_a_date_is_read_every_time(
    name: str, changed: Callable[..., Callable[[], None]], world: World, pulls: Pulls
) -> None:
    project, other = world.project(commits=1), world.project(commits=1)
    changed("project_entity", project.id, lambda entity: entity | {"last_activity_at": None, name: None})
    assert pulls.pull().complete
    commit = world.commit(project)
    assert pulls.pull().complete
    assert commit.sha in pulls.of(project)
    # Of a project that could be any age no commit is older.
    created = {"last_activity_at": LONG_BEFORE, "created_at": dt.datetime(1970, 1, 1, tzinfo=dt.UTC)}[name]
    assert pulls.projects.set_index("project_id").loc[project.id, "created_at"] == created
    assert pulls.of(other) == world.reachable(other)
