"""Whether a debugger is attached to a thread, or stands in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from asyncunit.stacks import stack

__all__ = ["debugger_is_attached", "stands_in_debugger"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The modules of debuggers, as they stand on the stack of what they debug, and as they trace it.
_DEBUGGERS = frozenset({"bdb", "pdb", "pydevd", "pydevd_tracing", "_pydevd_bundle", "_pydevd_frame_eval", "debugpy"})


def debugger_is_attached() -> bool:
    """Whether a debugger traces this thread, or has registered itself with the interpreter."""
    trace: Any = sys.gettrace()
    if trace is not None and any(map(_is_debugger, _modules_of(trace))):
        return True
    monitoring = getattr(sys, "monitoring", None)  # new in Python 3.12
    return monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None


def _modules_of(trace: Any) -> Iterator[str]:
    """The modules that a trace function comes from: its own, and those of the classes that it is a method of."""
    yield getattr(trace, "__module__", None) or ""
    for cls in (*type(trace).__mro__, *type(getattr(trace, "__self__", None)).__mro__):
        yield cls.__module__


def stands_in_debugger(thread: int) -> bool:
    """Whether the thread is in a debugger, which waits for what it is told to do."""
    frames = stack(sys._current_frames().get(thread))
    return any(_is_debugger(frame.f_globals.get("__name__", "")) for frame in frames)


def _is_debugger(module: str) -> bool:
    return module.partition(".")[0] in _DEBUGGERS
