"""Which task groups wait for a task, and which tasks hold them open, as the garbage collector knows."""

from __future__ import annotations

import asyncio
import gc
import inspect
import types
from collections.abc import Iterator
from typing import Any

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# What stands between a user's line and the task that it has started, and where in that task groups are.
_BETWEEN = ("asyncio", "asyncunit", "anyio")
_GROUPS = ("asyncio.taskgroups", "anyio.")


def groups_of(task: asyncio.Task[Any]) -> Iterator[asyncio.TaskGroup]:
    """The task groups that are told when the task is done: what a task refers to has its callbacks."""
    for other in gc.get_referents(task):
        callbacks = [entry[0] for entry in other if type(entry) is tuple] if type(other) is list else [other]
        for callback in callbacks:
            own: Any = callback.__self__ if type(callback) is types.MethodType else None
            if issubclass(type(own), asyncio.TaskGroup):
                yield own


def parents_of(group: Any) -> Iterator[asyncio.Task[Any]]:
    """The task that has entered the group, which the group refers to; anyio's does by way of its cancel scope."""
    own = _attributes_of(group)
    behind = [value for part in own if type(part).__module__.startswith("anyio.") for value in _attributes_of(part)]
    yield from (value for value in (*own, *behind) if issubclass(type(value), asyncio.Task))


def _attributes_of(thing: object) -> list[Any]:
    referents = gc.get_referents(thing)
    return [value for other in referents for value in (other.values() if type(other) is dict else (other,))]


def calling_group() -> Any | None:
    """The task group, asyncio's or anyio's, that is starting a task, as the frames of those that have called say."""
    frame = inspect.currentframe()
    while frame is not None and (module := str(frame.f_globals.get("__name__"))).partition(".")[0] in _BETWEEN:
        own = frame.f_locals.get("self") if module.startswith(_GROUPS) else None
        if hasattr(type(own), "__aexit__") and (hasattr(type(own), "create_task") or hasattr(type(own), "start_soon")):
            return own
        frame = frame.f_back
    return None
