"""Threads that work through items as they come, and wait if too many results are not taken yet."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _AbandonedError(Exception):
    """Nobody takes the results any more."""


class Crew(Generic[Item, Result]):
    """Gives each item to ``work`` in one of ``size`` threads. Iterate ``results`` once.

    A thread waits with its next result while the results that are not taken yet weigh ``room`` or more, by ``weight``.
    """

    def __init__(
        self, size: int, work: Callable[[Item], Iterable[Result]], weight: Callable[[Result], int], room: int
    ) -> None:
        self._size = size
        self._work = work
        self._weight = weight
        self._room = room
        self._changed = threading.Condition()
        self._items: deque[Item] = deque()
        self._results: deque[Result] = deque()
        self._waiting_weight = 0
        self._items_end = False
        self._abandoned = False
        self._at_work = 0
        self._failures: list[BaseException] = []

    def results(self, items: Iterable[Item]) -> Iterator[Result]:
        """The results of the work, in the order in which they are made.

        Raises the first error of the items or of the work, after the results of all work that had begun before it.
        """
        self._at_work = self._size + 1
        threads = [threading.Thread(target=self._run, args=(self._gather, items), name="crew", daemon=True)]
        threads += [
            threading.Thread(target=self._run, args=(self._work_on,), name="crew", daemon=True)
            for _ in range(self._size)
        ]
        for thread in threads:
            thread.start()
        try:
            while (result := self._take()) is not None:
                yield result[0]
        finally:
            with self._changed:
                self._abandoned = True
                self._changed.notify_all()
        if self._failures:
            raise self._failures[0]

    def _run(self, task: Callable[..., None], *arguments: object) -> None:
        try:
            task(*arguments)
        except _AbandonedError:
            pass
        except BaseException as failure:  # noqa: BLE001
            with self._changed:
                self._failures.append(failure)
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def _gather(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                with self._changed:
                    if self._stopping():
                        return
                    self._items.append(item)
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._items_end = True
                self._changed.notify_all()

    def _work_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._items_end or self._stopping())
                if self._stopping() or not self._items:
                    return
                item = self._items.popleft()
            for result in self._work(item):
                self._put(result)

    def _put(self, result: Result) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting_weight < self._room or self._abandoned)
            if self._abandoned:
                raise _AbandonedError
            self._results.append(result)
            self._waiting_weight += self._weight(result)
            self._changed.notify_all()

    def _take(self) -> tuple[Result] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._results or not self._at_work)
            if not self._results:
                return None
            result = self._results.popleft()
            self._waiting_weight -= self._weight(result)
            self._changed.notify_all()
            return (result,)

    def _stopping(self) -> bool:
        return self._abandoned or bool(self._failures)
