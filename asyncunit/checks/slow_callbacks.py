"""Callbacks and steps that hold a loop, told by a thread that looks at where the loop's thread stands."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import types
from collections.abc import Callable

from asyncunit.checks.findings import Finding
from asyncunit.config.settings import Check
from asyncunit.introspection.frames import Place, is_installed, is_ours, stack, stands_in_debugger
from asyncunit.loops.interrupts import forget, watch
from asyncunit.scopes.open_scope import OpenScope, owner_of

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# How often the thread looks while a callback may take as long as it may.
_LOOKS = 20

# How many lines of the user's are told.
_LINES = 4


class SlowSteps:
    """Looks, while a loop runs, for callbacks and steps that take longer than its ``slow_callback_duration``, in
    seconds.

    What it sees was seen at both ends, so none is told of that took less; one that took just little more may be missed.
    It sees the handles of loops that are written in Python. ``tell`` is told of each, and of whose it is.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[OpenScope | None, Finding], object]) -> None:
        self._loop = loop
        self._tell = tell
        self._thread = threading.get_ident()
        # Held while any of what follows is read or changed: by the watchdog's thread, and by the loop's when it stops.
        self._lock = threading.Lock()
        # The frame in which the loop runs a handle, as it was seen last; None where it ran none.
        self._frame: types.FrameType | None = None
        # When that frame was seen first, and when this thread looked last: nothing where there is no frame.
        self._first = self._last = 0.0
        # Where the handle stood, and the handle: None until it has taken half of what it may take.
        self._text: str | None = None
        self._owner_handle: object = None
        # What `_busy` was when this thread looked last.
        self._was_busy = self._busy()
        self.at = time.monotonic() + self._period
        watch(self)

    @property
    def _period(self) -> float:
        return max(self._loop.slow_callback_duration / _LOOKS, 0.001)

    def passed(self) -> bool:
        """Look, in the watchdog's thread. Returns whether to come again."""
        with self._lock:
            self._look()
        self.at = time.monotonic() + self._period
        return True

    def stop(self) -> None:
        """The loop has stopped."""
        forget(self)
        with self._lock:
            self._end()

    def _look(self) -> None:
        frames = stack(sys._current_frames().get(self._thread))
        frame = next((frame for frame in frames if _is_of_handle(frame)), None)
        now = time.monotonic()
        kept_from_looking = self._kept_from_looking(now)
        if frame is None or frame is not self._frame or stands_in_debugger(self._thread):
            self._end()
            self._frame, self._first = frame, now - kept_from_looking
        if frame is not None and self._text is None and now - self._first >= self._loop.slow_callback_duration / 2:
            self._owner_handle = frame.f_locals.get("self")
            self._text = _describe(frames, self._owner_handle)
        self._last = now

    def _kept_from_looking(self, now: float) -> float:
        """For how long code has held the interpreter, so that this thread could not look: it is late, and the loop's
        has been busy since this one looked last.

        That code is still on the stack, for the interpreter changes threads as soon as it returns.
        """
        late = now - self.at
        busy, before = self._busy(), self._was_busy
        self._was_busy = busy
        return late if late > self._period and busy - before > late / 2 else 0.0

    def _busy(self) -> float:
        """The seconds that the loop's thread has had of the processor, as far as the system tells."""
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        return 0.0 if clock_of is None else time.clock_gettime(clock_of(self._thread))

    def _end(self) -> None:
        """The handle that was run is done: tell of it if it took too long."""
        took = self._last - self._first
        if self._frame is not None and self._text is not None and took >= self._loop.slow_callback_duration:
            text = f"The event loop was held for {took:.2f} seconds or more {self._text}"
            self._tell(owner_of(self._owner_handle), Finding(Check.SLOW_CALLBACKS, text))
        self._frame = self._text = self._owner_handle = None


def _is_of_handle(frame: types.FrameType) -> bool:
    return frame.f_code.co_name == "_run" and frame.f_globals.get("__name__") == "asyncio.events"


def _describe(frames: list[types.FrameType], handle: object) -> str:
    """The innermost line of the user's in the handle, what it has called, and the lines that have led there."""
    places = []
    for frame in frames:
        if _is_of_handle(frame):
            break
        if not is_ours(frame):
            places.append(Place.of(frame))
    if not places:
        return f"by {handle!r}"
    users = [place for place in places if not is_installed(place.filename)] or places
    inside = f" (there in {places[0]})" if users[0] is not places[0] else ""
    return f"by {users[0]}{inside}" + "".join(f", called at {place}" for place in users[1:_LINES])
