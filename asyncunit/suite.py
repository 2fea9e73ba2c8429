"""Classes and modules: opened, set up, torn down and closed as unittest's suite asks for it.

unittest's suite calls ``setUpModule``, ``setUpClass`` and their counterparts, and reports what they raise. asyncunit
stands in front of these four, so that the async hooks have their place in the order whether or not an override calls
``super()``.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
import sys
import unittest
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, ParamSpec, TypeVar

from asyncunit import config, loops, registry, runs
from asyncunit.config import Config
from asyncunit.errors import DefinitionError, LoopScopeError
from asyncunit.halves import AsyncCleanup, AsyncHalf, State, cut_short, enter_context, half_of, mend, recover
from asyncunit.loops import LoopChoice
from asyncunit.registry import OpenScope, Registry
from asyncunit.runner import LoopRunner, refuse_running_loop
from asyncunit.scopes import Scope, path_of_class, path_of_module
from asyncunit.tasks import discard, is_awaitable

__all__ = [
    "Alone",
    "ClassScope",
    "addAsyncModuleCleanup",
    "adopt_module",
    "clean_up_class",
    "enterAsyncModuleContext",
    "half_of_class",
    "innermost_class",
    "set_up_class",
    "tear_down_class",
]

__unittest = True  # a traceback that a user reads begins at the user's line

P = ParamSpec("P")
T = TypeVar("T")


class _State(enum.Enum):
    """How far the sync hooks of a class or a module have come; only the runner of the tests calls them."""

    NOT_CALLED = "not called"
    SETTING_UP = "setting up"
    SET_UP = "set up"
    TORN_DOWN = "torn down"


class HookedScope:
    """An open class or module whose hooks are run: the sync half outside the loop, the async half in its task.

    ``half`` is None until something of it needs a loop. ``errors`` are those that could not be raised where they came
    up, because another one was; they are returned by `close`.
    """

    def __init__(self, run: Registry, open_scope: OpenScope) -> None:
        self.run = run
        self.open_scope = open_scope
        self.half: AsyncHalf | None = None
        self.state = _State.NOT_CALLED
        self.errors: list[Exception] = []
        # True while a sync hook runs.
        self.in_hook = False
        open_scope.hooks = self

    @property
    def config(self) -> Config:
        """The configuration of the run, read when its first module opens."""
        return self.run.chain[0].keep(Config, config.load, lambda _: None)

    def connect(self, choice: LoopChoice, set_up: Any, tear_down: Any) -> AsyncHalf:
        """Give the scope its async half, with these hooks, on the loop of that choice."""
        loop = loop_of(self.run, choice)
        self.half = half_of(self.open_scope, loop, choice.debug)
        self.half.set_up_hook, self.half.tear_down_hook = set_up, tear_down
        return self.half

    def call(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """Call a sync hook or a cleanup in the scope's context; await what it returns if it can be."""
        if self.half is None:
            try:
                value = self.open_scope.context.run(function, *args, **kwargs)
            except asyncio.CancelledError as error:  # unittest stops at it
                raise cut_short(self.open_scope, error) from error
            if is_awaitable(value):
                discard(value)
                raise self.no_loop(f"{function!r} returned an awaitable")
            return
        try:
            self.half.runner.call(function, *args, **kwargs)
        except asyncio.CancelledError as error:
            self.half.runner.cancelled(error)

    def call_hook(self, hook: Callable[[], object]) -> None:
        """Call a sync hook."""
        self.in_hook = True
        try:
            self.call(hook)
        finally:
            self.in_hook = False

    def attempt(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> list[Exception]:
        """Call, and return what was raised."""
        try:
            if isinstance(function, AsyncCleanup) or function == self.call_hook:
                function(*args)
            else:
                self.call(function, *args, **kwargs)
        except Exception as error:
            return [error]
        return []

    def set_up_async(self) -> None:
        """Set up the async half; raises what a timeout or a task group made of a cancellation in its place."""
        half = self.half
        if half is None or half.state is State.UP:
            return
        failure = None
        anew = half.state is State.BROKEN
        try:
            if half.runner.in_flight is None:
                half.set_up()
        except Exception as error:
            if not anew:
                raise
            failure = error
        if failure is not None:
            self.errors += half.break_down()  # unittest does no cleanups in the middle of a class
            failure.add_note(f"Raised as the scope '{self.open_scope}' was set up anew after it had broken down.")
            raise failure
        if half.runner.in_flight is not None:
            first, *others = self.mend()
            self.errors += others
            raise first

    def mend(self) -> list[Exception]:
        """Break down what is broken on the loop of this scope, and return what that raised."""
        if self.half is None:
            return []
        loop = self.half.runner.loops
        return mend(self.run, loop) + recover(self.run, loop)

    def take_errors(self) -> list[Exception]:
        """The errors that are still to be reported, once."""
        errors, self.errors = self.errors, []
        return errors

    def no_loop(self, what: str) -> LoopScopeError:
        """The error for what needs a loop where this scope has none."""
        raise NotImplementedError


class ModuleScope(HookedScope):
    """An open module of tests."""

    def __init__(self, run: Registry, open_scope: OpenScope, name: str) -> None:
        super().__init__(run, open_scope)
        self.name = name
        self.sync_tear_down: Callable[[], object] | None = None
        # unittest has one list for all modules and threads; what is put there is taken over, in its order.
        self._cleanups: list[runs.Cleanup] = []

    def ensure(self) -> None:
        """Have the async set-up hook run, if there is one and it has not."""
        if self.half is None and loops.module_hook(self.name) is not None:
            self.open_loop()
        self.set_up_async()

    def open_loop(self) -> AsyncHalf | None:
        """The async half on the widest loop that a class of the module asks for; None if that is too narrow."""
        choice = loops.choose_for_module(self.name, self.config)
        if self.half is None and choice is not None:
            self.connect(choice, *loops.module_hooks(self.name))
        return self.half

    def set_up(self, sync_hook: Callable[[], object]) -> None:
        """Run the sync set-up hook; the async one waits for a class that has a test to run."""
        self.state = _State.SETTING_UP
        self.call(sync_hook)
        self.take_cleanups()
        self.state = _State.SET_UP

    def add_cleanup(self, cleanup: AsyncCleanup) -> None:
        """Have it run before all that was registered before it."""
        self.take_cleanups()
        self._cleanups.append((cleanup, (), {}))

    def take_cleanups(self) -> None:
        """Take over what was given to unittest.addModuleCleanup() in this module."""
        if self.state is not _State.NOT_CALLED:
            self._cleanups += runs.module_cleanups()

    def attempt_set_up(self, set_up: Callable[[], object]) -> bool:
        """Run a set-up. If it fails, report that, once, and have the tests of the module left out; False then.

        Where there is no suite to leave them out, raise.
        """
        failure = None
        try:
            set_up()
        except Exception as error:
            if not runs.fail_module(self.run):
                raise
            failure = error
        if failure is None:
            return True
        self.state = _State.TORN_DOWN
        runs.report_all(self.run, [failure, *self.run.leave(self.open_scope)], f"setUpModule ({self.name})")
        return False

    def close(self) -> list[Exception]:
        """Run what is left of the tear-down and the cleanups, and return what that raised."""
        if self.half is not None:
            self.errors += self.half.tear_down()
        if self.state is _State.SET_UP and self.sync_tear_down is not None:
            self.state = _State.TORN_DOWN
            self.errors += self.attempt(self.sync_tear_down)
        self.take_cleanups()
        while self._cleanups:
            function, args, kwargs = self._cleanups.pop()
            self.errors += self.attempt(function, *args, **kwargs)
            self.take_cleanups()
        self.state = _State.NOT_CALLED
        return self.take_errors() + self.mend()

    def no_loop(self, what: str) -> LoopScopeError:
        return LoopScopeError(
            f"{what}, but the module {self.name} has no event loop to run it on: none of its classes asks for a loop "
            f'that lasts so long. Write in the class that needs it:  loop_scope = "module"'
        )


class ClassScope(HookedScope):
    """An open test class."""

    def __init__(self, module: ModuleScope, open_scope: OpenScope, cls: type[unittest.TestCase], choice: LoopChoice):
        super().__init__(module.run, open_scope)
        self.module = module
        self.cls = cls
        self.choice = choice

    @property
    def ready(self) -> bool:
        """Whether a test can run without anything being set up for it."""
        half, outer = self.half, self.module.half
        if outer is not None and outer.state is not State.UP:
            return False
        return half.state is State.UP if half is not None else self.choice.scope is Scope.FUNCTION

    def ensure(self) -> None:
        """Have the async halves of the module and of the class set up."""
        self.module.ensure()
        self.open_loop()
        self.set_up_async()

    def open_loop(self) -> AsyncHalf | None:
        """The async half on the loop that the tests share; None if each has a loop of its own."""
        if self.half is None and self.choice.scope is not Scope.FUNCTION:
            self.connect(self.choice, *loops.class_hooks(self.cls))
        return self.half

    def set_up(self, sync_hook: Callable[[], object]) -> None:
        """Run both set-up hooks."""
        self.state = _State.SETTING_UP
        self.call_hook(sync_hook)
        self.set_up_async()
        self.state = _State.SET_UP

    def tear_down(self, sync_hook: Callable[[], object]) -> None:
        """Run both tear-down hooks, whatever the first one raises."""
        errors = self.half.tear_down() if self.half is not None else []
        if self.state is _State.SET_UP:
            self.state = _State.TORN_DOWN
            errors += self.attempt(self.call_hook, sync_hook)
        if errors:
            first, *others = errors
            self.errors += others
            raise first

    def close(self) -> list[Exception]:
        """Run what is left of the tear-down and the cleanups, and return what that raised."""
        if self.state is _State.SET_UP:  # the run was interrupted, or went elsewhere
            try:
                self.cls.tearDownClass()
            except Exception as error:
                self.errors.append(error)
        if self.half is not None:
            self.errors += self.half.tear_down()
        if self.state is not _State.NOT_CALLED:
            # unittest's own: asyncunit's leaves the class, which calls this.
            try:
                unittest.TestCase.doClassCleanups.__func__(self.cls)  # type: ignore[attr-defined]
            finally:
                self.errors += [info[1] for info in self.cls.tearDown_exceptions]  # type: ignore[attr-defined]
        self.state = _State.NOT_CALLED
        return self.take_errors() + self.mend()

    def no_loop(self, what: str) -> LoopScopeError:  # noqa: D102
        name = self.cls.__qualname__
        return LoopScopeError(
            f"{what}, but {name} has no event loop to run it on: each of its tests has a loop of its own "
            f'({self.choice.reason}). Write in {name}:  loop_scope = "class"'
        )


def loop_of(run: Registry, choice: LoopChoice) -> LoopRunner:
    """The loop of that choice: made by the first that needs it, closed with the scope that owns it."""
    owner = next(open_scope for open_scope in run.chain if open_scope.scope is choice.scope)
    return owner.keep((LoopRunner, choice.factory), lambda: LoopRunner(owner, choice.factory), LoopRunner.close)


def open_module(run: Registry, name: str) -> ModuleScope:
    """Enter the module, and close what is open elsewhere or inside it."""
    open_scope = run.enter(path_of_module(name))
    hooks: ModuleScope = open_scope.hooks or ModuleScope(run, open_scope, name)
    return hooks


def open_class(module: ModuleScope, cls: type[unittest.TestCase], choice: LoopChoice) -> ClassScope:
    """Enter the class. Its module is set up by then, for the class takes a copy of the module's context."""
    open_scope = module.run.enter(path_of_class(cls))
    hooks: ClassScope = open_scope.hooks or ClassScope(module, open_scope, cls, choice)
    return hooks


class Alone:
    """A test that nobody's suite has set up a class for: it opens all that it needs, and closes that after it."""

    def __init__(self) -> None:
        refuse_running_loop()
        began = len(registry.runs())
        self._run = runs.current_run()
        self._is_new = len(registry.runs()) > began
        self._before = list(self._run.chain)

    def open(self, cls: type[unittest.TestCase]) -> ClassScope:
        """Open the class of the test, with its async halves; the sync class hooks are for suites to call."""
        module = open_module(self._run, cls.__module__)
        choice = loops.choose(cls, module.config)
        module.ensure()
        scope = open_class(module, cls, choice)
        scope.ensure()
        return scope

    def close(self) -> list[Exception]:
        """Close what `open` has opened, and return what that raised."""
        opened = [open_scope for open_scope in self._run.chain if open_scope not in self._before]
        errors = self._run.leave(opened[0]) if opened else []
        if self._is_new:
            registry.end(self._run)
        return errors


def hooks_of_subclass(cls: type) -> bool:
    """Whether a hook of a subclass is running: then a hook of ``cls`` is called by it, as a function like any other."""
    open_runs = registry.runs()
    key = open_runs[-1].chain[-1].key if open_runs and open_runs[-1].chain else None
    return isinstance(key, type) and key is not cls and issubclass(key, cls) and open_runs[-1].chain[-1].hooks.in_hook


def innermost_class(cls: type) -> ClassScope | None:
    """The class if it is the innermost open scope of this thread, as it is when its suite runs one of its tests."""
    open_runs = registry.runs()
    if open_runs and (chain := open_runs[-1].chain) and chain[-1].key is cls:
        hooks: ClassScope = chain[-1].hooks
        return hooks
    return None


def running_class(cls: type) -> ClassScope | None:
    """The class that a test of this thread is about to run in, if a suite has set it up."""
    if registry.runs():
        runs.current_run()  # ends the run of a suite that a test has run
    return innermost_class(cls)


def class_scope_of(cls: type) -> ClassScope | None:
    """The class as it is open in this thread, in the innermost run where it is."""
    for run in reversed(registry.runs()):
        for open_scope in run.chain:
            if open_scope.key is cls:
                hooks: ClassScope = open_scope.hooks
                return hooks
    return None


@runs.interruptible
def set_up_class(cls: type[unittest.TestCase], sync_hook: Callable[[], object]) -> None:
    """What unittest's suite gets as ``setUpClass``."""
    if hooks_of_subclass(cls):
        sync_hook()
        return
    refuse_running_loop()
    module = open_module(runs.current_run(), cls.__module__)
    choice = loops.choose(cls, module.config)
    has_test = runs.has_test_to_run(cls)
    if has_test and not module.attempt_set_up(module.ensure):
        return
    scope = open_class(module, cls, choice)
    if has_test:
        scope.open_loop()
    scope.set_up(sync_hook)
    module.take_cleanups()


@runs.interruptible
def tear_down_class(cls: type[unittest.TestCase], sync_hook: Callable[[], object]) -> None:
    """What unittest's suite gets as ``tearDownClass``."""
    scope = innermost_class(cls)
    if scope is None or hooks_of_subclass(cls):
        sync_hook()
    else:
        scope.tear_down(sync_hook)


@runs.interruptible
def clean_up_class(cls: type[unittest.TestCase]) -> list[Exception] | None:
    """Leave the class and return what its cleanups raised; None where it is not open."""
    scope = innermost_class(cls)
    return None if scope is None else scope.run.leave(scope.open_scope)


def adopt_module(name: str) -> None:
    """Stand in front of the sync hooks of a module, before unittest looks for them."""
    module = sys.modules.get(name)
    if module is None:
        return
    found = [getattr(module, hook, _nothing) for hook in _SyncHooks._fields]
    if all(getattr(hook, "asyncunit_module", None) == name for hook in found):
        return
    # A hook that is imported from another module may have a front there.
    hooks = _SyncHooks(*(getattr(hook, "asyncunit_written", hook) for hook in found))
    for hook, act in zip(_SyncHooks._fields, (_set_up_module, _tear_down_module), strict=True):
        setattr(module, hook, _front(functools.partial(act, name, hooks), name, getattr(hooks, hook)))


class _SyncHooks(NamedTuple):
    """The sync hooks of a module, as they are written in it."""

    setUpModule: Callable[[], object]
    tearDownModule: Callable[[], object]


def _front(act: Callable[[], None], name: str, written: Callable[[], object]) -> Callable[[], None]:
    @functools.wraps(written)
    def hook() -> None:
        act()

    hook.asyncunit_module = name  # type: ignore[attr-defined]
    hook.asyncunit_written = written  # type: ignore[attr-defined]
    return hook


@runs.interruptible
def _set_up_module(name: str, hooks: _SyncHooks) -> None:
    refuse_running_loop()
    module = open_module(runs.current_run(), name)
    module.sync_tear_down = hooks.tearDownModule
    module.attempt_set_up(functools.partial(_set_up_sync, module, hooks))


@runs.interruptible
def _tear_down_module(name: str, hooks: _SyncHooks) -> None:
    run = runs.current_run()
    module = open_module(run, name)
    module.sync_tear_down = hooks.tearDownModule
    module.state = _State.SET_UP  # says unittest, which tears down nothing else
    runs.report_all(run, run.leave(module.open_scope), f"tearDownModule ({name})")


def _set_up_sync(module: ModuleScope, hooks: _SyncHooks) -> None:
    for hook, written in hooks._asdict().items():
        if inspect.iscoroutinefunction(written) or inspect.isasyncgenfunction(written):
            raise DefinitionError(
                f"{module.name}.{hook} is an async function, which unittest calls without awaiting it. "
                f"Rename it to async{hook[0].upper()}{hook[1:]}."
            )
    module.set_up(hooks.setUpModule)


def _nothing() -> None:
    """The sync hook of a module that has none."""


def half_of_class(cls: type[unittest.TestCase], what: str) -> AsyncHalf:
    """The async half of an open class; raises LoopScopeError where it has none, or is not open."""
    scope = class_scope_of(cls)
    if scope is None:
        raise LoopScopeError(
            f"{cls.__qualname__}.{what}() was called while no test or hook of {cls.__qualname__} runs; call it from "
            f"one, by cls or self."
        )
    half = scope.open_loop()
    if half is None:
        raise scope.no_loop(f"{cls.__qualname__}.{what}() was called")
    return half


def _module_and_half(what: str) -> tuple[ModuleScope, AsyncHalf]:
    """The innermost open module, and its async half on the loop of the class that is open in it, if that lasts."""
    chain = registry.runs()[-1].chain if registry.runs() else []
    found = {open_scope.scope: open_scope.hooks for open_scope in chain}
    if Scope.MODULE not in found:
        raise LoopScopeError(
            f"asyncunit.{what}() was called while no module of tests runs; call it from a hook or a test."
        )
    module: ModuleScope = found[Scope.MODULE]
    running: ClassScope | None = found.get(Scope.CLASS)
    if running is not None and running.half is not None and running.choice.scope >= Scope.MODULE:
        return module, half_of(module.open_scope, running.half.runner.loops, running.choice.debug)
    half = module.open_loop()
    if half is None:
        raise module.no_loop(f"asyncunit.{what}() was called")
    return module, half


def addAsyncModuleCleanup(function: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Have ``function`` awaited after the tear-down of the module whose hook or test calls this.

    As unittest.addModuleCleanup(), with which it shares one order, last registered first. Raises LoopScopeError
    where the module has no event loop.
    """
    module, half = _module_and_half("addAsyncModuleCleanup")
    module.add_cleanup(half.add(AsyncCleanup(half.runner, function, *args, **kwargs)))


async def enterAsyncModuleContext(manager: AbstractAsyncContextManager[T]) -> T:
    """Enter an async context manager, to be left after the tear-down of the module; return what it gives.

    It is entered and left in the module's own task. Raises LoopScopeError where the module has no event loop.
    """
    module, half = _module_and_half("enterAsyncModuleContext")
    value: T = await enter_context(manager, half.runner, lambda leave: module.add_cleanup(half.add(leave)))
    return value
