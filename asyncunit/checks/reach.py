"""What is made while a scope is open, and what still reaches it when the scope ends: then it is not that scope's."""

from __future__ import annotations

import asyncio
import fnmatch
import gc
import inspect
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
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
    not_by = {id(things), id(own), id(getattr(case, "__dict__", None)), *map(id, own)}
    wider = {id(scope) for scope in owner.outwards() if scope is not owner}
    graph = _Graph(_held_elsewhere(things, own), not_by)
    for _ in range(_STEPS):
        if graph.is_done:
            break
        for other, is_new in graph.referrers():
            if is_new and (id(other) in wider or _stays(other, owner)):
                graph.keep(other)
    return [thing for thing in things if id(thing) in graph.kept]


def _held_elsewhere(things: Sequence[Any], known: Iterable[object]) -> list[Any]:
    """Those of the things that anything else than what is known refers to: for the others a search finds nothing."""
    containers = {id(container): container for container in known if container is not things}.values()
    counted = Counter(map(id, chain.from_iterable(map(gc.get_referents, containers))))
    (own,) = map(sys.getrefcount, [object()])  # as each of the things is counted: in a list, and as an argument
    counts = list(map(sys.getrefcount, things))
    return [thing for thing, count in zip(things, counts, strict=True) if count - own > counted[id(thing)]]


class _Graph:
    """What refers to some things, and to what refers to them, and so on; and what of all that something keeps."""

    def __init__(self, things: Sequence[Any], not_by: set[int]) -> None:
        self.kept: set[int] = set()
        self._things = set(map(id, things))
        self._nodes: dict[int, Any] = {id(thing): thing for thing in things}
        # Those of the nodes that a node refers to.
        self._children: dict[int, list[int]] = {}
        # The nodes whose referrers are not known yet.
        self._frontier: tuple[Any, ...] = tuple(self._nodes.values())
        self._not_by = not_by | {id(self._nodes), id(self._children)}

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to look for."""
        return not self._frontier or self._things <= self.kept

    def referrers(self) -> list[tuple[Any, bool]]:
        """What refers to what was found last, each with whether it is new."""
        # A tuple, for get_referrers() is called with that very object: a list would be copied, and the copy be found.
        self._not_by.add(id(self._frontier))
        found = [other for other in gc.get_referrers(*self._frontier) if id(other) not in self._not_by]
        found = [other for other in found if not issubclass(type(other), _IN_BETWEEN)]
        answer = [(other, id(other) not in self._nodes) for other in found]
        self._nodes.update((id(other), other) for other in found)
        # Not by way of a module: by way of sys, all is reached.
        self._frontier = tuple([other for other, is_new in answer if is_new and _module_of(other) is None])
        for other in found:
            self._children[id(other)] = [id(each) for each in gc.get_referents(other) if id(each) in self._nodes]
            if id(other) in self.kept:
                self._keep(self._children[id(other)])
        return answer

    def keep(self, node: Any) -> None:
        """Something keeps the node, and with it all that it leads to."""
        self._keep([id(node)])

    def _keep(self, nodes: list[int]) -> None:
        left = list(nodes)
        while left:
            node = left.pop()
            if node not in self.kept:
                self.kept.add(node)
                left += self._children.get(node, ())


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


def parts_of(thing: object) -> list[Any]:
    """The values of the attributes of a loop, a transport and the like, also of one that is not written in Python."""
    referents = gc.get_referents(thing)
    return referents + [part for other in referents if type(other) is dict for part in other.values()]


# What is called with the first argument of an audit event, by the event's name.
_heard: dict[str, Callable[[Any], object]] = {}


def hear(events: Sequence[str], act: Callable[[Any], object]) -> None:
    """Have ``act`` called with what these audit events of the interpreter are about, for the rest of the process.

    There is one hook for all checks: it cannot be removed, and is called for each event of the process.
    """
    if events[0] in _heard:
        return
    if not _heard:
        sys.addaudithook(_hear)
    _heard.update(dict.fromkeys(events, act))


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _heard:
        _heard[event](arguments[0])
