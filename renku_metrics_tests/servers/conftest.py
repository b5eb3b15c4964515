"""One Keycloak for all tests of a run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from renku_metrics_tests.servers.keycloak import keycloak_server


@pytest.fixture(scope="session")
def keycloak_url() -> Iterator[str]:
    with keycloak_server() as url:
        yield url
