"""A core action of the future is one declaration: it gets its assets, its published rows and its documentation."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import dagster as dg

from renku_metrics.dagster.resources import CentralStore
from renku_metrics.definitions import build_definitions
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.sources.registry import read_deployments
from renku_metrics.store.files import WHOLE
from renku_metrics.store.store import Store
from renku_metrics.tables import USER_DAYS, PeriodKind, published_table
from renku_metrics_tests.metrics.test_documents import IMPORTING_A_DATASET
from renku_metrics_tests.pipeline.planted import write_deployment_file
from renku_metrics_tests.pipeline.values import uuid_of

WEEK, MONTH = dt.date(2026, 9, 7), dt.date(2026, 9, 1)
KINDS: dict[PeriodKind, dt.date] = {"week": WEEK, "month": MONTH}
ACTIONS = (*CORE_ACTIONS, IMPORTING_A_DATASET)


def user_day(event_type: str, user: str) -> dict[str, str]:
    day = {"deployment": "lab", "event_day": "2026-09-08", "event_type": event_type, "user_id": uuid_of(user)}
    return day | {"project_id": "gitlab:1", "user_link": "push"}


def test_importing_a_dataset_is_one_declaration(tmp_path: Path) -> None:
    write_deployment_file(tmp_path / "deployments", start=MONTH)
    address = str(tmp_path / "store")
    store = Store.at(address)
    rows = [user_day("commit", "ada"), user_day("dataset_imported", "ada"), user_day("commit", "bob")]
    store.write(USER_DAYS, USER_DAYS.frame(rows), [("lab", MONTH.isoformat())])

    definitions = build_definitions(read_deployments(tmp_path / "deployments"), address, ACTIONS)
    assets = [asset for asset in definitions.assets or [] if isinstance(asset, dg.AssetsDefinition)]
    with dg.DagsterInstance.ephemeral() as instance:

        def materialize(names: list[str], partition: str | None) -> None:
            result = dg.materialize(
                assets,
                selection=dg.AssetSelection.assets(*names),
                instance=instance,
                resources={"central_store": CentralStore(address=address)},
                partition_key=partition,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            assert result.success

        for kind, start in KINDS.items():
            materialize([f"{metric.key}_{kind}ly" for metric in (ACTIVE_USERS, *ACTIONS)], f"lab|{start}")
        materialize(["published"], None)
        for kind, start in KINDS.items():
            key = dg.AssetKey(f"importing_a_dataset_{kind}ly")
            assert f"lab|{start}" in instance.get_materialized_partitions(key)

    for kind, start in KINDS.items():
        assert (
            definitions.resolve_assets_def(f"importing_a_dataset_{kind}ly")
            .descriptions_by_key[dg.AssetKey(f"importing_a_dataset_{kind}ly")]
            .startswith(IMPORTING_A_DATASET.sentence)
        )
        published = store.read(published_table(kind), [WHOLE])
        [row] = published[published["core_action"] == "importing_a_dataset"].to_dict("records")
        assert (row["period_start"], row["users"], row["active_users"], row["share"]) == (start, 1, 2, 0.5)
        assert len(published) == len(ACTIONS)
    document = json.loads((tmp_path / "store" / "published" / "definitions.json").read_text(encoding="utf-8"))
    assert IMPORTING_A_DATASET.key in [action["key"] for action in document["core_actions"]]
    readme = (tmp_path / "store" / "published" / "README.md").read_text(encoding="utf-8")
    assert IMPORTING_A_DATASET.sentence in readme
