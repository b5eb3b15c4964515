"""A new source is one folder and one entry: everything else follows from these."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pandas as pd
import pyarrow as pa
import pytest
from click.testing import CliRunner

from renku_metrics.cli import renku_metrics
from renku_metrics.definitions import build_definitions
from renku_metrics.deployments import Deployment, Section, WebAddress
from renku_metrics.events.union import NONE, Frames, Part
from renku_metrics.metrics.dictionary import ACTIVE_USERS, CORE_ACTIONS
from renku_metrics.periods import Span, midnight
from renku_metrics.pipeline.building import store_counts, store_events, store_user_days
from renku_metrics.pipeline.erasing import erasing
from renku_metrics.pipeline.publishing import read_numbers
from renku_metrics.pipeline.pulling import pulling
from renku_metrics.schema import Column, Table
from renku_metrics.shapes import KEYCLOAK_ID, KEYED_HASH, WORD
from renku_metrics.sources import registry
from renku_metrics.sources.findings import Finding, ok
from renku_metrics.sources.source import Batch, Harvest, Request, Source
from renku_metrics.store.store import Store
from renku_metrics.tables import BY_MONTH, DAY_COLUMN, DEPLOYMENT_COLUMN, EVENTS, KINDS, MONTH_COLUMN
from renku_metrics_tests.present import NOW

ADA = "5f1b0000-0000-4000-8000-00000000000a"
START = dt.date(2026, 10, 26)
DAY = dt.date(2026, 11, 4)
MONTHS = ["2026-10-01", "2026-11-01"]

# From here to ENTRY stands all that a new source of logins consists of.
RAW_PORTAL_LOGINS = Table(
    name="raw_portal_logins",
    folder="raw",
    description="Logins of another portal. One row per login.",
    partitioned_by=BY_MONTH,
    key=("deployment", "event_day", "login_key"),
    columns=(
        DEPLOYMENT_COLUMN,
        MONTH_COLUMN,
        DAY_COLUMN,
        Column("login_key", pa.string(), "Keyed hash of the login.", required=True, shape=KEYED_HASH),
        Column("occurred_at", pa.timestamp("ms", tz="UTC"), "Time of the login.", required=True),
        Column("account", pa.string(), "Who logged in.", shape=KEYCLOAK_ID, person="keycloak"),
    ),
)


class Portal(Section):
    url: WebAddress


def pull_logins(request: Request) -> Iterator[Batch]:
    at = midnight(DAY) + dt.timedelta(hours=9)
    row = {
        "deployment": request.deployment.name,
        "event_day": DAY.isoformat(),
        "login_key": request.book.keyed_hash("a login"),
        "occurred_at": at,
        "account": ADA,
    }
    seen = [Span(midnight(START), request.pulled_at)]
    yield Batch({RAW_PORTAL_LOGINS.name: RAW_PORTAL_LOGINS.frame([row])}, b"{}", seen, {"logins": 1})


def portal_events(frames: Frames) -> Part:
    logins = frames[RAW_PORTAL_LOGINS.name].reset_index(drop=True)
    events = pd.DataFrame(
        {
            "event_type": "login",
            "occurred_at": logins["occurred_at"],
            "event_day": logins["event_day"],
            "user_id": logins["account"],
            "user_link": "keycloak_id",
            "project_id": None,
            "source": "portal",
            "event_key": "login:" + logins["login_key"],
        }
    )
    return Part(logins, events, NONE, NONE, NONE)


def check_portal(deployment: Deployment, _now: dt.datetime) -> Iterator[Finding]:
    yield ok("portal", f"{deployment.configured(Portal).url} answers")


ENTRY = Source(
    name="portal",
    activity="logins",
    section=Portal,
    harvests=(Harvest(RAW_PORTAL_LOGINS.name, (RAW_PORTAL_LOGINS,), pull_logins),),
    events_from=(RAW_PORTAL_LOGINS,),
    events=portal_events,
    state_texts=WORD,
    check=check_portal,
    plan=lambda deployment, *_: iter([f"{deployment.name}: portal: 1 request"]),
    lock=lambda _: "portal",
)


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A deployment that has nothing but the new source."""
    monkeypatch.setattr(registry, "_SOURCES", (*registry.all_sources(), ENTRY))
    monkeypatch.setenv("RENKU_METRICS_HASH_KEY", "a key of the tests")
    monkeypatch.setenv("RENKU_METRICS_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RENKU_METRICS_DEPLOYMENTS", str(tmp_path / "deployments"))
    (tmp_path / "deployments").mkdir()
    file = tmp_path / "deployments" / "lab.yaml"
    file.write_text(f"name: lab\ntitle: Lab\nstart: {START}\nportal:\n  url: https://portal.example.org\n")
    return registry.read_deployment(file)


def pulled(deployment: Deployment, store: Store) -> dict[str, object]:
    with pulling(store, deployment, ENTRY, lambda: NOW, lambda _: None) as pull:
        pull.bring(ENTRY.harvests[0])
        places = [("lab", month) for month in MONTHS]
        pull.ensure(RAW_PORTAL_LOGINS, places)
        pull.told(RAW_PORTAL_LOGINS, places)
    return dict(pull.facts)


def counted(deployment: Deployment, store: Store) -> pd.DataFrame:
    store_events(store, deployment, MONTHS)
    store_user_days(store, deployment, MONTHS)
    starts = {"week": ["2026-10-26", "2026-11-02"], "month": ["2026-11-01"]}
    for kind in KINDS:
        store_counts(store, deployment, kind, [ACTIVE_USERS, *CORE_ACTIONS], starts[kind], NOW)
    return read_numbers(store, {"lab": deployment}, CORE_ACTIONS, NOW)["week"].rows


def test_it_is_pulled_united_counted_and_covered(deployment: Deployment, tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "store"))
    assert pulled(deployment, store) == {"logins": 1}
    rows = counted(deployment, store)
    events = store.read(EVENTS, [("lab", "2026-11-01")])
    assert events[["user_id", "source", "event_type"]].to_numpy().tolist() == [[ADA, "portal", "login"]]
    by_week = rows.drop_duplicates("period_start").set_index("period_start")
    assert by_week["active_users"].to_dict() == {dt.date(2026, 10, 26): 0, dt.date(2026, 11, 2): 1}
    # Logins are covered; of the other activities there is no source.
    assert set(by_week["missing"]) == {"commits:not configured; sessions:not configured"}


def test_two_sources_of_logins_must_both_have_seen_a_day(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "deployments" / "lab.yaml"
    keycloak = "keycloak:\n  url: https://k.example.org\n  client_id: c\n  client_secret: ${LAB_SECRET}\n"
    file.write_text(file.read_text() + keycloak)
    both = registry.read_deployment(file)
    store = Store.at(str(tmp_path / "store"))
    pulled(both, store)
    source = next(source for source in registry.all_sources() if source.name == "keycloak")
    with pulling(store, both, source, lambda: NOW, lambda _: None) as pull:
        for table in source.tables:
            pull.ensure(table, [("lab", month) for month in MONTHS] if table.by_month else [("lab",)])
    missing = counted(both, store).drop_duplicates("period_start").set_index("period_start")["missing"]
    assert missing[dt.date(2026, 11, 2)].startswith("logins:2026-11-02..2026-11-08; ")


def test_it_is_erased(deployment: Deployment, tmp_path: Path) -> None:
    store = Store.at(str(tmp_path / "store"))
    pulled(deployment, store)
    counted(deployment, store)
    found = {found.name: found.rows for found in erasing(store, deployment, [ADA], []).erase([]) if found.rows}
    assert found == {"raw_portal_logins": 1, "events": 1, "user_days": 1}
    pulled(deployment, store)
    assert store.read(RAW_PORTAL_LOGINS, [("lab", month) for month in MONTHS]).empty


def test_it_is_checked_and_planned(deployment: Deployment) -> None:
    said = CliRunner().invoke(renku_metrics, ["check", "lab"]).output
    assert "portal                   https://portal.example.org answers" in said
    assert CliRunner().invoke(renku_metrics, ["plan", "lab"]).output == "lab: portal: 1 request\n"


def test_it_has_assets_and_schedules(deployment: Deployment, tmp_path: Path) -> None:
    definitions = build_definitions({"lab": deployment}, str(tmp_path / "store"))
    graph = definitions.resolve_asset_graph()
    names = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert "raw_portal_logins" in names
    assert "raw_portal_logins" in {key.to_user_string() for key in graph.get(dg.AssetKey("events")).parent_keys}
    daily = definitions.resolve_job_def("pull_all_sources_daily")
    assert "raw_portal_logins" in {key.to_user_string() for key in daily.asset_layer.selected_asset_keys}
