"""Whether something that a test has made is kept by what outlives the test."""

from __future__ import annotations

import asyncio
import gc
import sys
import types
from typing import Any

__all__ = ["outliving"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# How far to go from a thing to those that refer to it.
_STEPS = 20
# What refers to a thing without keeping it for anybody: the loop keeps all that it watches.
_IN_BETWEEN = (asyncio.AbstractEventLoop, asyncio.Handle, asyncio.Future, types.FrameType, types.TracebackType)


def outliving(things: list[Any], case: object) -> list[Any]:
    """Those of the things that are reached from a class, a module or a fixture, other than through the test's instance.

    So a connection that a pool of the class opens for a test, and keeps, is not the test's.
    """
    seen = {id(case), id(getattr(case, "__dict__", None)), id(things)}
    # Of each object that is reached, which of the things it leads to.
    leads_to: dict[int, set[int]] = {id(thing): {id(thing)} for thing in things}
    frontier, kept = list(things), set[int]()
    for _ in range(_STEPS):
        seen.update(map(id, frontier))
        own = {id(frontier), id(leads_to), id(kept)}
        found = [other for other in gc.get_referrers(*frontier) if id(other) not in seen and id(other) not in own]
        inside = {id(other): other for other in found if not issubclass(type(other), _IN_BETWEEN)}
        for other in inside.values():
            ways = [leads_to[id(each)] for each in gc.get_referents(other) if id(each) in leads_to]
            leads_to[id(other)] = set().union(*ways)
            if _stays(other):
                kept |= leads_to[id(other)]
        # Not by way of a module: by way of sys, all is reached.
        frontier = [other for other in inside.values() if _module_of(other) is None]
        if not frontier or len(kept) == len(things):
            break
    return [thing for thing in things if id(thing) in kept]


def _stays(other: object) -> bool:
    """Whether it is a class, the dictionary of a module, or asyncunit's own: that has the values of fixtures.

    The standard library keeps things for nobody: the processes that it waits for, say.
    """
    module = _module_of(other)
    if module is None or module.partition(".")[0] in sys.stdlib_module_names:
        return False
    is_place = type(other) is dict or issubclass(type(other), type)
    return not (is_place and module.startswith("asyncunit."))


def _module_of(other: object) -> str | None:
    if type(other) is dict:
        name = other.get("__name__") if "__spec__" in other else None
    else:
        name = getattr(other if issubclass(type(other), type) else type(other), "__module__", None)
        if not issubclass(type(other), type) and not str(name).startswith("asyncunit."):
            return None
    return name if isinstance(name, str) else None
