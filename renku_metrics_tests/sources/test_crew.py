"""Threads that work through items as they come."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from renku_metrics.sources.crew import Crew


def one(result: int) -> int:
    return 1


def test_every_item_is_worked_on_once() -> None:
    crew: Crew[int, int] = Crew(4, lambda item: [item, -item], one, 10)
    assert sorted(crew.results(range(1, 200))) == sorted([*range(1, 200), *(-item for item in range(1, 200))])


def test_without_items_there_are_no_results() -> None:
    assert list(Crew(4, lambda item: [item], one, 10).results([])) == []


def test_threads_work_at_the_same_time_while_items_still_come() -> None:
    together = threading.Barrier(3, timeout=10)

    def work(item: int) -> Iterator[int]:
        together.wait()
        yield item

    def items() -> Iterator[int]:
        yield from (1, 2)
        together.wait()

    assert sorted(Crew(2, work, one, 10).results(items())) == [1, 2]


def test_no_more_is_made_than_there_is_room_for() -> None:
    made = itertools.count(1)
    latest = 0

    def work(item: int) -> Iterator[int]:
        nonlocal latest
        for _ in range(10):
            latest = next(made)
            yield item

    for taken, _ in enumerate(Crew(3, work, one, 7).results(range(40))):
        # What waits, what each thread has in its hands, and the one just taken.
        assert latest - taken <= 7 + 3 + 1


def test_a_failure_is_raised_after_the_results_of_what_had_begun() -> None:
    begun = threading.Barrier(2, timeout=10)

    def work(item: int) -> Iterator[int]:
        begun.wait()
        if item == 0:
            raise RuntimeError("item 0")
        yield item

    results = Crew(2, work, one, 10).results([0, 1])
    assert next(results) == 1
    with pytest.raises(RuntimeError, match="item 0"):
        next(results)


def test_a_failure_of_the_items_is_raised_too() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        list(Crew(2, lambda item: [item], one, 10).results(items()))


def test_results_that_nobody_takes_any_more_are_not_made() -> None:
    results = Crew(2, lambda item: itertools.repeat(item), one, 3).results(itertools.count())
    before = threading.active_count()
    assert next(results) in (0, 1)
    results.close()  # type: ignore[attr-defined]
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("crew"):
            thread.join(timeout=10)
            assert not thread.is_alive()
    assert threading.active_count() <= before
