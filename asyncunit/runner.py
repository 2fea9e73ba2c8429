"""Event loops, and the one task in which a scope's coroutines run on one."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
import time
import traceback
import types
import warnings
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from asyncunit.config import LoopFactory
from asyncunit.errors import (
    ConfigurationError,
    CutShortError,
    LoopClosedError,
    LoopScopeError,
    RunningLoopError,
    UnfinishedError,
)
from asyncunit.registry import OpenScope

__all__ = [
    "CLOSE_TIMEOUT",
    "Interrupt",
    "LoopRunner",
    "ScopeRunner",
    "discard",
    "is_awaitable",
    "loop_is_running",
    "refuse_running_loop",
]

__unittest = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")

# Seconds that all that is left on a loop has, together, to end when the loop closes.
CLOSE_TIMEOUT = 5.0

# What did not end in time. It is kept alive, for letting it go would wait for it again, or log noise.
_unfinished: list[object] = []

# asyncio.EventLoop is new in Python 3.13, and means the other two.
_default_factory: LoopFactory = getattr(asyncio, "EventLoop", None) or getattr(
    asyncio, "ProactorEventLoop" if sys.platform == "win32" else "SelectorEventLoop"
)


def _is_async_def(function: object) -> bool:
    """Whether calling ``function`` runs none of its lines, but makes a coroutine of them."""
    code = getattr(function, "__code__", None)
    return type(code) is types.CodeType and bool(code.co_flags & inspect.CO_COROUTINE)


def is_awaitable(value: object) -> bool:
    """Whether ``value`` can be awaited, asked of coroutines first, for they are what it mostly is."""
    return type(value) is types.CoroutineType or inspect.isawaitable(value)


def loop_is_running() -> bool:
    """Whether this thread is running an event loop."""
    try:
        asyncio.get_running_loop()
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


class LoopRunner:
    """One event loop, made by ``factory``, from its first use to its close.

    ``owner`` is the scope that closes it. ``broken`` lists the scope runners on this loop that were cancelled
    while nobody had a job for them: something that their scope holds open has crashed.
    """

    def __init__(self, owner: OpenScope, factory: LoopFactory | None) -> None:
        self.owner = owner
        self.broken: list[ScopeRunner] = []
        self.interrupt = Interrupt.of_this_thread()
        self._made_by = factory or _default_factory
        self.renew()

    def renew(self) -> None:
        """Make a loop, the first or one in the place of a loop that can be used no longer."""
        self.close_is_reported = False
        self.is_closing = False
        self.runner = asyncio.Runner(loop_factory=self._make)
        self.loop = self.runner.get_loop()

    def _make(self) -> asyncio.AbstractEventLoop:
        loop = self._made_by()
        if not isinstance(loop, asyncio.AbstractEventLoop) or loop.is_closed() or loop.is_running():
            raise ConfigurationError(
                f"loop_factory {self._made_by!r} returned {loop!r}; expected an event loop, a new one at each call."
            )
        return loop

    def closed_by_user(self) -> LoopClosedError:
        """The error to raise where somebody else has closed the loop."""
        self.close_is_reported = True
        return LoopClosedError(
            f"the event loop of the scope '{self.owner}' was closed by code that had only borrowed it; asyncunit "
            f"closes it when the scope ends. Take out the call of loop.close(), or make a loop of your own with "
            f"asyncio.new_event_loop(). What had been set up on the loop is set up anew for the next test."
        )

    def close(self) -> None:
        """End what still runs on the loop and close it. May be called twice.

        Raises UnfinishedError that names what did not end within CLOSE_TIMEOUT seconds. (Runner.close() would
        wait for it, for ever.)
        """
        loop = self.loop
        if loop.is_closed():
            return
        self.is_closing = True
        shut_down = asyncio.Task(_shut_down(loop), loop=loop)
        left: SystemExit | None = None
        try:
            while not shut_down.done():
                try:
                    loop.run_until_complete(shut_down)
                except SystemExit as error:  # of a task that was cancelled
                    left = error
        finally:
            loop.close()
        if left is not None:
            raise CutShortError(
                f"a task that was left on the loop of the scope '{self.owner}' raised {left!r}"
            ) from left
        if unfinished := shut_down.result():
            silence(loop)
            raise UnfinishedError(
                f"the event loop of the scope '{self.owner}' was closed, but this did not end within "
                f"{CLOSE_TIMEOUT:g} seconds of being told to:\n"
                + "".join(f"  - {what}\n" for what in unfinished)
                + "End it in a tear-down. (A task that catches CancelledError must raise it again.)"
            )


def silence(loop: asyncio.AbstractEventLoop) -> None:
    """Have a closed loop not say of each task that it was destroyed: what was left on it has been reported."""
    loop.set_exception_handler(lambda _loop, _context: None)


def current_loop() -> asyncio.AbstractEventLoop | None:
    """The thread's current loop; unlike asyncio.get_event_loop(), this never makes one."""
    if sys.version_info < (3, 14) and threading.current_thread() is threading.main_thread():
        policy = asyncio.get_event_loop_policy()
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


def _ask_for_current_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_event_loop()
    except RuntimeError:
        return None


def _refuse_to_make() -> asyncio.AbstractEventLoop:
    raise RuntimeError("there is no current event loop")


# The event loop policy that the main thread has been asked about: by now its loop was set, if only to None.
_asked: list[object] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_asked.clear)  # asyncio forgets the loop of the thread, too


async def _shut_down(loop: asyncio.AbstractEventLoop) -> list[str]:
    """End tasks, async generators and the executor, in at most CLOSE_TIMEOUT seconds; say what remains."""
    deadline = time.monotonic() + CLOSE_TIMEOUT
    own = asyncio.current_task(loop)
    await asyncio.sleep(0)  # lets the tasks of scopes that were told to end do so
    tasks = asyncio.all_tasks(loop) - {own}
    for task in tasks:
        task.cancel()
    unfinished = [_describe(task) for task in await _wait(tasks, deadline)]
    for task in tasks:
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {"message": "unhandled exception while the loop closed", "exception": error, "task": task}
            )
    rest = asyncio.Task(_shut_down_rest(loop), loop=loop)
    if await _wait({rest}, deadline):
        unfinished += _executor_threads() or ["an async generator does not end when it is closed"]
    else:
        rest.result()
    return unfinished


async def _shut_down_rest(loop: asyncio.AbstractEventLoop) -> None:
    await loop.shutdown_asyncgens()
    # Without its timeout, which Python 3.11 does not have, and which would wait anew after ours.
    await loop.shutdown_default_executor()


async def _wait(tasks: set[asyncio.Task[Any]], deadline: float) -> set[asyncio.Task[Any]]:
    """Wait for the tasks until the deadline; return, and keep alive, those that did not end."""
    if not tasks:
        return set()
    _, pending = await asyncio.wait(tasks, timeout=max(deadline - time.monotonic(), 0.01))
    _unfinished.extend(pending)
    return pending


def _describe(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", None) or repr(coroutine)
    where = ", ".join(f"{frame.f_code.co_filename}:{frame.f_lineno}" for frame in task.get_stack(limit=1))
    return f"task {task.get_name()!r} running {name}() swallows its cancellation at {where or 'an unknown line'}"


def _executor_threads() -> list[str]:
    """The threads of asyncio's default executors that are at work, and where."""
    described = []
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if thread.name.startswith("asyncio_") and frame is not None:
            where = traceback.extract_stack(frame)[-1]
            if where.name != "_worker":  # where one that has nothing to do waits
                described.append(
                    f"executor thread {thread.name!r} still runs {where.name}() at {where.filename}:{where.lineno}"
                )
    return described


class _Job:
    """Something to await in a scope's task, and what came of it.

    ``waiter`` is None where the caller stands outside the loop and runs it until ``done``. ``is_last`` tells, once the
    awaitable is done, whether the task can end with it. ``stray`` was thrown out of the loop meanwhile. ``is_given_up``
    is true where whoever waited for it was cancelled.
    """

    waiter: asyncio.Future[None] | None = None
    is_last: Callable[[], bool] | None = None
    is_given_up = False
    done = False
    value: Any = None
    error: BaseException | None = None
    stray: BaseException | None = None

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable


class ScopeRunner:
    """The task of one scope on one loop: all that is async about the scope runs in it, one after the other.

    ``in_flight`` is the cancellation that goes through the contexts that the scope has entered, or what one of
    them made of it; None while all is well. ``debug`` is asyncio's debug mode while the scope has the loop,
    None to leave it as it is. ``is_ending`` is true from the tear-down on: until then, no job begins once a
    cancellation is in flight. The thread's current loop, which sync code finds to be this one, is put back when the
    scope ``put_back_with`` closes. The task is made by the first awaitable and ends with `end`.
    """

    in_flight: BaseException | None = None
    is_ending = False
    _task: asyncio.Task[None] | None = None
    # Not None while the task waits for a job.
    _wake: asyncio.Future[None] | None = None
    # The one that the task awaits.
    _current: _Job | None = None
    # True while the scope's sync half runs: its context is then entered, and cannot be entered again.
    _in_sync = False

    def __init__(
        self, loops: LoopRunner, scope: OpenScope, debug: bool | None, put_back_with: OpenScope | None = None
    ) -> None:
        self.loops = loops
        self.scope = scope
        self.debug = debug
        self._put_back_with = put_back_with or scope
        self._loop = loops.loop
        # Jobs that are posted and not yet taken; None at the end of it ends the task.
        self._inbox: list[_Job | None] = []

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context; await what it returns if it can be."""
        value = self.call_sync(function, *args, **kwargs)
        return self.run(value) if is_awaitable(value) else value

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context, the loop being the thread's current one."""
        if _is_async_def(function) or self.runs_code:
            return function(*args, **kwargs)
        self._put_back_with.keep(current_loop, current_loop, asyncio.set_event_loop)
        self._in_sync = True
        try:
            asyncio.set_event_loop(self.loops.loop)
            return self.scope.context.run(function, *args, **kwargs)
        finally:
            self._in_sync = False

    @property
    def runs_code(self) -> bool:
        """Whether code of the scope is running: whoever asks has been called by it."""
        return self._in_sync or self.loops.loop.is_running()

    def run(self, awaitable: Awaitable[T], is_last: Callable[[], bool] | None = None) -> T:
        """Await in the scope's task, from outside the loop, and return or raise what came of it.

        ``is_last`` tells, when that has come, whether nothing will be run in the task after it.
        """
        loop = self.loops.loop
        if self._in_sync or loop.is_running():
            discard(awaitable)
            raise RunningLoopError(
                f"{awaitable!r} cannot be run to its end here, for the scope '{self.scope}' is already running "
                f"code. Await it where it is made, in an async function."
            )
        if loop.is_closed():
            discard(awaitable)
            raise self.loops.closed_by_user()
        job = _Job(awaitable)
        job.is_last = is_last
        self._post(job)
        self._drive(job)
        error = job.stray or job.error
        if error is not None:
            if isinstance(error, GeneratorExit) and self._task is not None and self._task.done():
                self._task.exception()  # it is raised here, and need not be logged
            try:
                raise error
            finally:
                error = job.stray = job.error = None  # a cycle: error, traceback, frame, job
        value: T = job.value
        return value

    async def submit(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await ``function(*args)`` in the scope's task, from inside the loop.

        Where that task is busy it is the caller, or waits for the caller: then the caller awaits it itself.
        """
        if asyncio.get_running_loop() is not self.loops.loop:
            raise LoopScopeError(
                f"something is to be done on the event loop of the scope '{self.scope}', but this runs on another "
                f"loop, which does not last so long. Write in the class that this is called from:  "
                f'loop_scope = "{self.loops.owner.scope}"'
            )
        if self._current is not None:
            return await function(*args)
        waiter = self.loops.loop.create_future()
        job = _Job(function(*args))
        job.waiter = waiter
        self._post(job)
        try:
            await waiter
        except asyncio.CancelledError:
            if job in self._inbox:
                self._inbox.remove(job)
                discard(job.awaitable)
            elif not job.done:
                job.waiter = self._loop.create_future()
                job.is_given_up = True
                self.cancel()
                await job.waiter
            raise
        if job.error is not None:
            raise job.error
        value: T = job.value
        return value

    def end(self) -> None:
        """Have the task end with the next turn of the loop. May be called twice."""
        if self._task is not None and not self._task.done() and not self._loop.is_closed():
            self._inbox.append(None)
            self._rouse()

    def abandon(self) -> None:
        """Let go of a task that can run no more, for its loop is closed."""
        if self._task is not None and not self._task.done():
            _unfinished.append(self._task)
            silence(self._loop)
        self._task = self._wake = None
        self._inbox.clear()
        self._current = None

    def _post(self, job: _Job) -> None:
        self._inbox.append(job)
        if self._task is None or self._task.done():
            self._loop = self.loops.loop
            # Not by loop.create_task(): a task factory that a test has set is for the test's own tasks.
            self._task = asyncio.Task(self._serve(), loop=self._loop, context=self.scope.context)
        else:
            self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _drive(self, job: _Job) -> None:
        """Run the loop until the job is done; whatever stops the loop before that does not end the job."""
        loop, interrupt = self._loop, self.loops.interrupt
        interrupt.active = self
        debug = None if self.debug is None else loop.get_debug()
        if self.debug is not None:
            loop.set_debug(self.debug)
        try:
            while not job.done:
                try:
                    loop.run_forever()
                except (KeyboardInterrupt, SystemExit) as stray:
                    self._end_job(job, stray)
        finally:
            interrupt.active = None
            if debug is not None and not loop.is_closed():
                loop.set_debug(debug)
        if interrupt.is_pending:
            interrupt.is_pending = False
            cancelled, job.error = job.error, KeyboardInterrupt()
            job.error.__context__ = cancelled

    def _end_job(self, job: _Job, stray: BaseException) -> None:
        """Have the job end with what a signal handler, or another task or callback, has thrown out of the loop.

        The second Ctrl-C is thrown further: then the loop is closed, for nothing more is waited for.
        """
        interrupt = self.loops.interrupt
        if isinstance(stray, KeyboardInterrupt) and (interrupt.count > 1 or isinstance(job.stray, KeyboardInterrupt)):
            interrupt.gave_up = True
            silence(self._loop)
            self._loop.close()
            raise stray
        if job.stray is None:
            job.stray = stray
            self.cancel()
        if self._task is None or self._task.done():
            job.done = True
            job.error = stray

    def cancelled(self, error: asyncio.CancelledError) -> None:
        """Let a cancellation go through what the scope holds; it counts as broken."""
        self.in_flight = self.in_flight or error
        if self not in self.loops.broken:
            self.loops.broken.append(self)

    def cancel(self) -> None:
        """Cancel the job that the task has; one that has none is left alone."""
        if self._current is not None and self._task is not None:
            self._task.cancel()
        elif self._inbox:
            # Not the task: one that is cancelled before its first step never takes it. The job will not begin.
            self.in_flight = self.in_flight or asyncio.CancelledError()

    async def _serve(self) -> None:
        inbox = self._inbox
        while inbox or await self._wait():
            job = self._current = inbox.pop(0)
            if job is None:
                return
            try:
                if self.in_flight is not None and not self.is_ending:
                    discard(job.awaitable)
                    raise self.in_flight
                job.value = await job.awaitable
            except GeneratorExit as error:
                self._finish(job, error)
                raise  # perhaps it is this coroutine that is being closed, and must not go on
            except BaseException as error:
                job.error = error
            if self._task.cancelling():  # type: ignore[union-attr]
                await self._absorb(job)
            if job.waiter is not None and isinstance(job.error, asyncio.CancelledError) and not job.is_given_up:
                self.cancelled(job.error)
            self._finish(job, job.error)
            if job.is_last is not None and not inbox and job.is_last():
                return
            del job

    def _finish(self, job: _Job, error: BaseException | None) -> None:
        self._current = None
        job.error = error
        job.done = True
        if job.waiter is None:
            self._loop.stop()
        elif not job.waiter.done():
            job.waiter.set_result(None)

    async def _wait(self) -> bool:
        """Wait for a job; False where the loop closes, and there will be none."""
        while not self._inbox:
            self._wake = self._loop.create_future()
            try:
                await self._wake
            except asyncio.CancelledError as error:
                if self.loops.is_closing:
                    return False
                self._break(error)
            finally:
                self._wake = None
        return True

    def _break(self, error: asyncio.CancelledError) -> None:
        """Something that the scope holds open has crashed while the task was waiting."""
        if self._inbox and self._inbox[-1] is None:  # the scope has ended
            return
        assert self._task is not None
        while self._task.uncancel():
            pass
        self.cancelled(error)
        active = self.loops.interrupt.active
        if active is not None and active is not self:
            active.cancel()

    async def _absorb(self, job: _Job) -> None:
        """Leave no request to cancel behind: the next job, and 3.13's TaskGroup, would be cancelled by it."""
        assert self._task is not None
        try:
            await asyncio.sleep(0)  # up to Python 3.12, uncancel() leaves a request that was not yet delivered
        except asyncio.CancelledError as error:
            job.error = job.error or error
        while self._task.uncancel():
            pass


def discard(awaitable: object) -> None:
    """Close a coroutine that will not be awaited, so that Python does not warn about it as well."""
    if isinstance(awaitable, types.CoroutineType):
        awaitable.close()


class Interrupt:
    """What Ctrl-C does in the main thread: the first cancels what runs on a loop, the second stops at once.

    It replaces Python's own handler only (unittest's ``-c`` has another, with a meaning of its own), and outside a loop
    it does what that does. ``active`` is the scope runner whose job is being run, None outside a loop; ``count``, how
    often Ctrl-C came in this run; ``is_pending`` is true until the job that it cancelled is done, and ``gave_up`` once
    nothing more is waited for.
    """

    _installed: Interrupt | None = None  # the one of the main thread

    def __init__(self) -> None:
        self.active: ScopeRunner | None = None
        self.count = 0
        self.is_pending = False
        self.gave_up = False

    @classmethod
    def of_this_thread(cls) -> Interrupt:
        """The one of the main thread, installed if it is not; one without effect for another thread."""
        if threading.current_thread() is not threading.main_thread():
            return cls()
        if cls._installed is None:
            cls._installed = cls()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, cls._installed)
        return cls._installed

    @classmethod
    def uninstall(cls) -> None:
        """Put Python's handler back."""
        if threading.current_thread() is threading.main_thread() and cls._installed is not None:
            cls._installed.count = 0
            cls._installed.gave_up = False
            if signal.getsignal(signal.SIGINT) is cls._installed:
                signal.signal(signal.SIGINT, signal.default_int_handler)

    def __call__(self, _signum: int, _frame: types.FrameType | None) -> None:
        """Handle the signal."""
        self.count += 1
        if self.active is None or self.count > 1:
            raise KeyboardInterrupt
        self.is_pending = True
        self.active.cancel()
        # Wakes a loop that waits for its files.
        self.active.loops.loop.call_soon_threadsafe(lambda: None)
