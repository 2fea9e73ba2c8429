"""AsyncTestCase and its family: what a user overrides and calls, as the class is defined and as its tests run."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
import unittest
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, ClassVar, ParamSpec, TypeVar
from unittest import IsolatedAsyncioTestCase

from asyncunit.cases import suite
from asyncunit.cases.protocol import StepsInScope
from asyncunit.cases.suite import class_scope_of
from asyncunit.checks.unhandled_errors import expecting, observer_of, observer_on
from asyncunit.errors import DefinitionError, LoopScopeError
from asyncunit.introspection.functions import bound, class_name, written_of
from asyncunit.introspection.tracebacks import at_users_line
from asyncunit.lifecycle.async_scope import AsyncScope, async_scope_of
from asyncunit.lifecycle.cleanups import AsyncCleanup, enter_context
from asyncunit.lifecycle.hooks import ClassScope, ModuleScope
from asyncunit.loops.loop import current_loop, loop_is_running
from asyncunit.loops.wrong_loop import explain
from asyncunit.plans import class_plan as plans
from asyncunit.plans import loop_choice, variants
from asyncunit.scope import Scope
from asyncunit.scopes import registry

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


_CLASS_FRONTS = {"setUpClass": suite.set_up_class, "tearDownClass": suite.tear_down_class}


def _refuse_async_class_hook(cls: type, name: str) -> None:
    written = inspect.getattr_static(cls, name)
    function = inspect.unwrap(written_of(written))
    suite.refuse_async(function, class_name(cls), name)


def _refuse_other_runner(cls: type) -> None:
    for base in cls.__mro__:
        if "_setupAsyncioRunner" in vars(base) and base not in (StepsInScope, IsolatedAsyncioTestCase):
            raise DefinitionError(
                f"{class_name(base)} overrides _setupAsyncioRunner, by which "
                f"IsolatedAsyncioTestCase gives each test a loop of its own; asyncunit makes its loops another way. To "
                f"say which, write 'loop_factory = ...' in {cls.__qualname__}."
            )


def _refuse_bare_name(cls: type, plan: plans.Plan, name: str) -> None:
    """Raise for the name of a test that has become many; unittest would run it without its parameters."""
    if plan.variants.get(name) and variants.is_bare_name(bare := getattr(cls, name, None)):
        raise ValueError(repr(bare))


class AsyncTestCase(StepsInScope):
    """A test case whose tests may share an event loop, at the scope that ``loop_scope`` names.

    Where ``loop_scope`` is None it is inferred: the narrowest scope that everything the class asks for can share, and
    at least the configured one. ``loop_factory`` is a callable without parameters that makes the loop; None is the
    configured one, or asyncio's own.

    The hooks are those of unittest, each followed by its async counterpart when setting up, and preceded by it when
    tearing down. All that is async about the class runs on one loop, and all that is async about one test in one task.
    """

    loop_scope: ClassVar[Scope | str | None] = None
    loop_factory: ClassVar[Any] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        with at_users_line:
            for name, act in _CLASS_FRONTS.items():
                _refuse_async_class_hook(cls, name)
                setattr(cls, name, _ClassHook(cls, name, act))
            _refuse_other_runner(cls)
            plans.define(cls)
            loop_choice.check_class(cls)

    def __init__(self, methodName: str = "runTest") -> None:
        cls = type(self)
        if not suite.is_defined(cls):
            suite.refuse_undefined(cls)
        plan = plans.planned(cls)
        if plan is not None and plan.variants:
            _refuse_bare_name(cls, plan, methodName)
        super().__init__(methodName)
        suite.front_hooks_of_module(type(self).__module__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        suite.front_hooks_of_module(type(self).__module__)

    # The class level.

    @classmethod
    @loop_choice.empty_hook
    async def asyncSetUpClass(cls) -> None:
        """Hook method, after ``setUpClass``, on the loop and in the task of the class."""

    @classmethod
    @loop_choice.empty_hook
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
        async_scope = async_scope_of_class(cls, "addAsyncClassCleanup")
        cls.addClassCleanup(async_scope.add(AsyncCleanup(async_scope.scope_task, function, *args, **kwargs)))

    @classmethod
    async def enterAsyncClassContext(cls, cm: AbstractAsyncContextManager[T]) -> T:
        """Enter an async context manager in the task of the class, leave it there after ``tearDownClass``.

        Returns what it gives. Raises LoopScopeError as addAsyncClassCleanup() does.
        """
        async_scope = async_scope_of_class(cls, "enterAsyncClassContext")
        value: T = await enter_context(
            cm, async_scope.scope_task, lambda leave: cls.addClassCleanup(async_scope.add(leave))
        )
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
        value: T = await enter_context(cm, self._asyncunit_scope_task(), self.addCleanup)
        return value

    @contextmanager
    def expectUnhandledErrors(self, expected_exception: type[E] | tuple[type[E], ...]) -> Iterator[list[E]]:
        """Expect errors of that type to reach the exception handler of the loop, and take them from there.

        An error gets there if nobody can handle it: that of a callback, or of a task that nobody awaits. Gives a list,
        which has them when the block is left. Fails if there is none.
        """
        loop_runner = self._asyncunit_scope_task().loop_runner
        observer, loop = observer_on(loop_runner), loop_runner.loop
        yield from expecting(observer, loop, expected_exception, self.failureException, self)

    @contextmanager
    def subTest(self, *args: Any, **kwargs: Any) -> Iterator[None]:
        """As unittest's; but a cancellation ends the test, and is not the failure of a subtest."""
        cut = None
        with super().subTest(*args, **kwargs):
            try:
                yield
            except asyncio.CancelledError as error:
                task = asyncio.current_task() if loop_is_running() else None
                if task is None or not task.cancelling():
                    raise
                cut = error
            except Exception as error:
                if self._asyncunit_test is not None and self._asyncunit_test.scope_task is not None:
                    explain(error, self._asyncunit_test.scope_task.loop_runner.loop)
                raise
        if cut is not None:
            raise cut


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


def async_scope_of_class(cls: type[unittest.TestCase], what: str) -> AsyncScope:
    """The async scope of an open class; raises LoopScopeError where it has none, or is not open."""
    scope = class_scope_of(cls)
    if scope is None:
        raise LoopScopeError(
            f"{cls.__qualname__}.{what}() was called while no test or hook of {cls.__qualname__} runs; call it from "
            f"one, by cls or self."
        )
    async_scope = scope.open_loop()
    if async_scope is None:
        raise scope.no_loop(f"{cls.__qualname__}.{what}() was called")
    return async_scope


def _module_and_async_scope(what: str) -> tuple[ModuleScope, AsyncScope]:
    """The innermost open module, and its async scope on the loop of the class that is open in it, if that lasts."""
    run = registry.innermost_run()
    found = {} if run is None else {open_scope.scope: open_scope.hooks for open_scope in run.chain}
    if Scope.MODULE not in found:
        raise LoopScopeError(
            f"asyncunit.{what}() was called while no module of tests runs; call it from a hook or a test."
        )
    module: ModuleScope = found[Scope.MODULE]
    running: ClassScope | None = found.get(Scope.CLASS)
    if running is not None and running.async_scope is not None and running.choice.scope >= Scope.MODULE:
        return module, async_scope_of(module.open_scope, running.async_scope.scope_task.loop_runner)
    async_scope = module.open_loop()
    if async_scope is None:
        raise module.no_loop(f"asyncunit.{what}() was called")
    return module, async_scope


def addAsyncModuleCleanup(function: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Have ``function`` awaited after the tear-down of the module whose hook or test calls this.

    As unittest.addModuleCleanup(), with which it shares one order, last registered first. Raises LoopScopeError
    where the module has no event loop.
    """
    module, async_scope = _module_and_async_scope("addAsyncModuleCleanup")
    module.add_cleanup(async_scope.add(AsyncCleanup(async_scope.scope_task, function, *args, **kwargs)))


async def enterAsyncModuleContext(manager: AbstractAsyncContextManager[T]) -> T:
    """Enter an async context manager, to be left after the tear-down of the module; return what it gives.

    It is entered and left in the module's own task. Raises LoopScopeError where the module has no event loop.
    """
    module, async_scope = _module_and_async_scope("enterAsyncModuleContext")
    value: T = await enter_context(
        manager, async_scope.scope_task, lambda leave: module.add_cleanup(async_scope.add(leave))
    )
    return value


@contextmanager
def expectUnhandledErrors(expected_exception: type[E] | tuple[type[E], ...]) -> Iterator[list[E]]:
    """Expect errors of that type to reach the exception handler of the loop, and take them from there.

    The method of AsyncTestCase, for tests that have no self. An error gets there if nobody can handle it: that of a
    callback, or of a task that nobody awaits. Gives a list, which has them when the block is left. Raises
    AssertionError if there is none, and LoopScopeError where no test of asyncunit's runs.
    """
    loop = current_loop()
    observer = observer_of(loop)
    if loop is None or observer is None:
        raise LoopScopeError(
            "asyncunit.expectUnhandledErrors() was called where no test of asyncunit's runs. Call it in a test, a hook "
            "or a fixture."
        )
    yield from expecting(observer, loop, expected_exception, AssertionError)
