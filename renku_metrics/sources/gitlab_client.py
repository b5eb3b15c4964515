"""GitLab's REST API v4 through python-gitlab: plain JSON, page by page."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gitlab
import orjson
from gitlab.exceptions import GitlabAuthenticationError, GitlabError, GitlabHttpError

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.sources.http import Connection, Patience, certificates

PAGE = 100

Json = dict[str, Any]
Query = Mapping[str, str | int]


class RefusedError(Exception):
    """GitLab answered one request with a 4xx status; the others may go on."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class GitLabClient:
    """Asks one deployment's GitLab. May be used from several threads.

    Raises SourceError when the token is refused, wherever that happens.
    """

    def __init__(self, deployment: Deployment, patience: Patience | None = None) -> None:
        assert deployment.gitlab is not None
        self.where = f"{deployment.name}: gitlab"
        self._settings = deployment.gitlab
        self.connection = Connection(self.where, deployment.gitlab.concurrency, patience or Patience())
        self._token = deployment.gitlab.token.reveal()
        self._of_thread = threading.local()

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path below /api/v4. Raises RefusedError for any 4xx but a refused token."""
        return self._ask(path, query or {})[0]

    def pages(self, path: str, query: Query) -> Iterator[list[Json]]:
        """The pages of a list, each with up to 100 items.

        Only the query of the link to the next page is followed: its host is the server's own idea of its name.
        """
        asked: dict[str, str | int] = {"per_page": PAGE, **query}
        while True:
            page, following = self._ask(path, asked)
            if not isinstance(page, list):
                raise SourceError(f"{self.where}: /api/v4{path} gave something else than a list")
            yield page
            if following is None or not page:
                return
            if asked == (asked := {**asked, **following}):
                raise SourceError(f"{self.where}: /api/v4{path} gave a page again as the next one")

    def _ask(self, path: str, query: Query) -> tuple[Any, dict[str, str] | None]:
        try:
            response = self._client().http_request(
                "get", path, query_data=dict(query), obey_rate_limit=False, retry_transient_errors=False
            )
        except GitlabAuthenticationError as error:
            raise SourceError(self._token_refused(error)) from None
        except GitlabHttpError as error:
            if error.response_code == 403 and "insufficient_scope" in str(error.response_body):
                raise SourceError(self._token_refused(error)) from None
            raise RefusedError(error.response_code or 0) from None
        following = response.links.get("next", {}).get("url")
        query_of_next = dict(parse_qsl(urlsplit(following).query)) if following else None
        return orjson.loads(response.content), query_of_next

    def _client(self) -> gitlab.Gitlab:
        client: gitlab.Gitlab | None = getattr(self._of_thread, "client", None)
        if client is None:
            client = gitlab.Gitlab(
                self._settings.url,
                private_token=self._token,
                ssl_verify=certificates(),
                session=self.connection.session(),
                keep_base_url=True,
            )
            self._of_thread.client = client
        return client

    def _token_refused(self, error: GitlabError) -> str:
        return (
            f"{self.where}: the token in {self._settings.token.variable} was refused (status {error.response_code}); "
            "it must be an administrator's, valid, with scope read_api"
        )
