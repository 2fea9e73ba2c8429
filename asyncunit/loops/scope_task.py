"""The one task in which all that is async about a scope runs, one step after the other."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

from asyncunit.checks.slow_callbacks import SlowSteps
from asyncunit.checks.unclosed_resources import noting_generators
from asyncunit.checks.unhandled_errors import mark_as_reported
from asyncunit.config.parsing import Check
from asyncunit.errors import AsyncUnitError, LoopScopeError, RunningLoopError, TestTimeoutError
from asyncunit.introspection.frames import describe_task, places_of_task
from asyncunit.introspection.functions import discard, is_async_def, is_awaitable
from asyncunit.introspection.tracebacks import stand_at, trim
from asyncunit.loops.loop import CLOSE_TIMEOUT, LoopRunner, current_loop, keep_unfinished
from asyncunit.loops.steps import END_TASK, KEEP_TASK, After, Continuation, Job
from asyncunit.loops.timeouts import call_in_time, took_too_long, waiting
from asyncunit.loops.watchdog import Deadline
from asyncunit.loops.wrong_loop import explain
from asyncunit.scope import Scope
from asyncunit.scopes.contexts import current_owner, owner_of
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")


class ScopeTask:
    """The task of one scope on one loop: it takes one job after the other.

    ``cancellation`` is the cancellation that goes through the contexts that the scope has entered, or what one of them
    made of it; None while all is well. ``cut_by`` is the scope that broke while a job of this one was run, and has
    cancelled it. ``is_ending`` is true from the tear-down on: until then, no job begins once a cancellation is in
    flight. The task is made for the first job and ends with `end`.
    """

    cancellation: BaseException | None = None
    cut_by: Scope | None = None
    is_ending = False
    _task: asyncio.Task[None] | None = None
    # That of the task.
    _coroutine: Coroutine[Any, Any, None] | None = None
    # Not None while the task waits for a job.
    _wake: asyncio.Future[None] | None = None
    # The one that the task awaits.
    _current: Job | None = None

    def __init__(self, loop_runner: LoopRunner, scope: OpenScope) -> None:
        self.loop_runner = loop_runner
        self.scope = scope
        # What is in force for the jobs, whatever the scope is told later.
        self._config = scope.config
        # The one on which the task was made.
        self._loop = loop_runner.loop
        # Jobs that are posted and not yet taken; None at the end of it ends the task.
        self._inbox: list[Job | None] = []

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task, once there is one."""
        return self._task

    async def submit(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await ``function(*args)`` in the task, from inside the loop.

        Where a job runs that was given from outside the loop, or the caller is of this scope, the task may wait for
        the caller: then the caller awaits it itself.
        """
        if asyncio.get_running_loop() is not self.loop_runner.loop:
            raise LoopScopeError(
                f"something is to be done on the event loop of the scope '{self.scope}', but this runs on another "
                f"loop, which does not last so long. Write in the class that this is called from:  "
                f'loop_scope = "{self.loop_runner.owner.scope}"'
            )
        current = self._current
        if current is not None and (current.waiter is None or current_owner() is self.scope):
            return await function(*args)
        job = Job(function(*args))
        job.waiter = self.loop_runner.loop.create_future()
        self._post(job)
        try:
            await job.waiter
        except asyncio.CancelledError:
            await self._cancel_submitted(job)
            raise
        if job.error is not None:
            raise job.error
        value: T = job.value
        return value

    async def _cancel_submitted(self, job: Job) -> None:
        """Whoever waited for the job was cancelled: so is the job, which is waited for."""
        if job in self._inbox:
            self._inbox.remove(job)
            job.discard()
        elif not job.done:
            job.waiter = self._loop.create_future()
            job.is_cancelled_by_caller = True
            self.cancel()
            await job.waiter

    def begin_set_up(self) -> None:
        """Something is set up from now on: jobs begin as long as no cancellation is in flight."""
        self.is_ending, self.cut_by = False, None

    def set_up_was_cut(self, error: asyncio.CancelledError) -> None:
        """What was to be set up was cancelled: the scope counts as broken, unless what broke is one inside it."""
        if self.cut_by is None or self.cut_by > self.scope.scope:
            self.cancelled(error)

    def cancelled(self, error: asyncio.CancelledError) -> None:
        """Let a cancellation go through what the scope holds; it counts as broken."""
        self.cancellation = self.cancellation or error
        if self not in self.loop_runner.broken:
            self.loop_runner.broken.append(self)

    def cancel(self) -> None:
        """Cancel the job that the task has; one that has none is left alone."""
        if self._current is not None and self._task is not None:
            self._task.cancel()
        elif self._inbox:
            # Not the task: one that is cancelled before its first step never takes it. The job will not begin.
            self.cancellation = self.cancellation or asyncio.CancelledError()

    def wake(self) -> None:
        """Have the loop look at what is to be done, if it waits for its files."""
        self._loop.call_soon_threadsafe(lambda: None)

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
            self._loop = self.loop_runner.loop
            # Not by loop.create_task(): a task factory that a test has set is for the test's own tasks.
            self._coroutine = self._serve()
            self._task = asyncio.Task(self._coroutine, loop=self._loop, context=self.scope.context)
        else:
            self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _serve(self) -> None:
        inbox = self._inbox
        while inbox or await self._wait():
            job = self._current = inbox.pop(0)
            if job is None:
                return
            try:
                if self.cancellation is not None and not self.is_ending:
                    job.discard()
                    raise self.cancellation
                job.value = await job.awaitable
            except GeneratorExit as error:
                job.error = error
                self._finish(job)
                raise  # perhaps it is this coroutine that is being closed, and must not go on
            except BaseException as error:
                job.error = error
            if job.done:  # it was given up, and the scope has another task by now
                return
            if job.error is not None or job.expired is not None or self._task.cancelling():  # type: ignore[union-attr]
                await self._settle(job)
            step: Awaitable[None] | After = KEEP_TASK
            if job.continuation is not None:
                step = job.continuation.next_step(job.error is None and job.stray is None and self.cancellation is None)
            if step is END_TASK or step is KEEP_TASK:
                self._finish(job)
                if step is END_TASK and not inbox:
                    return
            else:
                self._begin_step(job, step)
            del job

    async def _wait(self) -> bool:
        """Wait for a job, first for one turn of the loop, with which most come; False where none can come any more."""
        while not self._inbox:
            try:
                await _next_turn()
                if not self._inbox:
                    self._wake = self._loop.create_future()
                    await self._wake
            except asyncio.CancelledError as error:
                if self.loop_runner.is_closing:
                    return False
                self._break(error)
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
        active = self.loop_runner.interrupt.active
        if active is not None and active is not self:
            active.cut_by = self.scope.scope
            active.cancel()

    async def _settle(self, job: Job) -> None:
        """See what has become of a job that did not simply return."""
        assert self._task is not None
        if self._task.cancelling():
            await self._absorb(self._task, job)
        if job.expired is not None:
            job.end_expired(job.expired)
        if isinstance(job.error, asyncio.CancelledError) and job.waiter and not job.is_cancelled_by_caller:
            self.cancelled(job.error)

    async def _absorb(self, task: asyncio.Task[None], job: Job) -> None:
        """Leave no request to cancel behind: the next job, and 3.13's TaskGroup, would be cancelled by it."""
        try:
            await asyncio.sleep(0)  # up to Python 3.12, uncancel() leaves a request that was not yet delivered
        except asyncio.CancelledError as error:
            job.error = job.error or error
        while task.uncancel():
            pass

    def _begin_step(self, job: Job, awaitable: Awaitable[None]) -> Job:
        """Have what follows a job be the next that the task takes: whoever waits for the job waits for that too."""
        step = Job(awaitable)
        step.continuation, step.first = job.continuation, job.first or job
        step.first.last_step = step
        self._inbox.insert(0, step)
        return step

    def _finish(self, job: Job) -> None:
        self._current = None
        job.done = True
        if job.waiter is None:
            self._loop.stop()
        elif not job.waiter.done():
            job.waiter.set_result(None)


@types.coroutine
def _next_turn() -> Generator[None, None, None]:
    """What asyncio.sleep(0) awaits."""
    yield


class ScopeRunner(ScopeTask):
    """The task of one scope, for whoever stands outside its loop.

    The thread's current loop, which sync code finds to be this one, is put back when the scope ``put_back_with``
    closes: this one, where that is None.
    """

    put_back_with: OpenScope | None = None
    # Of the step that is being run, where it has one.
    _deadline: Deadline | None = None
    # True while the scope's sync half runs: its context is then entered, and cannot be entered again.
    _in_sync = False

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context; await what it returns if it can be."""
        value = self.call_sync(function, *args, **kwargs)
        return self.run(value) if is_awaitable(value) else value

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context, the loop being the thread's current one."""
        if is_async_def(function) or self.runs_code:
            return function(*args, **kwargs)
        (self.put_back_with or self.scope).keep(current_loop, current_loop, asyncio.set_event_loop)
        loop = self.loop_runner.loop
        self._in_sync = True
        try:
            asyncio.set_event_loop(loop)
            value = call_in_time(self.scope, function, *args, **kwargs)
        except Exception as error:
            explain(error, loop)
            raise
        finally:
            self._in_sync = False
        if loop.is_closed() and not self.loop_runner.close_is_reported:
            discard(value)
            raise self.loop_runner.report_closed_by_user()
        return value

    @property
    def runs_code(self) -> bool:
        """Whether code of the scope is running: whoever asks has been called by it."""
        return self._in_sync or self._current is not None or self.loop_runner.loop.is_running()

    def run(self, awaitable: Awaitable[T], continuation: Continuation | None = None) -> T:
        """Await in the scope's task, from outside the loop, and return or raise what came of it.

        ``continuation`` is asked, when that has come, what is to be run next while the loop runs anyway.
        """
        loop = self.loop_runner.loop
        if self._in_sync or loop.is_running() or loop.is_closed():
            raise self._refusal(awaitable)
        watches = self._config.watches
        job = Job(awaitable)
        if watches and Check.UNCLOSED_RESOURCES in self._config.costly:
            job.awaitable = noting_generators(awaitable)
        job.continuation = continuation
        self._post(job)
        if watches:
            self._drive_watched(job)
        else:
            self._drive(job)
        if continuation is not None and (step := job.last_step) is not None:
            job.last_step = None  # a cycle, for it refers to the job
            if step.error is not None or step.stray is not None:
                self._end_step(job, step, continuation)
        if job.error is not None or job.stray is not None:
            error = self._take_error(job)
            mark_as_reported(trim(error))
            try:
                raise error
            finally:
                del error  # a cycle: error, traceback, frame
        value: T = job.value
        return value

    def _refusal(self, awaitable: Awaitable[Any]) -> AsyncUnitError:
        """The error for what cannot be run, which is discarded."""
        discard(awaitable)
        if self._in_sync or self.loop_runner.loop.is_running():
            return RunningLoopError(
                f"{awaitable!r} cannot be run to its end here, for the scope '{self.scope}' is already running "
                f"code. Await it where it is made, in an async function."
            )
        return self.loop_runner.report_closed_by_user()

    def _end_step(self, job: Job, step: Job, continuation: Continuation) -> None:
        """Have the continuation take what the last step has raised; Ctrl-C ends the job as well."""
        error = self._take_error(step)
        if isinstance(error, KeyboardInterrupt):
            job.error = error
        else:
            continuation.step_failed(error)

    def _take_error(self, job: Job) -> BaseException:
        """What has ended the job, once: the job and the traceback would refer to each other."""
        error = job.stray or job.error
        assert error is not None
        job.stray = job.error = None
        if isinstance(error, GeneratorExit) and self._task is not None and self._task.done():
            self._task.exception()  # which it was, too: else it is logged, though it is raised or reported
        explain(error, self._loop)
        return error

    def _drive(self, job: Job) -> None:
        """Run the loop until the job is done; whatever stops the loop before that does not end the job."""
        interrupt = self.loop_runner.interrupt
        interrupt.active = self
        try:
            while not (job.last_step or job).done:
                try:
                    self._loop.run_forever()
                except (KeyboardInterrupt, SystemExit) as stray:
                    self._end_job(job.last_step or job, stray)
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
        slow = SlowSteps(loop, self.loop_runner.observer) if Check.SLOW_CALLBACKS in config.costly else None
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
                self._unwatch(job.last_step or job)

    def _end_job(self, job: Job, stray: BaseException) -> None:
        """Have the job end with what a signal handler, or another task or callback, has thrown out of the loop.

        The second Ctrl-C is thrown further: then the loop is closed, for nothing more is waited for.
        """
        interrupt = self.loop_runner.interrupt
        if isinstance(stray, KeyboardInterrupt) and (interrupt.count > 1 or isinstance(job.stray, KeyboardInterrupt)):
            interrupt.gave_up = True
            self.loop_runner.close_at_once()
            raise stray
        if job.stray is None:
            job.stray = stray
            self.cancel()
        if self._task is None or self._task.done():
            job.done = True
            job.error = stray

    def _begin_step(self, job: Job, awaitable: Awaitable[None]) -> Job:
        step = super()._begin_step(job, awaitable)
        if self._deadline is not None:
            seconds = self._deadline.seconds
            self._unwatch(job)
            self._watch(step, seconds)
        return step

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
        self.loop_runner.stubborn.add(self._task)
        self._task = self._wake = None
        job.error = job.expired
        self._finish(job)


class WideRunner(ScopeRunner):
    """The task of a scope that is wider than a test: what it sets on its loop is meant, and stays."""

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - see the base
        self.loop_runner.observer.is_new_to_tests = True
        return super().call_sync(function, *args, **kwargs)

    def run(self, awaitable: Awaitable[T], continuation: Continuation | None = None) -> T:  # noqa: D102 - see the base
        self.loop_runner.observer.is_new_to_tests = True
        return super().run(awaitable, continuation)


def _is_idle(task: asyncio.Task[Any]) -> bool:
    """Whether it is the task of a scope that has nothing to do."""
    return getattr(task.get_coro(), "__qualname__", "") == ScopeTask._serve.__qualname__ and not places_of_task(task)
