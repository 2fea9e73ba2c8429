"""The steps in which unittest runs one test, each in the scope of the test.

The methods whose names begin with ``_call``, and ``_setupAsyncioRunner`` and ``_tearDownAsyncioRunner``, are those by
which IsolatedAsyncioTestCase itself extends TestCase; ``_asyncioRunner`` and ``_asyncioTestContext`` are what it keeps,
and its subclasses read; ``_cleanups``, ``_outcome`` and ``_subtest`` are TestCase's own. There is no public way to
await a test. ``tests/cases/test_protocol.py`` tells when one of them changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import sys
import types
import unittest
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, ParamSpec, TypeVar
from unittest import IsolatedAsyncioTestCase, TestCase

from asyncunit.cases import run as runs
from asyncunit.cases import suite
from asyncunit.cases.running import AwaitingContext, Part, RunningTest, attempts_for, run_under
from asyncunit.errors import DefinitionError, LoopClosedError, raise_all
from asyncunit.introspection import functions
from asyncunit.introspection.functions import class_name, is_async_def, is_awaitable, judge_value
from asyncunit.introspection.tracebacks import print_all, printing_at_interrupt, stand_at_function
from asyncunit.lifecycle.async_scope import OpenTest
from asyncunit.lifecycle.cleanups import AsyncCleanup, call_hook, cut_short
from asyncunit.lifecycle.fixtures import TestFixtures
from asyncunit.lifecycle.hooks import exploring, innermost_class
from asyncunit.loops.interrupts import Interrupt
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.plans import class_plan as plans
from asyncunit.plans.class_plan import parameter_note

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

P = ParamSpec("P")
T = TypeVar("T")

# unittest's own, which do nothing.
_SET_UP, _TEAR_DOWN = TestCase.setUp, TestCase.tearDown
_ASYNC_SET_UP, _ASYNC_TEAR_DOWN = IsolatedAsyncioTestCase.asyncSetUp, IsolatedAsyncioTestCase.asyncTearDown

# By these unittest runs a test.
_STEPS = ("_callSetUp", "_callTestMethod", "_callTearDown")


def _super(case: StepsInScope) -> Any:
    """The classes behind asyncunit's, whose private methods type checkers do not know."""
    return super(StepsInScope, case)


def _extended_steps(cls: type) -> frozenset[str]:
    """Which steps of a test a base extends that stands between asyncunit's class and unittest's."""
    bases = cls.__mro__[cls.__mro__.index(StepsInScope) + 1 : cls.__mro__.index(IsolatedAsyncioTestCase)]
    return frozenset(step for step in (*_STEPS, "run") for base in bases if step in vars(base))


def _never_ran(case: TestCase) -> DefinitionError:
    """The error for a test that a base in front has run by itself: nothing async about it has been awaited."""
    base = next(base for base in type(case).__mro__ if "run" in vars(base))
    return DefinitionError(
        f"{class_name(base)}.run() never came to TestCase.run(), so asyncunit did not run this test, and whatever is "
        f"async about it was not awaited. Write asyncunit's base in front of {base.__qualname__}, or call "
        f"super().run(result) in its run()."
    )


def _exc_info(error: BaseException) -> tuple[type[BaseException], BaseException, types.TracebackType | None]:
    """What unittest's results take."""
    return type(error), error, error.__traceback__


class StepsInScope(IsolatedAsyncioTestCase):
    """What is asyncunit's own of a test case while its test runs."""

    _asyncunit_extended: ClassVar[frozenset[str]] = frozenset()
    # Whether a class in front overrides _callTestMethod, and may look at the loop after it: IsolatedAsyncioTestCase's
    # turns once more when the test is done.
    _asyncunit_is_awaited_for_more: ClassVar[bool] = False
    # Whether the steps of a test are called by unittest and by nobody else, so that some may be run together.
    _asyncunit_has_own_steps: ClassVar[bool] = False
    # Whether the __init__() behind asyncunit's class is IsolatedAsyncioTestCase's.
    _asyncunit_is_made_by_isolated: ClassVar[bool] = False
    # Whether the cleanups behind asyncunit's class are unittest's own, which do nothing where there are none.
    _asyncunit_has_own_cleanups: ClassVar[bool] = True
    # Whether a base in front has a run() of its own; `_asyncunit_has_come` says whether that has come to this class's.
    _asyncunit_has_run_in_front: ClassVar[bool] = False
    _outcome: Any
    _cleanups: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]]

    def __init__(self, methodName: str = "runTest") -> None:
        # Not in the class as well: Python is slow to read and to set what is in both.
        self._asyncunit_has_come = False
        self._asyncunit_test: RunningTest | None = None
        self._asyncunit_is_running = False
        self._asyncunit_substitute: AwaitingContext | None = None
        # Whether another runner has what is left after the test run later, by _asyncunit_finish().
        self._asyncunit_is_postponed = False
        # What another runner has called in the place of the test.
        self._asyncunit_substitute_of: Callable[[Callable[..., object]], Callable[..., object]] | None = None
        # The schedule that the test follows; None where it is run in asyncio's own order alone.
        self._asyncunit_attempt: Attempt | None = None
        if self._asyncunit_is_made_by_isolated:  # which adds nothing that is needed
            TestCase.__init__(self, methodName)
        else:
            super().__init__(methodName)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._asyncunit_extended = _extended_steps(cls)
        cls._asyncunit_is_awaited_for_more = cls._callTestMethod is not StepsInScope._callTestMethod
        cls._asyncunit_has_run_in_front = cls.run is not StepsInScope.run
        cls._asyncunit_is_made_by_isolated = super().__init__ is IsolatedAsyncioTestCase.__init__
        cls._asyncunit_has_own_cleanups = super().doCleanups is TestCase.doCleanups
        own_steps = [getattr(cls, name) is getattr(StepsInScope, name) for name in _STEPS]
        cls._asyncunit_has_own_steps = all(own_steps) and not cls._asyncunit_extended

    def __getstate__(self) -> dict[str, Any]:
        # What is only there while the test runs refers to its runner, and to much of the process.
        own = vars(self)
        test = self._asyncunit_test
        if test is not None and test.fixtures is not None:
            own = {name: value for name, value in own.items() if name not in test.fixtures.names}
        if test is not None:
            own = {**own, "_cleanups": []}
        return {
            **own,
            "_asyncunit_test": None,
            "_asyncunit_is_running": False,
            "_asyncunit_substitute": None,
            "_outcome": None,
            "_subtest": None,
        }

    def __call__(self, *args: Any, **kwds: Any) -> unittest.TestResult | None:
        """Run the test, as unittest's suite and pytest do."""
        if not self._asyncunit_has_run_in_front:
            return self.run(*args, **kwds)
        self._asyncunit_has_come = False
        result: Any = args[0] if args else kwds.get("result")
        skipped = len(getattr(result, "skipped", ()))
        ran = self.run(*args, **kwds)
        if not self._asyncunit_has_come and result is not None and len(getattr(result, "skipped", ())) == skipped:
            result.addError(self, _exc_info(_never_ran(self)))
        return ran

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test; on its own, with no suite around it, open all that it needs and close it after.

        Under schedules it is run once for each, until one fails.
        """
        if exploring and result is not None and self._asyncunit_attempt is None:
            class_scope = innermost_class(type(self))
            if class_scope is not None and (attempts := attempts_for(self, class_scope)) is not None:
                run_under(attempts, self, result, functools.partial(StepsInScope.run, self))
                return result
        try:
            self._asyncunit_is_running = self._asyncunit_has_come = True
            # IsolatedAsyncioTestCase's adds nothing that is needed.
            ran = super().run(result) if "run" in self._asyncunit_extended else TestCase.run(self, result)
            # Mostly there is none, and so no call for each test.
            if (interrupts := Interrupt.installed) is not None and interrupts.is_deferred:
                Interrupt.raise_left()
            return ran
        except KeyboardInterrupt as error:
            interrupt = error
        finally:
            self._asyncunit_is_running = False
        try:
            runs.stop(self._asyncunit_stop)
        finally:
            self._asyncunit_test = None
        raise interrupt

    def doCleanups(self) -> Any:
        """Execute all cleanups and close the test's scope. Normally called for you after tearDown."""
        test = self._asyncunit_test
        if self._asyncunit_is_postponed if test is None else test.is_postponed:
            return True
        success: Any
        if self._cleanups or not self._asyncunit_has_own_cleanups or (outcome := self._outcome) is None:
            success = super().doCleanups()
            test = self._asyncunit_test
        else:
            success = outcome.success
        if test is None or ((scope_task := test.scope_task) is not None and scope_task.runs_code()):
            return success
        if test.fixtures is not None:
            errors = test.fixtures.tear_down()
            test.fixtures = None
            if errors or self._cleanups:
                success = self._asyncunit_report(test, errors)
        if test.outer is not None:
            return success
        self._asyncunit_test = None
        self._asyncunit_is_running = False
        closing = OpenTest.close(test) if test.close_class is None else test.close()  # its fixtures are torn down
        if closing:
            success = self._asyncunit_report(test, closing)
        return success

    def _asyncunit_report(self, test: RunningTest, errors: Sequence[BaseException]) -> Any:
        """Have unittest report each of the errors, and run what is still among the cleanups."""
        test.tell_later(errors)
        return super().doCleanups()

    def _callSetUp(self) -> None:
        cut = None
        test = self._asyncunit_test
        if test is None:
            test = self._asyncunit_test = RunningTest(self)
        try:
            scope_task = test.scope_task or self._asyncunit_opened(test)
            cls, own, fixtures = type(self), self.__dict__, test.fixtures
            has_hooks = (
                cls.setUp is not _SET_UP
                or cls.asyncSetUp is not _ASYNC_SET_UP
                or cls.asyncTearDown is not _ASYNC_TEAR_DOWN
                or cls.tearDown is not _TEAR_DOWN
                or "setUp" in own
                or "asyncSetUp" in own
                or "asyncTearDown" in own
                or "tearDown" in own
            )
            if not has_hooks and not test.extended:
                if fixtures is not None and fixtures.plan.own:
                    self._asyncunit_set_up_fixtures(test, fixtures)
            elif "_callSetUp" in test.extended:
                if fixtures is not None:
                    fixtures.set_up(fixtures.plan.own)
                with self._asyncunit_awaiting_context(scope_task):
                    _super(self)._callSetUp()
                test.tear_down_steps = self._asyncunit_tear_down_steps(test, scope_task, together=False)
            else:
                self._asyncunit_set_up(test, scope_task)
        except asyncio.CancelledError as error:
            cut = error
        if cut is not None:
            raise test.cut_short(cut)
        if fixtures is not None and fixtures.plan.named:
            test.set_up_named(fixtures)

    def _asyncunit_set_up_fixtures(self, test: RunningTest, fixtures: TestFixtures) -> None:
        """Set up the fixtures of a test that has no hooks; the test is run with them, if that can be."""
        plan = fixtures.plan
        method = None
        if plan.plainly_async and not plan.named:
            method = self._asyncunit_method_run_together(test, has_async_hooks=False)
        if method is None:
            fixtures.set_up(plan.own)
        else:
            test.set_up_together([*plan.own], [], method)

    def _asyncunit_set_up(self, test: RunningTest, scope_task: ScopeTask) -> None:
        """Set up fixtures, run the hooks, note those of the tear-down; all that is async together, if that can be."""
        fixtures = test.fixtures
        own_fixtures = () if fixtures is None else fixtures.plan.own
        cls, own = type(self), self.__dict__
        has_hook = cls.setUp is not _SET_UP or "setUp" in own
        has_async_hook = cls.asyncSetUp is not _ASYNC_SET_UP or "asyncSetUp" in own
        has_async_tear_down = cls.asyncTearDown is not _ASYNC_TEAR_DOWN or "asyncTearDown" in own
        has_tear_down = has_async_tear_down or cls.tearDown is not _TEAR_DOWN or "tearDown" in own
        has_async_hooks = has_async_hook or has_async_tear_down
        method = None
        if (own_fixtures or has_async_hooks) and (fixtures is None or not fixtures.plan.named):
            method = self._asyncunit_method_run_together(test, has_async_hooks=has_async_hooks)
        together = method is not None
        steps: list[Callable[[], object]] = []
        if has_tear_down or test.extended:
            steps = self._asyncunit_tear_down_steps(test, scope_task, together=together)
        parts: list[Part] = []
        if fixtures is not None and own_fixtures:
            if together and not has_hook and fixtures.plan.plainly_async:
                parts += own_fixtures
            else:
                fixtures.set_up(own_fixtures)
        if has_hook:
            scope_task.call(self.setUp)
        if has_async_hook and together:
            parts.append(self.asyncSetUp)
        elif has_async_hook:
            call_hook(scope_task, self.asyncSetUp)
        if parts and method is not None:
            test.set_up_together(parts, steps, method)
        else:
            test.tear_down_steps = steps

    def _asyncunit_tear_down_steps(
        self, test: RunningTest, scope_task: ScopeTask, *, together: bool
    ) -> list[Callable[[], object]]:
        """The tear-down hooks, which are to be run once the set-up has succeeded."""
        cls, own = type(self), self.__dict__
        steps: list[Callable[[], object]] = []
        if "_callTearDown" in test.extended:
            test.is_async_tear_down = True
            steps.append(lambda: self._asyncunit_extended_tear_down(scope_task))
            return steps
        if cls.asyncTearDown is not _ASYNC_TEAR_DOWN or "asyncTearDown" in own:
            test.is_async_tear_down = True
            steps.append(lambda: call_hook(scope_task, self.asyncTearDown, test))
            test.tear_down_hook = self.asyncTearDown if together else None
        if cls.tearDown is not _TEAR_DOWN or "tearDown" in own:
            test.is_async_tear_down = test.is_async_tear_down or is_async_def(self.tearDown)
            steps.append(lambda: scope_task.call(self.tearDown))
        return steps

    def _asyncunit_method_run_together(
        self, test: RunningTest, *, has_async_hooks: bool
    ) -> Callable[..., Awaitable[Any]] | None:
        """The test, if what is async and stands together is run so: no line of a user's is called, or asks, in between.

        Else None.
        """
        if not self._asyncunit_has_own_steps or self._outcome is None:  # debug() tears down nothing after an error
            return None
        if test.is_postponed or self._asyncunit_substitute_of is not None:
            return None
        method = getattr(self, self._testMethodName)
        hooks_are_async = not has_async_hooks or (is_async_def(self.asyncSetUp) and is_async_def(self.asyncTearDown))
        is_together = hooks_are_async and is_async_def(method) and not runs.expects_failure(self, method)
        return method if is_together else None

    def _callTestMethod(self, method: Callable[..., object]) -> None:
        cut = None
        value: Any = None
        test = self._asyncunit_test
        if test is None or (scope_task := test.scope_task) is None:
            test, scope_task = self._asyncunit_open()
        if self._asyncunit_substitute_of is not None:
            method = self._asyncunit_substitute_of(method)
        fixtures = test.fixtures
        arguments: dict[str, object] = {}
        if fixtures is not None and fixtures.plan.has_arguments and test.came_of_test is None:
            arguments = fixtures.arguments
        try:
            if "_callTestMethod" in test.extended:
                _super(self)._callTestMethod(functools.partial(method, **arguments) if arguments else method)
            elif test.came_of_test is not None:
                value = test.take_what_came()
            elif is_async_def(method):
                coroutine: Any = method(**arguments) if arguments else method()
                value = scope_task.run(coroutine, test)
            else:
                value = self._asyncunit_call(method, arguments, test, scope_task)
        except asyncio.CancelledError as error:
            cut = error
        except (TypeError, AttributeError) as error:
            self._asyncunit_note(error, method, {} if fixtures is None else fixtures.arguments)
            raise
        if cut is not None:
            raise test.cut_short(cut, is_expected=runs.expects_failure(self, method))
        if self._asyncunit_is_awaited_for_more:
            scope_task.loop_runner.turn()
        if value is not None:
            judge_value(method, value)

    def _asyncunit_note(
        self, error: TypeError | AttributeError, method: Callable[..., Any], arguments: dict[str, object]
    ) -> None:
        """Say of which fixtures there are, where a test was called without a parameter that may be meant for one."""
        if note := parameter_note(plans.plan_of(type(self)), error, self._testMethodName, method, arguments):
            error.add_note(note)
            stand_at_function(method, error)

    def _asyncunit_call(
        self, method: Callable[..., Any], arguments: dict[str, object], test: RunningTest, scope_task: ScopeTask
    ) -> Any:
        """Call a test that is not written as async, and await what it returns if that can be."""
        if functions.is_example_test(method):
            with functions.substitute(method, scope_task.call):
                return method(**arguments)
        value = scope_task.call_sync(method, **arguments)
        return scope_task.run(value, test) if is_awaitable(value) else value

    def _callTearDown(self) -> None:
        test = self._asyncunit_test
        if test is None or (scope_task := test.scope_task) is None or test.is_postponed:
            return
        if test.tear_down_steps or scope_task.scope.untold:
            test.tell_later(test.tear_down())

    def _callCleanup(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        test = self._asyncunit_test
        if test is None or test.scope_task is None or isinstance(function, AsyncCleanup):
            function(*args, **kwargs)
            return
        test.scope_task.is_ending = not test.scope_task.runs_code()
        try:
            test.scope_task.call(function, *args, **kwargs)
        except asyncio.CancelledError as error:
            if not test.scope_task.cancelled(error):
                raise cut_short(test.scope_task.scope, error) from error
        except LoopClosedError as error:
            if not error.is_repeated:
                raise

    def _callAsync(self, func: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._asyncunit_scope_task().run(func(*args, **kwargs))

    def _callMaybeAsync(self, func: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        value = self._asyncunit_scope_task().call(func, *args, **kwargs)
        if value is not None and func == getattr(self, self._testMethodName):
            judge_value(func, value)
            return None
        return value

    def __del__(self) -> None:
        if getattr(self, "_asyncunit_test", None) is not None:  # a test whose __init__() has failed has none
            self._tearDownAsyncioRunner()

    # What IsolatedAsyncioTestCase keeps from its __init__ on is there while the test runs.

    @property
    def _asyncioRunner(self) -> Any:
        return self._asyncunit_open()[1].loop_runner.runner if self._asyncunit_is_running else None

    @_asyncioRunner.setter
    def _asyncioRunner(self, value: object) -> None: ...

    @property
    def _asyncioTestContext(self) -> Any:
        if self._asyncunit_substitute is not None:
            return self._asyncunit_substitute
        return self._asyncunit_open()[1].scope.context if self._asyncunit_is_running else contextvars.copy_context()

    @_asyncioTestContext.setter
    def _asyncioTestContext(self, value: object) -> None: ...

    def _setupAsyncioRunner(self) -> None:
        """Open nothing yet: a skipped test needs nothing."""
        self._asyncunit_is_running = True

    def _tearDownAsyncioRunner(self) -> None:
        """Close what a debug() that failed has left open, if nobody has called doCleanups()."""
        test = self._asyncunit_test
        if (
            test is not None
            and test.can_close
            and not self._asyncunit_is_postponed
            and not isinstance(sys.exc_info()[1], KeyboardInterrupt)
        ):
            raise_all(self._asyncunit_close(), f"closing {self}")

    def _asyncunit_open(self) -> tuple[RunningTest, ScopeTask]:
        """The test as it runs, opened when it is first asked for: a base may do so before unittest sets it up."""
        if self._asyncunit_test is None:
            self._asyncunit_test = RunningTest(self)
        test = self._asyncunit_test
        return test, test.scope_task or self._asyncunit_opened(test)

    def _asyncunit_opened(self, test: RunningTest) -> ScopeTask:
        """Open the scope of the test; where no suite has set up its class, what is around that as well."""
        cls = type(self)
        class_scope = innermost_class(cls) or suite.running_class(cls)
        if class_scope is None:
            alone = suite.Alone()
            test.close_class = alone.close
            class_scope = alone.open(cls)
        return test.open(class_scope)

    @contextmanager
    def _asyncunit_awaiting_context(self, scope_task: ScopeTask) -> Iterator[None]:
        """Have what IsolatedAsyncioTestCase runs in the context of the test awaited, if it can be."""
        self._asyncunit_substitute = AwaitingContext(scope_task)
        try:
            yield
        finally:
            self._asyncunit_substitute = None

    def _asyncunit_extended_tear_down(self, scope_task: ScopeTask) -> None:
        with self._asyncunit_awaiting_context(scope_task):
            _super(self)._callTearDown()

    def _asyncunit_scope_task(self) -> ScopeTask:
        if self._asyncunit_is_running:
            return self._asyncunit_open()[1]
        test = self._asyncunit_test
        if test is None or test.scope_task is None:
            raise RuntimeError(f"{self} is not running: call this from its hooks, its cleanups or the test itself.")
        return test.scope_task

    def _asyncunit_stop(self) -> None:
        """Run what is left of a test that Ctrl-C ended. unittest then reports nothing more, so errors go to stderr."""
        test = self._asyncunit_test
        if test is not None and test.scope_task is not None:
            test.scope_task.cancellation = test.scope_task.cancellation or asyncio.CancelledError()
            errors = test.finish()
            left, test.scope_task.cancellation = test.scope_task.cancellation, None
            if left is not None and issubclass(type(left), Exception):  # what an exit made of it
                errors.append(left)
            print_all(test.scope_task.scope, errors)
            print_all(test.scope_task.scope, self._asyncunit_close())

    def _asyncunit_finish(self) -> list[BaseException]:
        """Run what was postponed, and return what it raised."""
        test, self._asyncunit_is_postponed = self._asyncunit_test, False
        if test is None:
            return []
        test.is_postponed = False
        errors = test.finish_own()
        with printing_at_interrupt(self, errors):
            if test.outer is None:
                errors += self._asyncunit_close()
        return errors

    def _asyncunit_close(self) -> list[Exception]:
        test, self._asyncunit_test = self._asyncunit_test, None
        self._asyncunit_is_running = False
        return [] if test is None else test.close()
