"""A test whose scope is open, whoever runs it: what ends it early, and what it has left in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from asyncunit import registry
from asyncunit.checks import after_test, before
from asyncunit.findings import judge
from asyncunit.halves import as_errors, cut_short, replace_closed_loop, replace_stubborn_loop, unwind
from asyncunit.registry import Registry
from asyncunit.scope_runner import ScopeRunner
from asyncunit.yields import Exit, leave

__all__ = ["OpenTest"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class OpenTest:
    """A test whose scope is open: the task in which it runs, what ends it early, and what it has left in the end.

    ``outer`` is what tears down what was set up around the test by who runs it; None where the test is to close its
    scope itself, as soon as it is done.
    """

    outer: list[Exit] | None = None
    # Where the test runs, and the run that it is part of; both None until `begin`.
    runner: ScopeRunner | None = None
    _run: Registry | None = None
    # Whose attributes are looked through for what the test has left.
    _case: object

    def begin(self, run: Registry, runner: ScopeRunner) -> ScopeRunner:
        """The scope of the test is open: from now on, what it leaves behind is its own."""
        self._run = run
        open_scope, loop_runner = runner.scope, runner.loop_runner
        observer = loop_runner.observer
        observer.test = open_scope
        if observer.is_new_to_tests or observer.unhandled:
            observer.before_test(loop_runner.loop)
        if open_scope.config.costly:
            before(open_scope, loop_runner)
        self.runner = runner
        return runner

    def finish(self) -> list[BaseException]:
        """Run what is left of the test, the cancellation in flight passed through what it has entered."""
        errors: list[BaseException] = []
        while self.outer:
            errors += leave(self.outer.pop())
        return errors

    def leave_behind(self, errors: Sequence[BaseException]) -> None:
        """Have errors reported that could not be raised where they came up."""
        raise NotImplementedError

    def cut_short(self, cause: asyncio.CancelledError, *, is_expected: bool = False) -> BaseException:
        """Run what is left of a cancelled test, and return what is to be raised for it.

        That is what a timeout or a task group made of the cancellation. Any other error that comes up is left behind;
        so is that of a wider scope, where the test is expected to fail: nobody expects that.
        """
        runner = self.runner
        if runner is None:
            return cause
        runner.in_flight = runner.in_flight or cause
        errors = self.finish()
        unwound = self.unwind()
        flight, runner.in_flight = runner.in_flight, None
        reason: BaseException = flight or cut_short(runner.scope, cause)
        if unwound:
            *others, reason = unwound
            errors += others
            if is_expected:
                errors.append(reason)
                reason = cut_short(runner.scope, cause)
        elif flight is cause:
            cause.add_note(
                "The test's own task was cancelled, and not by a timeout, a task group or a cancel scope; or the test "
                "raised CancelledError itself."
            )
        self.leave_behind(errors)
        return reason

    def unwind(self) -> list[Exception]:
        """Break down the wider scopes that crashed during the test, and return what that raised."""
        runner, run = self.runner, self._run
        if runner is None or run is None or not runner.loop_runner.broken:
            return []
        broken = runner.loop_runner.broken
        broken[:] = [other for other in broken if other is not runner]
        if not broken:
            return []
        flight, runner.in_flight = runner.in_flight, None
        return unwind(run, runner.loop_runner, flight)

    def _check(self, run: Registry, runner: ScopeRunner, own: asyncio.Task[None] | None) -> list[Exception]:
        """End what the test has left, and return what is to be reported for it."""
        errors, late = after_test(runner.scope, runner.loop_runner, own, self._case)
        for owner, finding in late:
            for error in judge(owner, [finding]):
                run.report(owner, error)
        return errors

    def close(self) -> list[Exception]:
        """Close the scope of the test, and return what that raised."""
        errors: list[Exception] = []
        runner, run = self.runner, self._run
        if runner is not None and run is not None:
            scope, loop_runner = runner.scope, runner.loop_runner
            observer = loop_runner.observer
            registry.end_inside(run)  # a suite that the test has run
            own = runner.end()
            if own is not None and not loop_runner.loop.is_closed():
                loop_runner.turn()
                own = runner.end()
            observer.put_back(loop_runner.loop)
            if scope.let_go() or observer.unhandled or observer.lingering or observer.aside or scope.config.costly:
                errors += self._check(run, runner, own)
            if loop_runner.broken or runner.in_flight is not None:
                was_cancelled = runner in loop_runner.broken
                errors += self.unwind()
                errors += as_errors(runner.in_flight, runner.scope)
                runner.in_flight = None
                if was_cancelled and not errors:
                    errors.append(cut_short(runner.scope, None))
            if loop_runner.loop.is_closed():
                runner.abandon()
                errors += replace_closed_loop(run, loop_runner)
            elif loop_runner.stubborn and loop_runner.owner is not scope:
                errors += replace_stubborn_loop(run, loop_runner)
            errors += run.leave(scope)
        return errors
