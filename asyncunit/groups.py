"""Which task groups wait for a task, and which tasks hold them open, as the garbage collector knows."""

from __future__ import annotations

import asyncio
import gc
import inspect
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["calling_group", "groups_of", "parents_of"]

__unittest = True  # a traceback that a user reads begins at the user's line


def groups_of(task: asyncio.Task[Any]) -> Iterator[asyncio.TaskGroup]:
    """The task groups that are told when the task is done: what a task refers to has its callbacks."""
    for other in gc.get_referents(task):
        callbacks = [entry[0] for entry in other if type(entry) is tuple] if type(other) is list else [other]
        for callback in callbacks:
            own: Any = callback.__self__ if type(callback) is types.MethodType else None
            if issubclass(type(own), asyncio.TaskGroup):
                yield own


def parents_of(group: asyncio.TaskGroup) -> Iterator[asyncio.Task[Any]]:
    """The task that has entered the group, which the group refers to."""
    for other in gc.get_referents(group):
        values = other.values() if type(other) is dict else (other,)
        yield from (value for value in values if issubclass(type(value), asyncio.Task))


def calling_group() -> asyncio.TaskGroup | None:
    """The task group that is starting a task, if it is one that has called: asyncio's own frames say so."""
    frame = inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in ("asyncio", "asyncunit"):
        own = frame.f_locals.get("self") if frame.f_globals["__name__"] == "asyncio.taskgroups" else None
        if isinstance(own, asyncio.TaskGroup):
            return own
        frame = frame.f_back
    return None
