"""What the team reads: the published tables, their revisions and the definitions behind them."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from renku_metrics.dagster.resources import CentralStore
from renku_metrics.dagster.specifications import OWNERS, column_schema
from renku_metrics.deployments import Deployment
from renku_metrics.metrics.checks import Outcome, checks
from renku_metrics.metrics.definition import CoreAction
from renku_metrics.metrics.dictionary import ACTIVE_USERS
from renku_metrics.periods import now
from renku_metrics.pipeline.checking import DESCRIPTIONS, check_numbers
from renku_metrics.pipeline.publishing import lost_of, read_numbers, write_published
from renku_metrics.store.store_ledger import StoreLedger
from renku_metrics.tables import KINDS, published_table

PUBLISHED = "published"


def published_asset(deployments: Mapping[str, Deployment], core_actions: Sequence[CoreAction]) -> dg.AssetsDefinition:
    """The asset ``published``, which writes all that the team reads."""

    @dg.asset(
        name=PUBLISHED,
        description=(
            "Users of each core action and their share of the active users, by week and month, as CSV and Parquet; "
            "with the numbers that were revised, and the definitions."
        ),
        deps=[metric.table(kind).name for kind in KINDS for metric in (ACTIVE_USERS, *core_actions)],
        group_name=PUBLISHED,
        owners=OWNERS,
        kinds={"csv", "parquet"},
        metadata={"dagster/column_schema": column_schema(published_table("week"))},
        check_specs=_specifications(core_actions),
    )
    def published(
        context: dg.AssetExecutionContext, central_store: CentralStore
    ) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[None]]:
        with central_store.open().alone(StoreLedger.PUBLISHING) as store:
            at = now()
            numbers = read_numbers(store, deployments, core_actions, at)
            for line in lost_of(numbers):
                context.log.warning(line)
            findings = check_numbers(store, numbers, core_actions)
            yield from map(_result, findings)
            if failed := [finding.name for finding in findings if finding.blocking and not finding.passed]:
                raise dg.Failure(
                    f"nothing was published, since {', '.join(failed)} failed: see the checks of this asset",
                    allow_retries=False,
                )
            revisions = write_published(store, numbers, core_actions, at)
        yield dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(known.rows) for known in numbers.values()),
                "dagster/uri": store.storage.address("published"),
                "complete_rows": sum(int(known.rows["complete"].sum()) for known in numbers.values()),
                "revisions": revisions,
            }
        )

    return published


def _specifications(core_actions: Sequence[CoreAction]) -> list[dg.AssetCheckSpec]:
    """Every check of the published asset. The blocking ones stop its publication."""
    described = {check.name: check.description for check in checks(core_actions)} | DESCRIPTIONS
    return [dg.AssetCheckSpec(name, asset=PUBLISHED, description=text) for name, text in described.items()]


def _result(finding: Outcome) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if finding.blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        check_name=finding.name, passed=finding.passed, severity=severity, metadata=finding.facts
    )
