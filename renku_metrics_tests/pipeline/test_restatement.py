"""Numbers that come to be others: marked as not complete until they are counted again, then recorded as revised."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from renku_metrics.events.links import Identities
from renku_metrics.metrics.dictionary import CONTRIBUTING_TO_A_PROJECT, CORE_ACTIONS
from renku_metrics.periods import ONE_DAY, Period, days_between, midnight
from renku_metrics.store.files import WHOLE
from renku_metrics.store.ledger import WHOLE_TABLE, Ledger
from renku_metrics.tables import KINDS, RAW_GITLAB_USERS, REVISIONS
from renku_metrics_tests.pipeline.pipeline import METRICS, PEOPLE_AND_PROJECTS, Pipeline, change_rules_of_events
from renku_metrics_tests.present import TODAY, YESTERDAY
from renku_metrics_tests.served import served
from renkulab.git import Identity, Repository
from renkulab.gitlab import Project, User
from renkulab.server import RenkuLab

HOUR = dt.timedelta(hours=1)
WEEK = Period.of("week", TODAY - 14 * ONE_DAY)
START = Period.of("month", TODAY).start
DAY = WEEK.start + 2 * ONE_DAY
ADA = Identity("ada", "ada@university.example")
# The running month, which the week is in as well.
MONTH = f"lab|{START}"


@dataclass
class Setting:
    """A deployment where Ada commits and starts a session every day, and everything is pulled and published."""

    lab: RenkuLab
    project: Project
    ada: User
    pipeline: Pipeline

    def commit(self, *authors: Identity, at: dt.datetime, pushed_at: dt.datetime) -> None:
        """One commit of each author, pushed together by Ada."""
        repository = self.project.repository
        assert repository is not None
        head = repository.branches["master"]
        for author in authors:
            head = repository.commit("a change\n", author, at, parents=[head]).sha
        self.lab.gitlab.push(self.project, self.ada, {"master": head}, pushed_at)

    def contributing(self) -> dict[str, Any]:
        """The published row of the week."""
        weekly = self.pipeline.published("week")
        rows = weekly[(weekly["period"] == WEEK.label) & (weekly["core_action"] == "contributing_to_a_project")]
        assert len(rows) == 1
        return {str(name): value for name, value in rows.iloc[0].to_dict().items()}

    def count_again(self) -> None:
        for names in (["events"], ["user_days"]):
            assert self.pipeline.materialize(names, partition=MONTH).success
        assert self.pipeline.materialize([f"{key}_weekly" for key in METRICS], partition=f"lab|{WEEK.start}").success
        assert self.pipeline.materialize(["published"]).success


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Setting]:
    lab = RenkuLab("lab", tmp_path / "audit_log", now=midnight(START - ONE_DAY))
    ada = lab.gitlab.add_user("ada", ADA.email, midnight(START - ONE_DAY))
    login = lab.keycloak.add_user(ADA.email, midnight(START - ONE_DAY))
    project = lab.gitlab.create_project(
        "flights", lab.gitlab.personal_namespace(ada), ada, midnight(START - ONE_DAY), repository=Repository()
    )
    assert project.repository is not None
    project.repository.commit("init\n", ADA, midnight(START - ONE_DAY) + HOUR, branch="master")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        served([lab], tmp_path / "deployments", START, monkeypatch),
    ):
        pipeline = Pipeline(tmp_path / "deployments", str(tmp_path / "store"), instance)
        there = Setting(lab, project, ada, pipeline)
        for day in days_between(START - ONE_DAY, YESTERDAY):
            lab.keycloak.log_in(login, midnight(day) + HOUR)
            lab.amalthea.start_session(midnight(day) + 2 * HOUR, user_id=login.id, gitlab_project_id=project.id)
            there.commit(ADA, at=midnight(day) + 3 * HOUR, pushed_at=midnight(day) + 3 * HOUR)
        lab.clock.set(midnight(TODAY))
        pipeline.materialize_everything()
        yield there


def test_a_late_commit_makes_its_week_incomplete_until_it_is_counted_and_then_a_revision(setting: Setting) -> None:
    before = setting.contributing()
    assert (before["users"], before["active_users"], before["complete"]) == (1, 1, True)

    setting.commit(Identity("bob", "bob@elsewhere.example"), ADA, at=midnight(DAY) + HOUR, pushed_at=midnight(TODAY))
    assert setting.pipeline.materialize(["raw_gitlab_commits"], partition=MONTH).success
    assert setting.pipeline.materialize(["published"]).success
    pulled = setting.contributing()
    assert (pulled["users"], pulled["complete"], pulled["missing"]) == (1, False, f"commits:{DAY}..{DAY}")

    setting.count_again()
    after = setting.contributing()
    assert (after["users"], after["active_users"], after["complete"], after["unlinked"]) == (2, 2, True, 0.5)
    revisions = setting.pipeline.store.read(REVISIONS, [WHOLE])
    revised = revisions[revisions["period"] == WEEK.label].set_index("core_action")
    # The denominator changed for all four; the number only for one.
    assert list(revised["active_users_before"]) == [1] * 4
    assert list(revised["active_users_after"]) == [2] * 4
    users = revised[["users_before", "users_after"]].to_dict(orient="index")
    assert users["contributing_to_a_project"] == {"users_before": 1, "users_after": 2}
    assert users["starting_a_session"] == {"users_before": 1, "users_after": 1}
    assert set(revised["reason"]) == {"late facts"}


def test_days_of_somebody_who_is_known_since_are_open_until_counted_again(setting: Setting) -> None:
    setting.commit(Identity("ada", "ada@home.example"), ADA, at=midnight(DAY) + HOUR, pushed_at=midnight(TODAY))
    assert setting.pipeline.materialize(["raw_gitlab_commits"], partition=MONTH).success
    setting.count_again()
    assert setting.contributing()["users"] == 2

    setting.lab.gitlab.add_email(setting.ada, "ada@home.example", midnight(TODAY))
    setting.ada.last_activity_on = TODAY
    pulled = setting.pipeline.materialize(PEOPLE_AND_PROJECTS, partition="lab")
    assert pulled.success
    # Told to Dagster like a change of that day's commits, so that it alone is counted again.
    assert months_told(pulled, "raw_gitlab_commits") == [MONTH]
    users = Ledger(setting.pipeline.store, "lab").pulled("gitlab").tables[RAW_GITLAB_USERS.name][WHOLE_TABLE]
    assert users.days == {str(DAY): users.serial}
    assert setting.pipeline.materialize(["published"]).success
    assert setting.contributing()["missing"] == f"commits:{DAY}..{DAY}"
    setting.count_again()
    row = setting.contributing()
    assert (row["users"], row["active_users"], row["complete"], row["unlinked"]) == (1, 1, True, 0.0)
    revisions = setting.pipeline.store.read(REVISIONS, [WHOLE])
    revised = revisions[(revisions["period"] == WEEK.label) & (revisions["core_action"] == row["core_action"])]
    numbers = revised.sort_values("changed_at")[["users_before", "users_after", "active_users_after", "reason"]]
    assert numbers.values.tolist() == [[1, 2, 2, "late facts"], [2, 1, 1, "people known since"]]

    # What is known of them is settled: the next change of the week has another reason.
    bob, later = Identity("bob", "bob@elsewhere.example"), midnight(TODAY) + HOUR
    setting.commit(bob, ADA, at=midnight(DAY) + HOUR, pushed_at=later)
    setting.lab.clock.set(later + HOUR)
    assert setting.pipeline.materialize(["raw_gitlab_commits"], partition=MONTH).success
    setting.count_again()
    latest = setting.pipeline.store.read(REVISIONS, [WHOLE]).sort_values("changed_at").iloc[-1]
    assert (latest["period"], latest["active_users_after"], latest["reason"]) == (WEEK.label, 2, "late facts")


def test_other_rules_make_numbers_incomplete_until_all_is_built_by_them_and_then_a_revision(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting.commit(Identity("bob", "bob@elsewhere.example"), ADA, at=midnight(DAY) + HOUR, pushed_at=midnight(TODAY))
    assert setting.pipeline.materialize(["raw_gitlab_commits"], partition=MONTH).success
    setting.count_again()
    before = setting.contributing()
    assert (before["users"], before["complete"]) == (2, True)

    # From now on an author whom nobody knows is no user.
    change_rules_of_events(monkeypatch)
    link_commits = Identities.link_commits

    def known_alone(*arguments: Any) -> pd.DataFrame:
        linked = link_commits(*arguments)
        linked.loc[linked["user_link"] == "address_hash", ["user_id", "user_link"]] = None
        return linked

    monkeypatch.setattr(Identities, "link_commits", known_alone)
    new = replace(CONTRIBUTING_TO_A_PROJECT, version="2")
    actions = [new if action is CONTRIBUTING_TO_A_PROJECT else action for action in CORE_ACTIONS]
    setting.pipeline = replace(setting.pipeline, core_actions=actions)
    whole_week = f"{WEEK.start}..{WEEK.end}"
    nothing = f"logins:{whole_week}; commits:{whole_week}; sessions:{whole_week}"
    assert setting.pipeline.materialize(["published"]).success
    upgraded = setting.contributing()
    assert (upgraded["users"], upgraded["complete"], upgraded["missing"]) == (2, False, nothing)

    # The new definition counted over events of the old rules is none.
    assert setting.pipeline.materialize(["contributing_to_a_project_weekly"], partition=f"lab|{WEEK.start}").success
    assert setting.pipeline.materialize(["published"]).success
    assert setting.contributing()["missing"] == nothing

    setting.pipeline.materialize_everything()
    after = setting.contributing()
    assert (after["users"], after["complete"]) == (1, True)
    revisions = setting.pipeline.store.read(REVISIONS, [WHOLE])
    revised = revisions[(revisions["period"] == WEEK.label) & (revisions["core_action"] == new.key)]
    assert list(revised["definition_before"])[-1] == "contributing_to_a_project 2; active_users 1"
    assert list(revised["users_before"]) == [1, 2, 2]
    assert list(revised["users_after"]) == [2, 2, 1]
    assert list(revised["reason"]) == ["late facts", "new definition", "new rules of events"]


def test_somebody_whose_keycloak_account_was_made_anew_is_two_users_of_past_weeks(setting: Setting) -> None:
    # Accounts are not merged: a known gap of the numbers, too large.
    before = setting.contributing()
    assert (before["users"], before["active_users"], before["complete"]) == (1, 1, True)

    anew = setting.lab.keycloak.add_user(ADA.email, midnight(TODAY))
    setting.ada.keycloak_id = anew.id
    setting.pipeline.materialize_everything()
    after = setting.contributing()
    # The commits moved to the new account, the logins and sessions stay with the old one.
    assert (after["users"], after["active_users"], after["complete"]) == (1, 2, True)
    assert after["share"] == 0.5
    revisions = setting.pipeline.store.read(REVISIONS, [WHOLE])
    revised = revisions[revisions["period"] == WEEK.label]
    assert len(revised) == 4
    assert list(revised["users_before"]) == list(revised["users_after"])
    assert set(revised["active_users_after"]) == {2}
    # Nothing happened that was not known.
    assert set(revised["reason"]) == {"people known since"}


def months_told(result: dg.ExecuteInProcessResult, asset: str) -> list[str | None]:
    events = result.get_asset_materialization_events()
    return [event.materialization.partition for event in events if event.asset_key == dg.AssetKey(asset)]


def test_pulling_and_counting_again_without_news_changes_nothing(setting: Setting) -> None:
    before = {kind: setting.pipeline.published(kind) for kind in KINDS}
    assert all((rows["users"] > 0).any() for rows in before.values())
    setting.pipeline.materialize_everything()
    for kind, rows in before.items():
        pd.testing.assert_frame_equal(setting.pipeline.published(kind), rows)
    assert setting.pipeline.store.read(REVISIONS, [WHOLE]).empty
