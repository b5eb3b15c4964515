"""The record of published numbers that changed, and why."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pytest

from renku_metrics.metrics.revisions import Causes, in_effect, revise
from renku_metrics.periods import ONE_DAY
from renku_metrics.tables import REVISIONS, published_table
from renku_metrics_tests.metrics.published_rows import week
from renku_metrics_tests.metrics.rows import DEPLOYMENT, NOW

NO_REVISIONS = REVISIONS.frame()
LATER = NOW + dt.timedelta(hours=1)


def test_a_number_that_grows_after_its_period_is_a_revision() -> None:
    later = NOW + dt.timedelta(days=1)
    assert revise(week(5), week(6, 9), NO_REVISIONS, {}, later).to_dict("records") == [
        {
            "deployment": DEPLOYMENT,
            "period": "2026-W47",
            "core_action": "running_a_workflow",
            "users_before": 5,
            "users_after": 6,
            "active_users_before": 8,
            "active_users_after": 9,
            "definition_before": "running_a_workflow 3; active_users 1",
            "definition_after": "running_a_workflow 3; active_users 1",
            "changed_at": pd.Timestamp(later),
            "reason": "late facts",
        }
    ]


def test_a_new_definition_is_a_revision_even_of_the_same_number() -> None:
    [row] = revise(week(5), week(5, definition="4"), NO_REVISIONS, {}, NOW).to_dict("records")
    assert (row["reason"], row["definition_after"]) == ("new definition", "running_a_workflow 4; active_users 1")


MONDAY, SUNDAY = dt.date(2026, 11, 16), dt.date(2026, 11, 22)
LATE, KNOWN, RULES, ERASED = "late facts", "people known since", "new rules of events", "erasure"


@pytest.mark.parametrize(
    ("before", "after", "causes", "reason"),
    [
        ((6, 9), (5, 8), {DEPLOYMENT: {SUNDAY: {KNOWN}}}, KNOWN),
        ((5, 8), (6, 9), {DEPLOYMENT: {SUNDAY: {LATE}}}, LATE),
        ((5, 8), (6, 8), {DEPLOYMENT: {MONDAY: {LATE}, SUNDAY: {KNOWN, LATE}}}, "late facts and people known since"),
        ((5, 8), (4, 8), {DEPLOYMENT: {MONDAY: {RULES}}}, RULES),
        # What changed outside of the week, or on another deployment, is no reason.
        ((5, 8), (6, 9), {DEPLOYMENT: {MONDAY - ONE_DAY: {KNOWN}, SUNDAY + ONE_DAY: {KNOWN}, SUNDAY: {LATE}}}, LATE),
        ((5, 8), (6, 9), {"epfl": {SUNDAY: {KNOWN}}, DEPLOYMENT: {SUNDAY: {LATE}}}, LATE),
        # An erasure, of whatever time, only makes numbers fall.
        ((5, 8), (4, 7), {DEPLOYMENT: {SUNDAY: {ERASED}}}, ERASED),
        ((5, 8), (5, 7), {DEPLOYMENT: {MONDAY: {ERASED, LATE}}}, ERASED),
        ((5, 8), (5, 7), {DEPLOYMENT: {MONDAY: {ERASED, KNOWN}}}, "erasure and people known since"),
        ((5, 8), (6, 9), {DEPLOYMENT: {MONDAY: {ERASED, LATE}}}, LATE),
        ((5, 8), (6, 9), {DEPLOYMENT: {MONDAY: {ERASED}}}, LATE),
        ((5, 8), (4, 7), {DEPLOYMENT: {MONDAY - ONE_DAY: {ERASED}, SUNDAY + ONE_DAY: {ERASED}}}, LATE),
        ((5, 8), (4, 7), {"epfl": {SUNDAY: {ERASED}}}, LATE),
    ],
)
def test_a_revision_says_what_changed_within_its_period(
    before: tuple[int, int], after: tuple[int, int], causes: Causes, reason: str
) -> None:
    [row] = revise(week(*before), week(*after), NO_REVISIONS, causes, NOW).to_dict("records")
    assert row["reason"] == reason


def test_the_same_numbers_are_no_revision_even_counted_again() -> None:
    assert revise(week(5), week(5, computed_at=NOW), NO_REVISIONS, {}, NOW).empty


def test_the_growth_of_a_running_period_is_no_revision() -> None:
    running = week(5, now=dt.datetime(2026, 11, 18, tzinfo=dt.UTC))
    assert revise(running, week(6), NO_REVISIONS, {}, NOW).empty


def test_a_number_last_counted_while_its_period_ran_is_revised_once_published_as_over() -> None:
    # The count of Wednesday still held on Tuesday, so it kept its time; then somebody pushed late.
    wednesday = dt.datetime(2026, 11, 18, tzinfo=dt.UTC)
    assert len(revise(week(5, computed_at=wednesday), week(6), NO_REVISIONS, {}, NOW)) == 1


@pytest.mark.parametrize("empty_first", [True, False])
def test_rows_published_for_the_first_time_are_no_revision(empty_first: bool) -> None:
    none = published_table("week").frame()
    before, after = (none, week(5)) if empty_first else (none, none)
    assert revise(before, after, NO_REVISIONS, {}, NOW).equals(REVISIONS.frame())


def test_a_row_that_is_no_longer_there_is_a_revision() -> None:
    none = published_table("week").frame()
    [row] = revise(week(5), none, NO_REVISIONS, {}, NOW).to_dict("records")
    assert (row["users_before"], row["definition_before"], row["reason"]) == (
        5,
        "running_a_workflow 3; active_users 1",
        "no longer published",
    )
    assert pd.isna(row["users_after"])
    assert pd.isna(row["active_users_after"])
    assert pd.isna(row["definition_after"])
    assert revise(week(5, now=dt.datetime(2026, 11, 18, tzinfo=dt.UTC)), none, NO_REVISIONS, {}, NOW).empty


def test_a_row_that_is_back_is_a_revision_where_it_says_something_else() -> None:
    none = published_table("week").frame()
    gone = revise(week(5), none, NO_REVISIONS, {}, NOW)
    assert revise(none, week(5), gone, {}, LATER).empty
    [row] = revise(none, week(6, 9), gone, {}, LATER).to_dict("records")
    assert (row["users_before"], row["users_after"], row["reason"]) == (5, 6, "published again")
    assert (row["active_users_before"], row["active_users_after"]) == (8, 9)
    # Gone once more, and back with the numbers of the second time.
    both = pd.concat([gone, revise(none, week(6, 9), gone, {}, LATER)], ignore_index=True)
    twice = pd.concat([both, revise(week(6, 9), none, both, {}, LATER + dt.timedelta(hours=1))], ignore_index=True)
    assert revise(none, week(6, 9), twice, {}, LATER + dt.timedelta(hours=2)).empty
    assert list(revise(none, week(5), twice, {}, LATER + dt.timedelta(hours=2))["users_before"]) == [6]
    # A row that was changed last is not back.
    changed = revise(week(4), week(5), NO_REVISIONS, {}, NOW)
    assert revise(none, week(6), changed, {}, LATER).empty


@pytest.mark.parametrize(
    ("finished", "kept"), [(NOW - dt.timedelta(hours=1), False), (NOW, True)], ids=["killed", "finished"]
)
def test_a_revision_counts_once_the_number_it_tells_of_was_written(finished: dt.datetime, kept: bool) -> None:
    revisions = revise(week(5), week(6), NO_REVISIONS, {}, NOW)
    assert in_effect(revisions, week(6), finished).equals(revisions)
    assert len(in_effect(revisions, week(5), finished)) == kept
    assert len(in_effect(revisions, published_table("week").frame(), finished)) == kept


def test_the_revision_of_a_row_that_is_gone_counts_once_it_is_gone() -> None:
    none = published_table("week").frame()
    revisions = revise(week(5), none, NO_REVISIONS, {}, NOW)
    before = NOW - dt.timedelta(hours=1)
    assert in_effect(revisions, none, before).equals(revisions)
    assert in_effect(revisions, week(5), before).empty
    # Back again, in a publication that was finished.
    assert in_effect(revisions, week(5), NOW).equals(revisions)


def test_earlier_revisions_of_a_number_stay() -> None:
    first = revise(week(4), week(5), NO_REVISIONS, {}, NOW)
    revisions = pd.concat([first, revise(week(5), week(6), first, {}, LATER)], ignore_index=True)
    assert list(in_effect(revisions, week(5), NOW)["users_after"]) == [5]
    assert list(in_effect(revisions, week(6), NOW)["users_after"]) == [5, 6]
    assert in_effect(REVISIONS.frame(), week(6), NOW).empty
