"""GitLab's REST API v4 through python-gitlab: plain JSON, page by page."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gitlab
import requests
from gitlab.exceptions import GitlabAuthenticationError, GitlabError, GitlabHttpError

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.sources.http import Connection, NoAnswerError, Patience, Say, certificates, content_of, say_nothing

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

    Every method raises SourceError when the token is refused, and NoAnswerError when one request gets no usable
    answer.
    """

    def __init__(
        self,
        deployment: Deployment,
        patience: Patience | None = None,
        say: Say = say_nothing,
    ) -> None:
        assert deployment.gitlab is not None
        self.where = f"{deployment.name}: gitlab"
        self.page_length = PAGE
        self._settings = deployment.gitlab
        self.connection = Connection(
            self.where,
            deployment.gitlab.concurrency,
            patience or Patience(),
            deployment.gitlab.requests_per_minute,
            say,
        )
        self._token = deployment.gitlab.token.reveal()
        self.token_name = f"the token in {deployment.gitlab.token.variable}"
        if not (self._token.isascii() and self._token.isprintable()):
            # The HTTP library would refuse it by quoting it.
            raise SourceError(f"{self.where}: {self.token_name} holds characters of no token")
        self._of_thread = threading.local()

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path below /api/v4. Raises RefusedError for any 4xx but a refused token."""
        return self._ask(path, query or {})[0]

    def count(self, path: str) -> int | None:
        """How many items the list at a path has; None when GitLab does not say, as of more than 10,000.

        Raises RefusedError like ``get``.
        """
        total = self._response(path, {"per_page": 1}).headers.get("X-Total", "")
        return int(total) if total.isdecimal() else None

    def pages(self, path: str, query: Query) -> Iterator[list[Json]]:
        """The pages of a list, each with up to 100 items.

        Only the query of the link to the next page is followed: its host is the server's own idea of its name.
        """
        asked: dict[str, str | int] = {"per_page": self.page_length, **query}
        while True:
            page, following = self._ask(path, asked)
            if not isinstance(page, list):
                raise NoAnswerError(self.where, f"/api/v4{path} gave something else than a list")
            yield page
            if following is None or not page:
                return
            if asked == (asked := {**asked, **following}):
                raise NoAnswerError(self.where, f"/api/v4{path} gave a page again as the next one")

    def _ask(self, path: str, query: Query) -> tuple[Any, dict[str, str] | None]:
        response = self._response(path, query)
        return content_of(response), _next_page(response)

    def _response(self, path: str, query: Query) -> requests.Response:
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
        return response

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
            f"{self.where}: {self.token_name} was refused (status {error.response_code}); "
            "it must be an administrator's, valid, with scope read_api"
        )


def _next_page(response: requests.Response) -> dict[str, str] | None:
    """What the query of the next page changes; None on the last one."""
    link = response.links.get("next", {}).get("url")
    if link:
        return dict(parse_qsl(urlsplit(link).query))
    number = response.headers.get("X-Next-Page")
    return {"page": number} if number else None
