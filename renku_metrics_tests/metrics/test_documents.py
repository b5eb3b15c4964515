from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from renku_metrics.metrics.counting import count
from renku_metrics.metrics.definition import Example
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS, CREATING_A_DATASET
from renku_metrics.metrics.documents import definitions, metrics_page, published_readme
from renku_metrics.metrics.published import publish
from renku_metrics.tables import COVERAGE, REVISIONS, PeriodKind, published_table
from renku_metrics_tests.metrics.rows import DEPLOYMENT, EVERYTHING, NOW, periods, user_days

DOCS = Path(__file__).resolve().parents[2] / "docs"

# A core action of the future: one declaration, and nothing else.
IMPORTING_A_DATASET = dataclasses.replace(
    CREATING_A_DATASET,
    key="importing_a_dataset",
    name="Importing a dataset",
    sentence="Distinct users who imported at least one dataset.",
    event_types=("dataset_imported",),
    examples=(
        Example(True, "renku dataset import https://doi.org/10.5281/zenodo.1"),
        Example(False, "renku dataset create flights"),
    ),
)
ACTIONS = (*CORE_ACTIONS, IMPORTING_A_DATASET)
DAYS = user_days(
    ("2026-11-16", "commit", "ada"),
    ("2026-11-16", "dataset_imported", "ada"),
    ("2026-11-17", "login", "bob"),
)


def test_the_page_of_metrics_is_not_stale() -> None:
    stale = "run: python -m renku_metrics.metrics.documents > docs/metrics.md"
    assert (DOCS / "metrics.md").read_text(encoding="utf-8") == metrics_page(), stale


def test_definitions_are_plain_json_with_every_declared_field() -> None:
    document = orjson.loads(orjson.dumps(definitions()))
    assert document == json.loads(json.dumps(definitions()))
    assert [action["key"] for action in document["core_actions"]] == [action.key for action in CORE_ACTIONS]
    for declared in (document["denominator"], *document["core_actions"]):
        assert {"key", "version", "sentence", "count", "examples", "gaps", "changes", "owner"} <= set(declared)


def test_the_readme_names_every_column_file_and_core_action() -> None:
    readme = published_readme()
    for table in (published_table("week"), COVERAGE, REVISIONS):
        for column in table.columns:
            assert f"| {column.name} |" in readme
    for name in (
        "weekly.parquet",
        "weekly.csv",
        "monthly.parquet",
        "monthly.csv",
        "coverage.parquet",
        "coverage.csv",
        "revisions.parquet",
    ):
        assert f"`{name}`" in readme
    for action in CORE_ACTIONS:
        assert f"- `{action.key}`: " in readme


def test_what_the_readme_tells_to_type_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weeks = periods("week", "2026-11-16")
    counts = {action.key: count(action, DAYS, DEPLOYMENT, weeks, NOW) for action in CORE_ACTIONS}
    rows = publish("week", count(ACTIVE_USERS, DAYS, DEPLOYMENT, weeks, NOW), counts, {DEPLOYMENT: EVERYTHING}, NOW)
    rows.to_parquet(tmp_path / "weekly.parquet")
    monkeypatch.chdir(tmp_path)
    snippets = dict(re.findall(r"```(\w+)\n(.*?)```", published_readme(), flags=re.DOTALL))
    exec(snippets["python"], {})
    assert "2026-W47" in capsys.readouterr().out
    found = duckdb.execute(snippets["sql"]).fetchall()
    assert found[0] == (DEPLOYMENT, "2026-W47", "contributing_to_a_project", 1, 50.0)
    assert len(found) == len(CORE_ACTIONS)


@pytest.mark.parametrize(("kind", "start"), [("week", "2026-11-16"), ("month", "2026-11-01")])
def test_a_core_action_is_one_declaration(kind: PeriodKind, start: str) -> None:
    asked = periods(kind, "2026-11-16")
    assert IMPORTING_A_DATASET.table(kind).name == f"importing_a_dataset_{kind}ly"

    counts = {action.key: count(action, DAYS, DEPLOYMENT, asked, NOW) for action in ACTIONS}
    assert counts["importing_a_dataset"][[kind, "users"]].values.tolist() == [[start, 1]]

    denominator = count(ACTIVE_USERS, DAYS, DEPLOYMENT, asked, NOW)
    rows = publish(kind, denominator, counts, {DEPLOYMENT: EVERYTHING}, NOW)
    [row] = rows[rows["core_action"] == "importing_a_dataset"].to_dict("records")
    assert (row["users"], row["active_users"], row["share"]) == (1, 2, 0.5)
    assert row["definition"] == f"importing_a_dataset 1; {f'{ACTIVE_USERS.key} {ACTIVE_USERS.version}'}"

    assert row["definition"] == f"importing_a_dataset 1; {ACTIVE_USERS.key} {ACTIVE_USERS.version}"


@pytest.mark.parametrize(
    "document", [metrics_page, published_readme, lambda actions: orjson.dumps(definitions(actions)).decode()]
)
def test_a_core_action_documents_itself(document: Any) -> None:
    assert IMPORTING_A_DATASET.sentence in document(ACTIONS)
