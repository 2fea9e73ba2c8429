"""What looks on while a loop is used: told what its runner, and the tasks of scopes, do with it.

``checks`` has the one that looks for what is left behind; nothing in this package knows what is looked for.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Task
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from asyncunit.config.settings import Config
from asyncunit.scopes.open_scope import OpenScope

T = TypeVar("T")


class Instrument:
    """Looks on at one loop, from when it is made until it is closed; this one sees nothing.

    ``is_ending`` is true while tasks that were left are being ended. ``is_new_to_tests`` is true once something other
    than a test has run on the loop, and may have set it: that is meant, and stays.
    """

    def __init__(self, _loop: AbstractEventLoop, _loop_owner: OpenScope | None = None) -> None:
        # Not in the class: Python is slow to read and to set what is in both.
        self.is_ending = False
        self.is_new_to_tests = True

    def step_begins(self, _loop: AbstractEventLoop, _config: Config) -> Callable[[], object] | None:
        """A step is to begin, for which the configuration asks for something to be looked at.

        What is returned is called in the running loop, just before the step.
        """

    def step_ends(self) -> None:
        """That step is done."""

    def raised_between_steps(self, error: BaseException) -> None:
        """A task or a signal handler has thrown an error out of the loop while no step was run."""

    def loop_closed(self, _loop: AbstractEventLoop, _left: Iterable[Task[Any]]) -> list[Exception]:
        """The loop is closed, after these tasks were ended; what is to be reported of it."""
        return []


# Makes what looks on at a loop of a scope.
MakeInstrument = Callable[[AbstractEventLoop, OpenScope], Instrument]
