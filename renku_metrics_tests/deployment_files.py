"""Deployment files for the tests."""

from __future__ import annotations

from pathlib import Path

LITERAL = "glpat-hunter2"
MINIMAL = "name: lab\ntitle: Lab\nstart: 2026-01-31\n"
WHOLE = """
name: lab
title: Lab
start: 2026-01-31
domains: [renku.example.org, localhost:8080]
gitlab:
  url: https://gitlab.example.org/
  token: ${LAB_GITLAB_TOKEN}
keycloak:
  url: http://127.0.0.1:8080/auth
  realm: Other
  client_id: renku-metrics
  client_secret: ${LAB_KEYCLOAK_SECRET}
amalthea:
  audit_log: s3://lab-audit-log/some/prefix
  endpoint_url: https://s3.example.org
"""


def file(folder: Path, text: str, name: str = "lab.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
