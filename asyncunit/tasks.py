"""The one task in which all that is async about a scope runs, one after the other: what is seen of it in the loop."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, TypeVar

from asyncunit.errors import LoopScopeError
from asyncunit.jobs import END_TASK, KEEP_TASK, After, Job
from asyncunit.open_scopes import OpenScope
from asyncunit.owners import current_owner
from asyncunit.runner import LoopRunner, keep_unfinished
from asyncunit.scopes import Scope

__all__ = ["ScopeTask"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")


class ScopeTask:
    """The task of one scope on one loop: it takes one job after the other.

    ``in_flight`` is the cancellation that goes through the contexts that the scope has entered, or what one of them
    made of it; None while all is well. ``cut_by`` is the scope that broke while a job of this one was run, and has
    cancelled it. ``is_ending`` is true from the tear-down on: until then, no job begins once a cancellation is in
    flight. The task is made for the first job and ends with `end`.
    """

    in_flight: BaseException | None = None
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
        self.in_flight = self.in_flight or error
        if self not in self.loop_runner.broken:
            self.loop_runner.broken.append(self)

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
            if job.error is not None or job.expired is not None or self._task.cancelling():  # type: ignore[union-attr]
                await self._settle(job)
            step: Awaitable[None] | After = KEEP_TASK
            if job.continuation is not None:
                step = job.continuation.next_step(job.error is None and job.stray is None and self.in_flight is None)
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
