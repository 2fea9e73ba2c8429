"""Notes for the errors by which asyncio says that something belongs to another event loop: which, and what to write."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import traceback
from collections.abc import Iterable, Iterator
from typing import TypeGuard

from asyncunit.introspection.frames import is_ours
from asyncunit.introspection.tracebacks import all_of
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import remembered_owner

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Loop = asyncio.AbstractEventLoop

_RUNNING = (
    "cannot be called from a running event loop",
    "event loop is already running",
    "while another loop is running",
)


def explain(error: BaseException, loop: Loop) -> None:
    """Add a note (PEP 678) to the error, those behind it and in it, where they say that loops were mixed up."""
    for other in all_of(error):
        if isinstance(other, RuntimeError | ValueError):
            with contextlib.suppress(Exception):  # of an error whose text, or whose notes, are not to be had
                note = _note(other, loop)
                if note is not None and note not in getattr(other, "__notes__", ()):
                    other.add_note(note)


def _note(error: Exception, loop: Loop) -> str | None:
    text = str(error)
    if "different" in text:
        here = _came_up_on(error, text, loop)
        if here is None or remembered_owner(here) is None:
            return _about_another_runner(here, loop)
        loop = here
    if "different loop" in text or "wasn't used with future" in text or "than the current one" in text:
        return _about_two(loop, _loops_in_sight(error) or [future.get_loop() for future in _futures_in(text)])
    if "different event loop" in text:
        return _about_two(loop, _loops_behind(text))
    if text == "Event loop is closed":
        return _about_closed(loop, error)
    if any(words in text for words in _RUNNING):
        return f"This runs on {_name(loop)}. Await the coroutine instead of running it."
    return None


def _came_up_on(error: BaseException, text: str, loop: Loop) -> Loop | None:
    """The loop on which the error came up, which may be that of another thread; None where it is none of ours.

    Where nothing else tells, it is ``loop``, on which the error has arrived.
    """
    found: Loop | None = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        own = frame.f_locals.get("self")
        if _is_loop(own):  # run_until_complete() and its like
            found = own
        elif frame.f_code.co_name == "_get_loop" and _is_loop(frame.f_locals.get("loop")):  # of asyncio's locks
            found = frame.f_locals["loop"]
    task, _, awaited = text.partition(" got ")
    found = found or _only(_loops_of_named_task(task))
    if found is not None:
        return found
    others = _loops_of_named_task(awaited) or {future.get_loop() for future in _futures_in(awaited)}
    return None if others == {loop} else loop  # if what is awaited belongs to the loop itself, it came up elsewhere


def _only(loops: set[Loop]) -> Loop | None:
    return next(iter(loops)) if len(loops) == 1 else None


def _loops_of_named_task(text: str) -> set[Loop]:
    """The loops of the tasks that have the name of the one whose repr is at the beginning of the text."""
    named = re.match(r"(?:Task|Future) <Task \w+ name='(.+?)' coro", text)
    if named is None:
        return set()
    tasks = [thing for thing in gc.get_objects() if issubclass(type(thing), asyncio.Task)]
    return {task.get_loop() for task in tasks if task.get_name() == named[1]}


def _loops_in_sight(error: BaseException) -> list[Loop]:
    """The loops that the lines have names for which the error came through: their locals, and attributes of self."""
    found = []
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if not is_ours(frame):
            own = frame.f_locals.get("self")
            values = [*frame.f_locals.values(), *getattr(own, "__dict__", {}).values(), *vars(type(own)).values()]
            found += [value for value in values if _is_loop(value)]
            found += [value.get_loop() for value in values if _is_future(value)]
    return found


def _about_two(loop: Loop, others: Iterable[Loop]) -> str:
    found = {other for other in others if other is not loop}
    here = f"This runs on {_name(loop)}"
    if len(found) != 1:
        return f"{here}. What it awaits belongs to another one. {_share(loop, None)}"
    other = found.pop()
    return f"{here}; what it awaits seems to belong to {_name(other)}. {_share(loop, other)}"


def _about_another_runner(here: Loop | None, loop: Loop) -> str:
    """For code that was run by something else than asyncunit, on a loop of its own: in a thread, by asyncio.run()."""
    runs_on = "another loop" if here is None else _name(here)
    return (
        f"This ran on {runs_on}, as code does that has a thread or a runner of its own (a TestClient, asyncio.run()); "
        f"what it awaits seems to belong to {_name(loop)}. Call it on that loop (an ASGI app with httpx.AsyncClient), "
        f"or have it make what it awaits."
    )


def _about_closed(loop: Loop, error: BaseException) -> str | None:
    closed = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        own = frame.f_locals.get("self")
        if _is_loop(own) and own.is_closed():
            closed = own
    if closed is None:
        return None
    if closed is loop:
        return f"It is {_name(loop)}, on which this runs."
    return f"This runs on {_name(loop)}; what is used here belongs to {_name(closed)}. {_share(loop, closed)}"


def _name(loop: Loop) -> str:
    owner = remembered_owner(loop)
    closed = ", which is closed" if loop.is_closed() else ""
    if owner is None:
        return f"a loop that asyncunit has not made ({loop!r})"
    return f"the event loop of the scope '{owner.path[0][1]}'{closed}"


def _share(loop: Loop, other: Loop | None) -> str:
    """How to have both on one loop."""
    mine, theirs = remembered_owner(loop), None if other is None else remembered_owner(other)
    if mine is None or theirs is None:
        return "Make it on this loop: in the test, in asyncSetUp, or in a fixture."
    if mine.path[0] == theirs.path[0]:
        return "Both are loops of this scope: the other was closed, or has another loop_factory. Make it on this loop."
    scope = next((scope for scope, name in mine.path if (scope, name) in theirs.path), Scope.SESSION)
    classes = dict.fromkeys(owner.class_name for owner in (theirs, mine) if owner.class_name is not None)
    where = " and in ".join(classes) or "the class"
    return f'To have both share one loop, write in {where}:  loop_scope = "{scope}"  or make it on this loop.'


def _futures_in(text: str) -> Iterator[asyncio.Future[object]]:
    """The futures whose repr is in the text: the error does not give the objects."""
    return (thing for thing in gc.get_objects() if _is_future(thing) and repr(thing) in text)


def _is_loop(thing: object) -> TypeGuard[Loop]:
    """As isinstance(), which would wake a lazy object."""
    return issubclass(type(thing), Loop)


def _is_future(thing: object) -> TypeGuard[asyncio.Future[object]]:
    """As isinstance(), which would wake a lazy object."""
    return issubclass(type(thing), asyncio.Future)


def _loops_behind(text: str) -> Iterator[Loop]:
    """The loops that the object refers to whose repr is in the text."""
    addresses = {int(address, 16) for address in re.findall(r"at 0x([0-9a-fA-F]+)", text)}
    for thing in gc.get_objects():
        if id(thing) in addresses:
            for other in gc.get_referents(thing):
                values = other.values() if issubclass(type(other), dict) else (other,)
                yield from (value for value in values if _is_loop(value))
