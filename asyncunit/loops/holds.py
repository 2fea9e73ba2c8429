"""hold_clock(): something real is going on that no event loop can see."""

from __future__ import annotations

import os
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from weakref import WeakSet

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# Why each hold of this process, in whichever thread, is there: hold_clock() knows no loop.
holds: dict[object, str] = {}

# The loops that wait just now for what is held.
waiting: WeakSet[AbstractEventLoop] = WeakSet()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=holds.clear)


@contextmanager
def hold_clock(why: str) -> Iterator[None]:
    """Have every virtual clock wait: something real is going on that no event loop can see.

    For what a thread of your own does for a test, or a device: while the block runs, in whichever thread, no virtual
    clock jumps. They stand still for one real second, and then pass as real time does. ``why`` is named where a report
    says what a clock has waited for. A loop with the real clock is not touched.
    """
    token = object()
    holds[token] = why
    try:
        yield
    finally:
        del holds[token]
        for loop in list(waiting):
            with suppress(RuntimeError):  # it is closed
                loop.call_soon_threadsafe(_nothing)


def _nothing() -> None:
    """Wakes a loop."""
