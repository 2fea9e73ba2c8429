"""One test under several schedules: which, the loop for each, and what is said of the first one that fails."""

from __future__ import annotations

import asyncio
import shlex
from functools import partial
from typing import Any

from asyncunit.config.settings import Config, LoopFactory, VirtualLoops
from asyncunit.errors import ConfigurationError
from asyncunit.loops.schedules import Scheduled, Timeline, scheduled
from asyncunit.loops.virtual_clock import behind_partials, virtual_clock_factory

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_new_event_loop = asyncio.new_event_loop


class Attempt:
    """A test as it is run under one schedule. ``is_alone`` is true where no other schedule is tried."""

    def __init__(self, number: int, config: Config, *, is_alone: bool) -> None:
        self.number = number
        self.is_alone = is_alone
        self._config = config
        self._timeline = None if config.trace is None else Timeline()
        # The loop that the test has; None until it needs one.
        self._loop: Any = None
        # The last switches before the test failed; None until it has.
        self._switches: list[str] | None = None

    def clocked(self, factory: LoopFactory | None) -> LoopFactory | None:
        """The factory, with a virtual clock: unless a clock was asked for, or the loop can have none."""
        if isinstance(factory, VirtualLoops) or "clock" in self._config.sources:
            return factory
        try:
            virtual_clock_factory(factory)
        except ConfigurationError:
            return factory
        return VirtualLoops.of(factory, self._config.clock_quiet)

    def maker(self, factory: LoopFactory) -> LoopFactory:
        """What makes the loop of the test, in the place of ``factory``; raises ConfigurationError where that cannot be.

        Schedule 0 needs no loop of ours, but to be drawn.
        """
        if self.number == 0 and self._timeline is None:
            return factory
        found, args, keywords = _class_behind(factory)
        return partial(self._make, _derived(found), *args, **keywords)

    def _make(self, loop_class: type[Scheduled], *args: Any, **keywords: Any) -> asyncio.AbstractEventLoop:
        settings: dict[str, Any] = {"late_timers": self._config.late_timers, "timeline": self._timeline}
        self._loop = loop_class(*args, schedule=self.number, **settings, **keywords)
        made: asyncio.AbstractEventLoop = self._loop
        return made

    def failed(self) -> None:
        """The test has failed: what the loop has just done is what is to be told."""
        loop = self._loop
        if loop is None or self._switches is not None:
            return
        self._switches = loop.turns.switches.lines()
        if hasattr(loop, "virtual_time"):
            loop.outside.update(dict.fromkeys([*loop.sockets.outside.values(), *loop.virtual_time.held]))

    def finish(self) -> None:
        """The test is over, and what is left of it is ended in asyncio's own order."""
        if self._loop is not None:
            self._loop.turns.finish()

    def write_timeline(self) -> None:
        """Write what the tasks of the loop did, where that is asked for."""
        if self._timeline is not None and self._config.trace is not None:
            self._timeline.write(self._config.trace)

    def note(self, command: str, test: str) -> str:
        """What the report of the failure says of its schedule. ``command`` runs the test of that name again."""
        self.failed()
        before = (
            ""
            if self.is_alone
            else " In asyncio's own order it passes."
            if self.number == 1
            else f" In asyncio's own order it passes, and under schedules 1 to {self.number - 1}."
        )
        lines = [f"This is schedule {self.number}.{before}"]
        if not self.is_alone:
            lines.append(f"To run this one again:  ASYNCUNIT_SCHEDULE={self.number} {command} {shlex.quote(test)}")
        outside = () if self._loop is None else self._loop.outside
        if outside:
            lines.append(
                f"Something outside of the loop takes part ({', '.join(outside)}): the number may give another order."
            )
        if self._switches:
            lines += ["The last switches before it failed:", *(f"  {line}" for line in self._switches)]
        return "\n".join(lines)


def attempts_of(config: Config) -> list[Attempt]:
    """The schedules to run a test under, until one fails."""
    if config.schedule is not None:
        return [Attempt(config.schedule, config, is_alone=True)]
    return [Attempt(number, config, is_alone=config.schedules == 1) for number in range(config.schedules)]


def ran_once(count: int) -> str:
    """What a run says where tests were not run under schedules."""
    tests = "1 test was" if count == 1 else f"{count} tests were"
    return (
        f"asyncunit: {tests} run once, in asyncio's own order: schedules are for tests that have an event loop of "
        f"their own (loop_scope = 'function')."
    )


def _class_behind(factory: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The class whose loops a factory makes, and what it passes to it."""
    found, args, keywords = behind_partials(factory)
    if found is None or found is _new_event_loop or getattr(found, "__module__", "") == "uvloop":
        loop = (found or _new_event_loop)()
        found = type(loop)
        loop.close()
    if not isinstance(found, type):
        raise ConfigurationError(
            f"schedules cannot be given to the loops of loop_factory {factory!r}: the order of tasks is part of a "
            f"loop's class, and this is no class that one can be derived from. Set loop_factory to the class, as "
            f"asyncio.SelectorEventLoop or uvloop.Loop, or schedules = 1 for these tests."
        )
    return found, args, keywords


def _derived(loop_class: Any) -> type[Scheduled]:
    try:
        return scheduled(loop_class)
    except TypeError as error:
        raise ConfigurationError(f"schedules: no class can be derived from {loop_class!r}: {error}") from error
