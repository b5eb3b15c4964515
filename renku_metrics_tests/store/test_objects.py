"""Which objects a whole run leaves below state/, which names it holds, and that nothing else is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from renku_metrics.object_storage import ObjectStorage, open_storage
from renku_metrics.periods import now
from renku_metrics.pipeline.erasing import erasing
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.sources.http import say_nothing
from renku_metrics.sources.source import Batch, Request
from renku_metrics.tables import RAW_KEYCLOAK_USERS
from renku_metrics_tests.every_table import TABLES
from renku_metrics_tests.pipeline.kept_deployment import KeptDeployment, populated
from renku_metrics_tests.pipeline.pulls import KEYCLOAK_USERS, USERS, harvest_named

OF_DEPLOYMENT = {
    *(f"{source}{of}.json" for source in ("gitlab", "keycloak", "amalthea") for of in ("", "_state")),
    *(f"{step}.json" for step in ("built", "counted", "published", "erased")),
}
OF_STORE = {"state/hash_key_fingerprint", "state/published_at"}
USERS_BEFORE = {
    f"state/users_before/{table}/deployment=lab/data.parquet" for table in ("raw_gitlab_users", "raw_keycloak_users")
}
MOST_OBJECTS, MOST_NAMES = 12, 5


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, storage_address: str) -> set[str]:
    """The names that anybody holds."""
    held: set[str] = set()
    kind = type(open_storage(storage_address))
    alone = kind.alone

    @contextmanager
    def note(self: ObjectStorage, name: str) -> Iterator[ObjectStorage]:
        held.add(name)
        with alone(self, name) as storage:
            yield storage

    monkeypatch.setattr(kind, "alone", note)
    return held


def state(kept: KeptDeployment) -> set[str]:
    return {info.key for info in kept.store.storage.list("state/")}


def of_deployment(keys: set[str]) -> set[str]:
    return {key for key in keys if "deployment=lab" in key}


def everything(address: str) -> list[str]:
    """Every file or object, also those that the product's own listing leaves out."""
    if not address.startswith("s3://"):
        return sorted(path.relative_to(address).as_posix() for path in Path(address).rglob("*") if path.is_file())
    place = urlsplit(address)
    prefix = place.path.lstrip("/") + "/"
    pages = boto3.client("s3").get_paginator("list_objects_v2").paginate(Bucket=place.netloc, Prefix=prefix)
    return [item["Key"].removeprefix(prefix) for page in pages for item in page.get("Contents", [])]


def pull(kept: KeptDeployment, name: str, between: Callable[[], object]) -> None:
    """``between`` is called before each batch of the source is stored."""
    source, harvest = harvest_named(name)

    def batches(request: Request) -> Iterator[Batch]:
        for batch in harvest.pull(request):
            between()
            yield batch

    with pulling(kept.store, kept.deployment, source, now, say_nothing) as pull:
        pull.bring(replace(harvest, pull=batches))


def test_a_whole_run_leaves_few_objects_of_state_and_holds_few_names(
    storage_address: str, names: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with populated(storage_address, tmp_path, monkeypatch) as kept:
        kept.bring_up_to_date()
        without_erasure = {f"state/deployment=lab/{name}" for name in OF_DEPLOYMENT - {"erased.json"}}
        assert state(kept) == without_erasure | OF_STORE

        somebody = kept.store.read(RAW_KEYCLOAK_USERS, [("lab",)])["keycloak_id"][0]
        erasing(kept.store, kept.deployment, [somebody], []).erase(["2026-11-16"])
        kept.bring_up_to_date()
        assert state(kept) == {f"state/deployment=lab/{name}" for name in OF_DEPLOYMENT} | OF_STORE

        # At most: while users of both sources are pulled at once.
        most: list[set[str]] = []
        pull(kept, USERS, lambda: pull(kept, KEYCLOAK_USERS, lambda: most.append(state(kept))))
        assert most
        for found in most:
            assert found == {f"state/deployment=lab/{name}" for name in OF_DEPLOYMENT} | OF_STORE | USERS_BEFORE
            assert len(of_deployment(found)) <= MOST_OBJECTS
        assert not state(kept) & USERS_BEFORE

        left = everything(storage_address)
        # Whether the server writes on condition is tried with an object.
        probe = set() if not storage_address.startswith("s3://") else {"conditional-writes.probe"}
        assert set(left) == {info.key for info in kept.store.storage.list()} | probe
        assert [key for key in left if key.endswith((".lock", ".lease", ".partial"))] == []
        assert {key.split("/")[0] for key in left} - probe == {
            *("raw", "state", "events", "user_days", "metrics", "published", "version.json"),
        }

    assert names == {
        *(f"state/deployment=lab/{name}" for name in ("gitlab", "keycloak", "amalthea", "building")),
        "state/publishing",
    }
    assert len(of_deployment(names)) <= MOST_NAMES


def test_every_file_of_a_whole_run_is_where_the_design_says(
    storage_address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with populated(storage_address, tmp_path, monkeypatch) as kept:
        kept.bring_up_to_date()
        keys = [info.key for info in kept.store.storage.list()]
    tables = {table.path: table for table in TABLES}
    for key in keys:
        path = re.sub(r"(/deployment=lab)?(/month=\d{4}-\d\d-01)?/data\.parquet$|\.(parquet|csv)$", "", key)
        if key.startswith("state/") or key in ("version.json", "published/definitions.json", "published/README.md"):
            continue
        of_path = tuple(part.split("=")[0] for part in key.split("/") if "=" in part)
        assert of_path == tables[path].partitioned_by
    assert {table.path for table in TABLES} == {
        re.sub(r"(/deployment=lab)?(/month=\d{4}-\d\d-01)?/data\.parquet$|\.parquet$", "", key)
        for key in keys
        if key.endswith(".parquet")
    }
