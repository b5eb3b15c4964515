"""A simulated RenkuLab: its GitLab and Keycloak on one address of loopback, its audit log in a directory."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from renkulab.amalthea import Amalthea
from renkulab.clock import Clock
from renkulab.faults import Faults
from renkulab.gitlab import GitLab
from renkulab.gitlab_api import GitLabApi
from renkulab.keycloak import Keycloak, Version
from renkulab.keycloak_api import KeycloakApi
from renkulab.web import Request, RequestLog, Response, WebServer


class RenkuLab:
    """One deployment. It answers within ``with``; its state can change at any time.

    ``now`` sets the clock; without it, the clock follows the system. ``latency``: seconds before every answer.
    """

    def __init__(
        self,
        name: str,
        audit_log: Path,
        *,
        now: dt.datetime | None = None,
        domain: str | None = None,
        keycloak_version: Version = (20, 0, 1),
        gitlab_path: str = "/gitlab",
        keycloak_path: str = "/auth",
        latency: float = 0.0,
    ) -> None:
        self.name = name
        self.domain = domain or f"{name}.example"
        self.clock = Clock(now)
        self.gitlab = GitLab(self.clock)
        self.keycloak = Keycloak(self.clock, self.domain, version=keycloak_version)
        self.amalthea = Amalthea(audit_log, self.clock.now(), self.domain)
        self.faults = Faults()
        self._gitlab_path, self._keycloak_path = gitlab_path, keycloak_path
        self._gitlab_api, self._keycloak_api = GitLabApi(self.gitlab), KeycloakApi(self.keycloak)
        self._web = WebServer(self._answer, self.faults, latency)
        self.gitlab.external_url = self.gitlab_url
        self.gitlab_token = f"gitlab-token-of-{name}"
        self.keycloak_client_id = "renku-metrics"
        self.keycloak_secret = f"keycloak-secret-of-{name}"
        self.administrator = self.gitlab.add_user(
            "administrator", f"administrator@{self.domain}", self.clock.now(), is_admin=True
        )
        self.gitlab.add_token(self.gitlab_token, self.administrator)
        self.keycloak.add_client(self.keycloak_client_id, self.keycloak_secret)

    @property
    def gitlab_url(self) -> str:
        return self._web.url + self._gitlab_path

    @property
    def keycloak_url(self) -> str:
        return self._web.url + self._keycloak_path

    @property
    def audit_log(self) -> Path:
        return self.amalthea.audit_log

    @property
    def requests(self) -> RequestLog:
        return self._web.requests

    @property
    def noreply_host(self) -> str:
        """What follows ``@users.noreply.`` in a private commit address."""
        return self.domain

    def __enter__(self) -> RenkuLab:
        self._web.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._web.stop()

    def _answer(self, request: Request) -> Response:
        gitlab, keycloak = f"{self._gitlab_path}/api/v4", self._keycloak_path
        if request.path.startswith(f"{gitlab}/"):
            return self._gitlab_api.answer(request, request.path.removeprefix(gitlab))
        if request.path.startswith((f"{keycloak}/realms/", f"{keycloak}/admin/realms/")):
            return self._keycloak_api.answer(request, request.path.removeprefix(keycloak))
        return Response(404, b"<!DOCTYPE html><html><h1>404</h1></html>", {"Content-Type": "text/html"})


def write_deployment(
    lab: RenkuLab, folder: Path, start: dt.date, *, audit_log: str | None = None, endpoint_url: str | None = None
) -> dict[str, str]:
    """Writes ``<name>.yaml`` for the deployment into the folder; returns the environment variables that it names.

    ``audit_log``: where the audit log is if not in the lab's directory, such as ``s3://bucket/prefix``.
    """
    prefix = re.sub(r"[^A-Z0-9]", "_", lab.name.upper())
    token, secret = f"{prefix}_GITLAB_TOKEN", f"{prefix}_KEYCLOAK_SECRET"
    amalthea = {"audit_log": audit_log or str(lab.audit_log.resolve())}
    if endpoint_url:
        amalthea["endpoint_url"] = endpoint_url
    content: dict[str, Any] = {
        "name": lab.name,
        "title": f"Simulated {lab.name}",
        "start": start,
        "domains": [lab.domain],
        "gitlab": {"url": lab.gitlab_url, "token": f"${{{token}}}"},
        "keycloak": {
            "url": lab.keycloak_url,
            "realm": lab.keycloak.realm,
            "client_id": lab.keycloak_client_id,
            "client_secret": f"${{{secret}}}",
        },
        "amalthea": amalthea,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{lab.name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return {token: lab.gitlab_token, secret: lab.keycloak_secret}
