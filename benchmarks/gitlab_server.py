"""A GitLab that is never the bottleneck: 500 projects of 200 commits, every answer made beforehand, a fixed delay.

    python -m benchmarks.gitlab_server PORT DELAY_SECONDS

It serves what a pull by branch heads and its peers ask for. ``/new-week`` gives 25 projects 3 new commits each.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

PROJECTS = 500
COMMITS = 200
CHANGED = 25
NEW_COMMITS = 3
PAGE = 100


class Lab:
    """The state of the server: how far each project's history goes, and how many requests were answered."""

    def __init__(self, delay: float, projects: int = PROJECTS) -> None:
        self.delay = delay
        self.lengths = dict.fromkeys(range(1, projects + 1), COMMITS)
        self.active = dict.fromkeys(self.lengths, "2026-10-01T00:00:00.000Z")
        self.requests = 0

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._slow])
        api = "/api/v4/projects"
        app.add_routes(
            [
                web.get(api, self.projects),
                web.get(api + "/{id}", self.project),
                web.get(api + "/{id}/repository/branches", self.branches),
                web.get(api + "/{id}/repository/commits", self.commits),
                web.get(api + "/{id}/repository/commits/{sha}", self.commit),
                web.get("/requests", self.count),
                web.get("/new-week", self.new_week),
            ]
        )
        return app

    @web.middleware
    async def _slow(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith("/api/"):
            self.requests += 1
            await asyncio.sleep(self.delay)
        return await handler(request)

    async def count(self, request: web.Request) -> web.Response:
        answered, self.requests = self.requests, 0
        return web.json_response(answered)

    async def new_week(self, request: web.Request) -> web.Response:
        for project in list(self.lengths)[:CHANGED]:
            self.lengths[project] += NEW_COMMITS
            self.active[project] = "2026-11-25T12:00:00.000Z"
        return web.json_response(CHANGED)

    async def projects(self, request: web.Request) -> web.Response:
        size = int(request.query.get("per_page", 20))
        after = request.query.get("last_activity_after", "")
        chosen = [number for number, active in self.active.items() if active > after]
        if request.query.get("pagination") == "keyset":
            first = int(request.query.get("id_after", 0))
            page = [number for number in chosen if number > first][:size]
            following = f"id_after={page[-1]}" if page else ""
        else:
            number = int(request.query.get("page", 1))
            page = chosen[(number - 1) * size : number * size]
            following = f"page={number + 1}" if number * size < len(chosen) else ""
        return self._page(request, [self._project(number) for number in page], following)

    async def project(self, request: web.Request) -> web.Response:
        return web.json_response(self._project(int(request.match_info["id"])))

    async def branches(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        head = {"id": sha(number, self.lengths[number])}
        branch = {"name": "master", "default": True, "merged": False, "protected": True, "commit": head}
        return self._page(request, [branch], "")

    async def commits(self, request: web.Request) -> web.Response:
        project, size = int(request.match_info["id"]), int(request.query.get("per_page", 20))
        page = int(request.query.get("page", 1))
        oldest, newest = 1, self.lengths[project]
        base, dots, _ = request.query.get("ref_name", "").partition("..")
        if dots:
            oldest = POSITIONS[base] + 1
        numbers = range(newest, oldest - 1, -1)[(page - 1) * size : page * size]
        # As GitLab does: a full page announces another, though it may be empty.
        following = f"page={page + 1}" if len(numbers) == size else ""
        body = b"[" + b",".join(commit(project, number) for number in numbers) + b"]"
        return self._answer(request, body, following)

    async def commit(self, request: web.Request) -> web.Response:
        return web.Response(body=commit(int(request.match_info["id"]), POSITIONS[request.match_info["sha"]]))

    def _project(self, number: int) -> dict[str, object]:
        return {
            "id": number,
            "path_with_namespace": f"group/project-{number}",
            "created_at": "2019-01-01T00:00:00.000Z",
            "last_activity_at": self.active[number],
            "default_branch": "master",
            "creator_id": 1,
            "namespace": {"id": 1, "kind": "group"},
            "visibility": "private",
            "archived": False,
            "empty_repo": False,
            "repository_access_level": "enabled",
        }

    def _page(self, request: web.Request, items: list[object], following: str) -> web.Response:
        return self._answer(request, orjson.dumps(items), following)

    def _answer(self, request: web.Request, body: bytes, following: str) -> web.Response:
        headers = {"Content-Type": "application/json"}
        if following:
            kept = [f"{key}={value}" for key, value in request.query.items() if key not in ("page", "id_after")]
            headers["Link"] = f'<{request.url.with_query(None)}?{"&".join([*kept, following])}>; rel="next"'
            if following.startswith("page="):
                headers["X-Next-Page"] = following.removeprefix("page=")
        return web.Response(body=body, headers=headers)


def sha(project: int, number: int) -> str:
    return hashlib.sha1(f"{project}/{number}".encode(), usedforsecurity=False).hexdigest()


def commit(project: int, number: int) -> bytes:
    known = MADE.get((project, number))
    if known is None:
        at = f"20{19 + number % 7}-{1 + number % 12:02}-{1 + number % 28:02}T10:00:00.000+01:00"
        person = f"person-{(project * 7 + number) % 800:04}"
        known = MADE[project, number] = orjson.dumps(
            {
                "id": sha(project, number),
                "short_id": sha(project, number)[:8],
                "created_at": at,
                "parent_ids": [sha(project, number - 1)] if number > 1 else [],
                "title": f"renku run python step_{number}.py",
                "message": f"renku run python step_{number}.py --input data/raw.csv --output data/clean.csv\n",
                "author_name": person,
                "author_email": f"{person}@university.example",
                "authored_date": at,
                "committer_name": "renku 2.9.4",
                "committer_email": "https://github.com/swissdatasciencecenter/renku-python/tree/v2.9.4",
                "committed_date": at,
                "trailers": {},
                "extended_trailers": {},
                "web_url": f"https://gitlab.example/group/project-{project}/-/commit/{sha(project, number)}",
            }
        )
    return known


MADE: dict[tuple[int, int], bytes] = {}
POSITIONS = {
    sha(project, number): number for project in range(1, PROJECTS + 1) for number in range(1, COMMITS + NEW_COMMITS + 1)
}

if __name__ == "__main__":
    web.run_app(Lab(float(sys.argv[2])).app(), host="127.0.0.1", port=int(sys.argv[1]), print=lambda _: None)
