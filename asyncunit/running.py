"""One test while it runs: the scope that it stands in, opened and closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import TestCase

from asyncunit import config, registry, suite
from asyncunit.halves import as_errors, cut_short, mend, recover
from asyncunit.hooks import loop_of
from asyncunit.registry import Registry
from asyncunit.runner import loop_is_running
from asyncunit.scopes import Scope
from asyncunit.tasks import ScopeRunner
from asyncunit.values import TestFixtures

__all__ = ["AwaitingContext", "RunningTest"]

__unittest = True  # a traceback that a user reads begins at the user's line


class RunningTest:
    """One test while it runs: its scope, and the task in which it runs.

    ``tear_down_steps`` are the tear-down hooks that are still to be run: none before the set-up has succeeded.
    ``fixtures`` is None where the class has none, nor values to run tests with.
    """

    runner: ScopeRunner | None = None
    fixtures: TestFixtures | None = None
    _alone: suite.Alone | None = None
    _run: Registry | None = None

    def __init__(self) -> None:
        self.tear_down_steps: list[Callable[[], object]] = []

    def open(self, case: TestCase) -> ScopeRunner:
        """Set up what the test needs, and open its own scope inside."""
        cls = type(case)
        class_scope = suite.innermost_class(cls) or suite.running_class(cls)
        if class_scope is None:
            self._alone = suite.Alone()
            class_scope = self._alone.open(cls)
        elif not class_scope.ready:
            class_scope.ensure()
        self._run = run = class_scope.run
        name = case._testMethodName
        of_class = class_scope.fixtures
        if of_class is not None:
            plan = of_class.plan.of_test(name, getattr(case, name))
            values = of_class.for_test(plan)
        open_scope = run.open(Scope.FUNCTION, name)
        half, choice = class_scope.half, class_scope.choice
        own = getattr(getattr(case, name), config.ATTRIBUTE, None)
        debug = choice.debug if own is None else own.get("loop_debug", choice.debug)
        if half is not None:
            runner = ScopeRunner(half.runner.loops, open_scope, debug, class_scope.open_scope)
        else:
            try:
                runner = ScopeRunner(loop_of(run, choice), open_scope, debug)
            except BaseException:  # of the user's factory
                run.leave(open_scope)
                raise
        self.runner = runner
        if of_class is not None:
            self.fixtures = TestFixtures(of_class, plan, case, runner, values)
        return runner

    @property
    def can_close(self) -> bool:
        """Whether nothing else runs: a test that debug() left open may be let go at any time."""
        if self.runner is None or self._run is None or self._run not in registry.runs()[-1:]:
            return False
        return not loop_is_running()

    def mend(self) -> list[Exception]:
        """Break down the wider scopes that crashed during the test, and return what that raised."""
        runner, run = self.runner, self._run
        if runner is None or run is None or not runner.loops.broken:
            return []
        broken = runner.loops.broken
        broken[:] = [other for other in broken if other is not runner]
        if not broken:
            return []
        flight, runner.in_flight = runner.in_flight, None
        return mend(run, runner.loops, flight)

    def close(self) -> list[Exception]:
        """Close the test's scope, and what was opened for it alone; return what that raised."""
        errors: list[Exception] = []
        runner, run = self.runner, self._run
        if runner is not None and run is not None:
            loops = runner.loops
            registry.end_inside(run)  # a suite that the test has run
            if self.fixtures is not None:
                errors += self.fixtures.close()
            runner.end()
            if loops.broken or runner.in_flight is not None:
                was_cancelled = runner in loops.broken
                errors += self.mend()
                errors += as_errors(runner.in_flight, runner.scope)
                runner.in_flight = None
                if was_cancelled and not errors:
                    errors.append(cut_short(runner.scope, None))
            if loops.loop.is_closed():
                errors += recover(run, loops)
            errors += run.leave(runner.scope)
        if self._alone is not None:
            errors += self._alone.close()
        return errors


class AwaitingContext:
    """The context of a test, for steps of IsolatedAsyncioTestCase's own that run its sync hooks there."""

    def __init__(self, runner: ScopeRunner) -> None:
        self._runner = runner
        self.run = runner.call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner.scope.context, name)
