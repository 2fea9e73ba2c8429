"""A step: something to await in a scope's task, what came of it, and what ends one that takes too long."""

from __future__ import annotations

import asyncio
import enum
import inspect
import warnings
from asyncio import CancelledError, Future, Task, _register_task, _unregister_task
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from types import CoroutineType  # slow to read of the module: it has a __getattr__()
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from asyncunit.errors import AsyncUnitError, AsyncUnitWarning, TestTimeoutError
from asyncunit.introspection.frames import generator_of, place_of_function, places_of_task
from asyncunit.introspection.functions import discard, name_of
from asyncunit.introspection.tracebacks import is_error, stand_at, trim
from asyncunit.loops.interrupts import Deadline
from asyncunit.scopes.open_scope import OpenScope, Within

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

if TYPE_CHECKING:
    from asyncunit.loops.virtual_clock import VirtualClock


class After(enum.Enum):
    """What becomes of the task where nothing follows a step."""

    END_TASK = "end the task"  # nothing is left to be run in it
    KEEP_TASK = "keep the task"


# Asked for each test, and slow to find on an enum up to Python 3.11.
END_TASK: Final = After.END_TASK

KEEP_TASK: Final = After.KEEP_TASK


class Continuation(Protocol):
    """Who knows what follows a step in the same run of the loop."""

    def next_step(self, step: Step, *, is_broken: bool) -> Awaitable[Any] | After:
        """What is to be awaited after a step; else what becomes of the task.

        ``is_broken`` is true where the step has failed, or a cancellation goes through the scope.
        """

    def step_failed(self, error: BaseException) -> None:
        """Take what a step has raised that was not the first."""


class TearDown:
    """Who runs the tear-down of a fixture, in a method of its own."""

    fixture: Any


async def _nothing() -> AsyncGenerator[None, None]:
    yield


# What ``anext()`` gives of an async generator.
_first = anext(_nothing())
_first.close()
AsyncGeneratorNext = type(_first)


class Step:
    """Something to await in a scope's task, and what came of it.

    ``continuation`` tells what follows in the same run of the loop, step by step. ``expired`` is the error that it ends
    with because it took too long, or would never end, and ``last_call`` what gives it up where it does not. ``stray``
    was thrown out of the loop meanwhile. ``is_kept_from_beginning`` is true where it was cancelled before it had begun.
    """

    def __init__(self, awaitable: Awaitable[Any], continuation: Continuation | None = None) -> None:
        # Not in the class as well: Python is slow to read and to set what is in both.
        self.awaitable = awaitable
        self.continuation = continuation
        # What is to be called in the running loop just before.
        self.begin: Callable[[], object] | None = None
        self.done = self.is_kept_from_beginning = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.stray: BaseException | None = None
        self.expired: AsyncUnitError | None = None
        self.last_call: Deadline | None = None

    def discard(self) -> None:
        """Have it never begin."""
        discard(self.awaitable)

    @property
    def name(self) -> str:
        """What the step does, as a report names it."""
        step: Any = self.awaitable
        if type(step) is Within:
            step = step.cr_await
        if isinstance(step, CoroutineType):
            exit_ = inspect.getcoroutinelocals(step).get("self")
            if isinstance(exit_, TearDown):
                return f"the tear-down of the {exit_.fixture}"
        else:
            step = generator_of(step) or step
        name = getattr(step, "__qualname__", None)
        return f"{name}()" if name else repr(step)

    def end_expired(self, expired: AsyncUnitError) -> None:
        """End with the error of a step that took too long; its traceback ends where the step was waiting."""
        if self.error is not None and is_error(self.error, CancelledError):
            expired.__traceback__ = trim(self.error).__traceback__ or expired.__traceback__
        else:
            expired.__context__ = self.error
        self.error = expired


class SubmittedStep(Step):
    """A step that was given from inside the loop; who waits for it does so by the ``waiter``.

    ``is_cancelled_by_caller`` is true where that was cancelled. Any other step has a caller who stands outside the loop
    and runs it until the step is ``done``.
    """

    def __init__(self, awaitable: Awaitable[Any], waiter: Future[None]) -> None:
        super().__init__(awaitable)
        self.waiter = waiter
        self.is_cancelled_by_caller = False


class Waiting:
    """What the task of a step awaits once the step waits for something.

    The task is out of the list of all tasks meanwhile, so that code which cancels all other tasks, or counts them,
    finds its own alone.
    """

    def __init__(self, task: Task[None], awaitable: Any, *given: Any) -> None:
        self._task = task
        self._is_unlisted = False
        self._awaitable = awaitable
        # What it iterates over, and what that gave already before it was asked to.
        self._iterator: Any = None
        self._given = given

    # What ``await`` asks for: of this, and of what it iterates over then, which is this as well.

    def __await__(self) -> Any:
        awaitable = self._awaitable
        self._iterator = awaitable if type(awaitable) is CoroutineType else awaitable.__await__()
        return self

    def __iter__(self) -> Waiting:
        return self

    def __next__(self) -> Any:
        if self._given:
            (waits_for,), self._given = self._given, ()
            self._unlist()
            return waits_for
        if self._is_unlisted:
            self._list()
        iterator = self._iterator
        waits_for = iterator.send(None) if type(iterator) is CoroutineType else next(iterator)
        self._unlist()
        return waits_for

    def throw(self, *error: Any) -> Any:
        """Go on with an error, mostly a cancellation."""
        if self._is_unlisted:
            self._list()
        raised = error[1] if len(error) > 1 and error[1] is not None else error[0]
        throw = getattr(self._iterator, "throw", None)
        if throw is None:
            raise raised
        waits_for = throw(raised)
        self._unlist()
        return waits_for

    def close(self) -> None:
        """End it."""
        close = getattr(self._iterator, "close", None)
        if close is not None:
            close()

    @property
    def cr_await(self) -> Any:
        """What is awaited inside, under the name that a coroutine has for it."""
        return self._iterator

    def _list(self) -> None:
        _register_task(self._task)
        self._is_unlisted = False

    def _unlist(self) -> None:
        _unregister_task(self._task)
        self._is_unlisted = True


# What ends a step that takes too long.


T = TypeVar("T")

# Real seconds for which something outside may hold a virtual clock in one step before that is worth a warning.
HELD_TOO_LONG = 1.0


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


def describe_waiting(tasks: Iterable[tuple[asyncio.Task[Any] | None, str]]) -> Iterator[str]:
    """What each task waits for, as lines of a report."""
    for task, name in tasks:
        places = [] if task is None else places_of_task(task)
        yield f"  - {name}, waits at {' > '.join(map(str, places)) or 'an unknown line'}"
