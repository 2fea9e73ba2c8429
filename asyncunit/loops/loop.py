"""An event loop that a scope owns: made, and closed within a bound; and what the thread's current one is.

An `Instrument` looks on while it is used. ``checks`` has the one that looks for what is left behind; nothing in this
package knows what is looked for.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
import warnings
import weakref
from asyncio import (
    AbstractEventLoop,
    Runner,
    Task,
    _unregister_task,
    all_tasks,
    get_event_loop,
    get_running_loop,
    new_event_loop,
    sleep,
    wait,
)
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from asyncunit.config.settings import Config, LoopFactory, VirtualLoops
from asyncunit.errors import (
    ConfigurationError,
    CutShortError,
    DeadlockError,
    LoopClosedError,
    RunningLoopError,
    UnfinishedError,
)
from asyncunit.introspection.frames import describe_task, innermost_place, is_ours, places_of_task, stack
from asyncunit.introspection.tracebacks import mark_as_reported
from asyncunit.loops.interrupts import Deadline, Interrupt, Running
from asyncunit.scopes.open_scope import OpenScope, given_to, remember_owner

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt
    from asyncunit.loops.virtual_clock import VirtualClock


T = TypeVar("T")


class Instrument:
    """Looks on at one loop, from when it is made until it is closed; this one sees nothing.

    ``is_ending`` is true while tasks that were left are being ended. ``is_new_to_tests`` is true once something other
    than a test has run on the loop, and may have set it: that is meant, and stays.
    """

    def __init__(self, _loop: AbstractEventLoop, _loop_owner: OpenScope | None = None) -> None:
        # Not in the class: Python is slow to read and to set what is in both.
        self.is_ending = False
        self.is_new_to_tests = True

    def in_loop(self, _config: Config) -> Callable[[], object] | None:
        """What is to be called in the running loop, just before a step whose configuration asks for that."""

    def step_begins(self, _loop: AbstractEventLoop, _config: Config) -> None:
        """A step is to begin, whose configuration asks for it to be watched."""

    def step_ends(self) -> None:
        """That step is done."""

    def raised_between_steps(self, error: BaseException) -> None:
        """A task or a signal handler has thrown an error out of the loop while no step was run."""

    def loop_closed(self, _loop: AbstractEventLoop, _left: Iterable[Task[Any]]) -> list[Exception]:
        """The loop is closed, after these tasks were ended; what is to be reported of it."""
        return []


# Makes what looks on at a loop of a scope.
MakeInstrument = Callable[[AbstractEventLoop, OpenScope], Instrument]


# The loop.


# Seconds that all that is left on a loop has, together, to end when the loop closes.
CLOSE_TIMEOUT = 5.0

# How often what is found is cancelled, for some of it is started again.
_ROUNDS = 20

# Turns of a loop without a task after which nothing more comes: what one starts as it ends is there in the second.
QUIET = 2

# What is said of tasks that cannot be cancelled, and these tasks.
_AWAITS_ITSELF = "it waits for a task that waits for it, so neither can be cancelled"
_await_each_other: weakref.WeakSet[Task[Any]] = weakref.WeakSet()

# What did not end in time. It is kept alive, for letting it go would wait for it again, or log noise.
_kept_alive: list[object] = []


def loop_is_running() -> bool:
    """Whether this thread is running an event loop."""
    try:
        get_running_loop()
    except RuntimeError:
        return False
    return True


def refuse_running_loop() -> None:
    """Raise RunningLoopError where this thread already runs a loop, as the cell of a notebook does."""
    if not loop_is_running():
        return
    raise RunningLoopError(
        "an event loop is already running in this thread (as in a notebook), and tests cannot run inside it. "
        "Run them in a process of their own, python -m unittest, or in another thread: "
        "await asyncio.to_thread(unittest.main, argv=[''], exit=False)"
    )


class OnLoop(Protocol):
    """The task of a scope, for the loop that it is on."""

    def end(self) -> object:
        """Have it end with the next turn of the loop."""

    def abandon(self) -> None:
        """Let go of it where it has not."""


class LoopRunner:
    """One event loop, made by ``factory``, from its first use to its close.

    ``owner`` is the scope that closes it. ``broken`` lists the scope tasks on this loop that were cancelled while they
    had no step: something that their scope holds open has crashed. ``scope_tasks`` are those that have a task on the
    loop. ``stubborn`` are tasks that have refused to end, and that nobody waits for any more: the loop is to be
    replaced. ``exits`` is what tasks and signal handlers have thrown out of the loop, while no step was run.
    ``instrument`` looks on at ``loop``; there is a new one for each loop, made by ``instrument_of``. ``is_closing`` is
    true from the beginning of `close` on, and ``is_interrupted`` once the second Ctrl-C has closed the loop, until
    there is a new one. ``close_is_reported`` is true once there is nothing to be said of a loop that is closed before
    its time, or no more. ``virtual`` is the loop, too, where it has a virtual clock, and else None.
    ``attempt`` is the schedule that the loop follows, where it follows one.
    """

    def __init__(
        self,
        owner: OpenScope,
        factory: LoopFactory | None,
        attempt: Attempt | None = None,
        instrument_of: MakeInstrument = Instrument,
    ) -> None:
        self.owner = owner
        self._instrument_of = instrument_of
        self.broken: list[Running] = []
        self.interrupt = Interrupt.of_this_thread()
        self.factory = factory
        self.attempt = attempt
        clocked = factory if attempt is None else attempt.clocked(factory)
        self._is_virtual = isinstance(clocked, VirtualLoops)
        self._made_by = _maker(clocked) if attempt is None else attempt.maker(_maker(clocked))
        self.renew()

    def renew(self) -> None:
        """Make a loop, the first or one in the place of a loop that can be used no longer."""
        self.close_is_reported = False
        self.is_closing = self.is_interrupted = self._is_bound_over = False
        self.stubborn: set[Task[Any]] = set()
        self.scope_tasks: set[OnLoop] = set()
        self.exits: list[BaseException] = []
        self._runner: Runner | None = None
        self.loop = _made_by(self._made_by)
        self.virtual = cast("VirtualClock", self.loop) if self._is_virtual else None
        self.instrument: Any = self._instrument_of(self.loop, self.owner)
        remember_owner(self.loop, self.owner)

    @property
    def runner(self) -> Runner:
        """A runner that has the loop, made when it is asked for: IsolatedAsyncioTestCase has one, few ask for it."""
        if self._runner is None:
            loop = self.loop  # not `self`: a cycle of references
            self._runner = Runner(loop_factory=lambda: loop)
        return self._runner

    def report_closed_by_user(self) -> LoopClosedError:
        """The error to raise where somebody else has closed the loop; from the second on it is a repeated one."""
        repeated, self.close_is_reported = self.close_is_reported, True
        made = LoopClosedError(
            f"the event loop of the scope '{self.owner}' was closed by code that had only borrowed it; asyncunit "
            f"closes it when the scope ends. Take out the call of loop.close(), or make a loop of your own with "
            f"asyncio.new_event_loop(). What had been set up on the loop is set up anew for the next test."
        )
        made.is_repeated = repeated
        return made

    def close_at_once(self) -> None:
        """Close the loop at once, for nothing more is waited for, and nothing that is left on it is told of."""
        self.is_interrupted = self.close_is_reported = True
        silence(self.loop)
        self.loop.close()

    def end_tasks(self, find: Callable[[], set[Task[Any]]]) -> set[Task[Any]]:
        """Cancel the tasks that ``find`` finds, until it finds no more, and wait for them; return all of them.

        Those that have not ended within CLOSE_TIMEOUT seconds are stubborn from then on.
        """
        left: set[Task[Any]] = set()
        self.instrument.is_ending = True
        try:
            ending = self.run_aside(_end(find, left, self.stubborn))
        finally:
            self.instrument.is_ending = False
        left |= find()  # what was started again as often as it was cancelled
        self.stubborn |= {task for task in (ending, *left) if not task.done()}
        return left

    def turn(self) -> None:
        """Run the loop for one turn: what was told to end does so."""
        self.loop.call_soon(self.loop.stop)
        try:
            self.loop.run_forever()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of another task, or of a signal handler
            mark_as_reported(error)
            self.instrument.raised_between_steps(error)

    def run_aside(self, coroutine: Coroutine[Any, Any, None], *, is_last: bool = False) -> Task[None]:
        """Run a coroutine of asyncunit's own, CLOSE_TIMEOUT seconds at most, and return its task.

        What is short is not watched: one turn of the loop. Where it is the last that the loop runs, the coroutine says
        itself which turn that is.
        """
        loop = self.loop
        task = Task(_stopping(loop, coroutine), loop=loop, context=given_to(None))
        _unregister_task(task)  # it is nobody's: what ends may look for all other tasks
        if not is_last:
            loop.call_soon(loop.stop)
        self._run_loop()
        if not task.done():  # it has something to wait for, so it is worth to be watched
            bound = Deadline(CLOSE_TIMEOUT, lambda: f"closing the loop of the scope '{self.owner}'", self._stop_waiting)
            self._is_bound_over = False
            while not task.done() and not self._is_bound_over:
                self._run_loop()
            bound.stop()
        return task

    def _run_loop(self) -> None:
        """Run the loop until something stops it; what other tasks and signal handlers raise is told when it closes."""
        try:
            self.loop.run_forever()
        except KeyboardInterrupt:
            raise
        except DeadlockError:  # what is to end waits for something that cannot come
            self._is_bound_over = True
        except BaseException as error:
            mark_as_reported(error)
            self.exits.append(error)

    def _stop_waiting(self) -> None:
        """The bound is over; called in the thread of the watchdog."""
        self._is_bound_over = True
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self.loop.stop)

    def close(self) -> list[Exception]:
        """End what still runs on the loop, close it, and return what is to be reported. May be called twice.

        That is an UnfinishedError, too, which names what did not end within CLOSE_TIMEOUT seconds. (Runner.close()
        would wait for it, for ever.)
        """
        loop = self.loop
        if loop.is_closed():
            return [] if self.is_closing or self.close_is_reported else [self.report_closed_by_user()]
        self.is_closing = self.instrument.is_ending = True
        for scope_task in list(self.scope_tasks):
            scope_task.end()
        left: set[Task[Any]] = set()
        try:
            is_clear = self.owner.is_over and not self.owner.is_left and not self.scope_tasks
            shut_down = self.run_aside(_shut_down(loop, left, self.stubborn, is_clear=is_clear), is_last=True)
        finally:
            loop.close()
            for scope_task in list(self.scope_tasks):
                scope_task.abandon()
        errors: list[Exception] = []
        again = all_tasks(loop) - self.stubborn
        if not shut_down.done() or again:
            errors.append(self._unfinished_error(shut_down, (left | again) - self.stubborn))
        else:
            shut_down.result()
        for task in self.stubborn:
            keep_unfinished(task)
        if self.exits:
            errors += self._exit_errors()
        errors += self.instrument.loop_closed(loop, left)
        return errors

    def _exit_errors(self) -> list[Exception]:
        errors: list[Exception] = []
        for exit_ in self.exits:
            error = CutShortError(f"a task left on the loop of the scope '{self.owner}' raised {exit_!r}")
            error.__cause__ = exit_
            errors.append(error)
        return errors

    def _unfinished_error(self, shut_down: Task[None], left: set[Task[Any]]) -> UnfinishedError:
        stubborn = [task for task in left if not task.done()]
        for task in (shut_down, *stubborn):
            if not task.done():
                keep_unfinished(task)
        described = [refusal(task) for task in stubborn] or _executor_threads()
        return UnfinishedError(
            f"the event loop of the scope '{self.owner}' was closed, but this did not end within {CLOSE_TIMEOUT:g} "
            f"seconds of being told to:\n"
            + "".join(f"  - {what}\n" for what in described or ["an async generator that was left open"])
            + "End it in a tear-down. (A task that catches CancelledError must raise it again.)"
        )


def _maker(factory: LoopFactory | None) -> LoopFactory:
    """What makes the loops; raises ConfigurationError where they cannot have the clock that is asked for."""
    if isinstance(factory, VirtualLoops):
        from asyncunit.loops.virtual_clock import virtual_clock_factory

        return virtual_clock_factory(factory.factory, factory.quiet)
    return factory or new_event_loop


def _made_by(factory: Callable[[], AbstractEventLoop]) -> AbstractEventLoop:
    loop: object = factory()
    if not isinstance(loop, AbstractEventLoop) or loop.is_closed() or loop.is_running():
        raise ConfigurationError(
            f"loop_factory {factory!r} returned {loop!r}; expected an event loop, a new one at each call."
        )
    return loop


def keep_unfinished(task: Task[Any]) -> None:
    """Let a task be that will never be done: keep it, and have its loop not say so."""
    _kept_alive.append(task)
    silence(task.get_loop())


def silence(loop: AbstractEventLoop) -> None:
    """Have a closed loop not say of each task that it was destroyed: what was left on it has been reported."""
    loop.set_exception_handler(lambda _loop, _context: None)


def current_loop() -> AbstractEventLoop | None:
    """The thread's current loop; unlike asyncio.get_event_loop(), this never makes one."""
    if sys.version_info < (3, 14) and threading.current_thread() is threading.main_thread():
        from asyncio import get_event_loop_policy  # goes with Python 3.16

        policy = get_event_loop_policy()
        if _asked and _asked[0] is policy:
            return _ask_for_current_loop()
        # Up to Python 3.13 the first question in the main thread has the policy make a loop.
        _asked[:] = [policy]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            policy.new_event_loop = _refuse_to_make  # type: ignore[method-assign]
            try:
                return _ask_for_current_loop()
            finally:
                del policy.new_event_loop
    return _ask_for_current_loop()


def _ask_for_current_loop() -> AbstractEventLoop | None:
    try:
        return get_event_loop()
    except RuntimeError:
        return None


def _refuse_to_make() -> AbstractEventLoop:
    raise RuntimeError("there is no current event loop")


# The event loop policy that the main thread has been asked about: by now its loop was set, if only to None.
_asked: list[object] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_asked.clear)  # asyncio forgets the loop of the thread, too


async def _stopping(loop: AbstractEventLoop, coroutine: Coroutine[Any, Any, None]) -> None:
    """Await, and stop the loop in the same turn; run_until_complete() would take another."""
    try:
        await coroutine
    finally:
        if not loop.is_closed():  # as it is where this was abandoned
            loop.stop()


async def _shut_down(
    loop: AbstractEventLoop, left: set[Task[Any]], stubborn: set[Task[Any]], *, is_clear: bool
) -> None:
    """End tasks, async generators and the executor; ``left`` is filled with the tasks that have been cancelled.

    What is left to be called has a turn of the loop for what it has called in turn, as a transport tells its protocol
    that the connection is lost. ``is_clear`` is true of the loop of a test that has left nothing.
    """
    if not is_clear:
        await sleep(0)  # in which the tasks of scopes that were told to end do so, too
    loop.stop()  # after this turn; what is not done by then is watched
    if all_tasks(loop):  # the one that runs this is not among them
        if is_clear:
            await sleep(0)  # one that was started just now may end by itself
        await _end(functools.partial(all_tasks, loop), left, stubborn)
        for task in left - stubborn:
            if not task.cancelled() and (error := task.exception()) is not None:
                loop.call_exception_handler(
                    {"message": "unhandled exception while the loop closed", "exception": error, "task": task}
                )
    await loop.shutdown_asyncgens()
    # Without its own timeout, which Python 3.11 does not have, and which would wait beyond ours.
    await loop.shutdown_default_executor()


async def _end(find: Callable[[], set[Task[Any]]], left: set[Task[Any]], stubborn: set[Task[Any]]) -> None:
    for _ in range(_ROUNDS):
        tasks = find() - left - stubborn
        for _ in range(QUIET if left and not tasks else 0):  # what the last ones start as they end
            await sleep(0)
            tasks |= find() - left - stubborn
        if not tasks:
            return
        left |= tasks
        for task in tasks:
            try:
                task.cancel()
            except RecursionError:  # asyncio cancels it by cancelling what it waits for, and that waits for it
                _await_each_other.add(task)
                stubborn.add(task)
        if waited_for := left - stubborn:
            await wait(waited_for)


def refusal(task: Task[Any]) -> str:
    """What a report says of a task that refuses to end."""
    still = f"{describe_task(task)}, still at {innermost_place(places_of_task(task))}"
    return f"{still}; {_AWAITS_ITSELF}" if task in _await_each_other else still


def late_refusal(task: Task[Any]) -> str:
    """As `refusal`, where nothing around it says how long that was waited for."""
    text = refusal(task)
    return text if task in _await_each_other else f"{text}; it was told to end {CLOSE_TIMEOUT:g} seconds before"


def _executor_threads() -> list[str]:
    """The threads of asyncio's default executors that are at work, and where."""
    described = []
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread.name.startswith("asyncio_") and frame is not None:
            where = next(each for each in stack(frame) if not is_ours(each))
            name, place = where.f_code.co_name, f"{where.f_code.co_filename}:{where.f_lineno}"
            if name != "_worker":  # where one that has nothing to do waits
                described.append(f"executor thread {thread.name!r} still runs {name}() at {place}")
    return described
