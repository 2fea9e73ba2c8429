"""Loops of a class that is derived from that of the user's factory: which can be, and what is refused, with the fix."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import cache, partial
from typing import Any

from asyncunit.errors import ConfigurationError

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Factory = Callable[[], asyncio.AbstractEventLoop]

_SelectorEventLoop = asyncio.SelectorEventLoop
_new_event_loop = asyncio.new_event_loop


def virtual_clock_factory(factory: Factory | None, quiet: float | None = None) -> Factory:
    """Return what makes the loops of ``factory`` with a virtual clock; raise ConfigurationError where that cannot be.

    None is asyncio's own factory, by the event loop policy where one is set. ``quiet`` is the key ``clock_quiet``.
    """
    if sys.platform != "linux":
        raise ConfigurationError(
            f"clock = 'virtual' is for Linux so far, and this is {sys.platform!r}. A virtual clock must know what is "
            f"in flight outside its loop, else timers would fire too early, and asyncunit knows only how to ask Linux. "
            f"Skip these tests here, @unittest.skipUnless(sys.platform == 'linux', ...), or take the key out."
        )
    base, args, keywords = _class_behind(factory)
    made = _derived(base, quiet)
    return partial(made, *args, **keywords) if args or keywords else made


def _class_behind(factory: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """The class whose loops a factory makes, and what it passes to it."""
    if factory is None or factory is _new_event_loop:
        return _class_of_policy(), (), {}
    args: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    found = factory
    while isinstance(found, partial):
        args, keywords = found.args + args, {**found.keywords, **keywords}
        found = found.func
    if not isinstance(found, type):
        raise ConfigurationError(
            f"clock = 'virtual' cannot be given to the loops of loop_factory {factory!r}: a clock is part of a loop's "
            f"class, and this is no class that one can be derived from. {_fix(getattr(found, '__module__', ''))}"
        )
    if not issubclass(found, _SelectorEventLoop):
        raise ConfigurationError(
            f"clock = 'virtual' cannot be given to the loops of loop_factory {_name_of(found)}: it is no subclass of "
            f"asyncio.SelectorEventLoop. {_fix(found.__module__)}"
        )
    return found, args, keywords


def _class_of_policy() -> type[asyncio.SelectorEventLoop]:
    """The class of the loops that asyncio makes where no factory is named."""
    loop = _new_event_loop()
    found = type(loop)
    loop.close()
    if found is _SelectorEventLoop:
        return found
    fix = f"Set loop_factory = {_name_of(found)}." if issubclass(found, _SelectorEventLoop) else _fix(found.__module__)
    raise ConfigurationError(
        f"clock = 'virtual' cannot be given to the loops of the event loop policy, which makes {_name_of(found)}. {fix}"
    )


def _fix(module: str) -> str:
    """The end of a message: why, where that is known, and what to write in its place."""
    why = "The timers of uvloop are in C, and do not ask loop.time(). " if module.partition(".")[0] == "uvloop" else ""
    return (
        f"{why}Set loop_factory to a class, asyncio.SelectorEventLoop or one derived from it, for these tests, "
        f"or take clock = 'virtual' out."
    )


@cache
def _derived(base: Any, quiet: float | None) -> type[asyncio.SelectorEventLoop]:
    from asyncunit.loops.virtual_clock import VirtualClock, WithClockSelector  # for Linux alone

    between = () if base is _SelectorEventLoop else (base,)
    try:
        return type(f"VirtualClock{base.__name__}", (VirtualClock, *between, WithClockSelector), {"clock_quiet": quiet})
    except TypeError as error:
        raise ConfigurationError(
            f"clock = 'virtual': no class can be derived from {_name_of(base)}: {error}"
        ) from error


def _name_of(thing: type) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"
