"""What a run under a schedule did: its last switches from task to task, and all its steps as a timeline."""

from __future__ import annotations

import json
import os
import types
from asyncio import Task
from collections import deque
from pathlib import Path
from re import fullmatch
from time import perf_counter_ns
from typing import Any, NamedTuple
from weakref import ref

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - pathlib is slow where it is not needed
_INSTALLED = tuple(f"{_LIBRARY}{name}{os.sep}" for name in ("site-packages", "dist-packages"))

# How many switches a report shows.
SHOWN = 8


class TracedTask:
    """A task of a run, by its number: they are counted in the order in which they were first to be stepped."""

    __slots__ = ("name", "number", "task")

    def __init__(self, number: int, task: Task[Any]) -> None:
        self.number = number
        self.task = ref(task)
        self.name = ""

    def __str__(self) -> str:
        return f"{self.name or 'a task'} [{self.number}]"

    def learn_name(self, task: Task[Any]) -> None:
        """Remember what the task is called: by its user, else as its coroutine is."""
        name = task.get_name()
        if fullmatch(r"(Task-\d+)?", name or ""):  # a number that asyncio counts over all loops says nothing
            coroutine: Any = task.get_coro()
            frame = getattr(coroutine, "cr_frame", None)
            is_ours = frame is not None and "__unittest" in frame.f_globals
            name = "the test" if is_ours else f"{getattr(coroutine, '__name__', None) or type(coroutine).__name__}()"
        self.name = name


class Position(NamedTuple):
    """Where a task waits: an instruction of a function, of which the line is asked only for a report."""

    code: types.CodeType
    instruction: int

    def __str__(self) -> str:
        return f"{os.path.basename(self.code.co_filename)}:{self.line}"  # noqa: PTH119

    @property
    def line(self) -> int:
        """The line; that of the ``def`` where nothing of the function has run yet."""
        for start, end, line in self.code.co_lines():
            if line is not None and start <= self.instruction < end:
                return line
        return self.code.co_firstlineno


class _Switch(NamedTuple):
    step: int
    task: TracedTask
    at: _At | None

    @property
    def position(self) -> Position | None:
        return None if self.at is None else Position(*self.at)


# What a `Position` and a `_Switch` are made of, and made faster: one for each switch of a run, of which few are shown.
_At = tuple[types.CodeType, int]
_Noted = tuple[int, "TracedTask", _At | None]


class Switches:
    """The last switches of a run: at which step which task went on, and where."""

    def __init__(self) -> None:
        # One more than is shown, whose task is the one that the first one shown comes from.
        self._last: deque[_Noted] = deque(maxlen=SHOWN + 1)
        self._task: TracedTask | None = None

    def note(self, step: int, known: TracedTask, task: Task[Any]) -> None:
        """A task takes its next step."""
        if known is self._task:
            return
        self._task = known
        if not known.name:
            known.learn_name(task)
        self._last.append((step, known, _find(task)))

    def lines(self) -> list[str]:
        """What a report says of each: the step, the task that stopped and where, the task that went on and where."""
        switches = [_Switch(*noted) for noted in self._last]
        lines = []
        for index in range(1, len(switches)):
            before, after = switches[index - 1], switches[index]
            lines.append(
                f"step {after.step}: {before.task} {_stopped(before.task, switches[index:])} -> "
                f"{after.task}{_at(after.position)}"
            )
        return lines


def _stopped(known: TracedTask, later: list[_Switch]) -> str:
    """Where the task stopped: it goes on there, or waits there still."""
    for switch in later:
        if switch.task is known:
            return f"stops{_at(switch.position)}"
    task = known.task()
    return "ends" if task is None or task.done() else f"stops{_at(position_of(task))}"


def _at(position: Position | None) -> str:
    return "" if position is None else f" at {position}"


def position_of(task: Task[Any]) -> Position | None:
    """Where the task waits: in the innermost function that is no library's; else in the outermost, if not ours."""
    at = _find(task)
    return None if at is None else Position(*at)


def _find(task: Task[Any]) -> _At | None:
    found: types.FrameType | None = None
    awaitable: Any = task.get_coro()
    while awaitable is not None:
        kind = type(awaitable)
        if kind is types.CoroutineType:
            frame, awaitable = awaitable.cr_frame, awaitable.cr_await
        elif kind is types.GeneratorType:
            frame, awaitable = awaitable.gi_frame, awaitable.gi_yieldfrom
        else:
            frame, awaitable = None, getattr(awaitable, "cr_await", None)
        if frame is not None and (found is None or _users.get(frame.f_code.co_filename) or _is_users(frame)):
            found = frame
    if found is None or "__unittest" in found.f_globals:
        return None
    return found.f_code, found.f_lasti


# By the name of a file, whether it is a user's.
_users: dict[str, bool] = {}


def _is_users(frame: types.FrameType) -> bool:
    filename = frame.f_code.co_filename
    found = _users.get(filename)
    if found is None:
        is_library = filename.startswith(_LIBRARY) and not filename.startswith(_INSTALLED)
        found = _users[filename] = not is_library and "__unittest" not in frame.f_globals
    return found


class Timeline:
    """All steps of a run, to be shown by https://ui.perfetto.dev: a track for each task, a slice for each step.

    Times are real: how long the code of each step took. The time of the loop is among what a slice tells of itself.
    """

    def __init__(self) -> None:
        self._began = perf_counter_ns()
        self._events: list[dict[str, Any]] = []
        self._named: set[int] = set()

    def note(
        self, step: int, known: TracedTask, position: Position | None, loop_time: float, began: int, ended: int
    ) -> None:
        """A step was taken, from ``began`` to ``ended`` in nanoseconds."""
        if known.number not in self._named:
            self._named.add(known.number)
            track = {"ph": "M", "name": "thread_name", "pid": 1, "tid": known.number, "args": {"name": str(known)}}
            self._events.append(track)
        self._events.append(
            {
                "ph": "X",
                "name": str(position or known),
                "pid": 1,
                "tid": known.number,
                "ts": (began - self._began) / 1000,
                "dur": (ended - began) / 1000,
                "args": {"step": step, "task": str(known), "loop time": loop_time},
            }
        )

    def write(self, path: str) -> None:
        """Write it in the JSON of Chrome's trace events."""
        Path(path).write_text(json.dumps({"traceEvents": self._events, "displayTimeUnit": "ns"}), encoding="utf-8")
