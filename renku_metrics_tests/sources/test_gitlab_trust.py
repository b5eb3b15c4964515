"""What GitLab says that is not to be believed."""

from __future__ import annotations

import pytest

from renku_metrics.errors import SourceError
from renku_metrics_tests.renkulab import gitlab_entities
from renku_metrics_tests.sources.harvest import DAY, HOUR, MINUTE, Harvest, World


def test_a_push_to_a_branch_that_gitlab_still_calls_merged_is_found(
    world: World, harvest: Harvest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # GitLab keeps for a day, by their names, which branches are merged (Repository#merged_branch_names); a push to
    # one of them does not change that.
    remembered: dict[tuple[int, str], bool] = {}
    entity = gitlab_entities.branch_entity

    def branch_entity(lab: object, project: object, name: str, head: object, merged: bool) -> object:
        merged = remembered.setdefault((project.id, name), merged)  # type: ignore[attr-defined]
        return entity(lab, project, name, head, merged)  # type: ignore[arg-type]

    monkeypatch.setattr(gitlab_entities, "branch_entity", branch_entity)
    project = world.project(commits=3)
    world.move(project, "feature", world.head(project))
    world.lab.clock.advance(MINUTE)
    remembered.clear()
    world.commit(project)
    harvest.pull()
    world.lab.clock.advance(4 * HOUR)

    pushed = world.commit(project, "feature", parents=[world.head(project, "feature")])

    assert harvest.pull().complete
    assert pushed.sha in harvest.of(project)


def test_a_first_pull_that_is_shown_nothing_is_no_success(world: World, harvest: Harvest) -> None:
    project = world.project(commits=3)
    world.lab.administrator.is_admin = False
    with pytest.raises(SourceError, match="does not see every project"):
        harvest.pull()
    world.lab.administrator.is_admin = True
    world.lab.clock.advance(3 * DAY)

    assert harvest.pull().complete
    assert len(harvest.of(project)) == 3
