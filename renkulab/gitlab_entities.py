"""GitLab's objects as its REST API writes them (lib/api/entities; docs/sources/gitlab.md)."""

from __future__ import annotations

import datetime as dt
from typing import Any

from renkulab.git import Commit
from renkulab.gitlab import GitLab, Project, PushEvent, Token, User


def utc(at: dt.datetime | None) -> str | None:
    """``2026-11-16T08:00:00.000Z``."""
    if at is None:
        return None
    return at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def day(date: dt.date | None) -> str | None:
    return date.isoformat() if date else None


def commit_entity(gitlab: GitLab, project: Project, commit: Commit, trailers: bool) -> dict[str, Any]:
    committed = commit.committed_at.isoformat(timespec="milliseconds")
    found = commit.trailers if trailers else {}
    return {
        "id": commit.sha,
        "short_id": commit.sha[:8],
        "created_at": committed,
        "parent_ids": list(commit.parents),
        "title": _title(commit.message),
        "message": commit.message,
        "author_name": commit.author.name,
        "author_email": commit.author.email,
        "authored_date": commit.authored_at.isoformat(timespec="milliseconds"),
        "committer_name": commit.committer.name,
        "committer_email": commit.committer.email,
        "committed_date": committed,
        "trailers": found,
        "extended_trailers": {key: [value] for key, value in found.items()},
        "web_url": f"{gitlab.external_url}/{project.path_with_namespace}/-/commit/{commit.sha}",
    }


def _title(message: str) -> str:
    # GitLab cuts a long first line at a word and adds dots, so a whole command is only in the message.
    line = message.partition("\n")[0]
    if len(line) < 100:
        return line
    return line[:78].rpartition(" ")[0] + "..."


def branch_entity(gitlab: GitLab, project: Project, name: str, commit: Commit, merged: bool) -> dict[str, Any]:
    default = name == project.default_branch
    return {
        "name": name,
        "commit": commit_entity(gitlab, project, commit, trailers=False),
        "merged": merged,
        "protected": default,
        "developers_can_push": False,
        "developers_can_merge": False,
        "can_push": True,
        "default": default,
        "web_url": f"{gitlab.external_url}/{project.path_with_namespace}/-/tree/{name}",
    }


def project_entity(gitlab: GitLab, project: Project, simple: bool) -> dict[str, Any]:
    namespace, url = project.namespace, f"{gitlab.external_url}/{project.path_with_namespace}"
    entity: dict[str, Any] = {
        "id": project.id,
        "description": None,
        "name": project.path,
        "name_with_namespace": f"{namespace.path} / {project.path}",
        "path": project.path,
        "path_with_namespace": project.path_with_namespace,
        "created_at": utc(project.created_at),
    }
    if project.repository_enabled:
        entity["default_branch"] = project.default_branch if project.repository else None
    entity |= {
        "tag_list": [],
        "topics": [],
        "ssh_url_to_repo": f"git@gitlab.example:{project.path_with_namespace}.git",
        "http_url_to_repo": f"{url}.git",
        "web_url": url,
        "avatar_url": None,
        "star_count": 0,
        "last_activity_at": utc(project.last_activity_at),
        "namespace": {
            "id": namespace.id,
            "name": namespace.path,
            "path": namespace.path,
            "kind": namespace.kind,
            "full_path": namespace.path,
            "parent_id": None,
            "avatar_url": None,
            "web_url": f"{gitlab.external_url}/{namespace.path}",
        },
    }
    if simple:
        return entity
    entity |= {
        "empty_repo": project.repository is None or not project.repository.branches,
        "archived": project.archived,
        "visibility": project.visibility,
        "creator_id": project.creator_id,
        "import_status": "none",
        "repository_access_level": "enabled" if project.repository_enabled else "disabled",
        "issues_enabled": True,
        "open_issues_count": 0,
        "updated_at": utc(project.last_activity_at),
        "permissions": {"project_access": None, "group_access": None},
    }
    origin = gitlab.projects.get(project.forked_from_id or 0)
    if origin and not origin.deleted:
        entity["forked_from_project"] = project_entity(gitlab, origin, simple=True)
    return entity


def with_storage(project: dict[str, Any]) -> dict[str, Any]:
    """A project for administrators: docs/sources/gitlab.md#repository_storage-is-shown-to-administrators-only"""
    return project | {"repository_storage": "default"}


def token_entity(token: Token, used_at: dt.datetime) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": "metrics",
        "revoked": token.revoked,
        "scopes": list(token.scopes),
        "user_id": token.user_id,
        "last_used_at": utc(used_at),
        "active": True,
        "expires_at": day(token.expires_on),
    }


def user_entity(gitlab: GitLab, user: User, admin: bool) -> dict[str, Any]:
    """GitLab's UserWithAdmin if an administrator asks, else its UserBasic."""
    entity: dict[str, Any] = {
        "id": user.id,
        "username": user.username,
        "name": user.username,
        "state": user.state,
        "locked": False,
        "avatar_url": None,
        "web_url": f"{gitlab.external_url}/{user.username}",
    }
    if not admin:
        return entity
    provider = "oauth2_generic"
    return entity | {
        "created_at": utc(user.created_at),
        "bio": "",
        "bot": user.bot,
        "public_email": user.public_email,
        "last_sign_in_at": utc(user.created_at),
        "confirmed_at": utc(user.confirmed_at),
        "last_activity_on": day(user.last_activity_on),
        "email": user.email,
        "commit_email": user.commit_email or user.email,
        "current_sign_in_at": utc(user.created_at),
        "identities": [{"provider": provider, "extern_uid": user.keycloak_id, "saml_provider_id": None}]
        if user.keycloak_id
        else [],
        "two_factor_enabled": False,
        "external": False,
        "private_profile": False,
        "is_admin": user.is_admin,
        "note": None,
        "namespace_id": gitlab.personal_namespace(user).id,
    }


def event_entity(gitlab: GitLab, event: PushEvent) -> dict[str, Any]:
    """A push event. The author is left out if the account is gone."""
    author = gitlab.users.get(event.author_id)
    entity: dict[str, Any] = {
        "id": event.id,
        "project_id": event.project_id,
        "action_name": {"pushed": "pushed to", "created": "pushed new", "removed": "deleted"}[event.action],
        "target_id": None,
        "target_iid": None,
        "target_type": None,
        "author_id": event.author_id if author else None,
        "target_title": None,
        "created_at": utc(event.created_at),
        "push_data": {
            "commit_count": event.commit_count,
            "action": event.action,
            "ref_type": "branch",
            "commit_from": event.commit_from,
            "commit_to": event.commit_to,
            "ref": event.ref,
            "commit_title": event.commit_title,
            "ref_count": event.ref_count,
        },
        "author_username": author.username if author else None,
    }
    if author:
        entity["author"] = user_entity(gitlab, author, admin=False)
    return entity
