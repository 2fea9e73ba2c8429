"""The one task in which all that is async about a scope runs, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

from asyncunit.awaitables import discard, is_async_def, is_awaitable
from asyncunit.errors import LoopScopeError, RunningLoopError, TestTimeoutError
from asyncunit.foreign import explain
from asyncunit.jobs import Job, Plot, call_in_time, took_too_long, waiting
from asyncunit.observers import mark_as_reported
from asyncunit.open_scopes import OpenScope, current_owner, owner_of
from asyncunit.resources import noting_generators
from asyncunit.runner import CLOSE_TIMEOUT, LoopRunner, current_loop, keep_unfinished
from asyncunit.scopes import Scope
from asyncunit.slow import SlowSteps
from asyncunit.stacks import describe_task, places_of_task
from asyncunit.tracebacks import stand_at, trim
from asyncunit.watchdog import Deadline

__all__ = ["ScopeRunner", "WideRunner"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")


class ScopeRunner:
    """The task of one scope on one loop: all that is async about the scope runs in it, one after the other.

    ``in_flight`` is the cancellation that goes through the contexts that the scope has entered, or what one of them
    made of it; None while all is well. ``cut_by`` is the scope that broke while a job of this one was run, and has
    cancelled it. ``is_ending`` is true from the tear-down on: until then, no job begins once a cancellation is in
    flight. The thread's current loop, which sync code finds to be this one, is put back when the scope
    ``put_back_with`` closes. The task is made by the first awaitable and ends with `end`.
    """

    in_flight: BaseException | None = None
    cut_by: Scope | None = None
    is_ending = False
    _task: asyncio.Task[None] | None = None
    _coroutine: Coroutine[Any, Any, None] | None = None
    # Of the step that is being run, where it has one.
    _deadline: Deadline | None = None
    # Not None while the task waits for a job.
    _wake: asyncio.Future[None] | None = None
    # The one that the task awaits.
    _current: Job | None = None
    # True while the scope's sync half runs: its context is then entered, and cannot be entered again.
    _in_sync = False

    def __init__(self, loops: LoopRunner, scope: OpenScope, put_back_with: OpenScope | None = None) -> None:
        self.loops = loops
        self.scope = scope
        self._config = scope.config
        self._put_back_with = put_back_with or scope
        self._loop = loops.loop
        # Jobs that are posted and not yet taken; None at the end of it ends the task.
        self._inbox: list[Job | None] = []

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context; await what it returns if it can be."""
        value = self.call_sync(function, *args, **kwargs)
        return self.run(value) if is_awaitable(value) else value

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context, the loop being the thread's current one."""
        if is_async_def(function) or self.runs_code:
            return function(*args, **kwargs)
        self._put_back_with.keep(current_loop, current_loop, asyncio.set_event_loop)
        loop = self.loops.loop
        self._in_sync = True
        try:
            asyncio.set_event_loop(loop)
            value = call_in_time(self.scope, function, *args, **kwargs)
        except Exception as error:
            explain(error, loop)
            raise
        finally:
            self._in_sync = False
        if loop.is_closed() and not self.loops.close_is_reported:
            discard(value)
            raise self.loops.report_closed_by_user()
        return value

    @property
    def runs_code(self) -> bool:
        """Whether code of the scope is running: whoever asks has been called by it."""
        return self._in_sync or self._current is not None or self.loops.loop.is_running()

    def run(self, awaitable: Awaitable[T], plot: Plot | None = None) -> T:
        """Await in the scope's task, from outside the loop, and return or raise what came of it.

        ``plot`` is asked, when that has come, what is to be run next while the loop runs anyway.
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
            raise self.loops.report_closed_by_user()
        watches = self._config.watches
        job = Job(awaitable)
        if watches and "unclosed_resources" in self._config.costly:
            job.awaitable = noting_generators(awaitable)
        job.plot = plot
        self._post(job)
        if watches:
            self._drive_watched(job)
        else:
            self._drive(job)
        if plot is not None and (sequel := job.sequel) is not None:
            job.sequel = None  # a cycle, for it refers to the job
            if sequel.error is not None or sequel.stray is not None:
                self._end_sequel(job, sequel, plot)
        error = job.stray or job.error
        if error is not None:
            self._retrieve(error)
            explain(error, loop)
            mark_as_reported(trim(error))
            try:
                raise error
            finally:
                error = job.stray = job.error = None  # a cycle: error, traceback, frame, job
        value: T = job.value
        return value

    def _end_sequel(self, job: Job, sequel: Job, plot: Plot) -> None:
        error = sequel.stray or sequel.error
        sequel.stray = sequel.error = None
        if isinstance(error, KeyboardInterrupt):
            job.error = error
        elif error is not None:
            self._retrieve(error)
            explain(error, self._loop)
            plot.sequel_failed(error)

    def _retrieve(self, error: BaseException) -> None:
        """See that an error which has also ended the task is not logged: it is raised, or reported."""
        if isinstance(error, GeneratorExit) and self._task is not None and self._task.done():
            self._task.exception()

    def _watch(self, job: Job, timeout: float) -> None:
        """Have the job ended when it takes longer than ``timeout`` seconds."""
        loop = self._loop

        def expire() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._expire, job, timeout)

        self._deadline = Deadline(timeout, lambda: f"{self.scope}: {job.name}", expire)

    def _unwatch(self, job: Job) -> None:
        """The job is done; if it took too long without being ended, say so."""
        assert self._deadline is not None
        deadline, self._deadline = self._deadline, None
        took = deadline.stop()
        if took is None or job.expired is not None or job.stray is not None:
            return
        late = TestTimeoutError(took_too_long(self.scope, job.name, deadline.seconds, took))
        if job.error is None:
            job.error = late
        elif isinstance(job.error, Exception):
            job.error.add_note(str(late))

    def _expire(self, job: Job, timeout: float) -> None:
        """End a job that takes too long."""
        if job is not self._current or self._deadline is None or self._deadline.is_debugged():
            return
        job.expired = TestTimeoutError(f"{self.scope}: the time of a step is over")
        self.cancel()
        self._deadline.extend(CLOSE_TIMEOUT)
        job.last_call = self._loop.call_later(CLOSE_TIMEOUT, self._give_up, job)
        # Only now, for it asks objects of the user's.
        others = [task for task in asyncio.all_tasks(self._loop) if task is not self._task and not _is_idle(task)]
        others.sort(key=lambda task: owner_of(task) is not self.scope)
        waits = waiting([(self._task, "the scope's own task"), *((task, describe_task(task)) for task in others)])
        text = f"{self.scope}: {job.name} did not end within its timeout of {timeout:g} seconds.\n" + "\n".join(waits)
        job.expired.args = (text,)
        if self._task is not None and (places := places_of_task(self._task)):
            stand_at(places[0], job.expired)

    def _give_up(self, job: Job) -> None:
        """Leave alone a job that was ended and goes on all the same; the loop is replaced for it."""
        if job.done or job is not self._current or self._task is None or job.expired is None:
            return
        job.expired.add_note(
            f"It refuses to end: {CLOSE_TIMEOUT:g} seconds after it was cancelled it was still going on. (A task that "
            f"catches CancelledError must raise it again.) Its event loop is replaced."
        )
        self.loops.stubborn.add(self._task)
        self._task = self._wake = None
        job.error = job.expired
        self._finish(job)

    async def submit(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await ``function(*args)`` in the scope's task, from inside the loop.

        Where a job runs that was given from outside the loop, or the caller is of this scope, the task may wait for
        the caller: then the caller awaits it itself.
        """
        if asyncio.get_running_loop() is not self.loops.loop:
            raise LoopScopeError(
                f"something is to be done on the event loop of the scope '{self.scope}', but this runs on another "
                f"loop, which does not last so long. Write in the class that this is called from:  "
                f'loop_scope = "{self.loops.owner.scope}"'
            )
        current = self._current
        if current is not None and (current.waiter is None or current_owner() is self.scope):
            return await function(*args)
        waiter = self.loops.loop.create_future()
        job = Job(function(*args))
        job.waiter = waiter
        self._post(job)
        try:
            await waiter
        except asyncio.CancelledError:
            if job in self._inbox:
                self._inbox.remove(job)
                job.discard()
            elif not job.done:
                job.waiter = self._loop.create_future()
                job.is_cancelled_by_caller = True
                self.cancel()
                await job.waiter
            raise
        if job.error is not None:
            raise job.error
        value: T = job.value
        return value

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task, once there is one."""
        return self._task

    def end(self) -> asyncio.Task[None] | None:
        """Have the task end with the next turn of the loop, and return it; let go of one that is done.

        May be called twice.
        """
        task = self._task
        if task is None or task.done():
            self._task = self._coroutine = None
            return None
        if not self._loop.is_closed():
            self._inbox.append(None)
            self._rouse()
        return task

    def abandon(self) -> None:
        """Let go of a task that can run no more, for its loop is closed."""
        if self._task is not None and not self._task.done():
            keep_unfinished(self._task)
            if self._current is None and self._coroutine is not None:
                self._coroutine.close()
        self._task = self._wake = None
        self._inbox.clear()
        self._current = None

    def _post(self, job: Job) -> None:
        self._inbox.append(job)
        if self._task is None or self._task.done():
            self._loop = self.loops.loop
            # Not by loop.create_task(): a task factory that a test has set is for the test's own tasks.
            self._coroutine = self._serve()
            self._task = asyncio.Task(self._coroutine, loop=self._loop, context=self.scope.context)
        else:
            self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _drive(self, job: Job) -> None:
        """Run the loop until the job is done; whatever stops the loop before that does not end the job."""
        interrupt = self.loops.interrupt
        interrupt.active = self
        try:
            while not (job.sequel or job).done:
                try:
                    self._loop.run_forever()
                except (KeyboardInterrupt, SystemExit) as stray:
                    self._end_job(job.sequel or job, stray)
        finally:
            interrupt.active = None
        if interrupt.is_pending:
            interrupt.is_pending = False
            cancelled, job.error = job.error, KeyboardInterrupt()
            job.error.__context__ = cancelled

    def _drive_watched(self, job: Job) -> None:
        """As `_drive`, under what the configuration asks for while the loop runs."""
        loop, config = self._loop, self._config
        debug = loop.get_debug()
        slow = SlowSteps(loop, self.loops.observer) if "slow_callbacks" in config.costly else None
        if config.timeout is not None:
            self._watch(job, config.timeout)
        if config.loop_debug is not None:
            loop.set_debug(config.loop_debug)
        try:
            self._drive(job)
        finally:
            if config.loop_debug is not None:
                loop.set_debug(debug)
            if slow is not None:
                slow.stop()
            if self._deadline is not None:
                self._unwatch(job.sequel or job)

    def _end_job(self, job: Job, stray: BaseException) -> None:
        """Have the job end with what a signal handler, or another task or callback, has thrown out of the loop.

        The second Ctrl-C is thrown further: then the loop is closed, for nothing more is waited for.
        """
        interrupt = self.loops.interrupt
        if isinstance(stray, KeyboardInterrupt) and (interrupt.count > 1 or isinstance(job.stray, KeyboardInterrupt)):
            interrupt.gave_up = True
            self.loops.close_at_once()
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

    def wake(self) -> None:
        """Have the loop look at what is to be done, if it waits for its files."""
        self._loop.call_soon_threadsafe(lambda: None)

    async def _wait(self) -> bool:
        """Wait for a job, first for one turn of the loop, with which most come; False where none can come any more."""
        while not self._inbox:
            try:
                await _next_turn()
                if not self._inbox:
                    self._wake = self._loop.create_future()
                    await self._wake
            except asyncio.CancelledError as error:
                if self.loops.is_closing:
                    return False
                self._break(error)
            self._wake = None
        return True

    async def _serve(self) -> None:
        inbox = self._inbox
        while inbox or await self._wait():
            job = self._current = inbox.pop(0)
            if job is None:
                return
            try:
                if self.in_flight is not None and not self.is_ending:
                    job.discard()
                    raise self.in_flight
                job.value = await job.awaitable
            except GeneratorExit as error:
                job.error = error
                self._finish(job)
                raise  # perhaps it is this coroutine that is being closed, and must not go on
            except BaseException as error:
                job.error = error
            if job.done:  # it was given up, and the scope has another task by now
                return
            if self._task.cancelling():  # type: ignore[union-attr]
                await self._absorb(job)
            if job.expired is not None:
                job.end_expired(job.expired)
            if isinstance(job.error, asyncio.CancelledError) and job.waiter and not job.is_cancelled_by_caller:
                self.cancelled(job.error)
            went_well = job.error is None and job.stray is None and self.in_flight is None
            follows = job.plot is not None and job.plot.what_follows(went_well)
            if follows is not True and follows is not False:
                self._begin_sequel(job, follows)
                continue
            self._finish(job)
            if follows and not inbox:
                return
            del job

    def _begin_sequel(self, job: Job, awaitable: Awaitable[None]) -> None:
        sequel = Job(awaitable)
        sequel.plot, sequel.first = job.plot, job.first or job
        sequel.first.sequel = sequel
        self._inbox.insert(0, sequel)
        if self._deadline is not None:
            seconds = self._deadline.seconds
            self._unwatch(job)
            self._watch(sequel, seconds)

    def _finish(self, job: Job) -> None:
        self._current = None
        job.done = True
        if job.waiter is None:
            self._loop.stop()
        elif not job.waiter.done():
            job.waiter.set_result(None)

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
            active.cut_by = self.scope.scope
            active.cancel()

    async def _absorb(self, job: Job) -> None:
        """Leave no request to cancel behind: the next job, and 3.13's TaskGroup, would be cancelled by it."""
        assert self._task is not None
        try:
            await asyncio.sleep(0)  # up to Python 3.12, uncancel() leaves a request that was not yet delivered
        except asyncio.CancelledError as error:
            job.error = job.error or error
        while self._task.uncancel():
            pass


@types.coroutine
def _next_turn() -> Generator[None, None, None]:
    """What asyncio.sleep(0) awaits."""
    yield


class WideRunner(ScopeRunner):
    """The task of a scope that is wider than a test: what it sets on its loop is meant, and stays."""

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - see the base
        self.loops.observer.is_new_to_tests = True
        return super().call_sync(function, *args, **kwargs)

    def run(self, awaitable: Awaitable[T], plot: Plot | None = None) -> T:  # noqa: D102 - see the base
        self.loops.observer.is_new_to_tests = True
        return super().run(awaitable, plot)


def _is_idle(task: asyncio.Task[Any]) -> bool:
    """Whether it is the task of a scope that has nothing to do."""
    return getattr(task.get_coro(), "__qualname__", "") == ScopeRunner._serve.__qualname__ and not places_of_task(task)
