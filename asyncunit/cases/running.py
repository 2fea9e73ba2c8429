"""A test case while it runs: what is set up for it, what is still to be torn down, what ends it early.

Under several schedules it runs once for each, with one verdict.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import unittest
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from asyncunit.cases.run import HeldResult
from asyncunit.introspection.functions import is_async_def
from asyncunit.introspection.tracebacks import is_error, printing_at_interrupt
from asyncunit.lifecycle.async_scope import OpenTest
from asyncunit.lifecycle.cleanups import AsyncCleanup, leave, to_tell
from asyncunit.lifecycle.fixtures import TestFixtures
from asyncunit.lifecycle.hooks import ClassScope, loop_of
from asyncunit.loops.loop import loop_is_running
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import END_TASK, KEEP_TASK, After, Step
from asyncunit.plans.fixtures import Node
from asyncunit.scope import Scope
from asyncunit.scopes import registry

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Doing(enum.Enum):
    """Which part of a test is run together with others, where that is not a fixture."""

    SET_UP = "set-up hook"
    TEST = "test"
    TEAR_DOWN = "tear-down"


# Asked for each test, and slow to find on an enum.
_FUNCTION: Final = Scope.FUNCTION
_SET_UP: Final = Doing.SET_UP
_TEST: Final = Doing.TEST
_TEAR_DOWN: Final = Doing.TEAR_DOWN


# A step of a set-up that others may follow in the same run of the loop, because nothing sync stands between them: a
# fixture that is plainly async, or a hook.
Part = Node | Callable[[], Awaitable[Any]]


class RunningTest(OpenTest):
    """One test case while it runs.

    ``tear_down_steps`` are the tear-down hooks that are still to be run: none before the set-up has succeeded. If
    ``is_async_tear_down``, one of them needs the task of the test. ``fixtures`` is None where the class has none, nor
    values to run tests with.
    """

    # While the set-up is run together with the test: its parts that are to follow at once.
    _ahead: list[Part]
    _case: Any

    def __init__(self, case: Any) -> None:
        # Not by the base: it would be one more call for each test.
        self.outer = self.scope_task = self._run = self.attempt = None
        # Which steps of the test a base between asyncunit's class and unittest's has extended.
        self.extended: frozenset[str] = case._asyncunit_extended
        # Whether another runner has what is left after the test run later.
        self.is_postponed: bool = case._asyncunit_is_postponed
        self.fixtures: TestFixtures | None = None
        self.is_async_tear_down = False
        # What came of the test where it was run with its set-up, its value and its error, until unittest asks for it;
        # None where it is still to be run.
        self.came_of_test: tuple[Any, BaseException | None] | None = None
        # The async tear-down hook, where it is the first of the steps and may be run with the test.
        self.tear_down_hook: Callable[[], Awaitable[Any]] | None = None
        # What is being run, of what is run together: a fixture's set-up, or another part of the test.
        self._doing: Node | Doing | None = None
        # The test, while it is to follow the set-up at once.
        self._method: Callable[..., Awaitable[Any]] | None = None
        # Closes what was opened for this test alone; None where a suite has set up its class.
        self.close_class: Callable[[], list[Exception]] | None = None
        self.tear_down_steps: list[Callable[[], object]] = []
        self._case = case
        # Whether a subtest of the test has failed while it was run with its set-up.
        self.has_failed_subtest = False
        # What was raised by a part of the set-up that was not the first.
        self._set_up_error: BaseException | None = None

    def open(self, class_scope: ClassScope) -> ScopeTask:
        """Set up what the test needs of its class, and open its own scope inside."""
        case = self._case
        if not class_scope.is_ready():
            class_scope.ensure()
        run = class_scope.run
        name = case._testMethodName
        of_class = class_scope.fixtures
        if of_class is not None:
            plan = of_class.plan.tests.get(name) or of_class.plan.of_test(name, getattr(case, name))
            values = of_class.for_test(plan) if plan.wide else of_class.values.copy()
        open_scope = run.open(_FUNCTION, name)
        async_scope, choice = class_scope.async_scope, class_scope.choice
        if name in class_scope.configs:
            open_scope.config = class_scope.configs[name]
        if async_scope is not None:
            scope_task = ScopeTask(async_scope.scope_task.loop_runner, open_scope, class_scope.open_scope)
        else:
            try:
                scope_task = ScopeTask(loop_of(run, choice, case._asyncunit_attempt or run.attempt), open_scope)
            except BaseException:  # of the user's factory
                run.leave(open_scope)
                raise
        self.begin(run, scope_task)
        if of_class is not None:
            self.fixtures = TestFixtures(of_class, plan, case, scope_task, values, self.clean_up)
        return scope_task

    def set_up_named(self, fixtures: TestFixtures) -> None:
        """Set up the fixtures that only this test names; where one fails, tear down what the hooks have set up."""
        failure: BaseException | None = None
        try:
            fixtures.set_up(fixtures.plan.named)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            failure = error
        if failure is None:
            return
        if is_error(failure, asyncio.CancelledError):
            raise self.cut_short(failure)
        self.tell_later(self.tear_down())
        raise failure

    # All that is async and stands together takes one run of the loop, step by step. Once a step fails, the rest is run
    # apart, as unittest asks for it.

    def set_up_together(
        self, parts: list[Part], tear_down_steps: list[Callable[[], object]], method: Callable[..., Awaitable[Any]]
    ) -> None:
        """Run parts of the set-up, and the test where all goes well, with what follows that.

        Raises what ends the set-up. What comes of the test is kept, as ``came_of_test``.
        """
        assert self.scope_task is not None
        self._ahead = parts
        self._method = method
        self.tear_down_steps = tear_down_steps
        try:
            self.scope_task.run(self._begin_part(), self)
            if self._method is not None:
                self._raise_what_kept_the_test()
        except BaseException as error:
            if self._method is not None:  # the set-up has not succeeded
                self.tear_down_steps = []
            doing, self._doing = self._doing, None
            self._method = self._set_up_error = None
            self._ahead.clear()
            if type(doing) is Node and self.fixtures is not None and (told := self.fixtures.drop(doing, error)):
                raise told from None
            raise
        if self.came_of_test is not None and not (outcome := self._case._outcome).success:
            self.has_failed_subtest = outcome.success = True  # it is the test that has failed, and not the set-up

    def take_what_came(self) -> Any:
        """Return or raise what has come of the test, which was run with its set-up."""
        assert self.came_of_test is not None
        (value, error), self.came_of_test = self.came_of_test, None
        if self.has_failed_subtest:
            self._case._outcome.success = False
        if error is not None:
            raise error
        return value

    def _raise_what_kept_the_test(self) -> None:
        """Raise what ended the set-up before the test has begun."""
        assert self.scope_task is not None
        if self._set_up_error is not None:
            raise self._set_up_error
        if self._ahead:  # something wider has broken in between
            raise self.scope_task.cancellation or asyncio.CancelledError()
        self._method = None  # something wider has broken just before the test, which is to find that

    def _begin_part(self) -> Awaitable[Any]:
        """Begin the next part of the set-up."""
        part = self._ahead.pop(0)
        if type(part) is Node and self.fixtures is not None:
            self._doing = part
            return self.fixtures.begin(part)
        self._doing = _SET_UP
        return part()  # type: ignore[operator]  # a hook

    def next_step(self, step: Step, *, is_broken: bool) -> Awaitable[Any] | After:
        """What is to be run in the same run of the loop as the step that is done; else what becomes of the task."""
        doing = self._doing
        if doing is not None and (not is_broken or (step.error is None and step.stray is None)):
            self._doing = None
            if doing is _TEST:
                self.came_of_test = step.value, None
            elif type(doing) is Node and self.fixtures is not None:
                self.fixtures.put(doing, step.value)
        if self._method is not None:  # the set-up is not over; the test is not run where a subtest has failed in it
            is_over = is_broken or (not self._ahead and not self._case._outcome.success)
            return KEEP_TASK if is_over else self._go_on()
        if self.tear_down_hook is not None and not is_broken:
            return self._begin_tear_down(self.tear_down_hook)
        if self.outer or self.is_postponed:
            return KEEP_TASK
        # After the test: the tear-down of a fixture, where nothing else is to be run before it.
        cleanups, fixtures = self._case._cleanups, self.fixtures
        if not cleanups and not self.tear_down_steps:
            if fixtures is None or not fixtures.exits:
                return END_TASK
            if not is_broken and (tear_down := fixtures.next_tear_down()) is not None:
                return tear_down
        # What is sync needs no task; what then turns out to be awaitable has another.
        if self.is_async_tear_down or any(_is_async(function) for function, _, _ in cleanups):
            return KEEP_TASK
        return KEEP_TASK if fixtures is not None and fixtures.has_async_exit else END_TASK

    def _go_on(self) -> Awaitable[Any] | After:
        """The next part of the set-up, or the test."""
        try:
            if self._ahead:
                return self._begin_part()
            self._doing = _TEST
            method, self._method = self._method, None
            assert method is not None
            fixtures = self.fixtures
            if fixtures is None or not fixtures.plan.has_arguments:
                return method()
            return method(**fixtures.arguments)
        except Exception as error:  # of a call with the wrong arguments
            self.step_failed(error)
            return KEEP_TASK

    def _begin_tear_down(self, hook: Callable[[], Awaitable[Any]]) -> Awaitable[Any]:
        """Begin the async tear-down hook."""
        self.tear_down_hook = None
        self.tear_down_steps.pop(0)
        self.scope_task.is_ending = True  # type: ignore[union-attr]  # a step has run in it
        self._doing = _TEAR_DOWN
        return hook()

    def step_failed(self, error: BaseException) -> None:
        """Take what was raised by a step that was run after another, in the same run of the loop."""
        if self._method is not None:  # of the set-up
            self._set_up_error = error
            return
        doing, self._doing = self._doing, None
        if doing is _TEST:
            self.came_of_test = None, error
        elif (scope_task := self.scope_task) is not None:  # the tear-down of a hook, or of a fixture
            scope_task.scope.tell_later(to_tell(scope_task, error))

    def tear_down(self) -> list[BaseException]:
        """Run the tear-down hooks that are still to be run, each whatever the others raise; return what they raised."""
        scope_task = self.scope_task
        if scope_task is None:
            return []
        scope_task.is_ending = True
        self.tear_down_hook = None
        errors: list[BaseException] = scope_task.scope.take_untold()
        if self.tear_down_steps:
            with printing_at_interrupt(scope_task.scope, errors):
                while self.tear_down_steps:
                    for error in leave(self.tear_down_steps.pop(0)):
                        errors += to_tell(scope_task, error)
        return errors

    def clean_up(self) -> list[BaseException]:
        """Run the cleanups that are still to be run, and return what they raised."""
        errors: list[BaseException] = []
        with printing_at_interrupt(self._case, errors):
            while self._case._cleanups:
                function, args, kwargs = self._case._cleanups.pop()
                errors += leave(functools.partial(self._case._callCleanup, function, *args, **kwargs))
        return errors

    def finish_own(self) -> list[BaseException]:
        """Run the tear-down hooks, the cleanups and the tear-downs of fixtures that are still to be run."""
        errors = self.tear_down()
        with printing_at_interrupt(self._case, errors):
            errors += self.clean_up()
            if self.fixtures is not None:
                errors += self.fixtures.tear_down()
        return errors

    def finish(self) -> list[BaseException]:  # noqa: D102 - see the base
        errors = self.finish_own()
        with printing_at_interrupt(self._case, errors):
            errors += super().finish()
        return errors

    def tell_later(self, errors: Sequence[BaseException]) -> None:
        """Have unittest report each of the errors, which could not be raised where it came up: as that of a cleanup."""
        for error in reversed(errors):
            self._case.addCleanup(_raise, error)

    @property
    def can_close(self) -> bool:
        """Whether nothing else runs: a test that debug() left open may be let go at any time."""
        if self.scope_task is None or self._run is not registry.innermost_run():
            return False
        return not loop_is_running()

    def close(self) -> list[Exception]:
        """Close the test's scope, and what was opened for it alone; return what that raised."""
        errors: list[Exception] = []
        if self.fixtures is not None and self._run is not None:
            registry.end_inside(self._run)
            errors += self.fixtures.close()
        with printing_at_interrupt(self._case, errors):
            errors += OpenTest.close(self)
            if self.close_class is not None:
                errors += self.close_class()
        return errors


def _is_async(cleanup: object) -> bool:
    return isinstance(cleanup, AsyncCleanup) or is_async_def(cleanup)


def _raise(error: BaseException) -> None:
    raise error


class AwaitingContext:
    """The context of a test, for steps of IsolatedAsyncioTestCase's own that run its sync hooks there."""

    def __init__(self, scope_task: ScopeTask) -> None:
        self._scope_task = scope_task
        self.run = scope_task.call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope_task.scope.context, name)


# A test under several schedules.


def attempts_for(case: unittest.TestCase, class_scope: ClassScope) -> list[Attempt] | None:
    """The schedules to run a test case under; None where it is run as ever, or by a runner that sees to this."""
    if class_scope.run.sees_to_schedules:
        return None
    config = class_scope.configs.get(case._testMethodName, class_scope.choice.configs[0])
    if not config.explores:
        return None
    if class_scope.choice.scope is not Scope.FUNCTION:
        if config.schedules > 1 or config.schedule is not None:
            class_scope.run.count_one_that_ran_once()
        return None
    from asyncunit.loops.attempts import attempts_of

    return attempts_of(config)


def run_under(
    attempts: list[Attempt],
    case: Any,
    result: unittest.TestResult,
    run: Callable[[unittest.TestResult], object],
) -> None:
    """Run a test under each schedule until it fails under one, and report what came of that, or of the first."""
    before = dict(vars(case))
    first = None
    result.startTest(case)
    try:
        for attempt in attempts:
            vars(case).clear()
            vars(case).update(before)
            held: Any = HeldResult(result)
            case._asyncunit_attempt = attempt
            try:
                run(held)
            finally:
                attempt.write_timeline()
            first = first or held
            if not held.has_passed:
                if attempt.number or attempt.is_alone:
                    held.add_note(attempt.note("python -m unittest", case.id()))
                first = held
                break
            if result.shouldStop:
                break
        if first is not None:
            first.report()
    finally:
        case._asyncunit_attempt = None
        result.stopTest(case)
