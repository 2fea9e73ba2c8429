"""Frames, and what they tell: a line of a user's, what a task waits for, a debugger."""

from __future__ import annotations

import dis
import functools
import gc
import inspect
import os
import sys
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - pathlib is not needed for anything else

# Where projects are installed: below the library, where Python is not that of a virtual environment.
_INSTALLED = tuple(f"{_LIBRARY}{name}{os.sep}" for name in ("site-packages", "dist-packages"))

# How far a chain of what awaits what is followed.
_DEPTH = 100

# What stands between a user's line and the task or the socket that it makes.
_BETWEEN = frozenset(
    {"asyncio", "asyncunit", "concurrent", "contextlib", "functools", "selectors", "socket", "ssl", "threading"}
)


class Place(NamedTuple):
    """A line of a function."""

    filename: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.filename}:{self.line} in {self.function}"

    @classmethod
    def of(cls, frame: types.FrameType) -> Place:
        """The line at which the frame stands."""
        code = frame.f_code
        return cls(code.co_filename, frame.f_lineno, code.co_qualname)


def caller() -> Place | None:
    """The line of the user's that has led here; None where there is none, for the loop itself has."""
    frame: types.FrameType | None = inspect.currentframe()
    is_inside = True  # of asyncunit: what is called by it further out, runs the loop
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] not in _BETWEEN:
            return Place.of(frame)
        if not is_ours(frame):
            is_inside = False
        elif not is_inside:
            return None
        frame = frame.f_back
    return None


def is_ours(frame: types.FrameType) -> bool:
    """Whether the frame is one of asyncunit's, or of unittest's."""
    return "__unittest" in frame.f_globals


# Where unittest goes from one test to the next: what is interrupted there is no test, and nothing of asyncunit's.
_RUNNERS = frozenset({"unittest.suite", "unittest.runner", "unittest.main"})


def is_in_own_code(frame: types.FrameType | None) -> bool:
    """Whether a frame is one of asyncunit's, or of the standard library as asyncunit has called it."""
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.partition(".")[0] == "asyncunit":
            return True
        filename = frame.f_code.co_filename
        if module in _RUNNERS or not (_is_library(filename) or filename.startswith("<frozen ")):
            return False
        frame = frame.f_back
    return False


def stack(frame: types.FrameType | None) -> list[types.FrameType]:
    """The frame and those that have called it, innermost first."""
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


def coroutine_name(coroutine: Any) -> str:
    """The name of a task's coroutine with its module, as in ``package.module.Class.method``."""
    if not hasattr(coroutine, "__qualname__") and (generator := generator_of(coroutine)) is not None:
        coroutine = generator  # it is being closed, most likely
    name = getattr(coroutine, "__qualname__", None) or type(coroutine).__qualname__
    frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
    frame = frame or getattr(coroutine, "ag_frame", None)
    module = frame.f_globals.get("__name__") if frame is not None else getattr(coroutine, "__module__", None)
    return f"{module}.{name}" if module else name


def places_of_task(task: Any) -> list[Place]:
    """The lines at which a task waits: of its coroutine first, then of what that awaits, and so on."""
    try:
        return [Place.of(frame) for frame in _awaiting(task.get_coro()) if not is_ours(frame)]
    except Exception:  # of a class of the user's own, which is not to hide the finding
        return []


def _awaiting(awaitable: Any) -> Iterator[types.FrameType]:
    for _ in range(_DEPTH):
        frames = (getattr(awaitable, name, None) for name in ("cr_frame", "gi_frame", "ag_frame"))
        frame = next((found for found in frames if type(found) is types.FrameType), None)
        if frame is not None:
            yield frame
        awaitable = next(
            (found for name in ("cr_await", "gi_yieldfrom", "ag_await") if (found := getattr(awaitable, name, None))),
            None if frame is not None else generator_of(awaitable),
        )
        if awaitable is None:
            return


def place_of_function(function: Any) -> Place | None:
    """Where a function is written, if it is in Python."""
    code = getattr(function, "__code__", None)
    return Place(code.co_filename, code.co_firstlineno, code.co_qualname) if type(code) is types.CodeType else None


def generator_of(step: object) -> types.AsyncGeneratorType[Any, Any] | None:
    """The async generator that is run by what anext(), asend(), athrow() or aclose() returned: it refers to it."""
    return next((other for other in gc.get_referents(step) if isinstance(other, types.AsyncGeneratorType)), None)


@functools.lru_cache(maxsize=1000)
def _guarded_offsets(code: types.CodeType) -> list[tuple[int, int]]:
    """The parts of a function's code that something stands around, by their offsets: from, and up to.

    From Python 3.12 on there is a handler around the whole of a generator, which makes a RuntimeError of StopIteration:
    that is nobody's.
    """
    whole = {
        each.offset for each in dis.get_instructions(code) if (each.opname, each.arg) == ("CALL_INTRINSIC_1", _TO_ERROR)
    }
    entries = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]
    return [(entry.start, entry.end) for entry in entries if entry.target not in whole]


# What the interpreter calls in that handler: INTRINSIC_STOPITERATION_ERROR.
_TO_ERROR = 3


def is_guarded_at_yield(generator: Any) -> bool:
    """Whether a ``with`` or a ``try`` stands around the yield at which a generator waits, async or not."""
    frame = generator.ag_frame if hasattr(generator, "ag_frame") else generator.gi_frame
    if frame is None:
        return False
    return any(start <= frame.f_lasti < end for start, end in _guarded_offsets(frame.f_code))


def is_at_yield(generator: Any) -> bool:
    """Whether a generator, async or not, has begun and waits at a yield."""
    is_async = hasattr(generator, "ag_frame")
    frame = generator.ag_frame if is_async else generator.gi_frame
    if frame is None or (generator.ag_running if is_async else generator.gi_running):
        return False
    return bool(frame.f_lasti > _first_offset(frame.f_code))


@functools.lru_cache(maxsize=1000)
def _first_offset(code: types.CodeType) -> int:
    """Where a generator stands that has not begun: at what makes the generator, or the one after it."""
    made = next((each.offset for each in dis.get_instructions(code) if each.opname == "RETURN_GENERATOR"), -1)
    return made + 2 if made >= 0 else -1


def innermost_place(places: list[Place]) -> str:
    """The innermost of these lines that is not the standard library's."""
    own = [place for place in places if not _is_library(place.filename)]
    return str((own or places)[-1]) if places else "an unknown line"


def is_installed(filename: str) -> bool:
    """Whether a file is of a library: Python's own, or one that was installed."""
    return filename.startswith(_LIBRARY) or any(
        f"{os.sep}{name}{os.sep}" in filename for name in ("site-packages", "dist-packages")
    )


def _is_library(filename: str) -> bool:
    return filename.startswith(_LIBRARY) and not filename.startswith(_INSTALLED)


def represent(thing: object) -> str:
    """The repr of something, and that of its type where it has none that works."""
    try:
        return repr(thing)
    except Exception:
        return object.__repr__(thing)


def describe_task(task: Any, made_at: Place | None = None) -> str:
    """What a report says of a task."""
    try:
        return _describe_task(task, made_at)
    except Exception:  # of a class of the user's own, which is not to hide the finding
        return f"task {represent(task)}"


def _describe_task(task: Any, made_at: Place | None) -> str:
    coroutine, name = task.get_coro(), task.get_name()
    # An eager task that is done has no coroutine; Python 3.13.0 gave eager tasks no name.
    running = f", running {coroutine_name(coroutine)}()" if coroutine is not None else ""
    made = f", made at {made_at}" if made_at is not None else ""
    return f"task {name!r}{running}{made}" if name is not None else f"eager task{running}{made}"


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
