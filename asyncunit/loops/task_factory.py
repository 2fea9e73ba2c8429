"""Whose each new task is; which task groups wait for a task, and which tasks hold them open.

That of groups is read from what the garbage collector knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import sys
import types
import weakref
from collections.abc import Coroutine, Iterator
from fnmatch import fnmatchcase
from typing import Any

from asyncunit.introspection.frames import Place, caller, coroutine_name
from asyncunit.scopes.open_scope import (
    OpenScope,
    came_from_outside,
    current_owner,
    give,
    given_to,
    owner_of,
    owner_of_context,
)

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# What stands between a user's line and the task that it has started, and where in that task groups are.
_BETWEEN = ("asyncio", "asyncunit", "anyio")
_GROUPS = ("asyncio.taskgroups", "anyio.")


class Task(asyncio.Task[Any]):
    """A task whose error is not taken for retrieved when somebody cancels it after it has failed."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel it; False if it is done."""
        return not self.done() and super().cancel(msg)

    if sys.version_info[:2] == (3, 13):

        def set_name(self, value: object, /) -> None:
            """Set the name; None, which some loops give, leaves the one that it has."""
            if value is not None:
                super().set_name(value)


def make_task(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
    """The task factory of asyncunit's loops: a task belongs to the scope in whose context it is made."""
    given, owner = kwargs.get("context"), current_owner()
    if given is not None:
        if owner is not None and owner_of_context(given) is owner and given is not getattr(owner, "context", None):
            with contextlib.suppress(RuntimeError):  # it is entered: that of a task which is running
                give(given, None)  # it has a context of its own: it is not the scope's that has started it
        return _noted_outside(Task(coroutine, loop=loop, **kwargs))
    if owner is not None:
        heir = _heir(coroutine, owner)
        if heir is not owner:
            kwargs, owner = {**kwargs, "context": given_to(heir)}, heir
    task = Task(coroutine, loop=loop, **kwargs)
    if owner is None:
        return _noted_outside(task)
    owner.note(task, caller())
    return task


# Where tasks were made that belong to no scope, because their context is none of a scope's, as an empty one.
_outside: weakref.WeakKeyDictionary[asyncio.Task[Any], Place] = weakref.WeakKeyDictionary()


def _noted_outside(task: asyncio.Task[Any]) -> asyncio.Task[Any]:
    if came_from_outside(task) and (place := caller()) is not None:
        _outside[task] = place
    return task


def made_outside(task: asyncio.Task[Any]) -> Place | None:
    """Where a task of no scope was made; None where no line of a user's has made it, or it has a scope."""
    return _outside.get(task)


def _heir(coroutine: Coroutine[Any, Any, Any], owner: OpenScope) -> OpenScope | None:
    """Whose the task is to be, with all that it starts: that of the task group that it is started in; else nobody's,
    if it is to live as long as its loop.
    """
    if is_background(owner, coroutine):
        return None
    group = calling_group()
    parent = None if group is None else next(parents_of(group), None)
    return owner if parent is None else owner_of(parent) or owner


def is_background(owner: OpenScope, coroutine: object) -> bool:
    """Whether the scope's ``background_tasks`` name the coroutine, whose task is then to live as long as its loop."""
    patterns = owner.config.background_tasks
    return bool(patterns) and any(fnmatchcase(coroutine_name(coroutine), pattern) for pattern in patterns)


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
