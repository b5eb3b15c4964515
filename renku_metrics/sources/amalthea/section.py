"""What a deployment file says about the audit log of its Amalthea."""

from __future__ import annotations

from renku_metrics.deployments import Section, StorageAddress, WebAddress


class Amalthea(Section):
    audit_log: StorageAddress
    endpoint_url: WebAddress | None = None
