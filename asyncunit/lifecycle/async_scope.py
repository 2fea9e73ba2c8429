"""What is async about an open scope, on one loop: set up, torn down, set up anew after something crashed.

Of a test, that is an `OpenTest`: what is still to be torn down, and what ends it early.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asyncunit.checks import python_warnings
from asyncunit.checks.findings import judge
from asyncunit.checks.scope_end import Watch, after_scope, after_test, before
from asyncunit.checks.unhandled_errors import Observer, observer_on
from asyncunit.config.settings import LoopFactory
from asyncunit.introspection.tracebacks import is_error, printing_at_interrupt
from asyncunit.lifecycle.cleanups import (
    AsyncCleanup,
    Exit,
    as_errors,
    as_exception,
    call_hook,
    cut_short,
    leave,
    to_tell,
)
from asyncunit.loops import interrupts
from asyncunit.loops.interrupts import Interrupt
from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.scope_task import ScopeTask, WideTask
from asyncunit.scopes import registry
from asyncunit.scopes.open_scope import OpenScope
from asyncunit.scopes.registry import Run, runs

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt


class AsyncScopeState(enum.Enum):
    """How far an AsyncScope has come."""

    DOWN = "down"
    UP = "up"
    BROKEN = "broken"


class AsyncScope:
    """What is async about one open class, module, package or session, on one loop.

    It is DOWN before `set_up` and after `tear_down`; from `break_down` until it is set up anew it is BROKEN.
    """

    def __init__(self, scope_task: ScopeTask) -> None:
        self.scope_task = scope_task
        self.set_up_hook: Callable[[], object] | None = None
        self.tear_down_hook: Callable[[], object] | None = None
        self.state = AsyncScopeState.DOWN
        self._cleanups: list[AsyncCleanup] = []
        self._look()

    def _look(self) -> None:
        """Look for what costs something, where the scope's configuration says so: a test may have looked for less."""
        if self.scope_task.scope.config.costly:
            before(self.scope_task.scope, self.scope_task.loop_runner)

    def add(self, cleanup: AsyncCleanup) -> AsyncCleanup:
        """Remember an async cleanup, for the case that this goes before what is sync."""
        self._cleanups.append(cleanup)
        return cleanup

    def set_up(self) -> None:
        """Run the set-up hook; if it is cancelled, the scope counts as broken, and `unwind` is to go on from there."""
        self.scope_task.begin_set_up()
        try:
            if self.set_up_hook is not None:
                call_hook(self.scope_task, self.set_up_hook)
            self.state = AsyncScopeState.UP
        except asyncio.CancelledError as error:
            self.scope_task.cancelled(error)
        except SystemExit as error:
            raise as_exception(error, self.scope_task.scope) from error

    def tear_down(self) -> list[Exception]:
        """Run the tear-down hook, if the set-up had succeeded, and return what it raised."""
        if self.state is not AsyncScopeState.UP:
            return []
        self.state = AsyncScopeState.DOWN
        self.scope_task.is_ending = True
        try:
            if self.tear_down_hook is not None and not self.scope_task.loop_runner.is_interrupted:
                call_hook(self.scope_task, self.tear_down_hook)
        except asyncio.CancelledError as error:
            return to_tell(self.scope_task, error)
        except (Exception, SystemExit) as error:
            return [as_exception(error, self.scope_task.scope)]
        return []

    def break_down(self) -> list[Exception]:
        """Tear down and clean up before the time, and return what that raised."""
        self._look()
        errors = self.tear_down()
        with printing_at_interrupt(self.scope_task.scope, errors):
            while self._cleanups:
                errors += [as_exception(error, self.scope_task.scope) for error in leave(self._cleanups.pop())]
            if self.scope_task.scope.fixtures is not None:
                errors += self.scope_task.scope.fixtures.tear_down(self)
        self.state = AsyncScopeState.BROKEN
        return errors + self.check()

    def check(self) -> list[Exception]:
        """End what the scope has left on the loop, and return what is to be reported for it."""
        errors = after_scope(self.scope_task.scope, self.scope_task.loop_runner, self.scope_task.task)
        check_what_was_handed_on(self.scope_task.scope, self.scope_task.loop_runner)
        return errors

    def lose(self) -> list[Exception]:
        """Forget what was set up, for its loop is closed, and nothing can run on it; return what that raised."""
        errors: list[Exception] = []
        while self._cleanups:
            self._cleanups.pop().drop()
        if self.scope_task.scope.fixtures is not None:
            errors += self.scope_task.scope.fixtures.lose(self)
        self.scope_task.abandon()
        self.scope_task.cancellation = None
        self.state = AsyncScopeState.BROKEN
        return errors

    def close(self) -> list[Exception]:
        """Tear down what is up, end the task, and return what that raised. May be called twice."""
        errors = self.break_down()
        cancellation, self.scope_task.cancellation = self.scope_task.cancellation, None
        errors += as_errors(cancellation, self.scope_task.scope)
        self.state = AsyncScopeState.DOWN
        self.scope_task.end()
        loop_runner = self.scope_task.loop_runner
        if loop_runner.owner is not self.scope_task.scope and runs():
            if loop_runner.loop.is_closed():
                errors += replace_closed_loop(runs()[-1], loop_runner)
            elif loop_runner.stubborn or observer_on(loop_runner).is_unfit:
                errors += replace_stubborn_loop(runs()[-1], loop_runner)
        return errors


def async_scope_of(open_scope: OpenScope, loop_runner: LoopRunner) -> AsyncScope:
    """The async scope that an open scope has on a loop."""
    return open_scope.keep(
        (AsyncScope, loop_runner), lambda: AsyncScope(WideTask(loop_runner, open_scope)), AsyncScope.close
    )


def check_what_was_handed_on(owner: OpenScope, loop_runner: LoopRunner) -> None:
    """Have the next wider scope look at its end for what it has from this one, also where nothing async is its own."""
    wider = owner.within
    if wider is not None and wider.has_more and loop_runner.owner in wider.outwards():
        async_scope_of(wider, loop_runner)


def loop_in(run: Run, owner: OpenScope, factory: LoopFactory | None, attempt: Attempt | None = None) -> LoopRunner:
    """The loop that an open scope owns: made by the first that needs it, closed with the scope."""
    loop = owner.keep((LoopRunner, factory), lambda: LoopRunner(owner, factory, attempt, Watch), LoopRunner.close)
    for error in replace_closed_loop(run, loop):
        run.report(owner, error)
    return loop


def async_scopes_on(registry: Run, loop_runner: LoopRunner) -> list[AsyncScope]:
    """The async scopes that the open scopes have on a loop, innermost first."""
    found = (open_scope.kept((AsyncScope, loop_runner)) for open_scope in reversed(registry.chain))
    return [each for each in found if each is not None]


def unwind(registry: Run, loop_runner: LoopRunner, cancellation: BaseException | None = None) -> list[Exception]:
    """Break down the scopes that something has cancelled, and those inside them; return what that raised.

    The cancellation goes outwards through all that they have entered, as through nested ``async with``; it begins
    as ``cancellation``, where a test inside them has already let it pass. What came of it is the last error returned:
    there always is one.
    """
    broken = [
        async_scope
        for async_scope in async_scopes_on(registry, loop_runner)
        if async_scope.scope_task in loop_runner.broken
    ]
    if not broken:
        loop_runner.broken.clear()
        return []
    widest = broken[-1]
    cause = widest.scope_task.cancellation
    errors: list[Exception] = []
    with printing_at_interrupt(widest.scope_task.scope, errors):
        for async_scope in async_scopes_on(registry, loop_runner):
            if cancellation is None or is_error(cancellation, asyncio.CancelledError):
                # Its own first: cancel scopes know theirs by its message.
                cancellation = async_scope.scope_task.cancellation or cancellation or cause
            async_scope.scope_task.cancellation = cancellation
            errors += async_scope.break_down()
            cancellation, async_scope.scope_task.cancellation = async_scope.scope_task.cancellation, None
            if async_scope is widest:
                break
    loop_runner.broken.clear()
    errors += as_errors(cancellation, widest.scope_task.scope)
    return errors or [cut_short(widest.scope_task.scope, cause)]


def replace_closed_loop(registry: Run, loop_runner: LoopRunner) -> list[Exception]:
    """Put a new loop in the place of one that somebody has closed; return the error, if it was not raised before."""
    if not loop_runner.loop.is_closed():
        return []
    errors: list[Exception] = [] if loop_runner.close_is_reported else [loop_runner.report_closed_by_user()]
    for async_scope in async_scopes_on(registry, loop_runner):
        errors += async_scope.lose()
    loop_runner.broken.clear()
    loop_runner.renew()
    return errors


def replace_stubborn_loop(registry: Run, loop_runner: LoopRunner) -> list[Exception]:
    """Put a new loop in the place of one on which something refuses to end; return what breaking down raised."""
    errors: list[Exception] = []
    with printing_at_interrupt(loop_runner.owner, errors):
        for async_scope in async_scopes_on(registry, loop_runner):
            errors += async_scope.break_down()
        errors += loop_runner.close()
    loop_runner.renew()
    return errors


def let_go_of_process() -> None:
    """Put back what is there once for the thread, or the process, when its last run ends."""
    if not registry.all_runs():
        interrupts.stop()
        python_warnings.stop()
    if not registry.runs():
        Interrupt.uninstall()


# A test while its scope is open.


# Asked for each test, and slow to find on the class.
_interrupt_of_this_thread = Interrupt.of_this_thread


class OpenTest:
    """A test whose scope is open: the task in which it runs, what ends it early, and what it has left in the end.

    ``outer`` is what tears down what was set up around the test by who runs it; None where the test is to close its
    scope itself, as soon as it is done.
    """

    outer: list[Exit] | None
    # Where the test runs, and the run that it is part of; both None until `begin`.
    scope_task: ScopeTask | None
    _run: Run | None
    # The schedule that the test follows, if its loop follows one.
    attempt: Attempt | None
    # Whose attributes are looked through for what the test has left.
    _case: object

    def __init__(self) -> None:
        # Not in the class: Python is slow to read and to set what is in both.
        self.outer = self.scope_task = self._run = self.attempt = None

    def begin(self, run: Run, scope_task: ScopeTask) -> ScopeTask:
        """The scope of the test is open: from now on, what it leaves behind is its own."""
        self._run = run
        open_scope, loop_runner = scope_task.scope, scope_task.loop_runner
        self.attempt = loop_runner.attempt
        observer: Observer = loop_runner.instrument
        observer.test = open_scope
        if observer.is_new_to_tests or observer.unhandled:
            observer.before_test(loop_runner.loop)
        if open_scope.config.costly:
            before(open_scope, loop_runner)
        _interrupt_of_this_thread()  # which an earlier test may have taken away
        self.scope_task = scope_task
        return scope_task

    def finish(self) -> list[BaseException]:
        """Run what is left of the test, the cancellation in flight passed through what it has entered."""
        errors: list[BaseException] = []
        with printing_at_interrupt("test" if self.scope_task is None else self.scope_task.scope, errors):
            while self.outer:
                errors += leave(self.outer.pop())
        return errors

    def tell_later(self, errors: Sequence[BaseException]) -> None:
        """Have errors reported that could not be raised where they came up."""
        if self.scope_task is not None:
            self.scope_task.scope.tell_later(errors)

    def cut_short(self, cause: asyncio.CancelledError, *, is_expected: bool = False) -> BaseException:
        """Run what is left of a cancelled test, and return what is to be raised for it.

        That is what a timeout or a task group made of the cancellation. Any other error that comes up is told later;
        so is that of a wider scope, where the test is expected to fail: nobody expects that.
        """
        scope_task = self.scope_task
        if scope_task is None:
            return cause
        scope_task.cancellation = scope_task.cancellation or cause
        errors = self.finish()
        with printing_at_interrupt(scope_task.scope, errors):
            unwound = self.unwind()
        cancellation, scope_task.cancellation = scope_task.cancellation, None
        reason: BaseException = cancellation or cut_short(scope_task.scope, cause)
        if unwound:
            *others, reason = unwound
            errors += others
            if is_expected:
                errors.append(reason)
                reason = cut_short(scope_task.scope, cause)
        elif cancellation is cause:
            cause.add_note(
                "The test's own task was cancelled, and not by a timeout, a task group or a cancel scope; or the test "
                "raised CancelledError itself."
            )
        self.tell_later(errors)
        return reason

    def unwind(self) -> list[Exception]:
        """Break down the wider scopes that crashed during the test, and return what that raised."""
        scope_task, run = self.scope_task, self._run
        if scope_task is None or run is None or not scope_task.loop_runner.broken:
            return []
        broken = scope_task.loop_runner.broken
        broken[:] = [other for other in broken if other is not scope_task]
        if not broken:
            return []
        cancellation, scope_task.cancellation = scope_task.cancellation, None
        return unwind(run, scope_task.loop_runner, cancellation)

    def _check(self, run: Run, scope_task: ScopeTask, own: asyncio.Task[None] | None) -> list[Exception]:
        """End what the test has left, and return what is to be reported for it."""
        errors, late = after_test(scope_task.scope, scope_task.loop_runner, own, self._case)
        check_what_was_handed_on(scope_task.scope, scope_task.loop_runner)
        for owner, finding in late:
            for error in judge(owner, [finding]):
                run.report(owner, error)
        return errors

    def close(self) -> list[Exception]:
        """Close the scope of the test, and return what that raised."""
        errors: list[Exception] = []
        scope_task, run = self.scope_task, self._run
        if scope_task is not None and run is not None:
            scope, loop_runner = scope_task.scope, scope_task.loop_runner
            if self.attempt is not None:
                self.attempt.finish()
            observer: Observer = loop_runner.instrument
            if run.has_inner:
                registry.end_inside(run)  # a suite that the test has run
            own = scope_task.end()
            if own is not None and not loop_runner.loop.is_closed():
                loop_runner.turn()
                own = scope_task.end()
            observer.put_back(loop_runner.loop)
            if scope.let_go() or observer.unhandled or observer.lingering or observer.aside or scope.config.costly:
                errors += self._check(run, scope_task, own)
            if loop_runner.broken or scope_task.cancellation is not None:
                was_cancelled = scope_task in loop_runner.broken
                with printing_at_interrupt(scope, errors):
                    errors += self.unwind()
                errors += as_errors(scope_task.cancellation, scope_task.scope)
                scope_task.cancellation = None
                if was_cancelled and not errors:
                    errors.append(cut_short(scope_task.scope, None))
            if loop_runner.loop.is_closed():
                scope_task.abandon()
                errors += replace_closed_loop(run, loop_runner)
            elif (loop_runner.stubborn or observer.is_unfit) and loop_runner.owner is not scope:
                with printing_at_interrupt(scope, errors):
                    errors += replace_stubborn_loop(run, loop_runner)
            if errors:
                scope.tell_later(errors)  # where Ctrl-C comes as the scope is left, they are printed
            errors = run.leave(scope)
        return errors
