"""Whether something that a test has made is kept by what outlives the test."""

from __future__ import annotations

import asyncio
import gc
import sys
import types
from typing import Any

__all__ = ["outlives"]

__unittest = True  # a traceback that a user reads begins at the user's line

# How far to go from a thing to those that refer to it.
_STEPS = 10
# What refers to a thing without keeping it for anybody: the loop keeps all that it watches.
_IN_BETWEEN = (asyncio.AbstractEventLoop, asyncio.Handle, asyncio.Future, types.FrameType, types.TracebackType)


def outlives(thing: object, case: object) -> bool:
    """Whether the thing is reached from a class, a module or a fixture, other than through the test's own instance.

    So a connection that a pool of the class opens for a test, and keeps, is not the test's.
    """
    seen = {id(thing), id(case), id(getattr(case, "__dict__", None))}
    frontier: list[Any] = [thing]
    for _ in range(_STEPS):
        found = gc.get_referrers(*frontier)
        own = {id(frontier), id(found)}
        frontier = [
            other
            for other in found
            if id(other) not in seen and id(other) not in own and not issubclass(type(other), _IN_BETWEEN)
        ]
        if not frontier:
            return False
        if any(_stays(other) for other in frontier):
            return True
        frontier = [other for other in frontier if _module_of(other) is None]  # else all is reached, by way of sys
        seen.update(map(id, frontier))
    return False


def _stays(other: object) -> bool:
    """Whether it is a class, the dictionary of a module, or asyncunit's own: that has the values of fixtures.

    The standard library keeps things for nobody: the processes that it waits for, say.
    """
    module = _module_of(other)
    if module is None or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    is_place = isinstance(other, dict) or issubclass(type(other), type)
    return not (is_place and module.startswith("asyncunit."))


def _module_of(other: object) -> str | None:
    if isinstance(other, dict):
        return other["__name__"] if "__spec__" in other and isinstance(other.get("__name__"), str) else None
    if issubclass(type(other), type):
        return getattr(other, "__module__", None)
    return type(other).__module__ if type(other).__module__.startswith("asyncunit.") else None
