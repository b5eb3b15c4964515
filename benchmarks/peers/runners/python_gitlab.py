"""python-gitlab in threads: a list of projects, and for each its commits, as objects that nobody keeps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import requests
from gitlab import Gitlab
from gitlab.v4.objects import Project
from requests.adapters import HTTPAdapter

from benchmarks.peers.runners import Task, report


def main() -> None:
    task = Task.read()
    session = requests.Session()
    # One connection for each thread: requests keeps ten.
    session.mount("http://", HTTPAdapter(pool_maxsize=task.in_flight))
    client = Gitlab(task.url, private_token="token", session=session, per_page=100)
    found = 0

    def commits(project: Project) -> int:
        return len(project.commits.list(get_all=True))

    def pull() -> None:
        nonlocal found
        with ThreadPoolExecutor(task.in_flight) as pool:
            projects = client.projects.list(iterator=True, pagination="keyset", order_by="id", sort="asc")
            found = sum(pool.map(commits, projects))

    report(pull, lambda: found)


if __name__ == "__main__":
    main()
