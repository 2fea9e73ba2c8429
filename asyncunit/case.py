"""AsyncTestCase and its family: unittest's hooks for one test, given to the scopes that the test stands in.

The methods whose names begin with ``_call``, and ``_setupAsyncioRunner`` and ``_tearDownAsyncioRunner``, are those by
which IsolatedAsyncioTestCase itself extends TestCase; ``_cleanups`` is TestCase's own list. There is no public way to
await a test. ``tests/test_case.py`` tells when one of them changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
import types
import unittest
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, ClassVar, ParamSpec, TypeVar
from unittest import IsolatedAsyncioTestCase

from asyncunit import examples, loops, plans, runs, suite, variants
from asyncunit.awaitables import discard, is_async_def, is_awaitable
from asyncunit.errors import DefinitionError, LoopClosedError
from asyncunit.foreign import explain
from asyncunit.halves import AsyncCleanup, call_hook, enter_context
from asyncunit.running import AwaitingContext, RunningTest
from asyncunit.scope_runner import ScopeRunner
from asyncunit.scopes import Scope
from asyncunit.signatures import bound, class_name
from asyncunit.stderr import report_on_stderr

__all__ = [
    "AsyncTestCase",
    "ClassLoopTestCase",
    "ModuleLoopTestCase",
    "PackageLoopTestCase",
    "SessionLoopTestCase",
]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


# What stands for a hook that a class does not write itself; None switches one off, as unittest has it.
_NOT_WRITTEN = object()


class _ClassHook:
    """``setUpClass`` or ``tearDownClass`` of one class, as unittest's suite finds it there.

    Each class of the family has its own, so that the suite meets it whatever a base or a mixin overrides. Asked by the
    class that it stands in, it gives asyncunit's front; asked through ``super()``, what is written in that class.
    """

    def __init__(self, cls: type, name: str, act: Callable[..., None]) -> None:
        self._cls = cls
        self._name = name
        self._act = act
        self._written = vars(cls).get(name, _NOT_WRITTEN)

    def __get__(self, instance: object, owner: type) -> Any:
        hook: Any
        if self._written is _NOT_WRITTEN:
            hook = getattr(super(self._cls, owner), self._name)
        else:
            hook = bound(self._written, instance, owner)
        if owner is not self._cls:
            return hook
        if hook is None:
            hook = types.MethodType(_no_hook, owner)

        def front(cls: type) -> None:
            self._act(cls, hook if cls is owner else functools.partial(hook.__func__, cls))

        functools.update_wrapper(front, hook)
        return types.MethodType(front, owner)


def _no_hook(cls: type) -> None:
    """The hook of a class that has switched its own off."""


# unittest's own, which do nothing.
_SET_UP, _TEAR_DOWN = unittest.TestCase.setUp, unittest.TestCase.tearDown
_ASYNC_SET_UP, _ASYNC_TEAR_DOWN = IsolatedAsyncioTestCase.asyncSetUp, IsolatedAsyncioTestCase.asyncTearDown

_CLASS_HOOKS = {"setUpClass": suite.set_up_class, "tearDownClass": suite.tear_down_class}


def _super(case: AsyncTestCase) -> Any:
    """The classes behind asyncunit's, whose private methods type checkers do not know."""
    return super(AsyncTestCase, case)


def _extended_steps(cls: type) -> frozenset[str]:
    """Which steps of a test a base extends that stands between asyncunit's class and unittest's."""
    bases = cls.__mro__[cls.__mro__.index(AsyncTestCase) + 1 : cls.__mro__.index(IsolatedAsyncioTestCase)]
    steps = ("_callSetUp", "_callTestMethod", "_callTearDown", "run")
    return frozenset(step for step in steps for base in bases if step in vars(base))


def _refuse_async_class_hook(cls: type, name: str) -> None:
    written = inspect.getattr_static(cls, name)
    function = inspect.unwrap(getattr(written, "__func__", written))
    suite.refuse_async(function, class_name(cls), name)


def _refuse_other_runner(cls: type) -> None:
    for base in cls.__mro__:
        if "_setupAsyncioRunner" in vars(base) and base not in (AsyncTestCase, IsolatedAsyncioTestCase):
            raise DefinitionError(
                f"{class_name(base)} overrides _setupAsyncioRunner, by which "
                f"IsolatedAsyncioTestCase gives each test a loop of its own; asyncunit makes its loops another way. To "
                f"say which, write 'loop_factory = ...' in {cls.__qualname__}."
            )


def _refuse_undefined(cls: type) -> None:
    """Raise for a class of which asyncunit was not told when it was defined: it would have neither hooks nor plan."""
    if "_asyncunit_extended" in vars(cls):
        return
    base = next(base for base in cls.__mro__ if "__init_subclass__" in vars(base))
    raise DefinitionError(
        f"{class_name(cls)} was defined without asyncunit, for {class_name(base)}.__init_subclass__ does not pass it "
        f"on. Call  super().__init_subclass__(**kwargs)  in it."
    )


def judge_value(method: Callable[[], object], value: object) -> None:
    """Raise for a value which shows that the test has not run; warn of any other, as unittest does."""
    name = getattr(method, "__qualname__", None) or repr(method)
    if isinstance(value, types.AsyncGeneratorType | types.GeneratorType):
        kind = "an async generator" if isinstance(value, types.AsyncGeneratorType) else "a generator"
        raise DefinitionError(
            f"{name} is {kind}, for it has a yield, so none of its lines has run. Take the yield out of the test; what "
            f"sets up and tears down belongs into asyncSetUp, or into a context that enterAsyncContext() enters."
        )
    if is_awaitable(value):
        discard(value)
        raise DefinitionError(f"{name} returned {value!r}, which nobody awaits. Await it in the test.")
    code = getattr(method, "__code__", None)
    warnings.warn_explicit(
        f"It is deprecated to return a value that is not None from a test case "
        f"({method} returned {type(value).__name__!r})",
        DeprecationWarning,
        filename=code.co_filename if code else "<unknown>",
        lineno=code.co_firstlineno if code else 1,
    )


def _refuse_bare_name(cls: type, name: str) -> None:
    """Raise for the name of a test that has become many; unittest would run it without its parameters."""
    plan = plans.planned(cls)
    if (
        plan is not None
        and plan.variants
        and plan.variants.get(name)
        and variants.is_bare_name(bare := getattr(cls, name, None))
    ):
        raise ValueError(repr(bare))


class AsyncTestCase(IsolatedAsyncioTestCase):
    """A test case whose tests may share an event loop, at the scope that ``loop_scope`` names.

    Where ``loop_scope`` is None it is inferred: the narrowest scope that everything the class asks for can share, and
    at least the configured one. ``loop_factory`` is a callable without parameters that makes the loop; None is the
    configured one, or asyncio's own.

    The hooks are those of unittest, each followed by its async counterpart when setting up, and preceded by it when
    tearing down. All that is async about the class runs on one loop, and all that is async about one test in one task.
    """

    loop_scope: ClassVar[Scope | str | None] = None
    loop_factory: ClassVar[Any] = None
    _asyncunit_extended: ClassVar[frozenset[str]] = frozenset()
    _asyncunit_test: RunningTest | None = None
    _asyncunit_is_running = False
    _asyncunit_substitute: AwaitingContext | None = None
    # Whether another runner has what is left after the test run later, by _asyncunit_finish().
    _asyncunit_is_postponed = False
    # What another runner has called in the place of the test.
    _asyncunit_substitute_of: Callable[[Callable[..., object]], Callable[..., object]] | None = None
    _cleanups: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, act in _CLASS_HOOKS.items():
            _refuse_async_class_hook(cls, name)
            setattr(cls, name, _ClassHook(cls, name, act))
        _refuse_other_runner(cls)
        cls._asyncunit_extended = _extended_steps(cls)
        plans.define(cls)
        loops.check_class(cls)

    def __init__(self, methodName: str = "runTest") -> None:
        _refuse_undefined(type(self))
        _refuse_bare_name(type(self), methodName)
        super().__init__(methodName)
        suite.adopt_module(type(self).__module__)

    def __getstate__(self) -> dict[str, Any]:
        # What is only there while the test runs refers to its runner, and to half of the process.
        return {
            **vars(self),
            "_asyncunit_test": None,
            "_asyncunit_is_running": False,
            "_asyncunit_substitute": None,
            "_outcome": None,
            "_subtest": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        suite.adopt_module(type(self).__module__)

    # The class level.

    @classmethod
    @loops.empty_hook
    async def asyncSetUpClass(cls) -> None:
        """Hook method, after ``setUpClass``, on the loop and in the task of the class."""

    @classmethod
    @loops.empty_hook
    async def asyncTearDownClass(cls) -> None:
        """Hook method, before ``tearDownClass``, in the task of ``asyncSetUpClass``."""

    @classmethod
    def addClassCleanup(cls, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have ``function`` called after ``tearDownClass``, even if the set-up of the class fails.

        It is called in the context of the class, and what it returns is awaited if it can be.
        """
        scope = suite.class_scope_of(cls)
        if scope is None or isinstance(function, AsyncCleanup):
            super().addClassCleanup(function, *args, **kwargs)
        else:
            super().addClassCleanup(scope.call, function, *args, **kwargs)

    @classmethod
    def addAsyncClassCleanup(
        cls, function: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Have ``function`` awaited in the task of the class after ``tearDownClass``, even if the set-up fails.

        It shares one order with addClassCleanup(), last registered first. Raises LoopScopeError where each test of the
        class has a loop of its own, and where the class is not running.
        """
        half = suite.half_of_class(cls, "addAsyncClassCleanup")
        cls.addClassCleanup(half.add(AsyncCleanup(half.runner, function, *args, **kwargs)))

    @classmethod
    async def enterAsyncClassContext(cls, cm: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context manager in the task of the class, leave it there after ``tearDownClass``.

        Returns what it gives. Raises LoopScopeError as addAsyncClassCleanup() does.
        """
        half = suite.half_of_class(cls, "enterAsyncClassContext")
        value: T = await enter_context(cm, half.runner, lambda leave: cls.addClassCleanup(half.add(leave)))
        return value

    @classmethod
    def doClassCleanups(cls) -> None:
        """Execute all class cleanups and close the class. Normally called for you after tearDownClass."""
        errors = suite.clean_up_class(cls)
        if errors is None:
            super().doClassCleanups()
        else:
            cls.tearDown_exceptions = [  # type: ignore[attr-defined]
                (type(error), error, error.__traceback__) for error in errors
            ]

    # The test.

    async def enterAsyncContext(self, cm: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context manager in the task of the test, leave it there after ``tearDown``.

        Returns what it gives. A cancellation that ended the test is passed to it, as ``async with`` would.
        """
        value: T = await enter_context(cm, self._asyncunit_runner(), self.addCleanup)
        return value

    @contextmanager
    def expectUnhandledErrors(self, expected_exception: type[E] | tuple[type[E], ...]) -> Iterator[list[E]]:
        """Expect errors of that type to reach the exception handler of the loop, and take them from there.

        An error gets there if nobody can handle it: that of a callback, or of a task that nobody awaits. Gives a list,
        which has them when the block is left. Fails if there is none.
        """
        types_ = expected_exception if isinstance(expected_exception, tuple) else (expected_exception,)
        if not types_ or not all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in types_):
            raise TypeError(
                f"expectUnhandledErrors() was given {expected_exception!r}; expected an exception type, or a tuple of "
                f"them, as in:  with self.expectUnhandledErrors(ValueError) as caught:"
            )
        loops = self._asyncunit_runner().loops
        caught: list[E] = []
        yield from loops.observer.expecting(loops.loop, types_, caught, self)
        if not caught:
            names = " or ".join(cls.__name__ for cls in types_)
            raise self.failureException(
                f"{names} was expected to reach the exception handler of the event loop, and did not"
            )

    @contextmanager
    def subTest(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """As unittest's; but a cancellation ends the test, and is not the failure of a subtest."""
        cut = None
        with super().subTest(*args, **kwargs):
            try:
                yield
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or not task.cancelling():
                    raise
                cut = error
            except Exception as error:
                if self._asyncunit_test is not None and self._asyncunit_test.runner is not None:
                    explain(error, self._asyncunit_test.runner.loops.loop)
                raise
        if cut is not None:
            raise cut

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test; on its own, with no suite around it, open all that it needs and close it after."""
        try:
            self._asyncunit_is_running = True
            if "run" in self._asyncunit_extended:
                return super().run(result)
            return unittest.TestCase.run(self, result)  # IsolatedAsyncioTestCase's adds nothing that is needed
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
        if self._asyncunit_is_postponed:
            return True
        success: Any = super().doCleanups()
        test = self._asyncunit_test
        if test is None or (test.runner is not None and test.runner.runs_code):
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
        if closing := test.close():
            success = self._asyncunit_report(test, closing)
        return success

    def _asyncunit_report(self, test: RunningTest, errors: Sequence[BaseException]) -> Any:
        """Have unittest report each of the errors, and run what is still among the cleanups."""
        test.leave_behind(errors)
        return super().doCleanups()

    def _callSetUp(self) -> None:
        cut = None
        cls, own = type(self), self.__dict__
        test = self._asyncunit_test or RunningTest(self)
        self._asyncunit_test = test
        try:
            runner = test.runner or test.open()
            if test.fixtures is not None and (own_fixtures := test.fixtures.plan.own):
                test.fixtures.set_up(own_fixtures)
            if "_callSetUp" in self._asyncunit_extended:
                with self._asyncunit_awaiting_context(runner):
                    _super(self)._callSetUp()
            else:
                if cls.setUp is not _SET_UP or "setUp" in own:
                    runner.call(self.setUp)
                if cls.asyncSetUp is not _ASYNC_SET_UP or "asyncSetUp" in own:
                    call_hook(runner, self.asyncSetUp)
        except asyncio.CancelledError as error:
            cut = error
        if cut is not None:
            raise test.cut_short(cut)
        steps = test.tear_down_steps
        if "_callTearDown" in self._asyncunit_extended:
            test.is_async_tear_down = True
            steps.append(lambda: self._asyncunit_extended_tear_down(runner))
        else:
            if cls.asyncTearDown is not _ASYNC_TEAR_DOWN or "asyncTearDown" in own:
                test.is_async_tear_down = True
                steps.append(lambda: call_hook(runner, self.asyncTearDown, test))
            if cls.tearDown is not _TEAR_DOWN or "tearDown" in own:
                test.is_async_tear_down = test.is_async_tear_down or is_async_def(self.tearDown)
                steps.append(lambda: runner.call(self.tearDown))
        if test.fixtures is not None and test.fixtures.plan.named:
            test.set_up_named(test.fixtures)

    def _callTestMethod(self, method: Callable[..., object]) -> None:
        cut = None
        value: Any = None
        test, runner = self._asyncunit_open()
        if self._asyncunit_substitute_of is not None:
            method = self._asyncunit_substitute_of(method)
        arguments = {} if test.fixtures is None else test.fixtures.arguments
        try:
            if "_callTestMethod" in self._asyncunit_extended:
                _super(self)._callTestMethod(functools.partial(method, **arguments) if arguments else method)
            elif is_async_def(method):
                coroutine: Any = method(**arguments)
                value = runner.run(coroutine, test)
            elif getattr(method, "is_hypothesis_test", False) is True:
                with examples.substitute(method, runner.call):
                    method(**arguments)
            else:
                value = runner.call_sync(method, **arguments)
                if is_awaitable(value):
                    value = runner.run(value, test)
        except asyncio.CancelledError as error:
            cut = error
        except (TypeError, AttributeError) as error:
            if note := plans.plan_of(type(self)).explain(error, self._testMethodName, method, arguments):
                error.add_note(note)
            raise
        if cut is not None:
            raise test.cut_short(cut, is_expected=runs.expects_failure(self))
        if value is not None:
            judge_value(method, value)

    def _callTearDown(self) -> None:
        test = self._asyncunit_test
        if test is not None and test.tear_down_steps and not self._asyncunit_is_postponed:
            test.leave_behind(test.tear_down())

    def _callCleanup(self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
        test = self._asyncunit_test
        if test is None or test.runner is None or isinstance(function, AsyncCleanup):
            function(*args, **kwargs)
            return
        test.runner.is_ending = not test.runner.runs_code
        try:
            test.runner.call(function, *args, **kwargs)
        except asyncio.CancelledError as error:
            test.runner.cancelled(error)
        except LoopClosedError as error:
            if not error.is_repeated:
                raise

    def _callAsync(self, func: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._asyncunit_runner().run(func(*args, **kwargs))

    def _callMaybeAsync(self, func: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> Any:
        value = self._asyncunit_runner().call(func, *args, **kwargs)
        if value is not None and func == getattr(self, self._testMethodName):
            judge_value(func, value)
            return None
        return value

    def __del__(self) -> None:
        if self._asyncunit_test is not None:
            self._tearDownAsyncioRunner()

    # What IsolatedAsyncioTestCase keeps from its __init__ on is there while the test runs.

    @property
    def _asyncioRunner(self) -> Any:
        return self._asyncunit_open()[1].loops.runner if self._asyncunit_is_running else None

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
            errors = self._asyncunit_close()
            if len(errors) > 1:
                raise ExceptionGroup(f"closing {self}", errors)
            for error in errors:
                raise error

    def _asyncunit_open(self) -> tuple[RunningTest, ScopeRunner]:
        """The test as it runs, opened when it is first asked for: a base may do so before unittest sets it up."""
        if self._asyncunit_test is None:
            self._asyncunit_test = RunningTest(self)
        test = self._asyncunit_test
        return test, test.runner or test.open()

    @contextmanager
    def _asyncunit_awaiting_context(self, runner: ScopeRunner) -> Iterator[None]:
        """Have what IsolatedAsyncioTestCase runs in the context of the test awaited, if it can be."""
        self._asyncunit_substitute = AwaitingContext(runner)
        try:
            yield
        finally:
            self._asyncunit_substitute = None

    def _asyncunit_extended_tear_down(self, runner: ScopeRunner) -> None:
        with self._asyncunit_awaiting_context(runner):
            _super(self)._callTearDown()

    def _asyncunit_runner(self) -> ScopeRunner:
        if self._asyncunit_is_running:
            return self._asyncunit_open()[1]
        test = self._asyncunit_test
        if test is None or test.runner is None:
            raise RuntimeError(f"{self} is not running: call this from its hooks, its cleanups or the test itself.")
        return test.runner

    def _asyncunit_stop(self) -> None:
        """Run what is left of a test that Ctrl-C ended. unittest then reports nothing more, so errors go to stderr."""
        test = self._asyncunit_test
        if test is not None and test.runner is not None:
            test.runner.in_flight = test.runner.in_flight or asyncio.CancelledError()
            errors = test.finish()
            test.runner.in_flight = None
            for error in errors + self._asyncunit_close():
                report_on_stderr(test.runner.scope, error)

    def _asyncunit_finish(self) -> list[BaseException]:
        """Run what was postponed, and return what it raised."""
        test, self._asyncunit_is_postponed = self._asyncunit_test, False
        if test is None:
            return []
        errors = test.finish_own()
        if test.outer is None:
            errors += self._asyncunit_close()
        return errors

    def _asyncunit_close(self) -> list[Exception]:
        test, self._asyncunit_test = self._asyncunit_test, None
        self._asyncunit_is_running = False
        return [] if test is None else test.close()


class ClassLoopTestCase(AsyncTestCase):
    """All tests of a class share an event loop."""

    loop_scope = Scope.CLASS


class ModuleLoopTestCase(AsyncTestCase):
    """All tests of a module share an event loop."""

    loop_scope = Scope.MODULE


class PackageLoopTestCase(AsyncTestCase):
    """All tests of a package share an event loop; a subpackage has its own."""

    loop_scope = Scope.PACKAGE


class SessionLoopTestCase(AsyncTestCase):
    """All tests of a run share an event loop."""

    loop_scope = Scope.SESSION
