"""What comes to a step from outside of its loop: Ctrl-C, and a thread that watches what is to be done in time.

The first Ctrl-C cancels what runs on a loop, the second stops at once. The thread tells the loop that a step takes too
long, or, where that is blocked, the log.

``_signal`` is private. It is asked for each test who handles Ctrl-C. What ``signal`` has first tries to make an enum of
a handler: up to Python 3.11 that takes as long as a tenth of a trivial test, and later it is two more calls.
``tests/loops/test_interrupts.py`` tells when it changes.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
import types
from _signal import getsignal  # type: ignore[import-not-found,unused-ignore]
from collections.abc import Callable, Sequence
from signal import SIGINT, default_int_handler, signal
from threading import current_thread, get_ident, main_thread
from typing import ClassVar, Protocol

from asyncunit.introspection.frames import (
    Place,
    debugger_is_attached,
    is_in_own_code,
    is_ours,
    stack,
    stands_in_debugger,
)
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Running(Protocol):
    """What runs on a loop, as far as Ctrl-C, and a crash of something else on the loop, are concerned."""

    cut_by: Scope | None

    def cancel(self) -> bool:
        """Cancel the step that is being run, or keep one from beginning; False where there is none."""

    def wake(self) -> None:
        """Have the loop look at what is to be done, if it waits for its files."""


class Interrupt:
    """What Ctrl-C does in the main thread: the first cancels what runs on a loop, the second stops at once.

    It replaces Python's own handler only (unittest's ``-c`` has another, with a meaning of its own), and outside a loop
    it does what that does, but for one case: asyncunit's own code is not left in the middle. Then it ``is_deferred``,
    and raised before the next step of a set-up or a test, or when what unittest or pytest has called is done.

    ``active`` is what runs on a loop, None outside one; ``count``, how often Ctrl-C came in this run; ``is_pending`` is
    true until the step that it cancelled is done, and ``gave_up`` once nothing more is waited for.
    """

    installed: ClassVar[Interrupt | None] = None  # the one of the main thread

    def __init__(self) -> None:
        self.active: Running | None = None
        self.is_deferred = False
        self._thread = get_ident()
        self._reset()

    def _reset(self) -> None:
        """Forget what came in a run; what is deferred is still to be raised."""
        self.count = 0
        self.is_pending = self.gave_up = False

    @classmethod
    def of_this_thread(cls) -> Interrupt:
        """The one of the main thread, installed if it is not; one without effect for another thread."""
        installed = cls.installed
        if installed is None or installed._thread != get_ident():
            if current_thread() is not main_thread():
                return cls()
            installed = cls.installed = installed or cls()
            installed._thread = get_ident()  # another than before, in a child that a thread has forked
        if getsignal(SIGINT) is default_int_handler:
            signal(SIGINT, installed)
        return installed

    @classmethod
    def uninstall(cls) -> None:
        """Put Python's handler back."""
        if current_thread() is main_thread() and cls.installed is not None:
            cls.installed._reset()
            if getsignal(SIGINT) is cls.installed:
                signal(SIGINT, default_int_handler)

    def __call__(self, _signum: int, frame: types.FrameType | None) -> None:
        """Handle the signal."""
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        if self.active is not None and self.active.cancel():
            self.is_pending = True
            self.active.wake()
        elif self.active is not None or is_in_own_code(frame):
            self.is_deferred = True
        else:
            raise KeyboardInterrupt

    @classmethod
    def nothing_more_is_waited_for(cls) -> bool:
        """Whether Ctrl-C came a second time in this thread's run."""
        installed = cls.installed
        return installed is not None and installed.gave_up and current_thread() is main_thread()

    @classmethod
    def raise_left(cls) -> None:
        """Raise KeyboardInterrupt if one came while asyncunit's own code ran in the main thread, which is this one."""
        installed = cls.installed
        if installed is not None and installed.is_deferred and current_thread() is main_thread():
            installed.raise_deferred()

    def raise_deferred(self) -> None:
        """Raise KeyboardInterrupt if one came while asyncunit's own code ran."""
        if self.is_deferred:
            self.is_deferred = False
            raise KeyboardInterrupt


# The thread that watches what is to be done in time.


# Seconds that a loop has to act after it was told that a step took too long; then it counts as blocked.
GRACE = 1.0

# How often the thread looks again, at the pace of before, when there is nothing to be watched.
_IDLE_TURNS = 20


class Deadline:
    """The time by which one step is to be done, in seconds from now.

    When it passes, ``expire`` is called in the thread of the watchdog, to have the loop end the step. A step that is
    not done soon after, or that has no ``expire``, for it is sync, has the stacks of all threads printed, under the
    name that ``describe`` gives. Neither happens to a step that is being debugged.
    """

    def __init__(self, seconds: float, describe: Callable[[], str], expire: Callable[[], object] | None) -> None:
        self.seconds = seconds
        self._describe = describe
        self._expire = expire
        self._thread = threading.get_ident()
        self._is_debugged = debugger_is_attached()
        # Where the step was when its time had passed, if that was in code of the user's.
        self.place: Place | None = None
        self._began = time.monotonic()
        self.at = self._began + seconds
        if not self._is_debugged:
            watch(self)

    def stop(self) -> float | None:
        """The step is done. Returns how long it took, in seconds, if that is more than it had."""
        if not self._is_debugged:
            forget(self)
        took = time.monotonic() - self._began
        return took if took > self.seconds and not self.is_debugged() else None

    def is_debugged(self) -> bool:
        """Whether somebody has looked at the step with a debugger, which takes its time."""
        self._is_debugged = self._is_debugged or debugger_is_attached() or stands_in_debugger(self._thread)
        return self._is_debugged

    def passed(self) -> bool:
        """Act, in the watchdog's thread. Returns whether to come again."""
        if self.is_debugged():
            return False
        self.place = self.place or self._users_place()
        if self._expire is not None:
            expire, self._expire = self._expire, None
            self.at = time.monotonic() + GRACE  # before the loop may ask for more
            expire()
            return True
        self._print()
        return False

    def _users_place(self) -> Place | None:
        """The line of the step that runs now, with all that it has called; None where the thread is in no such code."""
        place = None
        for frame in stack(sys._current_frames()[self._thread]):
            if is_ours(frame) or str(frame.f_globals.get("__name__")).startswith("asyncio."):
                break
            place = Place.of(frame)
        return place

    def extend(self, seconds: float) -> None:
        """The loop acts on it: leave it that much time."""
        self.at = time.monotonic() + seconds + GRACE

    def _print(self) -> None:
        """Print where all threads stand, to the process's own stderr: what captures it loses it when a run hangs."""
        stream = sys.__stderr__ if sys.__stderr__ is not None and not sys.__stderr__.closed else sys.stderr
        lines = [
            f"\nasyncunit: {self._describe()} has been running for more than its timeout of {self.seconds:g} seconds, "
            f"and is in code that cannot be interrupted. This is where all threads stand, that one first:\n"
        ]
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        frames = sys._current_frames()
        for ident in sorted(frames, key=lambda ident: ident != self._thread):
            if ident != threading.get_ident():
                users = [(frame, frame.f_lineno) for frame in _of_users(stack(frames[ident]))]
                summary = traceback.StackSummary.extract(reversed(users))
                lines += [f"Thread {names.get(ident, ident)!r}:\n", *summary.format()]
        stream.write("".join(lines))
        stream.flush()


def _of_users(frames: Sequence[types.FrameType]) -> list[types.FrameType]:
    """The frames of a stack, the innermost first, but for asyncunit's and unittest's, and for those of their runner."""
    own = [index for index, frame in enumerate(frames) if is_ours(frame)]
    return [frame for frame in frames[: own[-1] if own else None] if not is_ours(frame)]


class Watched(Protocol):
    """What the thread comes to at a time, on the clock of time.monotonic()."""

    at: float

    def passed(self) -> bool:
        """Act, in the watchdog's thread. Returns whether to come again, at the time that is then set."""


class _Watchdog(threading.Thread):
    """The thread: there from the first thing that it is to watch until `stop`, asleep until the next is due."""

    _running: _Watchdog | None = None
    _lock = threading.Lock()

    def __init__(self) -> None:
        super().__init__(name="asyncunit-watchdog", daemon=True)
        self._watched: list[Watched] = []
        self._changed = threading.Condition(self._lock)
        self._wakes_at: float | None = None
        self._is_stopped = False

    @classmethod
    def watch(cls, watched: Watched) -> None:
        with cls._lock:
            thread = cls._running
            if thread is None:
                thread = cls._running = cls()
                thread.start()
            thread._watched.append(watched)
            if thread._wakes_at is None or watched.at < thread._wakes_at:
                thread._changed.notify()

    @classmethod
    def forget(cls, watched: Watched) -> None:
        with cls._lock:
            thread = cls._running
            if thread is not None and watched in thread._watched:
                thread._watched.remove(watched)

    @classmethod
    def end(cls) -> None:
        with cls._lock:
            thread, cls._running = cls._running, None
            if thread is not None:
                thread._is_stopped = True
                thread._changed.notify()
        if thread is not None:
            thread.join()

    def run(self) -> None:
        with self._lock:
            pace, idle = 0.0, 0
            while not self._is_stopped:
                now = time.monotonic()
                for one in [one for one in self._watched if one.at <= now]:
                    if not _has_to_come_again(one):
                        self._watched.remove(one)
                due = min((one.at for one in self._watched), default=None)
                if due is not None:
                    pace, idle = max(due - now, 0.001), 0
                elif idle < _IDLE_TURNS:  # the next step comes soon, and need not wake the thread then
                    due, idle = now + pace, idle + 1
                self._wakes_at = due
                self._changed.wait(None if due is None else min(max(0.0, due - now), threading.TIMEOUT_MAX))

    @classmethod
    def after_fork(cls) -> None:
        """The child has no such thread, and the lock may have been held."""
        cls._running = None
        cls._lock = threading.Lock()


watch, forget = _Watchdog.watch, _Watchdog.forget


def stop() -> None:
    """End the thread, if there is one. It is started again by the next deadline."""
    _Watchdog.end()


def _has_to_come_again(watched: Watched) -> bool:
    try:
        return watched.passed()
    except Exception:  # one that cannot print, say, is not to keep the others from being watched
        threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Watchdog.after_fork)
