"""Callbacks that a scope has left on a loop that outlives it: readers, writers, timers, signal handlers and others.

A loop does not say what it is to call. The garbage collector knows what it refers to, whatever the names of its
attributes and in whichever language it is written; the containers that are found so are known by what is in them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from asyncunit.checks.findings import Finding, function_name, is_exempt, outliving, parts_of
from asyncunit.config.settings import Check
from asyncunit.introspection.frames import Place, place_of_function
from asyncunit.loops.interrupts import Interrupt
from asyncunit.loops.loop import LoopRunner
from asyncunit.scopes.open_scope import OpenScope, context_of, give, owner_of

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# What asyncio and its like keep for themselves: timeouts, transports, the pipe by which a loop is woken.
_LIBRARIES = ("asyncio", "_asyncio", "uvloop", "asyncunit")


class Callback(NamedTuple):
    """Something that a loop is to call: its handle, what it is, what takes it off the loop.

    ``kept_in`` is in what a loop keeps the handle, where that is not an attribute of the loop.
    """

    handle: Any
    what: str
    end: Callable[[], object]
    kept_in: object = None

    @property
    def function(self) -> Any:
        """What is called: the one thing of all that the handle refers to that can be."""
        found = [other for other in gc.get_referents(self.handle) if callable(other) and other is not type(self.handle)]
        return found[0] if found else None


def end_callbacks(owner: OpenScope, loop_runner: LoopRunner, case: object = None) -> list[Finding]:
    """Take what a scope has left off a loop that outlives it, and return what was found.

    What something wider keeps goes over to that: the timer by which a pool closes what is idle.
    """
    loop = loop_runner.loop
    if loop.is_closed():
        return []
    left = [each for each in callbacks_on(loop) if owner_of(each.handle) is owner and not _is_exempt(owner, each)]
    kept = _kept(owner, left, case, loop) if left else []
    for each in kept:
        _hand_over(owner, each)
    ending = [each for each in left if not any(each is other for other in kept)]
    findings = list(map(_finding, ending))
    if refused := [each for each in ending if each.end() is False]:
        loop_runner.run_aside(_end(refused))
    if ending:
        Interrupt.of_this_thread()  # the loop has put Python's handler of Ctrl-C back, not ours
    return findings


async def _end(callbacks: Sequence[Callback]) -> None:
    """Take them off the loop while it runs: uvloop knows of no signal handlers while it does not."""
    for each in callbacks:
        each.end()


def owners_of_callbacks(loop: asyncio.AbstractEventLoop) -> set[OpenScope | None]:
    """Whose those callbacks are that a loop has, and that are not its own."""
    if loop.is_closed():
        return set()
    return {owner_of(each.handle) for each in callbacks_on(loop) if not _is_librarys(each.function)}


def callbacks_on(loop: asyncio.AbstractEventLoop) -> Iterator[Callback]:
    """All that a loop is to call, and has not been told not to."""
    for part in parts_of(loop):
        if hasattr(type(part), "get_map") and (watched := part.get_map()):  # a selector
            for key in list(watched.values()):
                yield from _of_file(loop, key.fd, key.data, key.data)
        elif type(part) is dict:
            for key, value in list(part.items()):
                if type(key) is not int and not isinstance(key, signal.Signals):
                    break
                if _is_handle(value):
                    yield from _of_signal(loop, key, value)
                elif type(value).__module__.startswith("uvloop."):
                    yield from _of_file(loop, key, gc.get_referents(value)[-2:], value)
        elif type(part) in (list, set, deque):
            yield from _of_queue(part)


def _of_file(loop: asyncio.AbstractEventLoop, fd: int, handles: Any, kept_in: object) -> Iterator[Callback]:
    """The reader and the writer of a file."""
    if not isinstance(handles, Sequence) or len(handles) != 2:
        return
    for handle, kind, remove in zip(
        handles, ("reader", "writer"), (loop.remove_reader, loop.remove_writer), strict=True
    ):
        if _is_handle(handle) and not handle.cancelled():
            end = functools.partial(_remove, remove, fd, handle)
            yield Callback(handle, f"a {kind} of the file descriptor {fd}", end, kept_in)


def _remove(remove: Callable[[int], object], fd: int, handle: Any) -> None:
    with contextlib.suppress(RuntimeError, OSError):  # a transport has it by now; it is closed
        remove(fd)
    if not handle.cancelled():
        handle.cancel()


def _of_signal(loop: asyncio.AbstractEventLoop, number: int, handle: Any) -> Iterator[Callback]:
    if not handle.cancelled():
        end = functools.partial(loop.remove_signal_handler, number)
        yield Callback(handle, f"a handler of the signal {signal.Signals(number).name}", end)


def _of_queue(queue: Any) -> Iterator[Callback]:
    for handle in list(queue):
        if not _is_handle(handle):
            return
        if not handle.cancelled():
            yield Callback(handle, "a timer" if hasattr(handle, "when") else "a callback", handle.cancel)


def _is_handle(thing: object) -> bool:
    """Whether it is asyncio's, or that of another loop, which need not be derived from that."""
    cls = type(thing)
    return issubclass(cls, asyncio.Handle) or (cls.__module__ == "uvloop.loop" and hasattr(cls, "cancelled"))


def _is_exempt(owner: OpenScope, callback: Callback) -> bool:
    function = callback.function
    return _is_librarys(function) or is_exempt(owner, _inner(function))


def _inner(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return function


def _is_librarys(function: Any) -> bool:
    """Whether asyncio has it called for itself; its public methods are those that others have called."""
    function = _inner(function)
    own = type(getattr(function, "__self__", None))
    module = getattr(function, "__module__", None) or (own if own is not type(None) else type(function)).__module__
    name = getattr(function, "__name__", "_")
    if module.partition(".")[0] == "asyncunit":
        return True
    return module.partition(".")[0] in _LIBRARIES and (name.startswith("_") or "<locals>" in function.__qualname__)


def _kept(owner: OpenScope, left: Sequence[Callback], case: object, loop: asyncio.AbstractEventLoop) -> list[Callback]:
    """Those of which something wider keeps the handle; of readers and the like, also those that are its methods.

    (A timer is kept by whoever means to cancel it. Its function says nothing: a test may have any called.)
    """
    if owner.within is None:
        return []
    known = owner.within.keep("left_callbacks", _Methods, lambda _: None)
    things = {id(each): _reached_by(each) for each in left if not known.has(each)}
    looked_for = [thing for each in things.values() for thing in each]
    ways = [[each, each.end, each.kept_in, *_parts(each)] for each in left]
    apart = [looked_for, things, *things.values(), left, ways, *ways, *chain.from_iterable(ways), *parts_of(loop)]
    reached = {id(thing) for thing in outliving(looked_for, owner, case, apart)} if looked_for else set()
    kept = [each for each in left if id(each) not in things or any(id(thing) in reached for thing in things[id(each)])]
    for each in kept:
        known.add(each)
    return kept


class _Methods:
    """The methods of objects for which something has kept a callback: a pool sets a timer for each connection it gets.

    The objects are not kept by this: another one may have the address of one that is gone.
    """

    def __init__(self) -> None:
        self._objects: dict[tuple[int, str], weakref.ref[object]] = {}

    def has(self, callback: Callback) -> bool:
        """Whether it is one by the same method of the same object."""
        own = _own(callback)
        found = self._objects.get(_key(own, callback))
        return own is not None and found is not None and found() is own

    def add(self, callback: Callback) -> None:
        """Remember the method, if it is one of an object that can be told from those after it."""
        own = _own(callback)
        if own is not None:
            key = _key(own, callback)
            with contextlib.suppress(TypeError):  # nothing refers to it weakly
                self._objects[key] = weakref.ref(own, lambda _: self._objects.pop(key, None))


def _key(own: object, callback: Callback) -> tuple[int, str]:
    return id(own), function_name(_inner(callback.function))


def _parts(callback: Callback) -> list[Any]:
    """In what a partial function has its arguments, and what uvloop makes for each of its timers."""
    parts = [part for part in gc.get_referents(callback.end) if type(part) is tuple]
    return parts + [part for part in gc.get_referents(callback.handle) if type(part).__module__ == "uvloop.loop"]


def _reached_by(callback: Callback) -> list[Any]:
    own = _own(callback)
    return [callback.handle] if own is None or hasattr(callback.handle, "when") else [callback.handle, own]


def _own(callback: Callback) -> object | None:
    """The object whose method is called, if it is not one of Python's own containers."""
    own = getattr(_inner(callback.function), "__self__", None)
    return None if own is None or isinstance(own, type) or type(own).__module__ in ("builtins", "collections") else own


def _hand_over(owner: OpenScope, callback: Callback) -> None:
    """Have the callback, and all that it starts, be that of the next wider scope."""
    context = context_of(callback.handle)
    if context is not None and owner.within is not None:
        with contextlib.suppress(RuntimeError):  # it is entered
            give(context, owner.within)
        owner.within.has_more = True


def _finding(callback: Callback) -> Finding:
    function = _inner(callback.function)
    written = place_of_function(getattr(function, "__func__", function))
    where = f" (in {written.filename}:{written.line})" if written is not None else ""
    made = _made_at(callback.handle)
    told = f", made at {made}" if made is not None else " (run with loop_debug = true to see where it was made)"
    return Finding(Check.LEFT_CALLBACKS, f"{callback.what} that calls {function_name(function)}(){where}{told}", made)


def _made_at(handle: Any) -> Place | None:
    """The line that made it, as asyncio's debug mode keeps it; uvloop has it in a tuple."""
    referents = gc.get_referents(handle)
    for other in [*referents, *(part for each in referents if type(each) is tuple for part in each)]:
        if isinstance(other, traceback.StackSummary) and other:
            frame = other[-1]
            return Place(frame.filename, frame.lineno or 0, frame.name)
    return None
