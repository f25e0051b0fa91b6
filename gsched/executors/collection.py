"""The executors of a scheduler."""

from __future__ import annotations

from gsched.executors.base import BaseExecutor


class Executors(dict[str, BaseExecutor]):
    """Executors by alias, and those that were removed and still have runs in progress."""

    def __init__(self) -> None:
        super().__init__()
        self._leaving: list[BaseExecutor] = []

    def remove(self, alias: str) -> BaseExecutor:
        """Remove the executor `alias` and return it. Raises KeyError if there is none."""
        executor = self.pop(alias)
        self._leaving.append(executor)
        return executor

    def working(self) -> list[BaseExecutor]:
        """All executors that may have runs in progress, removed ones included."""
        self._leaving = [executor for executor in self._leaving if executor.runs()]
        return [*self.values(), *self._leaving]
