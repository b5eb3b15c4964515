"""Pages as GitLab serves them: by offset with X- headers, by key with only a Link."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from renkulab.web import Request, Response, json_response

Row = TypeVar("Row")
DEFAULT_PAGE = 20
LONGEST_PAGE = 100
UNCOUNTED = 10_000
OFFSET_LIMIT = 50_000


class Refused(Exception):  # noqa: N818
    """The request ends here with this answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def refuse(status: int, **content: Any) -> Refused:
    """An error answer with the given JSON members."""
    return Refused(json_response(content, status))


def whole_number(request: Request, name: str, default: int) -> int:
    """A number of the query; zero or less means the default. Raises Refused (400) if it is no number."""
    text = request.first(name)
    if not text:
        return default
    try:
        number = int(text)
    except ValueError:
        raise refuse(400, error=f"{name} is invalid") from None
    return number if number > 0 else default


def page_length(request: Request) -> int:
    return min(whole_number(request, "per_page", DEFAULT_PAGE), LONGEST_PAGE)


def offset_page(
    request: Request,
    address: str,
    rows: Sequence[Row],
    render: Callable[[Row], Any],
    *,
    counted: bool = True,
    limited: str = "",
    second_page_announced: bool = False,
) -> Response:
    """One page of the rows. ``limited``: the type of the rows if GitLab refuses to page it beyond 50,000 rows.

    If the list is not ``counted``, every full page announces a next one. ``second_page_announced``: the first page
    announces a next one even if it is short (GitalyKeysetPager#paginate_first_page_via_gitaly).
    """
    page, length = whole_number(request, "page", 1), page_length(request)
    if limited and page * length > OFFSET_LIMIT:
        reason = (
            f"Offset pagination has a maximum allowed offset of {OFFSET_LIMIT} for requests that return objects of "
            f"type {limited}. Remaining records can be retrieved using keyset pagination."
        )
        raise refuse(405, error=reason)
    shown = rows[(page - 1) * length : page * length]
    pages = max(1, -(-len(rows) // length))
    more = page < pages if counted else len(shown) == length
    more = more or (second_page_announced and page == 1)

    def link(number: int, relation: str) -> str:
        return _link(request, address, {"page": str(number), "per_page": str(length)}, relation)

    links = [link(page - 1, "prev")] if page > 1 else []
    links += [link(page + 1, "next")] if more else []
    links += [link(1, "first")]
    headers = {
        "X-Per-Page": str(length),
        "X-Page": str(page),
        "X-Next-Page": str(page + 1) if more else "",
        "X-Prev-Page": str(page - 1) if page > 1 else "",
    }
    if counted and len(rows) <= UNCOUNTED:
        headers |= {"X-Total": str(len(rows)), "X-Total-Pages": str(pages)}
        links += [link(pages, "last")]
    return json_response([render(row) for row in shown], 200, {**headers, "Link": ", ".join(links)})


def keyset_page_by_id(
    request: Request, address: str, rows: Sequence[Row], render: Callable[[Row], dict[str, Any]]
) -> Response:
    """A page of projects, which come sorted by id. Every page that holds a row announces a next one."""
    ascending = request.first("sort") == "asc"
    if request.first("order_by") not in (None, "", "id"):
        raise refuse(405, error="Keyset pagination is not yet available for this type of request")
    shown = [render(row) for row in rows[: page_length(request)]]
    if not shown:
        return json_response(shown)
    bound = {"id_after" if ascending else "id_before": str(shown[-1]["id"])}
    return json_response(shown, 200, {"Link": _link(request, address, bound, "next")})


def keyset_page_by_name(
    request: Request, address: str, names: Sequence[str], render: Callable[[str], dict[str, Any]]
) -> Response:
    """A page of branches. A full page announces a next one, which may be empty.

    The next page fails if the branch that it follows is gone.
    """
    length, token, start = page_length(request), request.first("page_token"), 0
    if token is not None:
        if token not in names:
            # Gitaly cannot find the page token.
            raise refuse(500, message="500 Internal Server Error")
        start = names.index(token) + 1
    shown = names[start : start + length]
    following = {"Link": _link(request, address, {"page_token": shown[-1]}, "next")} if len(shown) == length else {}
    return json_response([render(name) for name in shown], 200, following)


def keyset_page_by_cursor(
    request: Request, address: str, rows: Sequence[Row], render: Callable[[Row], dict[str, Any]]
) -> Response:
    """A page of users, which come in the wanted order. The last page announces no next one."""
    length, start = page_length(request), 0
    everything = [render(row) for row in rows]
    cursor = request.first("cursor")
    if cursor:
        try:
            last = int(json.loads(base64.urlsafe_b64decode(cursor))["id"])
        except (ValueError, KeyError):
            raise refuse(400, error="cursor is invalid") from None
        start = next((i + 1 for i, row in enumerate(everything) if row["id"] == last), len(everything))
    shown = everything[start : start + length]
    if start + length >= len(everything):
        return json_response(shown)
    key = base64.urlsafe_b64encode(json.dumps({"id": str(shown[-1]["id"]), "_kd": "n"}).encode()).decode()
    return json_response(shown, 200, {"Link": _link(request, address, {"cursor": key}, "next")})


def _link(request: Request, address: str, changed: dict[str, str], relation: str) -> str:
    query = {name: values[-1] for name, values in request.query.items()} | changed
    return f'<{address}?{urlencode(query)}>; rel="{relation}"'
