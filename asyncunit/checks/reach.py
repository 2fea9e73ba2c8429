"""What still reaches a thing when the scope that made it ends: then it is not that scope's any more."""

from __future__ import annotations

import asyncio
import fnmatch
import gc
import inspect
import sys
import types
from collections.abc import Iterable, Sequence
from typing import Any

from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# How far to go from a thing to those that refer to it.
_STEPS = 20

# What refers to a thing without keeping it for anybody: the loop keeps all that it watches.
_IN_BETWEEN = (asyncio.AbstractEventLoop, asyncio.Handle, asyncio.Future, types.FrameType, types.TracebackType)


# Whose classes and modules keep things for nobody: the standard library has the processes that it waits for, say.
_KEEP_NOTHING = {"", "asyncunit", *sys.stdlib_module_names}


def outliving(
    things: Sequence[Any], owner: OpenScope, case: object | None = None, apart: Iterable[object] = ()
) -> list[Any]:
    """Those of the things that something wider than the scope reaches: a fixture, a class, a module.

    So a connection that a pool of the class opens for a test, and keeps, is not the test's. ``case`` is the instance of
    a test: what only that reaches is the test's. Nor counts what is reached by way of what is ``apart``.
    """
    own = [owner, owner.hooks, owner.fixtures, getattr(owner.hooks, "fixtures", None), owner.key, case, *apart]
    seen = {id(things), id(own), id(getattr(case, "__dict__", None)), *map(id, own)}
    wider = {id(scope) for scope in owner.outwards() if scope is not owner}
    # Of each object that is reached, which of the things it leads to.
    leads_to: dict[int, set[int]] = {id(thing): {id(thing)} for thing in things}
    frontier, kept = list(things), set[int]()
    for _ in range(_STEPS):
        seen.update(map(id, frontier))
        ours = {id(frontier), id(leads_to), id(kept)}
        found = [other for other in gc.get_referrers(*frontier) if id(other) not in seen and id(other) not in ours]
        inside = {id(other): other for other in found if not issubclass(type(other), _IN_BETWEEN)}
        for other in inside.values():
            ways = [leads_to[id(each)] for each in gc.get_referents(other) if id(each) in leads_to]
            leads_to[id(other)] = set().union(*ways)
            if id(other) in wider or _stays(other, owner):
                kept |= leads_to[id(other)]
        # Not by way of a module: by way of sys, all is reached.
        frontier = [other for other in inside.values() if _module_of(other) is None]
        if not frontier or len(kept) == len(leads_to):
            break
    return [thing for thing in things if id(thing) in kept]


def _stays(other: object, owner: OpenScope) -> bool:
    """Whether it is there after the scope: a class, the dictionary of a module, or what has the values of fixtures."""
    is_class, is_module = issubclass(type(other), type), type(other) is dict
    module = _module_of(other) or ""
    if is_class or is_module:
        return module.partition(".")[0] not in _KEEP_NOTHING and not _is_of(owner, module)
    if owner.scope is Scope.FUNCTION:
        return _is_asyncunits(other)
    return type(other).__module__.startswith("_pytest.")


def _is_of(owner: OpenScope, module: str) -> bool:
    """Whether the module ends with the scope."""
    if owner.scope is Scope.SESSION:
        return True
    if owner.scope is Scope.PACKAGE:
        return f"{module}.".startswith(f"{owner.key}.")
    return owner.scope is Scope.MODULE and module == owner.key


def _is_asyncunits(other: object) -> bool:
    return str(getattr(type(other), "__module__", None)).startswith("asyncunit.")


def _module_of(other: object) -> str | None:
    """The name of a module by its dictionary, that of a class's module; None for what is neither."""
    if type(other) is dict:
        name = other.get("__name__") if "__spec__" in other else None
    else:
        name = getattr(other, "__module__", None) if issubclass(type(other), type) else None
    return name if isinstance(name, str) else None


def is_exempt(owner: OpenScope, function: object) -> bool:
    """Whether the scope's ``left_open`` names the function."""
    return bool(owner.config.left_open) and _matches(owner, function_name(function))


def is_exempt_here(owner: OpenScope) -> bool:
    """Whether the scope's ``left_open`` names a function that is running: what is made now may be left."""
    return bool(owner.config.left_open) and frame_is_exempt(owner, inspect.currentframe())


def frame_is_exempt(owner: OpenScope, frame: types.FrameType | None) -> bool:
    """Whether the scope's ``left_open`` names the function of the frame, or one that has led to it."""
    while frame is not None:
        if _matches(owner, f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"):
            return True
        frame = frame.f_back
    return False


def _matches(owner: OpenScope, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in owner.config.left_open)


def function_name(function: Any) -> str:
    """The name of a callback with its module, as in ``package.module.Class.method``."""
    own = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or ("" if own is None else type(own).__module__)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{name}" if module and module != "builtins" else str(name)


def parts_of(loop: asyncio.AbstractEventLoop) -> list[Any]:
    """What a loop refers to: the values of its attributes, also of one that is not written in Python."""
    return [part for other in gc.get_referents(loop) for part in (other.values() if type(other) is dict else ())] + (
        gc.get_referents(loop)
    )
