"""GitLab's REST API v4 through python-gitlab: plain JSON, page by page."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gitlab
import requests
from gitlab.exceptions import GitlabAuthenticationError, GitlabError, GitlabHttpError

from renku_metrics.deployments import Deployment
from renku_metrics.errors import SourceError
from renku_metrics.sources.budget import gitlab_share
from renku_metrics.sources.gitlab.section import GitLab
from renku_metrics.sources.http import (
    PAGE_LENGTH,
    Connection,
    NoAnswerError,
    Patience,
    RefusedError,
    Say,
    certificates,
    content_of,
    say_nothing,
)

Json = dict[str, Any]
Query = Mapping[str, str | int]


@dataclass(frozen=True)
class Page:
    """A page of a list. ``following``: the parameters that the query of the next page changes; None on the last one.

    ``numbered``: whether pages go by number, not by key, so that they shift if items before them come or go.
    ``total``: how many items the list has, if GitLab tells.
    """

    items: list[Json]
    following: dict[str, str] | None
    numbered: bool
    total: int | None


class GitLabClient:
    """Asks one deployment's GitLab. May be used from several threads.

    Every method raises SourceError if the token is refused, and NoAnswerError if a request gets no usable answer.
    """

    page_length = PAGE_LENGTH

    def __init__(self, deployment: Deployment, patience: Patience | None = None, say: Say = say_nothing) -> None:
        self.where = f"{deployment.name}: gitlab"
        self._settings = deployment.configured(GitLab)
        share = gitlab_share(deployment)
        self.connection = Connection(
            self.where, share.concurrency, patience or Patience(), share.requests_per_minute, say
        )
        self._token = self._settings.token.reveal()
        self.token_name = f"the token in {self._settings.token.variable}"
        if not (self._token.isascii() and self._token.isprintable()):
            # The HTTP library would refuse it too, but quote it in its error.
            raise SourceError(
                f"{self.where}: {self.token_name} has characters that no token has; set it alone, without quotes"
            )
        self._of_thread = threading.local()

    def get(self, path: str, query: Query | None = None) -> Any:
        """The JSON at a path below /api/v4. Raises RefusedError for any 4xx except a refused token."""
        return content_of(self._response(path, query or {}))

    def count(self, path: str) -> int | None:
        """How many items the list at a path has; None if GitLab does not tell, for example for more than 10,000.

        Raises RefusedError like ``get``.
        """
        return _total(self._response(path, {"per_page": 1}))

    def pages(self, path: str, query: Query) -> Iterator[list[Json]]:
        """The items of each page of a list, up to 100 a page."""
        return (page.items for page in self.whole_pages(path, query))

    def whole_pages(self, path: str, query: Query) -> Iterator[Page]:
        """The pages of a list.

        Of the link to the next page only the query is used, because its host may be another than the one that was asked
        (docs/sources/gitlab.md#the-link-to-the-next-page-has-the-servers-own-host).
        """
        asked: dict[str, str | int] = {"per_page": self.page_length, **query}
        while True:
            response = self._response(path, asked)
            items, following = content_of(response), _next_page(response)
            if not isinstance(items, list):
                raise NoAnswerError(self.where, f"/api/v4{path} gave something else than a list; correct the url")
            yield Page(items, following, "X-Page" in response.headers, _total(response))
            if following is None or not items:
                return
            if asked == (asked := {**asked, **following}):
                raise NoAnswerError(
                    self.where, f"/api/v4{path} gave a page again as the next one; let no proxy change the query"
                )

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
            "set an administrator's token that is valid and has scope read_api"
        )


def _total(response: requests.Response) -> int | None:
    total = response.headers.get("X-Total", "")
    return int(total) if total.isdecimal() else None


def _next_page(response: requests.Response) -> dict[str, str] | None:
    """The parameters that the query of the next page changes; None on the last page."""
    link = response.links.get("next", {}).get("url")
    if link:
        return dict(parse_qsl(urlsplit(link).query))
    number = response.headers.get("X-Next-Page")
    return {"page": number} if number else None
