"""What each task of a loop waits for, and for whom: read from the tasks, for a step that nothing can wake.

Who holds a lock is no attribute of it; a coroutine that is inside ``async with lock`` keeps the lock's ``__aexit__``
to be called at the end, and refers to it (so says the garbage collector, which is asked by its public name).
"""

from __future__ import annotations

import asyncio
import gc
import selectors
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from asyncunit.introspection.frames import describe_task, innermost_place, places_of_task

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_all_tasks = asyncio.all_tasks
_Task = asyncio.Task

# How far a chain of what awaits what is followed.
_DEPTH = 100

_NAMES = ("cr_frame", "gi_frame", "ag_frame")
_NEXT = ("cr_await", "gi_yieldfrom", "ag_await")

# What a task waits for that another is inside of, by `async with`.
_LOCKS = (asyncio.Lock, asyncio.Semaphore)


class Wait:
    """What one task waits for. ``whom`` are the tasks that could end it, as far as that can be told.

    ``on`` is the object of asyncio whose method waits; ``lock`` is the same where it is one that another task holds.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.what = ""
        self.on: object = None
        self.lock: object = None
        self.whom: list[asyncio.Task[Any]] = []


# What a DeadlockError says first.
NOTHING_IS_LEFT = (
    "no task is ready, no timer is set, nothing outside the event loop is in flight, and no other thread is alive."
)
NOTHING_CAN_HAPPEN = f"{NOTHING_IS_LEFT} What the tasks of the loop wait for:"

# What a report calls each task.
Names = Mapping[asyncio.Task[Any], str]


def describe_deadlock(loop: asyncio.AbstractEventLoop) -> str:
    """What each task of the loop waits for, where nothing can happen any more, and which wait for each other."""
    waits = find_waits(_all_tasks(loop))
    return "\n".join([f"Nothing can happen: {NOTHING_CAN_HAPPEN}", *describe_waits(waits), *describe_cycle(waits)])


def nothing_can_wake(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether nothing can wake a loop with the real clock; False as well where that cannot be told.

    A loop does not say what it is to call, nor what it watches; the garbage collector knows what it refers to.
    """
    if sys.platform != "linux":
        return False
    from asyncunit.loops.outside import Others, children, runs, signals_may_come

    referents = gc.get_referents(loop)
    held = [value for other in referents for value in (other.values() if type(other) is dict else (other,))]
    watching = [thing for thing in held if issubclass(type(thing), selectors.BaseSelector)]
    if len(watching) != 1 or len(watching[0].get_map()) > 1:  # one is its own, by which other threads wake it
        return False
    queued = [thing for queue in held if type(queue) in (list, deque) for thing in queue]
    for handle in queued:
        if issubclass(type(handle), asyncio.Handle) and not handle.cancelled() and not _is_loops_own(handle, loop):
            return False
    return not (Others().threads() or signals_may_come() or any(runs(pid) for pid in children()))


def _is_loops_own(handle: asyncio.Handle, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it calls a method of the loop itself, which reads by what it was woken."""
    return any(type(other) is types.MethodType and other.__self__ is loop for other in gc.get_referents(handle))


def find_waits(tasks: Iterable[asyncio.Task[Any]]) -> list[Wait]:
    """What the tasks wait for, in the order in which they were made, as far as their names tell."""
    waits = [_wait_of(task) for task in sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))]
    for wait in waits:
        if wait.lock is not None:
            wait.whom = [
                other.task
                for other in waits
                if not _is_or_has(other.on, wait.lock) and _is_inside(other.task, wait.lock)
            ]
    return waits


def describe_waits(waits: Iterable[Wait], names: Names | None = None) -> Iterator[str]:
    """A line for each task: what it waits for, for whom, and where."""
    for wait in waits:
        place = innermost_place(places_of_task(wait.task))
        what = f" in {wait.what}" if wait.what else ""
        whom = ", ".join(repr(task.get_name()) for task in wait.whom)
        name = names[wait.task] if names else describe_task(wait.task)
        text = f", {'held by' if wait.lock is not None else 'for'} {whom}" if whom else ""
        yield f"  - {name} waits{what}{text}, at {place}"


def describe_cycle(waits: Iterable[Wait]) -> list[str]:
    """A drawing of the first tasks that wait for each other; nothing where there are none."""
    cycle = find_cycle({wait.task: wait for wait in waits})
    if not cycle:
        return []
    names = [repr(wait.task.get_name()) for wait in cycle]
    width = max(map(len, names))
    lines = ["These wait for each other, so none of them can go on:"]
    for number, wait in enumerate(cycle):
        then = names[(number + 1) % len(names)]
        arrow = f"--- {wait.what or 'await'}{', held by' if wait.lock is not None else ''} --->"
        lines.append(f"    {names[number]:<{width}} {arrow} {then}")
    return lines


def find_cycle(waits: dict[asyncio.Task[Any], Wait]) -> list[Wait]:
    """Tasks of which each waits for the next, and the last for the first."""
    seen: set[asyncio.Task[Any]] = set()
    for start in waits:
        path: list[asyncio.Task[Any]] = []
        if found := _cycle_from(start, waits, path, seen):
            return [waits[task] for task in found]
    return []


def _cycle_from(
    task: asyncio.Task[Any],
    waits: dict[asyncio.Task[Any], Wait],
    path: list[asyncio.Task[Any]],
    seen: set[asyncio.Task[Any]],
) -> list[asyncio.Task[Any]]:
    if task in path:
        return path[path.index(task) :]
    if task in seen or task not in waits or len(path) > _DEPTH:
        return []
    seen.add(task)
    path.append(task)
    for other in waits[task].whom:
        if found := _cycle_from(other, waits, path, seen):
            return found
    path.pop()
    return []


def _wait_of(task: asyncio.Task[Any]) -> Wait:
    wait = Wait(task)
    frames: list[types.FrameType] = []
    last: object = None
    for awaitable in _chain(task.get_coro()):
        last = awaitable
        frame = _frame_of(awaitable)
        if frame is None:
            continue
        if not _is_asyncios(frame):
            frames.clear()
        else:
            frames.append(frame)
    if frames:
        own = frames[-1].f_locals.get("self")
        wait.what = _call(frames[0])
        wait.on, wait.lock = own, own if isinstance(own, _LOCKS) else None
        wait.whom = _tasks_among([own] if own is not None else frames[-1].f_locals.values())
    if wait.lock is None and not wait.whom:
        # An iterator over a future, which it refers to.
        wait.whom = _tasks_among(other for other in gc.get_referents(last) if isinstance(other, asyncio.Future))
    wait.whom = [other for other in wait.whom if other is not task and not other.done()]
    return wait


def _chain(awaitable: object) -> Iterator[object]:
    """A coroutine, what it awaits, what that awaits, and so on."""
    for _ in range(_DEPTH):
        if awaitable is None:
            return
        yield awaitable
        awaitable = next((found for name in _NEXT if (found := getattr(awaitable, name, None)) is not None), None)


def _frame_of(awaitable: object) -> types.FrameType | None:
    frames = (getattr(awaitable, name, None) for name in _NAMES)
    return next((frame for frame in frames if isinstance(frame, types.FrameType)), None)


def _is_asyncios(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "asyncio"


def _call(frame: types.FrameType) -> str:
    """The call as the user has written it, as in ``Queue.get()``; a lock has no name that could be asked for."""
    own = frame.f_locals.get("self")
    name = frame.f_code.co_name
    if own is not None and name in {"__aenter__", "__aexit__"}:
        return f"async with {type(own).__name__}"
    return f"{type(own).__name__}.{name}()" if own is not None else f"asyncio.{name.lstrip('_')}()"


def _tasks_among(things: Iterable[object]) -> list[asyncio.Task[Any]]:
    """Tasks, and those that a group or a gathering of them keeps."""
    found: set[asyncio.Task[Any]] = set()
    for thing in things:
        found.update([thing] if isinstance(thing, _Task) else _tasks_of(thing))
    return sorted(found, key=lambda task: (len(task.get_name()), task.get_name()))


def _tasks_of(thing: object) -> Iterator[asyncio.Task[Any]]:
    kept: list[object] = [thing, *getattr(thing, "__dict__", {}).values()]
    kinds: tuple[type, ...] = (list, set, tuple)
    if isinstance(thing, asyncio.Future):
        # A gathering has a list of what it gathers. (Its set, in Python 3.14, is of the tasks that await it.)
        kept, kinds = gc.get_referents(thing), (list,)
        kept += [value for attributes in kept if isinstance(attributes, dict) for value in attributes.values()]
    for container in kept:
        if isinstance(container, kinds):
            yield from (task for task in container if isinstance(task, _Task))  # type: ignore[attr-defined]


def _is_inside(task: asyncio.Task[Any], lock: object) -> bool:
    """Whether the task is inside ``async with lock``."""
    for awaitable in _chain(task.get_coro()):
        kept = gc.get_referents(awaitable)
        for number, thing in enumerate(kept):
            if getattr(thing, "__name__", None) != "__aexit__":
                continue
            # Python 3.14 keeps the function and, next to it, what it is a method of.
            bound = thing.__self__ if isinstance(thing, types.MethodType) else (*kept, None)[number + 1]
            if _is_or_has(bound, lock):
                return True
    return False


def _is_or_has(thing: object, lock: object) -> bool:
    """Whether it is the lock, or a Condition of it."""
    return thing is lock or (isinstance(thing, asyncio.Condition) and lock in vars(thing).values())
