"""A clock of the loop's own, which jumps to the next timer where nothing else can happen before it.

When does time move? Each turn, a loop asks its selector what is ready, and tells it how long to wait: until its next
timer. So the selector is where the clock is:

    something is ready                           no time passes; code takes none
    nothing is ready, nothing real in flight     the clock jumps to the next timer, be it a year away
    ..., no timer either                         nothing can wake the loop any more: DeadlockError
    a call in a thread is in flight              the clock stands still for one real second, then passes as real time
    something outside may wake the loop          it passes as real time

What is in flight is asked first, and what is ready after it: what ends in between has woken the loop before it ended.

Public API of asyncio alone: a selector of the loop's own, and methods that are overridden by their public names.
Linux only; the rest is refused. The class of such a loop is derived from that of the user's factory, and so is that of
a loop that follows a schedule.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import os
import selectors
import signal
import sys
import time
from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from asyncunit.errors import ConfigurationError, DeadlockError
from asyncunit.loops.deadlock import Others, Sockets, children, describe_deadlock, runs, signals_may_come

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# Why each hold of this process, in whichever thread, is there: hold_clock() knows no loop.
holds: dict[object, str] = {}

# The loops that wait just now for what is held.
waiting: WeakSet[AbstractEventLoop] = WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=holds.clear)


@contextmanager
def hold_clock(why: str) -> Iterator[None]:
    """Have every virtual clock wait: something real is going on that no event loop can see.

    For what a thread of your own does for a test, or a device: while the block runs, in whichever thread, no virtual
    clock jumps. They stand still for one real second, and then pass as real time does. ``why`` is named where a report
    says what a clock has waited for. A loop with the real clock is not touched.
    """
    token = object()
    holds[token] = why
    try:
        yield
    finally:
        del holds[token]
        for loop in list(waiting):
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(_nothing)


def _nothing() -> None:
    """Wakes a loop."""


# The classes of loops that are derived from those of the user's.


Factory = Callable[[], asyncio.AbstractEventLoop]

_SelectorEventLoop = asyncio.SelectorEventLoop
_new_event_loop = asyncio.new_event_loop


def virtual_clock_factory(factory: Factory | None, quiet: float | None = None) -> Factory:
    """Return what makes the loops of ``factory`` with a virtual clock; raise ConfigurationError where that cannot be.

    None is asyncio's own factory, by the event loop policy where one is set. ``quiet`` is the key ``clock_quiet``.
    """
    if sys.platform != "linux":
        raise ConfigurationError(
            f"clock = 'virtual' is for Linux so far, and this is {sys.platform!r}. A virtual clock must know what is "
            f"in flight outside its loop, else timers would fire too early, and asyncunit knows only how to ask Linux. "
            f"Skip these tests here, @unittest.skipUnless(sys.platform == 'linux', ...), or take the key out."
        )
    base, args, keywords = _class_behind(factory)
    made = _derived(base, quiet)
    return partial(made, *args, **keywords) if args or keywords else made


def _class_behind(factory: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The class whose loops a factory makes, and what it passes to it."""
    if factory is None or factory is _new_event_loop:
        return _class_of_policy(), (), {}
    found, args, keywords = behind_partials(factory)
    if not isinstance(found, type):
        raise ConfigurationError(
            f"clock = 'virtual' cannot be given to the loops of loop_factory {factory!r}: a clock is part of a loop's "
            f"class, and this is no class that one can be derived from. {_fix(getattr(found, '__module__', ''))}"
        )
    if not issubclass(found, _SelectorEventLoop):
        raise ConfigurationError(
            f"clock = 'virtual' cannot be given to the loops of loop_factory {_name_of(found)}: it is no subclass of "
            f"asyncio.SelectorEventLoop. {_fix(found.__module__)}"
        )
    return found, args, keywords


def behind_partials(factory: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """What a factory calls in the end, and what it passes to it."""
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    while isinstance(factory, partial):
        args, keywords = factory.args + args, {**factory.keywords, **keywords}
        factory = factory.func
    return factory, args, keywords


def _class_of_policy() -> type[asyncio.SelectorEventLoop]:
    """The class of the loops that asyncio makes where no factory is named."""
    loop = _new_event_loop()
    found = type(loop)
    loop.close()
    if found is _SelectorEventLoop:
        return found
    fix = f"Set loop_factory = {_name_of(found)}." if issubclass(found, _SelectorEventLoop) else _fix(found.__module__)
    raise ConfigurationError(
        f"clock = 'virtual' cannot be given to the loops of the event loop policy, which makes {_name_of(found)}. {fix}"
    )


def _fix(module: str) -> str:
    """The end of a message: why, where that is known, and what to write in its place."""
    why = "The timers of uvloop are in C, and do not ask loop.time(). " if module.partition(".")[0] == "uvloop" else ""
    return (
        f"{why}Set loop_factory to a class, asyncio.SelectorEventLoop or one derived from it, for these tests, "
        f"or take clock = 'virtual' out."
    )


@cache
def _derived(base: Any, quiet: float | None) -> type[asyncio.SelectorEventLoop]:
    between = () if base is _SelectorEventLoop else (base,)
    try:
        return type(f"VirtualClock{base.__name__}", (VirtualClock, *between, WithClockSelector), {"clock_quiet": quiet})
    except TypeError as error:
        raise ConfigurationError(
            f"clock = 'virtual': no class can be derived from {_name_of(base)}: {error}"
        ) from error


def _name_of(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


# The clock.


# Real seconds for which the clock stands still while a thread works for the loop.
PATIENCE = 1.0

# Real seconds after which what holds the clock is looked at again. (A thread may have ended without a word.)
POLL = 0.05

# Real seconds that something had to happen in, before a deadlock is called one.
DEADLOCK_WAIT = 0.05

# Jumps in one step after which timers are counted: for the report, should the step never end.
_MANY_JUMPS = 1_000

# Up to here the clock counts whole nanoseconds: 0.1 + 0.2 is 0.3.
_NANOSECONDS_UNTIL = 2.0**22

# From here on `time() + 1e-9`, until which asyncio runs timers, is `time()` itself.
_COARSE_FROM = 2.0**24

_monotonic = time.monotonic
_Future = asyncio.Future
_current_task = asyncio.current_task
_getitimer = signal.getitimer

_numbers = itertools.count()


class VirtualTime:
    """Virtual seconds, from 0 on, and what made them move in the step that runs."""

    def __init__(self) -> None:
        self.now = 0.0
        self.begin_step()

    def begin_step(self) -> None:
        """Count from here on."""
        self.began = self.now
        self.jumps = 0
        # Real seconds for which a timer had to wait for something outside.
        self.held: dict[str, float] = {}

    def jump(self, seconds: float) -> None:
        """To the next timer."""
        self.jumps += 1
        self.move(seconds)

    def move(self, seconds: float) -> None:
        """Let so much time pass: some, however little it is."""
        now = self.now + seconds
        if now < _NANOSECONDS_UNTIL:
            now = round(now * 1e9) / 1e9
        self.now = max(now, math.nextafter(self.now, math.inf))


class ClockSelector(selectors.BaseSelector):
    """Asks the selector of the loop what is ready; where that is nothing, it has time pass.

    ``is_set_up`` is true once the loop is made: what it watches before is its own, to be woken by other threads.
    """

    def __init__(self, inner: selectors.BaseSelector, loop: VirtualClock) -> None:
        self.is_set_up = False
        self._inner = inner
        self._loop = loop
        self._time = loop.virtual_time
        self._sockets = loop.sockets
        self._own: set[int] = set()
        self._patience = PATIENCE
        # Real seconds since anything has happened, while something outside was waited for.
        self._silence = 0.0

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: D102 - the base's
        key = self._inner.register(fileobj, events, data)
        if self.is_set_up:
            self._sockets.watch(key.fd)
        else:
            self._own.add(key.fd)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: D102 - the base's
        key = self._inner.unregister(fileobj)
        self._sockets.unwatch(key.fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: D102 - the base's
        key = self._inner.modify(fileobj, events, data)
        if key.fd in self._sockets.outside:  # it may be connected by now
            self._sockets.watch(key.fd)
        return key

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:  # noqa: D102 - the base's
        return self._inner.get_map()

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: D102 - the base's
        return self._inner.get_key(fileobj)

    def close(self) -> None:  # noqa: D102 - the base's
        self._inner.close()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready. Time passes where nothing is, ``timeout`` virtual seconds at most."""
        if timeout is not None and timeout <= 0:
            self._silence = 0.0
            if self._time.now >= _COARSE_FROM:
                self._time.move(0.0)  # else a timer that is due now would never be due
            return self._inner.select(0)
        loop = self._loop
        work, outside = loop.work_in_flight(), loop.outside_in_flight()
        events = self._inner.select(0)
        if events:
            return events
        if work or outside:
            return self._wait(timeout, work, outside)
        self._patience, self._silence = PATIENCE, 0.0
        if timeout is None:
            return self._wait_for_ever()
        self._time.jump(timeout)
        if self._time.jumps >= _MANY_JUMPS:
            loop.count_timers()
        return []

    def _wait(self, timeout: float | None, work: bool, outside: list[str]) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait in real time for what is in flight. For work in threads the clock stands still at first."""
        stands_still = work and self._patience > 0
        quiet = self._loop.clock_quiet if not work else None
        wait = min(
            POLL,
            self._patience if stands_still else math.inf if timeout is None else timeout,
            math.inf if quiet is None else quiet - self._silence,
        )
        events, took = self._wait_really(max(0.0, wait))
        if stands_still:
            self._patience -= took
        else:
            self._pass(took, timeout, outside)
        if events:
            self._silence = 0.0
            return events
        self._silence += took
        self._sockets.look_again()
        if quiet is not None and timeout is not None and self._silence >= quiet:
            self._silence = 0.0
            if timeout > took:
                self._time.jump(timeout - took)
        return []

    def _pass(self, took: float, timeout: float | None, outside: list[str]) -> None:
        """Real time has passed, and so does the virtual; up to the next timer, and not past it."""
        self._time.move(took if timeout is None else min(took, timeout))
        if timeout is not None:
            for what in outside:
                self._time.held[what] = self._time.held.get(what, 0.0) + took

    def _wait_really(self, seconds: float) -> tuple[list[tuple[selectors.SelectorKey, int]], float]:
        began = _monotonic()
        waiting.add(self._loop)
        try:
            return self._inner.select(seconds), _monotonic() - began
        finally:
            waiting.discard(self._loop)

    def _wait_for_ever(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Nothing is ready, there is no timer, and nothing is in flight: so nothing can wake the loop, most likely."""
        dead = self._loop.nothing_can_wake()
        events = self._inner.select(DEADLOCK_WAIT if dead else POLL)
        if dead and not events and self._loop.nothing_can_wake():
            raise DeadlockError(describe_deadlock(self._loop))
        return events


class VirtualClock(asyncio.AbstractEventLoop if TYPE_CHECKING else object):  # type: ignore[misc]
    """To be mixed into a SelectorEventLoop, in front, with `WithClockSelector` behind it.

    ``clock_quiet`` are the real seconds of silence after which what is outside holds the clock no longer; None: never.
    """

    clock_quiet: float | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.virtual_time = VirtualTime()
        self.sockets = Sockets()
        self.others = Others()
        # The calls in threads that this loop waits for.
        self._work: set[object] = set()
        self._has_alarm = False
        # Once there were many jumps in a step: the timers that were set since, and how often those of each have fired.
        self._timers: list[tuple[float, int, asyncio.TimerHandle, str]] | None = None
        self._fired: Counter[str] = Counter()
        self.clock_selector: ClockSelector | None = None
        super().__init__(*args, **kwargs)
        if self.clock_selector is None:
            self.close()
            raise ConfigurationError(
                f"clock = 'virtual' puts a selector of its own into the loop, and the loop was made without it by "
                f"{_name_of(type(self).__mro__[2])}. Its __init__() is to call super().__init__(), with or without one."
            )
        self.clock_selector.is_set_up = True

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self.virtual_time.now

    def run_forever(self) -> None:  # noqa: D102 - the base's
        self.others.loop_runs()
        try:
            super().run_forever()
        finally:
            self.others.loop_stops()

    # What is in flight.

    def work_in_flight(self) -> bool:
        """Whether a thread works for this loop, by asyncio's word or by the user's."""
        return bool(self._work or holds)

    def outside_in_flight(self) -> list[str]:
        """What outside the loop may wake it."""
        sockets, found = self.sockets, self.others.started()
        if sockets.outside:
            found = [*sockets.outside.values(), *found]
        if sockets.partly_watched:
            found = [*found, *sockets.partly_outside(threads=self.others.threads())]
        if self._has_alarm and _getitimer(signal.ITIMER_REAL)[0]:
            found = [*found, "the signal timer of the process"]
        return found

    def nothing_can_wake(self) -> bool:
        """Whether nothing in this process, and nothing that it is connected to, can wake the loop."""
        return not (
            self.work_in_flight()
            or self.outside_in_flight()
            or self.others.threads()
            or signals_may_come()
            or any(runs(pid) for pid in children())
        )

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # noqa: D102 - the base's
        before = self.others.alive()
        future = super().run_in_executor(executor, func, *args)
        self.others.add_workers(self.others.alive() - before)
        if isinstance(future, _Future):
            self._work.add(future)
            future.add_done_callback(self._work.discard)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:  # noqa: D102 - the base's
        token = object()
        self._work.add(token)
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._work.discard(token)

    def add_signal_handler(self, sig: int, callback: Callable[..., object], *args: Any) -> None:  # noqa: D102 - the base's
        super().add_signal_handler(sig, callback, *args)
        self._has_alarm = self._has_alarm or sig == signal.SIGALRM

    async def sock_accept(self, sock: Any) -> Any:  # noqa: D102 - the base's
        connection, address = await super().sock_accept(sock)
        self.sockets.note(connection.fileno())
        return connection, address

    async def sock_connect(self, sock: Any, address: Any) -> None:  # noqa: D102 - the base's
        await super().sock_connect(sock, address)
        self.sockets.note(sock.fileno())

    # What a report says.

    def begin_step(self) -> None:
        """Count the time that passes, and the jumps, from here on."""
        self.virtual_time.begin_step()
        self._timers = None
        self._fired.clear()
        self.__dict__.pop("call_at", None)

    def count_timers(self) -> None:
        """Count those that fire now. It costs, so only once there were many jumps, from the first such call on."""
        if self._timers is None:
            self._timers = []
            self.__dict__["call_at"] = self._call_at_recorded
        while self._timers and self._timers[0][0] <= self.virtual_time.now:
            _, _, handle, name = heapq.heappop(self._timers)
            if not handle.cancelled():
                self._fired[name] += 1

    def _call_at_recorded(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle: asyncio.TimerHandle = type(self).call_at(self, when, callback, *args, context=context)
        if self._timers is not None:
            task = _current_task(self)
            setter = task.get_coro() if task is not None else callback
            name = getattr(setter, "__qualname__", None) or type(setter).__qualname__
            heapq.heappush(self._timers, (when, next(_numbers), handle, name))
        return handle

    def describe_time(self) -> str:
        """How much time has passed in the step that runs, and what made it pass."""
        passed = self.virtual_time
        seconds = passed.now - passed.began
        shown = f"{seconds:,.0f}" if seconds >= 1000 else f"{seconds:.6g}"
        text = f"By the virtual clock {shown} seconds passed, in {passed.jumps:,} jumps."
        if passed.held:
            what = max(passed.held, key=passed.held.__getitem__)
            text += f" For {passed.held[what]:.1f} real seconds it was held by {what}."
        if self._fired:
            name, times = self._fired.most_common(1)[0]
            text += f" Of the last {self._fired.total():,} timers that fired, {times:,} were set by {name}()."
        return text


class WithClockSelector(asyncio.SelectorEventLoop):
    """To be mixed in last, in front of SelectorEventLoop alone: has the loop ask a `ClockSelector`."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        assert isinstance(self, VirtualClock)
        self.clock_selector = ClockSelector(selector or selectors.DefaultSelector(), self)
        super().__init__(self.clock_selector)
