"""What a deployment file says about its GitLab."""

from __future__ import annotations

from pydantic import Field

from renku_metrics.deployments import SecretReference, Section, WebAddress


class GitLab(Section):
    """``concurrency`` (requests in flight) and ``requests_per_minute`` limit GitLab and Keycloak together."""

    url: WebAddress
    token: SecretReference
    concurrency: int = Field(default=8, ge=1, le=64)
    requests_per_minute: int | None = Field(default=None, ge=1)
