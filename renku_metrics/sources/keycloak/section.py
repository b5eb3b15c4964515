"""What a deployment file says about its Keycloak."""

from __future__ import annotations

from pydantic import Field

from renku_metrics.deployments import SecretReference, Section, WebAddress


class Keycloak(Section):
    url: WebAddress
    realm: str = Field(default="Renku", min_length=1)
    client_id: str = Field(min_length=1)
    client_secret: SecretReference
