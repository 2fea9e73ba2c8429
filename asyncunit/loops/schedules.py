"""The order in which tasks that are ready take their next steps: a number decides it, and it is the same each time.

A loop is made to follow a number by `scheduled`, which puts `Scheduled` in front of the loop's class. Schedule 0 is
asyncio's own order. Of the others, even numbers walk at random, and odd ones follow priorities that change a few times
(PCT: Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", 2010).

What is true of each of them:

- A step may come later than asyncio would take it, never earlier: each goes through the loop's own queue first. Only
  when all has run that was queued before it, it is one of those to choose from.
- Callbacks that are no steps of tasks keep their order.
- After a bare yield, as that of ``sleep(0)``, all that was ready has a step before the task that yielded, and so have
  those that yielded before. So after ``n`` bare yields in a row all has run that asyncio would have run in ``n`` turns.
- What a task has made ready in the step that ends with a bare yield goes on in asyncio's order.
- Nobody waits for more than a bounded number of steps.
- The order depends on nothing but the number and what the tasks do: on no id, no hash, no set, no version of Python.

The steps of tasks are told by the callbacks that asyncio gives to `call_soon`: methods of the task by the names in
`_STEPS`, or objects that have a ``__self__`` and no name (asyncio's tasks in C).
"""

from __future__ import annotations

import heapq
import json
import os
import types
from asyncio import AbstractEventLoop, Handle, Task, TimerHandle, current_task
from asyncio import BaseEventLoop as _BaseEventLoop
from collections import deque
from collections.abc import Callable, Sized
from contextvars import Context, copy_context
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random
from re import fullmatch
from threading import get_ident
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import ref

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

if TYPE_CHECKING:
    from asyncio import BaseEventLoop
else:
    BaseEventLoop = object


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


# The order.


# By which names tasks are stepped; one in C is stepped by an object without a name, which then counts as the first.
_STEPS = frozenset({"__step", "task_wakeup", "__wakeup", "_Task__step", "_Task__wakeup"})

# For how many steps of others a step that is ready waits, at most.
_LONGEST_WAIT = 200

# How often in a row the task of the highest priority is stepped while others are ready: it may be waiting for them.
_LONGEST_RUN = 50

# How many turns of the loop a choice waits, at most, for callbacks and I/O to make more tasks ready.
_TURNS = 5


class Step:
    """A step that a task is to take. ``arrived`` and ``since`` say when it became ready: after how many others, and
    after how many steps were taken. These and ``is_taken`` are set then.

    A step that is held back is ``next`` of another one, and not among those to choose from until that one is taken.
    """

    __slots__ = (
        "args",
        "arrived",
        "callback",
        "context",
        "is_held_back",
        "is_taken",
        "is_yield",
        "next",
        "since",
        "task",
    )

    arrived: int
    since: int
    is_taken: bool

    def __init__(
        self, task: _TaskState, callback: Callable[..., object], args: Any, context: Context, is_yield: bool
    ) -> None:
        self.task = task
        self.callback: Any = callback
        self.args: Any = args
        self.context: Any = context
        self.is_yield = is_yield
        self.next: Step | None = None
        self.is_held_back = False

    def __lt__(self, other: Step) -> bool:
        return self.arrived < other.arrived


class _TaskState(TracedTask):
    """A task by its number, which counts them in the order in which they were first to be stepped."""

    __slots__ = ("priority",)

    def __init__(self, number: int, task: Task[Any], priority: float) -> None:
        super().__init__(number, task)
        self.priority = priority


class Order(Protocol):
    """Which of the steps that are ready is next."""

    def new_priority(self) -> float:
        """The priority of a task that is new, where lower comes first."""

    def is_patient(self) -> bool:
        """Whether the next choice is to wait for what is under way by callbacks and I/O."""

    def add(self, step: Step) -> None:
        """A step is ready."""

    def take(self, count: int) -> Step:
        """The next one of those that are not taken; there are ``count`` of them."""


class RandomWalk:
    """Each step that is ready is as likely as any other to be next."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._steps: list[Step] = []

    def new_priority(self) -> float:
        """None: they are all alike."""
        return 0.0

    def is_patient(self) -> bool:
        """Every other time."""
        return self._random() < 0.5

    def add(self, step: Step) -> None:
        """A step is ready."""
        self._steps.append(step)

    def take(self, count: int) -> Step:
        """Any of them."""
        steps = self._steps
        while True:
            at = 0 if count == 1 and len(steps) == 1 else int(self._random() * len(steps))
            step, last = steps[at], steps.pop()
            if step is not last:
                steps[at] = last
            if not step.is_taken:
                return step


class Priorities:
    """The task of the highest priority is next; at a few steps the one that would be gets the lowest from then on."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._steps: list[tuple[float, Step]] = []
        self._lowest = 1.0
        self._changes = {int(2.0 ** (1 + 8 * random())) for _ in range(1 + int(random() * 5))}
        self._taken = 0
        self._last: object = None
        self._in_a_row = 0

    def new_priority(self) -> float:
        """One at random."""
        return self._random()

    def is_patient(self) -> bool:
        """Always: what has the highest priority may be under way."""
        return True

    def add(self, step: Step) -> None:
        """A step is ready."""
        heapq.heappush(self._steps, (step.task.priority, step))

    def take(self, count: int) -> Step:
        """That of the highest priority."""
        step = self._pop()
        self._taken += 1
        if count > 1 and (self._taken in self._changes or (step.task is self._last and self._in_a_row >= _LONGEST_RUN)):
            self._lowest += 1.0
            step.task.priority = self._lowest
            self.add(step)
            step = self._pop()
        if step.task is self._last:
            self._in_a_row += 1
        else:
            self._last, self._in_a_row = step.task, 1
        return step

    def _pop(self) -> Step:
        while True:
            step = heapq.heappop(self._steps)[1]
            if not step.is_taken:
                return step


def order_of(number: int) -> Order | None:
    """What the schedule of this number follows; None for asyncio's own order.

    Of Python's random numbers only random() is used, which is the same on each version.
    """
    if number == 0:
        return None
    random = Random(2 * number).random
    return Priorities(random) if number % 2 else RandomWalk(random)


class Turns:
    """Takes the steps of a loop's tasks: as they come, in asyncio's own order. ``queue`` is the loop's call_soon()."""

    def __init__(self, queue: Callable[..., Handle], timeline: Timeline | None) -> None:
        self.steps = 0
        self.switches = Switches()
        self.timeline = timeline
        self._queue = queue
        self._tasks: dict[ref[Task[Any]], _TaskState] = {}
        self._seen = 0
        # Our own callbacks are nobody's: they run in an empty context.
        self._empty = Context()

    def stir(self) -> None:
        """A callback is queued."""

    def add(
        self,
        loop: AbstractEventLoop,  # noqa: ARG002 - an order asks it
        task: Task[Any],
        callback: Callable[..., object],
        args: Any,
        context: Context,
    ) -> Handle:
        """A task is to be stepped."""
        state = self._tasks.get(ref(task)) or self._meet(task)
        return self._queue(self._take, Step(state, callback, args, context, False), context=self._empty)

    def _meet(self, task: Task[Any]) -> _TaskState:
        self._seen += 1
        state = self._tasks[ref(task, self._tasks.pop)] = _TaskState(self._seen, task, self._new_priority())
        return state

    def _new_priority(self) -> float:
        return 0.0

    def _take(self, step: Step) -> None:
        self.steps += 1
        task = step.callback.__self__
        self.switches.note(self.steps, step.task, task)
        if self.timeline is None:
            step.context.run(step.callback, *step.args)
        else:
            self._take_for_timeline(self.timeline, step, task)

    def _take_for_timeline(self, timeline: Timeline, step: Step, task: Task[Any]) -> None:
        number, position, loop_time, began = self.steps, position_of(task), task.get_loop().time(), perf_counter_ns()
        try:
            step.context.run(step.callback, *step.args)
        finally:
            timeline.note(number, step.task, position, loop_time, began, perf_counter_ns())

    def finish(self) -> None:
        """Follow asyncio's own order from here on."""

    def drop(self) -> None:
        """Let go of what waits: the loop is closed."""
        self._tasks.clear()


class OrderedTurns(Turns):
    """Takes the steps in an order, one in each turn of the loop."""

    def __init__(self, queue: Callable[..., Handle], timeline: Timeline | None, order: Order) -> None:
        super().__init__(queue, timeline)
        self._order = order

        # Steps that are ready, in the order in which they became so; one that is taken is dropped when it is met.
        self._arrivals: deque[Step] = deque()
        self._arrived = 0
        self._ready = 0
        # Steps after a bare yield, each with the number of those that had become ready before it, and go first.
        self._yielded: deque[tuple[int, Step]] = deque()
        # The last one of these that has become ready. The next one waits for it.
        self._released: Step | None = None
        # While a step is taken: those that it has made ready since the last callback that it has queued, and the handle
        # by which they become ready together. None where the next one needs a handle of its own: always outside of a
        # step, where callbacks of I/O and timers may come between two.
        self._batch: list[Step] | None = None
        self._handle: Handle | None = None
        self._is_stepping = False
        # While a step is taken: all those that it has made ready so far, but for those after a bare yield.
        self._made: list[Step] = []
        # What the selector of the loop watches, itself included; None where that is not known.
        self.watched: Sized | None = None
        # True once asyncio's own order is followed again.
        # Whether `_turn` is queued. It waits while anything is queued after it, for so many turns.
        self._is_over = self._is_turning = False
        self._is_stirred = False
        self._turns = 0

    def stir(self) -> None:
        """A callback is queued: what it makes ready is to be among what is chosen from."""
        self._batch = None
        self._is_stirred = True

    def add(
        self, loop: AbstractEventLoop, task: Task[Any], callback: Callable[..., object], args: Any, context: Context
    ) -> Handle:
        """A task is to be stepped. The handle may be that of several steps: asyncio does not look at it."""
        state = self._tasks.get(ref(task)) or self._meet(task)
        step = Step(state, callback, args, context, not args and current_task(loop) is task)
        if self._is_stepping:
            if step.is_yield:
                self._line_up()
            else:
                self._made.append(step)
        if self._batch is not None and self._handle is not None:
            self._batch.append(step)
            return self._handle
        if self._is_over:
            return self._queue(self._take, step, context=self._empty)
        batch = [step]
        handle = self._queue(self._arrive, batch, context=self._empty)
        self._is_stirred = True
        if self._is_stepping:
            self._batch, self._handle = batch, handle
        return handle

    def _new_priority(self) -> float:
        return self._order.new_priority()

    def _line_up(self) -> None:
        """Let what the step that is taken has made ready go on in its order: the step ends with a bare yield.

        What is held back becomes ready before any of these is taken, as they are all queued before the next turn.
        """
        for step, following in pairwise(self._made):
            step.next = following
            following.is_held_back = True

    def _arrive(self, batch: list[Step]) -> None:
        """All has run that was queued before these steps."""
        if self._is_over:
            self._take_all(batch)
            return
        for step in batch:
            if step.is_yield and self._ready:
                self._yielded.append((self._arrived, step))
            else:
                self._admit(step)
        if not self._is_turning:
            self._is_turning = True
            self._queue_turn()

    def _admit(self, step: Step) -> None:
        step.is_taken = False
        step.arrived = self._arrived
        step.since = self.steps
        self._arrived += 1
        self._arrivals.append(step)
        if not step.is_held_back:
            self._ready += 1
            self._order.add(step)

    def _queue_turn(self) -> None:
        is_patient = self._order.is_patient()
        # What is ready of I/O is only seen a turn later: where there may be any, one turn more is waited for.
        self._is_stirred = is_patient and (self.watched is None or len(self.watched) > 1)
        self._turns = _TURNS if is_patient else 0
        self._queue(self._turn, context=self._empty)

    def _turn(self) -> None:
        if self._is_over:
            return
        if self._is_stirred and self._turns:
            self._turns -= 1
            self._is_stirred = False
            self._queue(self._turn, context=self._empty)
            return
        step = self._choose()
        step.is_taken = True
        if step.next is None:
            self._ready -= 1
        else:
            self._order.add(step.next)
            step.next = None
        if self._yielded:
            self._release()
        self._is_stepping = True
        try:
            self._take(step)
        finally:
            self._is_stepping = False
            self._batch = self._handle = None
            self._made.clear()
            step.callback = step.args = step.context = None  # the task is not to be held while this is still in a line
            if self._ready and not self._is_over:
                self._queue_turn()
            else:
                self._is_turning = False

    def _choose(self) -> Step:
        arrivals = self._arrivals
        while arrivals[0].is_taken:
            arrivals.popleft()
        oldest = arrivals[0]
        return oldest if self.steps - oldest.since > _LONGEST_WAIT else self._order.take(self._ready)

    def _oldest(self) -> Step:
        arrivals = self._arrivals
        while arrivals[0].is_taken:
            arrivals.popleft()
        return arrivals[0]

    def _release(self) -> None:
        """Let the first of those that yielded go on, if all has had a step that was ready then."""
        if self._released is not None and not self._released.is_taken:
            return
        before, step = self._yielded[0]
        if not self._ready or before <= self._oldest().arrived:
            self._yielded.popleft()
            self._released = step
            self._admit(step)

    def finish(self) -> None:
        """Follow asyncio's own order from here on."""
        if self._is_over:
            return
        self._is_over = True
        self._take_all([step for step in self._arrivals if not step.is_taken])
        self._take_all([step for _, step in self._yielded])
        self._arrivals.clear()
        self._yielded.clear()

    def _take_all(self, steps: list[Step]) -> None:
        for step in steps:
            self._queue(self._take, step, context=self._empty)

    def drop(self) -> None:
        """Let go of what waits: the loop is closed."""
        super().drop()
        self._arrivals.clear()
        self._yielded.clear()
        self._released = None
        self._order = RandomWalk(lambda: 0.0)
        self._ready = 0


def _turns(schedule: int, queue: Callable[..., Handle], timeline: Timeline | None) -> Turns:
    order = order_of(schedule)
    return Turns(queue, timeline) if order is None else OrderedTurns(queue, timeline, order)


class Scheduled(BaseEventLoop):
    """What is in front of the class of a loop: the steps of tasks are taken in the order of a schedule.

    ``late_timers`` is the part of its delay by which a timer is late, at most. ``outside`` says what took part that the
    schedule has no say in: the same number may then give another order.
    """

    def __init__(
        self, *args: Any, schedule: int, late_timers: float = 0.0, timeline: Timeline | None = None, **kwargs: Any
    ) -> None:
        self.schedule = schedule
        self.turns = _turns(schedule, super().call_soon, timeline)
        self.outside: dict[str, None] = {}
        self._late_timers = late_timers if schedule else 0.0
        self._lateness = Random(2 * schedule + 1).random
        self._made_in = get_ident()
        super().__init__(*args, **kwargs)
        selector = getattr(self, "clock_selector", None)
        if selector is not None and isinstance(self.turns, OrderedTurns):  # with a virtual clock nothing else wakes it
            self.turns.watched = selector.get_map()

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """Queue a callback, or have the step of a task wait for its turn."""
        task = getattr(callback, "__self__", None)
        if isinstance(task, Task) and getattr(callback, "__name__", "__step") in _STEPS:
            return self.turns.add(self, task, callback, args, copy_context() if context is None else context)
        self.turns.stir()
        return super().call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Set a timer, which is late if timers are to be."""
        self._note_timer()
        return super().call_at(self._late(when), callback, *args, context=context)

    def _note_timer(self) -> None:
        if not hasattr(self, "virtual_time"):
            self.outside["timers of the real clock"] = None

    def _late(self, when: float) -> float:
        if self._late_timers:
            when += self._lateness() * self._late_timers * max(0.0, when - self.time())
        return when

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """Queue a callback; from another thread, that is from outside."""
        if get_ident() != self._made_in:
            self.outside["another thread"] = None
        return super().call_soon_threadsafe(callback, *args, context=context)

    async def subprocess_exec(self, *args: Any, **kwargs: Any) -> Any:
        """Start a process, which is outside."""
        self.outside["another process"] = None
        return await super().subprocess_exec(*args, **kwargs)

    async def subprocess_shell(self, *args: Any, **kwargs: Any) -> Any:
        """Start a process, which is outside."""
        self.outside["another process"] = None
        return await super().subprocess_shell(*args, **kwargs)

    def close(self) -> None:
        """Close the loop; steps that wait are never taken."""
        super().close()
        self.turns.drop()


class _LateByDelay(Scheduled):
    """For loops whose timers are all set by a delay, as uvloop's are."""

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Set a timer, which is late if timers are to be."""
        self._note_timer()
        now = self.time()
        return super().call_later(self._late(now + delay) - now, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> TimerHandle:
        """Set a timer."""
        return self.call_later(when - self.time(), callback, *args, context=context)


@cache
def scheduled(loop_class: type[AbstractEventLoop]) -> type[Scheduled]:
    """The class whose loops are those of ``loop_class``, and follow a schedule.

    TypeError says that a class lets nobody derive from it.
    """
    # Loops of asyncio's set each timer by call_at(), whatever was called.
    mixin = Scheduled if issubclass(loop_class, _BaseEventLoop) else _LateByDelay
    return type(f"Scheduled{loop_class.__name__}", (mixin, loop_class), {})
