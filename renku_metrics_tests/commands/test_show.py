from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result

from renku_metrics.cli import renku_metrics
from renku_metrics.metrics.dictionary import CORE_ACTIONS
from renku_metrics.periods import Period
from renku_metrics.store.files import WHOLE
from renku_metrics.store.store import Store
from renku_metrics.tables import PeriodKind, published_table

MONDAYS = [dt.date(2026, 9, 7) + dt.timedelta(weeks=week) for week in range(12)]
MONTHS = [dt.date(2026, month, 1) for month in range(3, 12)]


def rows(kind: PeriodKind, deployment: str, start: dt.date, *, users: int, active: int, missing: str = "") -> Any:
    period = Period.of(kind, start)
    return [
        {
            "deployment": deployment,
            "period": period.label,
            "period_start": period.start,
            "period_end": period.end,
            "core_action": action.key,
            "users": users,
            "active_users": active,
            "share": users / active if active else None,
            "complete": not missing,
            "missing": missing,
            "unlinked": 0.0,
            "definition": f"{action.key} 1; active_users 1",
            "computed_at": dt.datetime(2026, 11, 30, tzinfo=dt.UTC),
        }
        for action in CORE_ACTIONS
    ]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    return Store.at(str(tmp_path / "store"))


@pytest.fixture
def published(store: Store) -> Store:
    """Two deployments; the last week of one lacks logins, and nobody was active in its first one."""
    weeks, months = published_table("week"), published_table("month")
    frames = [
        weeks.frame(
            row
            for name in ("lab", "institute")
            for number, monday in enumerate(MONDAYS)
            for row in rows(
                "week",
                name,
                monday,
                users=number,
                active=2 * number,
                missing="logins:2026-11-25..2026-11-26" if (name, monday) == ("lab", MONDAYS[-1]) else "",
            )
        )
    ]
    store.write(weeks, pd.concat(frames), [WHOLE])
    store.write(
        months,
        months.frame(row for month in MONTHS for row in rows("month", "lab", month, users=3, active=12)),
        [WHOLE],
    )
    return store


def show(*arguments: str) -> Result:
    return CliRunner().invoke(renku_metrics, ["show", *arguments])


def periods(result: Result) -> list[str]:
    """The periods shown, in order."""
    first_words = [line.split()[0] for line in result.output.splitlines() if line and not line.startswith(" ")]
    return [word for word in first_words if word.startswith("2026-")]


def test_the_latest_weeks_and_months_of_every_deployment_are_shown(published: Store) -> None:
    result = show()
    assert result.exit_code == 0
    weeks = [Period.of("week", monday).label for monday in MONDAYS[-10:]]
    months = [f"2026-{month:02}" for month in range(6, 12)]
    assert periods(result) == [*weeks, *weeks, *months]
    assert result.output.index("institute, by week") < result.output.index("lab, by week")


def test_weeks_months_and_deployments_can_be_chosen(published: Store) -> None:
    assert periods(show("--weeks", "2", "--months", "1", "--deployment", "lab")) == ["2026-W47", "2026-W48", "2026-11"]
    both = show("--weeks", "1", "--months", "1", "--deployment", "lab", "--deployment", "institute")
    assert periods(both) == ["2026-W48", "2026-W48", "2026-11"]


def test_a_line_holds_active_users_and_users_with_their_share(published: Store) -> None:
    [line] = [line for line in show("--deployment", "lab").output.splitlines() if line.startswith("2026-11 ")]
    assert line.split() == ["2026-11", "12", *["3", "25%"] * len(CORE_ACTIONS), "yes"]


def test_why_a_period_is_not_complete_stands_below(published: Store) -> None:
    lines = show("--weeks", "1", "--deployment", "lab").output.splitlines()
    [week] = [line for line in lines if line.startswith("2026-W48")]
    assert week.rstrip().endswith("no (1)")
    assert "  (1) logins:2026-11-25..2026-11-26" in lines


def test_nobody_active_is_no_share(published: Store) -> None:
    [line] = [line for line in show("--weeks", "12").output.splitlines() if line.startswith("2026-W37")][:1]
    assert line.split() == ["2026-W37", "0", *["0"] * len(CORE_ACTIONS), "yes"]


def test_the_output_is_plain_when_it_is_no_terminal(published: Store) -> None:
    result = show()
    assert "\x1b" not in result.output
    assert not any(0x2500 <= ord(letter) <= 0x257F for letter in result.output)


def test_an_unpublished_store_is_one_line(store: Store) -> None:
    result = show()
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {store.storage.address('published')}: nothing is published yet; materialize `published`\n"
    )


def test_an_unknown_deployment_is_one_line(published: Store) -> None:
    result = show("--deployment", "moon")
    assert (result.exit_code, result.output) == (1, "Error: nothing is published of moon; there is institute, lab\n")


@pytest.mark.parametrize("option", ["--weeks", "--months"])
def test_at_least_one_period_is_asked_for(published: Store, option: str) -> None:
    assert show(option, "0").exit_code == 2


def test_every_line_fits_a_terminal_of_80_columns_and_none_ends_in_blanks(published: Store) -> None:
    lines = show().output.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line != line.rstrip()] == []


def test_each_heading_stands_over_its_numbers_and_is_explained(published: Store) -> None:
    lines = show("--weeks", "1", "--months", "1", "--deployment", "lab").output.splitlines()
    assert lines[:5] == [
        "Active users; how many of them did each core action, and what share that is:",
        "  Projects   Contributing to a project",
        "  Datasets   Creating a dataset",
        "  Sessions   Starting a session",
        "  Workflows  Running a workflow",
    ]
    assert lines[lines.index("lab, by month") + 1 :][:2] == [
        "Month    Active  Projects  Datasets  Sessions  Workflows  Complete",
        "2026-11      12    3  25%    3  25%    3  25%     3  25%  yes",
    ]


def test_help_says_where_numbers_come_from_what_they_are_and_how_it_ends() -> None:
    text = " ".join(show("--help").output.split())
    assert "the store that RENKU_METRICS_STORE names" in text
    assert "two figures: how many users did it at least once, and what share of the active users that is" in text
    assert "Exit code 0 if numbers are shown; 1 if" in text
    assert "INTEGER RANGE" not in text


def test_the_list_of_commands_is_cut_nowhere() -> None:
    result = CliRunner().invoke(renku_metrics, ["--help"], terminal_width=80)
    assert "..." not in result.output.replace("[ARGS]...", "")
