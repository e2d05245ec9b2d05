"""Executables that pipelines share: what is equal is compiled once.

A pipeline has equal programs in stages that do the same on one mesh; the schedules of one plan have
all their programs in common.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class CompiledPrograms:
    """What has been compiled so far; pass one to every compile that may share it.

    Keys say everything that an executable depends on: text, types, shardings with their devices,
    donated inputs and compiler options. What failed is not kept.
    """

    def __init__(self) -> None:
        self._results: dict[Hashable, Any] = {}

    def session(self, executor: Executor) -> CompileSession:
        """For one compile, which asks for everything before it waits for anything."""
        return CompileSession(self._results, executor)


class CompileSession:
    """Submits what is not there yet."""

    def __init__(self, results: dict[Hashable, Any], executor: Executor) -> None:
        self._results = results
        self._executor = executor
        self._futures: dict[Hashable, Future[Any]] = {}

    def submit(self, key: Hashable, compile_it: Callable[[], _T]) -> Future[_T]:
        """Equal keys are compiled once."""
        if key in self._futures:
            return self._futures[key]
        if key in self._results:
            future: Future[_T] = Future()
            future.set_result(self._results[key])
        else:
            future = self._executor.submit(compile_it)
        self._futures[key] = future
        return future

    def keep(self) -> None:
        """Leaves the results to later compiles; to be called when all have been waited for."""
        self._results.update((key, future.result()) for key, future in self._futures.items())
