"""What is async about a scope, run from outside the loop: in its task, within its timeout, and until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from asyncunit.awaitables import discard, is_async_def, is_awaitable
from asyncunit.errors import AsyncUnitError, RunningLoopError, TestTimeoutError
from asyncunit.foreign import explain
from asyncunit.jobs import Continuation, Job, call_in_time, took_too_long, waiting
from asyncunit.observers import mark_as_reported
from asyncunit.open_scopes import OpenScope
from asyncunit.owners import owner_of
from asyncunit.parsing import Check
from asyncunit.resources import noting_generators
from asyncunit.runner import CLOSE_TIMEOUT, current_loop
from asyncunit.slow import SlowSteps
from asyncunit.stacks import describe_task, places_of_task
from asyncunit.tasks import ScopeTask
from asyncunit.tracebacks import stand_at, trim
from asyncunit.watchdog import Deadline

__all__ = ["ScopeRunner", "WideRunner"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")


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
