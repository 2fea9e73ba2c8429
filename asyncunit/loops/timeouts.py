"""What ends a step that takes too long, and what is said of it."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from asyncunit.errors import AsyncUnitWarning, TestTimeoutError
from asyncunit.introspection.frames import place_of_function, places_of_task
from asyncunit.introspection.functions import discard, name_of
from asyncunit.introspection.tracebacks import is_error, stand_at
from asyncunit.loops.watchdog import Deadline
from asyncunit.scopes.open_scope import OpenScope

if TYPE_CHECKING:
    from asyncunit.loops.virtual_clock import VirtualClock

T = TypeVar("T")

# Real seconds for which something outside may hold a virtual clock in one step before that is worth a warning.
HELD_TOO_LONG = 1.0

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def call_in_time(scope: OpenScope, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a sync step in the context of its scope; one that took too long is told so when it is done.

    Nothing can end it before that. While it goes on, the watchdog prints where all threads stand.
    """
    timeout = scope.config.timeout
    if timeout is None:
        return scope.context.run(function, *args, **kwargs)
    name = f"{name_of(function)}()"
    deadline = Deadline(timeout, lambda: f"{scope}: {name}", None)
    try:
        value = scope.context.run(function, *args, **kwargs)
    except BaseException as error:
        took = deadline.stop()
        if took is not None and is_error(error, Exception):
            error.add_note(took_too_long(scope, name, timeout, took))
        raise
    took = deadline.stop()
    if took is None:
        return value
    discard(value)
    place = deadline.place or place_of_function(function)
    raise stand_at(place, TestTimeoutError(took_too_long(scope, name, timeout, took)))


def took_too_long(scope: OpenScope, name: str, timeout: float, took: float) -> str:
    """What is said of a step that could not be ended when its time had passed."""
    return (
        f"{scope}: {name} took {took:.2f} seconds, longer than its timeout of {timeout:g} seconds. It could not be "
        f"ended earlier, because it did not await."
    )


def warn_of_held_clock(scope: OpenScope, name: str, loop: VirtualClock) -> None:
    """Say that a virtual clock did not jump for long, and because of what: the test was as slow as with a real one."""
    held = {what: seconds for what, seconds in loop.virtual_time.held.items() if seconds > HELD_TOO_LONG}
    if not held:
        return
    lines = [f"  - {seconds:.1f} seconds by {what}" for what, seconds in held.items()]
    warnings.warn(
        f"{scope}: {name}: something outside the event loop held its virtual clock, and timers came as late as by the "
        f"real one:\n" + "\n".join(lines) + "\nClose what is not needed, or set clock_quiet to the seconds after which "
        "what is silent counts as idle.",
        AsyncUnitWarning,
        stacklevel=2,
    )


def waiting(tasks: Iterable[tuple[asyncio.Task[Any] | None, str]]) -> Iterator[str]:
    """What each task waits for, as lines of a report."""
    for task, name in tasks:
        places = [] if task is None else places_of_task(task)
        yield f"  - {name}, waits at {' > '.join(map(str, places)) or 'an unknown line'}"
