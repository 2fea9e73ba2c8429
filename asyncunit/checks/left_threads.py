"""Threads that a scope has started and that still run, and calls of the loop's executor that still go on.

They cannot be ended. So they are waited for a moment, and told of with the line at which each is.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import threading
import time
import types
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from asyncunit.checks.findings import (
    Finding,
    frame_is_exempt,
    function_name,
    hear,
    is_exempt,
    note,
    outliving,
    parts_of,
)
from asyncunit.config.settings import Check
from asyncunit.introspection.frames import Place, innermost_place, is_ours, stack
from asyncunit.loops.loop import LoopRunner
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# Seconds that threads have to end by themselves, all together, and between two looks at them.
_MOMENT = 0.2
_LOOK = 0.005

# Bound here, for a test may patch it.
_now = time.monotonic

# What the interpreter says when a thread starts, from Python 3.12 on; from 3.13 on the second.
_STARTS = ("_thread.start_new_thread", "_thread.start_joinable_thread")

# Python 3.11 does not say it: what is there at the end of a scope, and was not at its beginning, is taken for its own.
_SAYS_IT = sys.version_info >= (3, 12)

# Those that are known, by their ids, which is asked twice for each test; a WeakSet takes ten times as long.
_known: dict[int, weakref.ref[threading.Thread]] = {}

# What was told of, and goes on: a scope may end on several loops.
_told: weakref.WeakSet[Any] = weakref.WeakSet()


def note_starts() -> None:
    """Have each thread that starts be known to the scope in whose context that happens; Python 3.11 does not say it."""
    if _SAYS_IT:
        hear(_STARTS, _hear)


def note_threads(owner: OpenScope) -> None:
    """Have the threads that are there as a scope begins be known, where Python does not say when one starts."""
    if _SAYS_IT:
        return
    if not _known:  # nobody has asked before: what is there is no scope's
        for thread in threading.enumerate():
            _know(thread)
    elif owner.within is not None:
        _note_new(owner.within)


def _know(thread: threading.Thread) -> None:
    key = id(thread)
    _known[key] = weakref.ref(thread, lambda _: _known.pop(key, None))


def _note_new(owner: OpenScope) -> None:
    """Where the interpreter does not say when a thread starts: have those that are new be the scope's."""
    if threading.active_count() == 1:  # this one
        return
    threads = threading.enumerate()
    new = [thread for thread in threads if id(thread) not in _known]
    if not new:
        return
    before = [thread for thread in threads if thread not in new and thread not in _told]
    for thread in new:
        _know(thread)
        if not _is_of_one_before(thread, before):
            owner.note(thread, None)


def _is_of_one_before(thread: threading.Thread, before: list[threading.Thread]) -> bool:
    """Whether one that was there before is at work in the object whose method the thread runs.

    So a server in a thread starts one for each connection; nothing else says who started a thread.
    """
    methods = [part for part in parts_of(thread) if isinstance(part, types.MethodType) and part.__self__ is not thread]
    return any(
        _self_of(frame) is method.__self__
        for other in before
        if other is not threading.current_thread()
        for method in methods
        for frame in stack(_frame_of(other.ident))
    )


def _self_of(frame: types.FrameType) -> object:
    code = frame.f_code
    return frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None


def _hear(function: object) -> None:
    thread = getattr(function, "__self__", None)
    if isinstance(thread, threading.Thread):
        note(Check.LEFT_THREADS, thread)


class Call:
    """A call in an executor's thread: whether it is done, and where it is until then."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function = function
        self.is_done = False
        # The thread that has begun it.
        self.thread: int | None = None

    def __call__(self, *args: Any) -> Any:
        """Call the function, in the executor's thread."""
        self.thread = threading.get_ident()
        try:
            return self.function(*args)
        finally:
            self.is_done = True


def note_calls(loop: asyncio.AbstractEventLoop) -> None:
    """Have each call that the loop gives to a thread be known to the scope in whose context that happens."""
    if "run_in_executor" in getattr(loop, "__dict__", ("run_in_executor",)):
        return
    behind: Any = type(loop).run_in_executor

    def run_in_executor(executor: Executor | None, function: Callable[..., Any], *args: Any) -> Any:
        if executor is None or isinstance(executor, ThreadPoolExecutor):  # else it may go to another process
            function = Call(function)
            note(Check.LEFT_THREADS, function)
        return behind(loop, executor, function, *args)

    vars(loop)["run_in_executor"] = run_in_executor


def left_threads(owner: OpenScope, loop_runner: LoopRunner, case: object | None) -> list[Finding]:
    """Wait a moment for what the scope has started, and return what was found.

    What something wider keeps goes over to that: the threads of its executor.
    """
    if not _SAYS_IT:
        _note_new(owner)
    if not owner.made:
        return []
    _wait(owner, loop_runner)
    left = _running(owner, loop_runner.loop)
    if not left:
        return []
    kept = [] if owner.within is None else outliving(left, owner, case)
    for thing in kept:
        assert owner.within is not None
        owner.within.take(thing, owner.place_of(thing))
    told = [thing for thing in left if not any(thing is other for other in kept) and _still_runs(thing)]
    _told.update(told)
    return [_finding(owner, thing) for thing in told]


def _wait(owner: OpenScope, loop_runner: LoopRunner) -> None:
    """Give what is about to end a moment to do so, also what waits for the loop."""
    end = _now() + _MOMENT
    while (left := _running(owner, loop_runner.loop)) and _now() < end:
        thread = next((thing for thing in left if isinstance(thing, threading.Thread)), None)
        if thread is not None:
            thread.join(_LOOK)
        else:
            threading.Event().wait(_LOOK)
        if not loop_runner.loop.is_closed():
            loop_runner.turn()


def _running(owner: OpenScope, loop: asyncio.AbstractEventLoop) -> list[Any]:
    """What the scope has started and is not done, but for the threads of the loop's own executor."""
    things = [thing for thing in owner.things() if isinstance(thing, threading.Thread | Call) and thing not in _told]
    calls = [thing for thing in things if isinstance(thing, Call) and not thing.is_done]
    threads = [thing for thing in things if isinstance(thing, threading.Thread) and thing.is_alive()]
    if threads:
        own = _threads_of_executor(loop)
        threads = [thread for thread in threads if id(thread) not in own and not _is_exempt(owner, thread)]
    return [*threads, *(call for call in calls if not is_exempt(owner, _called(call)))]


def _still_runs(thing: Any) -> bool:
    """Whether it has not ended while others were looked for; a thread that is ending runs no code any more."""
    if isinstance(thing, threading.Thread):
        return thing.is_alive() and _frame_of(thing.ident) is not None
    return not thing.is_done


def _threads_of_executor(loop: asyncio.AbstractEventLoop) -> set[int]:
    """The threads of the executors that a loop has: an executor refers to a set of them."""
    executors = [part for part in parts_of(loop) if isinstance(part, ThreadPoolExecutor)]
    return {
        id(thread)
        for executor in executors
        for part in vars(executor).values()
        if type(part) is set
        for thread in part
        if isinstance(thread, threading.Thread)
    }


def _is_exempt(owner: OpenScope, thread: threading.Thread) -> bool:
    if type(thread).__module__.startswith("asyncunit."):
        return True
    return bool(owner.config.left_open) and frame_is_exempt(owner, _frame_of(thread.ident))


def _frame_of(ident: int | None) -> types.FrameType | None:
    return sys._current_frames().get(ident or 0)


def _called(call: Call) -> Any:
    """The function that was given to asyncio.to_thread(), which wraps it to be run in the caller's context."""
    function: Any = call.function
    while isinstance(function, functools.partial):
        function = (
            function.args[0] if getattr(function.func, "__name__", "") == "run" and function.args else function.func
        )
    return function


def _finding(owner: OpenScope, thing: Any) -> Finding:
    place = owner.place_of(thing)
    made = f", made at {place}" if place is not None else ""
    if isinstance(thing, threading.Thread):
        what, ident = f"a running thread {thing.name!r}", thing.ident
    else:
        what, ident = f"a call of {function_name(_called(thing))}() in the loop's executor", thing.thread
    return Finding(Check.LEFT_THREADS, f"{what}{made}, {_stands(ident)}", place)


def _stands(ident: int | None) -> str:
    """Where a thread is: its innermost line of a user's, and in what that is."""
    if ident is None:
        return "not begun"
    places = [Place.of(frame) for frame in reversed(stack(_frame_of(ident))) if not is_ours(frame)]
    if not places:
        return "about to end"
    if places[-1].function == "_worker":
        return "idle, because its executor was not shut down"
    return f"now at {innermost_place(places)}"
