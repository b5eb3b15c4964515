"""The commit graphs list like git itself, which is asked where it is installed."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from renku_metrics_tests.servers.fetched import cannot_have
from renkulab.git import Commit, Identity, Repository

NOON = dt.datetime(2026, 11, 16, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
AUTHOR = Identity("person-0001", "person-0001@university.example")


def line_of(*hours: int) -> tuple[Repository, list[str]]:
    """Commits one after the other, so many hours after noon."""
    repository = Repository()
    shas = [repository.commit(f"{hour}\n", AUTHOR, NOON + hour * HOUR, branch="master").sha for hour in hours]
    return repository, shas


def shas_of(commits: list[Commit]) -> list[str]:
    return [commit.sha for commit in commits]


def test_a_log_shows_the_newest_first() -> None:
    repository, shas = line_of(1, 2, 3)
    assert shas_of(repository.log([shas[2]])) == shas[::-1]


def test_a_range_leaves_out_what_the_old_head_holds() -> None:
    repository, (first, second, third) = line_of(1, 2, 3)
    side = repository.commit("side\n", AUTHOR, NOON, branch="side", parents=[first]).sha
    assert shas_of(repository.log([third], without=[first])) == [third, second]
    assert shas_of(repository.log([third], without=[side])) == [third, second]


def test_since_does_not_look_behind_an_older_commit() -> None:
    repository, (_, _, third) = line_of(5, 1, 6)
    assert shas_of(repository.log([third], since=NOON + 4 * HOUR)) == [third]


def test_until_looks_through_newer_commits() -> None:
    repository, (first, second, third) = line_of(5, 1, 6)
    assert shas_of(repository.log([third], until=NOON + 5 * HOUR)) == [second, first]


def test_the_old_head_of_a_force_push_stays_until_garbage_collection() -> None:
    repository, (first, second, third) = line_of(1, 2, 3)
    repository.move("master", second)
    assert repository.resolve(third) == third
    repository.collect_garbage()
    assert repository.resolve(third) is None
    assert repository.resolve(first[:8]) == first


def test_trailers_are_the_last_paragraph_and_nothing_else() -> None:
    repository = Repository()
    commit = repository.commit("renku run\n\nrenku-transaction: 0123\n", AUTHOR, NOON, branch="master")
    assert commit.trailers == {"renku-transaction": "0123"}
    assert repository.commit("a\n\nsome words: no trailer\n", AUTHOR, NOON, branch="master").trailers == {}
    assert repository.commit("Fix: it\n", AUTHOR, NOON, branch="master").trailers == {}


def random_graph(chance: random.Random) -> Repository:
    """Branches and merges whose dates go forth and back and stand twice."""
    repository = Repository()
    shas: list[str] = []
    for number in range(40):
        parents = chance.sample(shas[-6:], k=min(len(shas), chance.choice([1, 1, 1, 2])))
        at = NOON + (number + chance.randint(-4, 4)) * HOUR
        shas.append(repository.commit(f"{number}\n", AUTHOR, at, parents=parents).sha)
    repository.move("master", shas[-1])
    repository.move("side", shas[-4])
    repository.move("old", shas[20])
    return repository


def into_git(repository: Repository, folder: Path) -> dict[str, str]:
    """The same graph in a repository of git; returns git's sha of each commit."""
    marks = {sha: mark for mark, sha in enumerate(repository.commits, start=1)}
    stream = []
    for sha, commit in repository.commits.items():
        stamp = f"A <a@b.example> {int(commit.committed_at.timestamp())} +0000"
        message = commit.message
        stream.append(f"commit refs/heads/all-{marks[sha]}\nmark :{marks[sha]}\nauthor {stamp}\ncommitter {stamp}\n")
        stream.append(f"data {len(message)}\n{message}")
        for place, parent in enumerate(commit.parents):
            stream.append(f"{'merge' if place else 'from'} :{marks[parent]}\n")
        stream.append("\n")
    git(folder, "init", "-q", "--bare", ".")
    git(folder, "fast-import", "--quiet", f"--export-marks={folder}/marks", stdin="".join(stream))
    of_mark = dict(line.split() for line in (folder / "marks").read_text().splitlines())
    return {of_mark[f":{mark}"]: sha for sha, mark in marks.items()}


def git(folder: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], input=stdin, text=True, capture_output=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_listings_are_those_of_git(seed: int, tmp_path: Path) -> None:
    if shutil.which("git") is None:
        cannot_have("git: it is not installed (apt-get install git)")
    repository = random_graph(random.Random(seed))
    ours = into_git(repository, tmp_path)
    theirs = {sha: real for real, sha in ours.items()}
    master, side, old = (repository.branches[name] for name in ("master", "side", "old"))
    since, until = NOON + 25 * HOUR, NOON + 30 * HOUR

    def listed(*arguments: str) -> list[str]:
        return [ours[line] for line in git(tmp_path, "log", "--format=%H", *arguments).split()]

    after, before = f"--since={since.isoformat()}", f"--until={until.isoformat()}"
    assert shas_of(repository.log([master])) == listed(theirs[master])
    assert shas_of(repository.log([master], without=[old])) == listed(f"{theirs[old]}..{theirs[master]}")
    assert shas_of(repository.log([side], without=[master])) == listed(f"{theirs[master]}..{theirs[side]}")
    assert shas_of(repository.log([master], since=since)) == listed(after, theirs[master])
    assert shas_of(repository.log([master], since=since, until=until)) == listed(after, before, theirs[master])
    with_range = repository.log([master], without=[old], since=since)
    assert shas_of(with_range) == listed(after, f"{theirs[old]}..{theirs[master]}")
