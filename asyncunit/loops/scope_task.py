"""The one task in which all that is async about a scope runs, one step after the other; driven from outside the loop.

While it has no step, the task waits in a way of its own, and not on the loop: sync code of the scope may run the loop
in the scope's context meanwhile, and a context that is entered cannot be entered by a task as well. Nor is it among
``asyncio.all_tasks()`` then; ``_register_task`` and ``_unregister_task`` are what asyncio documents for who makes
tasks.
"""

from __future__ import annotations

import contextlib
import contextvars
from asyncio import (
    AbstractEventLoop,
    CancelledError,
    Task,
    _register_task,
    _unregister_task,
    all_tasks,
    get_running_loop,
    set_event_loop,
)
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import CoroutineType, coroutine  # slow to read of the module: it has a __getattr__()
from typing import Any, TypeVar

from asyncunit.errors import AsyncUnitError, DeadlockError, LoopScopeError, RunningLoopError, TestTimeoutError
from asyncunit.introspection.frames import describe_task, places_of_task
from asyncunit.introspection.functions import discard, is_async_def, is_awaitable
from asyncunit.introspection.tracebacks import is_error, mark_as_reported, stand_at, trim
from asyncunit.loops.interrupts import Deadline
from asyncunit.loops.loop import CLOSE_TIMEOUT, LoopRunner, current_loop, keep_unfinished
from asyncunit.loops.steps import (
    END_TASK,
    KEEP_TASK,
    After,
    AsyncGeneratorNext,
    Continuation,
    Step,
    SubmittedStep,
    Waiting,
    call_in_time,
    describe_waiting,
    took_too_long,
    warn_of_held_clock,
)
from asyncunit.loops.wrong_loop import explain
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope, current_owner, owner_of

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")


class _Idle:
    """What the task awaits while it has no step: a future to the task, and nothing at all to the loop.

    Its cancellation is told to the scope task and goes no further, so that the loop never resumes the task by itself.
    """

    # By this, on the class, asyncio tells a future.
    _asyncio_future_blocking = False

    def __init__(self, scope_task: ScopeTask, loop: AbstractEventLoop) -> None:
        # What resumes the task; None while it does not wait.
        self._resume: Callable[[_Idle], object] | None = None
        self._context: contextvars.Context | None = None
        self._scope_task = scope_task
        self._loop = loop

    def __await__(self) -> Generator[_Idle, None, None]:
        self._asyncio_future_blocking = True
        yield self

    @property
    def is_waited_for(self) -> bool:
        """Whether the task waits."""
        return self._resume is not None

    def end(self) -> None:
        """Have the loop resume the task."""
        resume, self._resume = self._resume, None
        if resume is not None:
            self._loop.call_soon(resume, self, context=self._context)

    # What a task asks of a future.

    def get_loop(self) -> AbstractEventLoop:
        """The loop of the task."""
        return self._loop

    def add_done_callback(self, callback: Callable[[_Idle], object], *, context: contextvars.Context) -> None:
        """Remember what resumes the task."""
        self._resume, self._context = callback, context

    def cancel(self, msg: object = None) -> bool:
        """Something that the scope holds open has crashed while the task was waiting."""
        self._scope_task._was_cancelled(CancelledError() if msg is None else CancelledError(msg))
        return True

    def result(self) -> None:
        """Nothing is carried over."""


class ScopeTask:
    """The task of one scope on one loop: it takes one step after the other, given from outside the loop or inside it.

    ``cancellation`` is the cancellation that goes through the contexts that the scope has entered, or what one of them
    made of it; None while all is well. It is carried from one step to the next, until the scope is torn down.
    ``cut_by`` is the scope that broke while a step of this one was run, and has cancelled it. ``is_ending`` is true
    from the tear-down on: until then, no step begins once there is a cancellation. The task is made for the first step
    and ends with `end`.

    The thread's current loop, which sync code finds to be this one, is put back when the scope ``put_back_with``
    closes: this one, where that is None.
    """

    def __init__(self, loop_runner: LoopRunner, scope: OpenScope, put_back_with: OpenScope | None = None) -> None:
        # Not in the class as well: Python is slow to read and to set what is in both.
        self.cut_by: Scope | None = None
        self.cancellation: BaseException | None = None
        self.is_ending = False
        self.put_back_with = put_back_with
        # None before the first step, and once the task is done or given up: the next step makes a new one.
        self._task: Task[None] | None = None
        # That of the task.
        self._coroutine: Coroutine[Any, Any, None] | None = None
        # What the task awaits between two steps; one for each task.
        self._idle: _Idle | None = None
        # The step that the task awaits; None between two steps.
        self._current: Step | None = None
        # That step, from its first line to its last: what is before and after is asyncunit's, and not to be cancelled.
        self._running: Step | None = None
        # The step that follows one in the same run of the loop, until the task takes it.
        self._next: Step | None = None
        # The last of those; None where none has followed.
        self._last: Step | None = None
        # Whether the configuration asks for something while a step is run, or the clock does.
        self._is_watched = False
        # Of the step that is being run, where it has one.
        self._deadline: Deadline | None = None
        # True while the scope's sync code runs: its context is then entered, and cannot be entered again.
        self._in_sync = False
        self.loop_runner = loop_runner
        self.scope = scope
        # What is in force for the steps, whatever the scope is told later.
        self._config = scope.config
        # The one on which the task was made.
        self._loop = loop_runner.loop
        # Steps that are posted and not yet taken; None at the end of it ends the task.
        self._inbox: list[Step | None] = []

    @property
    def task(self) -> Task[None] | None:
        """The task, once there is one."""
        return self._task

    # From inside the loop.

    async def submit(self, function: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Await ``function(*args)`` in the task, from inside the loop.

        Where a step runs that was given from outside the loop, or the caller is of this scope, the task may wait for
        the caller: then the caller awaits it itself. So it does where sync code of the scope runs the loop.
        """
        if get_running_loop() is not self.loop_runner.loop:
            raise LoopScopeError(
                f"something is to be done on the event loop of the scope '{self.scope}', but this runs on another "
                f"loop, which does not last so long. Write in the class that this is called from:  "
                f'loop_scope = "{self.loop_runner.owner.scope}"'
            )
        current = self._current
        if self._in_sync or (
            current is not None and (type(current) is not SubmittedStep or current_owner() is self.scope)
        ):
            return await function(*args)
        step = SubmittedStep(function(*args), self.loop_runner.loop.create_future())
        self._post(step)
        try:
            await step.waiter
        except CancelledError:
            await self._cancel_submitted(step)
            raise
        if step.error is not None:
            raise step.error
        value: T = step.value
        return value

    async def _cancel_submitted(self, step: SubmittedStep) -> None:
        """Whoever waited for the step was cancelled: so is the step, which is waited for."""
        if step in self._inbox:
            self._inbox.remove(step)
            step.discard()
        elif not step.done:
            step.waiter = self._loop.create_future()
            step.is_cancelled_by_caller = True
            self.cancel()
            await step.waiter

    # What breaks, and what ends.

    def begin_set_up(self) -> None:
        """Something is set up from now on: steps begin as long as there is no cancellation."""
        self.is_ending, self.cut_by = False, None

    def set_up_was_cut(self, error: CancelledError) -> None:
        """What was to be set up was cancelled: the scope counts as broken, unless what broke is one inside it."""
        if self.cut_by is None or self.cut_by > self.scope.scope:
            self.cancelled(error)

    def cancelled(self, error: CancelledError) -> bool:
        """Let a cancellation go through what the scope holds; it counts as broken.

        Returns False where another one goes through it already, and this one is still to be told.
        """
        if self not in self.loop_runner.broken:
            self.loop_runner.broken.append(self)
        if self.cancellation is None:
            self.cancellation = error
        return self.cancellation is error

    def cancel(self) -> bool:
        """Cancel the step that is being run, or keep one from beginning; False where there is none."""
        if self._running is not None and self._task is not None:
            self._task.cancel()
            return True
        waiting = self._next or (self._inbox[0] if self._inbox else None)
        if waiting is not None and not self.is_ending:
            # Not the task: one that is cancelled before its first step never takes it.
            waiting.is_kept_from_beginning = True
            return True
        return False

    def wake(self) -> None:
        """Have the loop look at what is to be done, if it waits for its files."""
        self._loop.call_soon_threadsafe(_nothing)

    def end(self) -> Task[None] | None:
        """Have the task end with the next turn of the loop, and return it; let go of one that is done.

        May be called twice.
        """
        task = self._task
        if task is None or task.done():
            self._task = self._coroutine = self._idle = None
            self.loop_runner.scope_tasks.discard(self)
            return None
        if not self._loop.is_closed():
            self._inbox.append(None)
            self._rouse()
        return task

    def abandon(self) -> None:
        """Let go of a task that can run no more, because its loop is closed."""
        if self._task is not None and not self._task.done():
            keep_unfinished(self._task)
            if self._current is None and self._coroutine is not None:
                self._coroutine.close()
        self._task = self._idle = None
        self._inbox.clear()
        self._current = self._running = self._next = None
        self.loop_runner.scope_tasks.discard(self)

    def _was_cancelled(self, error: CancelledError) -> None:
        """Something that the scope holds open has crashed while the task had no step."""
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

    # The task.

    def _post(self, step: Step) -> None:
        self._inbox.append(step)
        if self._task is None or self._task.done():
            self._loop = self.loop_runner.loop
            # Not by loop.create_task(): a task factory that a test has set is for the test's own tasks.
            self._coroutine = self._serve()
            self._task = Task(self._coroutine, loop=self._loop, context=self.scope.context)
            self.loop_runner.scope_tasks.add(self)
        else:
            self._rouse()

    def _rouse(self) -> None:
        if self._idle is not None and self._idle.is_waited_for and self._task is not None:
            _register_task(self._task)
            self._idle.end()

    async def _serve(self) -> None:  # noqa: PLR0912, PLR0915 - each step goes through here, so it is one frame
        """Take the steps that are posted, one after the other, until there is None in the place of one."""
        inbox, task = self._inbox, self._task
        assert task is not None
        try:
            while True:
                step = self._current = self._next or (inbox.pop(0) if inbox else await self._be_idle(task))
                self._next = None
                if step is None:
                    return
                try:
                    if (self.cancellation is not None or step.is_kept_from_beginning) and not self.is_ending:
                        step.discard()
                        raise self.cancellation or CancelledError()
                    awaitable = step.awaitable
                    if step.begin is not None:
                        step.begin()
                    self._running = step
                    if (kind := type(awaitable)) is CoroutineType or kind is AsyncGeneratorNext:
                        try:
                            waits_for = awaitable.send(None)  # type: ignore[attr-defined]
                        except StopIteration as end:  # it did not wait: most of what is short needs nothing more
                            step.value = end.value
                        else:
                            awaitable = Waiting(task, awaitable, waits_for)
                            waits_for = None  # else it was kept for as long as the step takes
                            step.value = await awaitable
                    else:
                        step.value = await Waiting(task, awaitable)
                except GeneratorExit as error:
                    self._running = None
                    step.error = error
                    self._finish(step)
                    raise  # perhaps it is this coroutine that is being closed, and must not go on
                except BaseException as error:
                    step.error = error
                self._running = None
                if step.done:  # it was given up, and the scope has another task by now
                    return
                if step.error is not None or step.expired is not None or task.cancelling():
                    await self._settle(task, step)
                if self._follow(step) is END_TASK and not inbox:
                    return
                del step
        except GeneratorExit:
            raise
        except BaseException as error:  # what a signal handler has raised in asyncunit's own code
            step = self._next or self._current
            if step is None or step.done:
                raise
            if self._next is not None:
                self._next = None
                step.discard()
            step.error = error
            self._finish(step)

    def _follow(self, step: Step) -> After:
        """See what follows a step in the same run of the loop; else it is done, and what becomes of the task."""
        continuation = step.continuation
        if continuation is None:
            self._finish(step)
            return KEEP_TASK
        if self._deadline is not None:
            self._unwatch(step)
        is_broken = step.error is not None or step.stray is not None or self.cancellation is not None
        following = continuation.next_step(step, is_broken=is_broken)
        if following is END_TASK or following is KEEP_TASK:
            self._finish(step)
            return following
        # Whoever waits for the step waits for that too.
        self._next = self._last = last = Step(following, continuation)
        if self._is_watched:
            self._begin_to_watch(last)
        return KEEP_TASK

    async def _be_idle(self, task: Task[None]) -> Step | None:
        """Wait until a step is posted, and take it."""
        idle = self._idle
        if idle is None:
            idle = self._idle = _Idle(self, self._loop)
        while not self._inbox:
            _unregister_task(task)
            await idle
        return self._inbox.pop(0)

    async def _settle(self, task: Task[None], step: Step) -> None:
        """See what has become of a step that did not simply return."""
        if task.cancelling():
            await self._absorb(task, step)
        if step.expired is not None:
            step.end_expired(step.expired)
        is_submitted = type(step) is SubmittedStep and not step.is_cancelled_by_caller
        if is_submitted and type(step.error) is CancelledError:
            self.cancelled(step.error)

    async def _absorb(self, task: Task[None], step: Step) -> None:
        """Leave no request to cancel behind: the next step, and 3.13's TaskGroup, would be cancelled by it."""
        try:
            await _next_turn()  # up to Python 3.12, uncancel() leaves a request that was not yet delivered
        except CancelledError as error:
            step.error = step.error or error
        while task.uncancel():
            pass

    def _finish(self, step: Step) -> None:
        self._current = None
        step.done = True
        if type(step) is not SubmittedStep:
            self._loop.stop()
        elif not step.waiter.done():
            step.waiter.set_result(None)

    # From outside the loop.

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context; await what it returns if it can be."""
        value = self.call_sync(function, *args, **kwargs)
        return self.run(value) if is_awaitable(value) else value

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` outside the loop, in the scope's context, the loop being the thread's current one."""
        if is_async_def(function) or self.runs_code():
            return function(*args, **kwargs)
        self.make_current()
        loop = self.loop_runner.loop
        if not self.is_ending:
            self.loop_runner.interrupt.raise_deferred()
        self._in_sync = True
        try:
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

    def make_current(self) -> None:
        """Have the loop be the thread's current one, until what was there is put back as the scope closes."""
        (self.put_back_with or self.scope).keep(current_loop, current_loop, set_event_loop)
        set_event_loop(self.loop_runner.loop)

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
        interrupt = self.loop_runner.interrupt
        if interrupt.is_deferred and not self.is_ending:
            discard(awaitable)
            interrupt.raise_deferred()
        step, config = Step(awaitable, continuation), self._config
        self._is_watched = is_watched = config.watches or self.loop_runner.virtual is not None
        self._last = None
        if config.looks_in_loop:
            step.begin = self.loop_runner.instrument.in_loop(config)
        self._post(step)
        if is_watched:
            self._drive_watched(step)
        else:
            self._drive(step)
        if continuation is not None and (last := self._last) is not None:
            self._last = None  # a cycle, because it refers to the continuation
            if last.error is not None or last.stray is not None:
                self._end_following(step, last, continuation)
        if step.error is not None or step.stray is not None:
            error = self._take_error(step)
            mark_as_reported(trim(error))
            try:
                raise error
            finally:
                del error  # a cycle: error, traceback, frame
        value: T = step.value
        return value

    def _refusal(self, awaitable: Awaitable[Any]) -> AsyncUnitError:
        """The error for what cannot be run, which is discarded."""
        discard(awaitable)
        if self._in_sync or self.loop_runner.loop.is_running():
            return RunningLoopError(
                f"{awaitable!r} cannot be run to its end here, because the scope '{self.scope}' is already running "
                f"code. Await it where it is made, in an async function."
            )
        return self.loop_runner.report_closed_by_user()

    def _end_following(self, step: Step, last: Step, continuation: Continuation) -> None:
        """Have the continuation take what the last step has raised; Ctrl-C ends the first as well."""
        error = self._take_error(last)
        if is_error(error, KeyboardInterrupt):
            step.error = error
        else:
            mark_as_reported(trim(error))
            continuation.step_failed(error)

    def _take_error(self, step: Step) -> BaseException:
        """What has ended the step, once: the step and the traceback would refer to each other."""
        error = step.stray or step.error
        assert error is not None
        step.stray = step.error = None
        if self.loop_runner.attempt is not None:
            self.loop_runner.attempt.failed()
        if type(error) is GeneratorExit and self._task is not None and self._task.done():
            self._task.exception()  # which it was, too: else it is logged, though it is raised or reported
        explain(error, self._loop)
        return error

    def _drive(self, step: Step) -> None:
        """Run the loop until the step is done; whatever stops the loop before that does not end the step."""
        interrupt = self.loop_runner.interrupt
        interrupt.active = self
        try:
            while True:
                dead = None
                try:
                    self._loop.run_forever()
                except DeadlockError as error:
                    dead = error
                except BaseException as stray:  # of a signal handler; SystemExit also of another task or a callback
                    self._end_by(self._last or step, stray)
                if dead is not None:  # not while it is handled: it would be the context of what is raised
                    self._end_deadlocked(self._last or step, dead)
                last = self._last or step
                if last.done:
                    break
        finally:
            interrupt.active = None
        if last.last_call is not None:
            self._stop_last_call(last)
        if interrupt.is_pending:
            interrupt.is_pending = False
            self._take_interrupt(step)

    def _take_interrupt(self, step: Step) -> None:
        """Ctrl-C has cancelled the step: if that is how it ended, the run ends; else the step took it, and goes on.

        That is asyncio.Runner's rule.
        """
        last = self._last or step
        cancelled = last.error
        if cancelled is None or not is_error(cancelled, CancelledError):
            self.loop_runner.interrupt.count = 0
            return
        last.error = None
        step.error = KeyboardInterrupt()
        step.error.__context__ = cancelled

    def _drive_watched(self, step: Step) -> None:
        """As `_drive`, under what the configuration asks for while the loop runs."""
        loop, config = self._loop, self._config
        virtual = self.loop_runner.virtual
        self.loop_runner.instrument.step_begins(loop, config)
        self._begin_to_watch(step)
        if config.loop_debug is not None:
            debug = loop.get_debug()
            loop.set_debug(config.loop_debug)
        try:
            self._drive(step)
        finally:
            if config.loop_debug is not None:
                loop.set_debug(debug)
            self.loop_runner.instrument.step_ends()
            if self._deadline is not None:
                self._unwatch(self._last or step)
            if virtual is not None:
                warn_of_held_clock(self.scope, (self._last or step).name, virtual)

    def _end_by(self, step: Step, stray: BaseException) -> None:
        """Have the step end with what was thrown out of the loop, within CLOSE_TIMEOUT seconds.

        The second Ctrl-C is thrown further: then the loop is closed, because nothing more is waited for.
        """
        interrupt = self.loop_runner.interrupt
        is_interrupt = is_error(stray, KeyboardInterrupt)
        if is_interrupt and (interrupt.count > 1 or type(step.stray) is KeyboardInterrupt):
            interrupt.gave_up = True
            self.loop_runner.close_at_once()
            raise stray
        if step.stray is None:
            step.stray = stray
            self.cancel()
            if step.last_call is None:
                step.last_call = self._call_later(CLOSE_TIMEOUT, step, self._give_up, step)
        if self._task is None or self._task.done() or self._loop.is_closed():
            step.done = True
            step.error = stray

    # What takes too long. All of it is real time: the clock of the loop is the test's.

    def _call_later(self, seconds: float, step: Step, act: Callable[..., None], *args: Any) -> Deadline:
        loop = self._loop

        def act_in_loop() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(act, *args)

        return Deadline(seconds, lambda: f"{self.scope}: {step.name}", act_in_loop)

    def _stop_last_call(self, step: Step) -> None:
        if step.last_call is not None:
            step.last_call.stop()
            step.last_call = None

    def _begin_to_watch(self, step: Step) -> None:
        """Have the step ended when it takes longer than its timeout; a virtual clock is told that a step begins."""
        if self.loop_runner.virtual is not None:
            self.loop_runner.virtual.begin_step()
        timeout = self._config.timeout
        if timeout is not None:
            self._deadline = self._call_later(timeout, step, self._expire, step, timeout)

    def _unwatch(self, step: Step) -> None:
        """The step is done; if it took too long without being ended, say so."""
        assert self._deadline is not None
        deadline, self._deadline = self._deadline, None
        took = deadline.stop()
        if took is None or step.expired is not None or step.stray is not None:
            return
        late = TestTimeoutError(took_too_long(self.scope, step.name, deadline.seconds, took))
        if step.error is None:
            step.error = stand_at(deadline.place, late)
        elif is_error(step.error, Exception):
            BaseException.add_note(step.error, str(late))

    def _expire(self, step: Step, timeout: float) -> None:
        """End a step that takes too long."""
        if step is not self._current or self._deadline is None or self._deadline.is_debugged():
            return
        from asyncunit.loops import deadlock

        step.expired = TestTimeoutError(f"{self.scope}: the time of a step is over")
        is_dead = self.loop_runner.virtual is None and deadlock.nothing_can_wake(self._loop)
        can_end = self._cancel_late()
        self._deadline.extend(CLOSE_TIMEOUT)
        step.last_call = self._call_later(CLOSE_TIMEOUT, step, self._give_up, step)
        # Only now, because it asks objects of the user's.
        names = self._names_of_tasks()
        lines = [f"{self.scope}: {step.name} did not end within its timeout of {timeout:g} seconds."]
        if self.loop_runner.virtual is not None:
            lines.append(self.loop_runner.virtual.describe_time())
        if is_dead:
            lines.append(f"It would never have ended: {deadlock.NOTHING_IS_LEFT}")
        lines += [*describe_waiting(names.items()), *deadlock.describe_cycle(deadlock.find_waits(names))]
        step.expired.args = ("\n".join(lines),)
        if self._task is not None and (places := places_of_task(self._task)):
            stand_at(places[0], step.expired)
        if not can_end:
            self._give_up(step)

    def _cancel_late(self) -> bool:
        """Cancel the step. False where tasks await each other: asyncio cancels one by cancelling the next, for ever."""
        try:
            self.cancel()
        except RecursionError:
            return False
        return True

    def _names_of_tasks(self) -> dict[Task[Any], str]:
        """What a report calls the tasks of the loop: the scope's own first, then what the scope has started."""
        names = {} if self._task is None else {self._task: "the scope's own task"}
        others = [task for task in all_tasks(self._loop) if task is not self._task]
        others.sort(key=lambda task: owner_of(task) is not self.scope)
        return {**names, **{task: describe_task(task) for task in others}}

    def _end_deadlocked(self, step: Step, dead: DeadlockError) -> None:
        """End a step that nothing can wake any more; give up one that has gone on in spite of that."""
        from asyncunit.loops import deadlock

        current = self._current
        if current is None or self._task is None:
            step.done, step.error = True, dead
            return
        if current.expired is not None or current.stray is not None:
            self._give_up(current)
            return
        names = self._names_of_tasks()
        waits = deadlock.find_waits(names)
        lines = [f"{self.scope}: {step.name} can never end: {deadlock.NOTHING_CAN_HAPPEN}"]
        lines += [*deadlock.describe_waits(waits, names), *deadlock.describe_cycle(waits)]
        text = "\n".join(lines)
        current.expired = DeadlockError(text)
        current.last_call = self._call_later(CLOSE_TIMEOUT, current, self._give_up, current)
        if places := places_of_task(self._task):
            stand_at(places[0], current.expired)
        if not self._cancel_late():
            self._give_up(current)

    def _give_up(self, step: Step) -> None:
        """Leave alone a step that was ended and goes on all the same; the loop is replaced because of it."""
        ended_by = step.stray or step.expired
        if step.done or step is not self._current or self._task is None or ended_by is None:
            return
        is_late = step.last_call is not None and step.last_call.stop() is not None
        after = f"{CLOSE_TIMEOUT:g} seconds after it was cancelled it was" if is_late else "it was cancelled, and is"
        BaseException.add_note(
            ended_by,
            f"It refuses to end: {after} still going on. (A task that catches CancelledError must raise it again.) "
            f"Its event loop is replaced.",
        )
        self.loop_runner.stubborn.add(self._task)
        self._task = self._idle = self._running = None
        step.error = ended_by
        self._finish(step)


class WideTask(ScopeTask):
    """The task of a scope that is wider than a test: what it sets on its loop is meant, and stays."""

    def call_sync(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - see the base
        self.loop_runner.instrument.is_new_to_tests = True
        return super().call_sync(function, *args, **kwargs)

    def run(self, awaitable: Awaitable[T], continuation: Continuation | None = None) -> T:  # noqa: D102 - see the base
        self.loop_runner.instrument.is_new_to_tests = True
        return super().run(awaitable, continuation)


def _nothing() -> None:
    """What wakes a loop that waits for its files."""


@coroutine
def _next_turn() -> Generator[None, None, None]:
    """What asyncio.sleep(0) awaits."""
    yield
