"""A GitLab that is never the bottleneck: any number of projects and commits, and a fixed delay for each answer.

    python -m benchmarks.gitlab_server DELAY_SECONDS PROJECTS COMMITS_OF_EACH

It takes a free port of loopback, prints its address as its first line, and serves what a pull by branch heads and its
peers ask for. ``/new-week?projects=25&commits=3`` gives the first 25 projects 3 new commits each.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import subprocess
import sys
import urllib.request
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

PROJECTS = 500
COMMITS = 200
COMMITS_A_PUSH = 3
PEOPLE = 8_000
# Eight years of them, as RenkuLab had.
FIRST_DAY = dt.date(2018, 1, 1)
DAYS = 2_900
MADE_AT_MOST = 200_000

COMMIT = (
    '{"id":"%(sha)s","short_id":"%(short)s","created_at":"%(at)s","parent_ids":[%(parents)s],"title":"%(message)s",'
    '"message":"%(message)s\\n","author_name":"%(person)s","author_email":"%(person)s@university.example",'
    '"authored_date":"%(at)s","committer_name":"%(committer)s","committer_email":"%(committer_email)s",'
    '"committed_date":"%(at)s","trailers":{},"extended_trailers":{},'
    '"web_url":"https://gitlab.example/group/project-%(project)d/-/commit/%(sha)s"}'
)
RENKU = {
    "committer": "renku 2.9.4",
    "committer_email": "https://github.com/swissdatasciencecenter/renku-python/tree/v2.9.4",
}


class Lab:
    """The state of the server: how far each project's history goes, and how many requests were answered."""

    def __init__(self, delay: float, projects: int, commits: int) -> None:
        self.delay = delay
        self.lengths = dict.fromkeys(range(1, projects + 1), commits)
        self.active = dict.fromkeys(self.lengths, "2026-10-01T00:00:00.000Z")
        self.requests = 0
        if projects * commits <= MADE_AT_MOST:
            # Made on demand, they would cost whoever is measured first.
            for project in self.lengths:
                for number in range(1, commits + 1):
                    commit(project, number)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._slow])
        api = "/api/v4/projects"
        app.add_routes(
            [
                web.get("/api/v4/user", self.user),
                web.get(api, self.projects),
                web.get(api + "/{id}", self.project),
                web.get(api + "/{id}/events", self.events),
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
        for project in range(1, int(request.query["projects"]) + 1):
            self.lengths[project] += int(request.query["commits"])
            self.active[project] = "2026-11-25T12:00:00.000Z"
        return web.json_response(len(self.lengths))

    async def user(self, request: web.Request) -> web.Response:
        return web.json_response({"id": 1, "username": "benchmark", "is_admin": True})

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
        return self._page(request, orjson.dumps([self._project(number) for number in page]), following)

    async def project(self, request: web.Request) -> web.Response:
        return web.json_response(self._project(int(request.match_info["id"])))

    async def branches(self, request: web.Request) -> web.Response:
        number = int(request.match_info["id"])
        head = {"id": sha(number, self.lengths[number])}
        branch = {"name": "master", "default": True, "merged": False, "protected": True, "commit": head}
        return self._page(request, orjson.dumps([branch]), "")

    async def commits(self, request: web.Request) -> web.Response:
        project, size = int(request.match_info["id"]), int(request.query.get("per_page", 20))
        page = int(request.query.get("page", 1))
        oldest, newest = 1, self.lengths[project]
        base, dots, _ = request.query.get("ref_name", "").partition("..")
        if dots:
            oldest = position(base) + 1
        numbers = range(newest, oldest - 1, -1)[(page - 1) * size : page * size]
        # As GitLab does: a full page announces another, though it may be empty.
        following = f"page={page + 1}" if len(numbers) == size else ""
        body = f"[{','.join(commit(project, number) for number in numbers)}]"
        return self._page(request, body.encode(), following)

    async def commit(self, request: web.Request) -> web.Response:
        body = commit(int(request.match_info["id"]), position(request.match_info["sha"]))
        return web.Response(body=body.encode(), content_type="application/json")

    async def events(self, request: web.Request) -> web.Response:
        project, after = int(request.match_info["id"]), request.query.get("after", "")
        size, page = int(request.query.get("per_page", 20)), int(request.query.get("page", 1))
        heads = range(COMMITS_A_PUSH, self.lengths[project] + 1, COMMITS_A_PUSH)
        chosen = [head for head in heads if made_on(project, head) > after]
        following = f"page={page + 1}" if page * size < len(chosen) else ""
        pushes = [push(project, head) for head in chosen[(page - 1) * size : page * size]]
        return self._page(request, orjson.dumps(pushes), following)

    def _project(self, number: int) -> dict[str, object]:
        return {
            "id": number,
            "path_with_namespace": f"group/project-{number}",
            "created_at": "2018-01-01T00:00:00.000Z",
            "updated_at": self.active[number],
            "last_activity_at": self.active[number],
            "default_branch": "master",
            "creator_id": 1,
            "namespace": {"id": 1, "kind": "group"},
            "visibility": "private",
            "archived": False,
            "empty_repo": False,
            "repository_access_level": "enabled",
            # Shown to administrators alone.
            "repository_storage": "default",
        }

    def _page(self, request: web.Request, body: bytes, following: str) -> web.Response:
        headers = {"Content-Type": "application/json"}
        if following:
            kept = [f"{key}={value}" for key, value in request.query.items() if key not in ("page", "id_after")]
            headers["Link"] = f'<{request.url.with_query(None)}?{"&".join([*kept, following])}>; rel="next"'
            if following.startswith("page="):
                headers["X-Next-Page"] = following.removeprefix("page=")
        return web.Response(body=body, headers=headers)


class Server:
    """A Lab in a process of its own."""

    def __init__(self, delay: float, projects: int = PROJECTS, commits: int = COMMITS) -> None:
        command = [sys.executable, "-m", "benchmarks.gitlab_server", str(delay), str(projects), str(commits)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("the server did not start")

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path) as answer:
            return orjson.loads(answer.read())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def sha(project: int, number: int) -> str:
    """Tells project and number, so that the server need not keep a table of millions."""
    return f"{project:08x}{number:08x}{project * 2_654_435_761 + number * 40_503:024x}"


def position(commit_sha: str) -> int:
    return int(commit_sha[8:16], 16)


def made_on(project: int, number: int) -> str:
    """A day: each project begins somewhere in the years, and goes on every other day."""
    return (FIRST_DAY + dt.timedelta(days=(project * 37 + number * 2) % DAYS)).isoformat()


@lru_cache(MADE_AT_MOST)
def commit(project: int, number: int) -> str:
    """The JSON of a commit; every sixth was made by renku."""
    by_renku, person = number % 6 == 0, f"person-{(project * 7 + number % 2) % PEOPLE:04}"
    values = {
        "sha": sha(project, number),
        "short": sha(project, number)[:8],
        "at": f"{made_on(project, number)}T10:00:{number % 60:02}.000+01:00",
        "parents": f'"{sha(project, number - 1)}"' if number > 1 else "",
        "message": f"renku run python step_{number}.py data/raw.csv" if by_renku else f"Correct figure {number}",
        "person": person,
        "project": project,
        "committer": person,
        "committer_email": f"{person}@university.example",
    }
    return COMMIT % (values | RENKU if by_renku else values)


def push(project: int, head: int) -> dict[str, object]:
    """The event of the push that brought the commits up to the head."""
    return {
        "id": project * 1_000_000 + head,
        "project_id": project,
        "action_name": "pushed to",
        "author_id": project * 7 % PEOPLE + 1,
        "created_at": f"{made_on(project, head)}T10:00:00.000Z",
        "push_data": {
            "commit_count": COMMITS_A_PUSH,
            "action": "pushed",
            "ref_type": "branch",
            "ref": "master",
            "commit_from": sha(project, head - COMMITS_A_PUSH) if head > COMMITS_A_PUSH else None,
            "commit_to": sha(project, head),
        },
    }


async def _serve(lab: Lab) -> None:
    runner = web.AppRunner(lab.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    print(f"http://{host}:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Lab(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))
