"""A test while its scope is open: what is still to be torn down, and what ends it early."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from asyncunit.checks.findings import judge
from asyncunit.checks.scope_end import after_test, before
from asyncunit.checks.unhandled_errors import Observer
from asyncunit.lifecycle.async_scope import (
    check_what_was_handed_on,
    replace_closed_loop,
    replace_stubborn_loop,
    unwind,
)
from asyncunit.lifecycle.cleanups import Exit, as_errors, cut_short, leave
from asyncunit.loops.interrupts import Interrupt
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.scopes import registry
from asyncunit.scopes.registry import Run

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

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
                errors += self.unwind()
                errors += as_errors(scope_task.cancellation, scope_task.scope)
                scope_task.cancellation = None
                if was_cancelled and not errors:
                    errors.append(cut_short(scope_task.scope, None))
            if loop_runner.loop.is_closed():
                scope_task.abandon()
                errors += replace_closed_loop(run, loop_runner)
            elif (loop_runner.stubborn or observer.is_unfit) and loop_runner.owner is not scope:
                errors += replace_stubborn_loop(run, loop_runner)
            errors += run.leave(scope)
        return errors
