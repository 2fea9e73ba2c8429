"""Open classes and modules: their hooks and cleanups, the sync ones and the async ones, in their order."""

from __future__ import annotations

import asyncio
import enum
import functools
import unittest
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asyncunit.config.settings import Config
from asyncunit.config.sources import load
from asyncunit.errors import LoopScopeError
from asyncunit.introspection.functions import discard, is_awaitable, module_hook, module_hooks
from asyncunit.lifecycle.async_scope import (
    AsyncScope,
    AsyncScopeState,
    async_scope_of,
    loop_in,
    replace_closed_loop,
    unwind,
)
from asyncunit.lifecycle.cleanups import AsyncCleanup, Cleanup, call_without_task
from asyncunit.lifecycle.fixtures import ClassFixtures, ScopeFixtures
from asyncunit.loops.loop import LoopRunner
from asyncunit.plans import class_plan as plans
from asyncunit.plans import loop_choice
from asyncunit.plans.loop_choice import LoopChoice
from asyncunit.scope import Scope
from asyncunit.scopes import registry
from asyncunit.scopes.open_scope import OpenScope
from asyncunit.scopes.registry import Run

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# The open classes of which a test is to follow schedules: asked before each test, and mostly there is none.
exploring: list[ClassScope] = []

_UP = AsyncScopeState.UP  # asked for each test, and slow to find on an enum up to Python 3.11


class HookState(enum.Enum):
    """How far the sync hooks of a class or a module have come; only the runner of the tests calls them."""

    NOT_CALLED = "not called"
    SETTING_UP = "setting up"
    SET_UP = "set up"
    TORN_DOWN = "torn down"


class HookedScope:
    """An open class or module whose hooks are run: the sync ones outside the loop, the async ones in its task.

    ``async_scope`` is None until something of it needs a loop. ``in_hook`` is true while a sync hook of it runs: each
    is called by `call_hook`.
    """

    def __init__(self, run: Run, open_scope: OpenScope) -> None:
        self.run = run
        self.open_scope = open_scope
        self.async_scope: AsyncScope | None = None
        self.state = HookState.NOT_CALLED
        self.in_hook = False
        open_scope.hooks = self

    @property
    def run_config(self) -> Config:
        """The configuration of the run, read when its first module opens."""
        return self.run.chain[0].keep(Config, load, lambda _: None)

    def connect(self, choice: LoopChoice, set_up: Any, tear_down: Any) -> AsyncScope:
        """Give the scope its async scope, with these hooks, on the loop of that choice."""
        configure(self.run, choice)
        loop = loop_of(self.run, choice)
        self.async_scope = async_scope_of(self.open_scope, loop)
        self.async_scope.set_up_hook, self.async_scope.tear_down_hook = set_up, tear_down
        return self.async_scope

    def call(self, function: Callable[..., object], /, *args: Any, **kwargs: Any) -> None:
        """Call a sync hook or a cleanup in the scope's context; await what it returns if it can be."""
        if self.async_scope is None:
            value = call_without_task(self.open_scope, function, *args, **kwargs)
            if is_awaitable(value):
                discard(value)
                raise self.no_loop(f"{function!r} returned an awaitable")
            return
        try:
            self.async_scope.scope_task.call(function, *args, **kwargs)
        except asyncio.CancelledError as error:
            self.async_scope.scope_task.cancelled(error)

    def call_hook(self, hook: Callable[[], object]) -> None:
        """Call a sync hook."""
        self.in_hook = True
        try:
            self.call(hook)
        finally:
            self.in_hook = False

    def attempt(self, step: Callable[[], object]) -> None:
        """Take a step of the tear-down; what it raises is to be reported."""
        try:
            step()
        except Exception as error:
            self.open_scope.tell_later([error])

    def set_up_async(self) -> None:
        """Set up the async scope; raises what a timeout or a task group made of a cancellation in its place."""
        async_scope = self.async_scope
        if async_scope is None or async_scope.state is AsyncScopeState.UP:
            return
        failure = None
        anew = async_scope.state is AsyncScopeState.BROKEN
        try:
            if async_scope.scope_task.cancellation is None:
                with self.run.spreading(self.open_scope):
                    async_scope.set_up()
        except Exception as error:
            if not anew:
                raise
            failure = error
        if failure is not None:
            self.open_scope.tell_later(async_scope.break_down())  # unittest does no cleanups in the middle of a class
            failure.add_note(f"Raised as the scope '{self.open_scope}' was set up anew after it had broken down.")
            raise failure
        if async_scope.scope_task.cancellation is not None:
            first, *others = self.unwind()
            self.open_scope.tell_later(others)
            raise first

    def unwind(self) -> list[Exception]:
        """Break down what is broken on the loop of this scope, and return what that raised."""
        if self.async_scope is None:
            return []
        loop = self.async_scope.scope_task.loop_runner
        return unwind(self.run, loop) + replace_closed_loop(self.run, loop)

    def no_loop(self, what: str) -> LoopScopeError:
        """The error for what needs a loop where this scope has none."""
        raise NotImplementedError


class ModuleScope(HookedScope):
    """An open module of tests.

    ``new_cleanups`` takes what is on unittest's list of module cleanups, which is one for all modules and threads.
    """

    def __init__(self, run: Run, open_scope: OpenScope, name: str, new_cleanups: Callable[[], list[Cleanup]]) -> None:
        super().__init__(run, open_scope)
        self._new_cleanups = new_cleanups
        self.name = name
        self.sync_tear_down: Callable[[], object] | None = None
        # What came of preparing the class that opens the module, ahead of its hooks; that class is to report it.
        self.early_error: tuple[type, Exception] | None = None
        # What the set-up has raised, where each class of the module is to report it.
        self.failure: Exception | None = None
        # Those of the module, first registered first.
        self._cleanups: list[Cleanup] = []

    def ensure(self) -> None:
        """Have the async set-up hook run, if there is one and it has not."""
        if self.async_scope is None and module_hook(self.name) is not None:
            self.open_loop()
        self.set_up_async()

    def open_loop(self) -> AsyncScope | None:
        """The async scope on the widest loop that a class of the module asks for; None if that is too narrow."""
        if self.async_scope is None:
            choice = loop_choice.choose_for_module(self.name, self.run_config)
            if choice is not None:
                self.connect(choice, *module_hooks(self.name))
        return self.async_scope

    def set_up(self, sync_hook: Callable[[], object]) -> None:
        """Run the sync set-up hook; the async one waits for a class that has a test to run."""
        self.state = HookState.SETTING_UP
        self.call_hook(sync_hook)
        self.take_cleanups()
        self.state = HookState.SET_UP

    def add_cleanup(self, cleanup: AsyncCleanup) -> None:
        """Have it run before all that was registered before it."""
        self.take_cleanups()
        self._cleanups.append((cleanup, (), {}))

    def take_cleanups(self) -> None:
        """Take over what was given to unittest.addModuleCleanup() in this module."""
        if self.state is not HookState.NOT_CALLED:
            self._cleanups += self._new_cleanups()

    def attempt_set_up(self, set_up: Callable[[], object]) -> bool:
        """Run a set-up. If it fails, report that, once, and have the tests of the module left out; False then.

        Where there is no suite to leave them out, raise, and again for each class, without another attempt.
        """
        failure = None
        if self.failure is not None:
            raise self.failure
        try:
            set_up()
        except Exception as error:
            if not self.run.fail_module():
                self.failure = error
                raise
            failure = error
        if failure is None:
            return True
        self.state = HookState.TORN_DOWN
        self.run.report_all([failure, *self.run.leave(self.open_scope)], f"setUpModule ({self.name})")
        return False

    def close(self) -> None:
        """Run what is left of the tear-down, and the cleanups; what that raises is to be reported."""
        if self.async_scope is not None:
            self.open_scope.tell_later(self.async_scope.tear_down())
        if self.state is HookState.SET_UP and self.sync_tear_down is not None:
            self.state = HookState.TORN_DOWN
            self.attempt(functools.partial(self.call_hook, self.sync_tear_down))
        self.clean_up()

    def clean_up(self) -> None:
        """Run the cleanups; what they raise is to be reported."""
        self.take_cleanups()
        while self._cleanups:
            function, args, kwargs = self._cleanups.pop()
            is_ours = isinstance(function, AsyncCleanup)
            self.attempt(function if is_ours else functools.partial(self.call, function, *args, **kwargs))
            self.take_cleanups()
        if self.early_error is not None:
            self.open_scope.tell_later(self.early_error[1:])
            self.early_error = None
        self.open_scope.tell_later(self.unwind())

    def no_loop(self, what: str) -> LoopScopeError:  # noqa: D102 - see the base
        return LoopScopeError(
            f"{what}, but the module {self.name} has no event loop to run it on: none of its classes asks for a loop "
            f'that lasts so long. Write in the class that needs it:  loop_scope = "module"'
        )


class ClassScope(HookedScope):
    """An open test class."""

    def __init__(
        self,
        module: ModuleScope,
        open_scope: OpenScope,
        cls: type[unittest.TestCase],
        choice: LoopChoice,
        fixtures: ClassFixtures | None,
    ) -> None:
        super().__init__(module.run, open_scope)
        self.module = module
        self.cls = cls
        self.choice = choice
        self.fixtures = fixtures
        # Of those tests for which it is another than the class's.
        self.configs = loop_choice.configs_of_tests(cls, choice.configs[0])
        if any(config.explores for config in (choice.configs[0], *self.configs.values())):
            exploring.append(self)
        if fixtures is not None:
            ScopeFixtures(open_scope).seen = fixtures.values

    def is_ready(self) -> bool:
        """Whether a test can run without anything being set up for it."""
        async_scope, outer = self.async_scope, self.module.async_scope
        if outer is not None and outer.state is not _UP:
            return False
        return async_scope.state is _UP if async_scope is not None else self.choice.scope is Scope.FUNCTION

    def ensure(self) -> None:
        """Have the async scopes of the module and of the class set up, and the fixtures that all of the class uses."""
        self.set_up_fixtures(Scope.MODULE)
        self.module.ensure()
        self.open_loop()
        self.set_up_fixtures(Scope.CLASS)
        self.set_up_async()

    def set_up_fixtures(self, least: Scope) -> None:
        """Set up the fixtures of that scope, and of wider ones, that all of the class uses."""
        if self.fixtures is not None:
            self.fixtures.set_up(least)

    def open_loop(self) -> AsyncScope | None:
        """The async scope on the loop that the tests share; None if each has a loop of its own."""
        if self.async_scope is None and self.choice.scope is not Scope.FUNCTION:
            async_scope = self.connect(self.choice, *loop_choice.class_hooks(self.cls))
            if self.fixtures is not None:
                self.fixtures.loop_runner = async_scope.scope_task.loop_runner
        return self.async_scope

    def set_up(self, sync_hook: Callable[[], object]) -> None:
        """Set up the fixtures, and run both set-up hooks."""
        self.state = HookState.SETTING_UP
        self.set_up_fixtures(Scope.CLASS)
        self.call_hook(sync_hook)
        self.set_up_async()
        if self.fixtures is not None:
            self.fixtures.yield_to_hooks()
        self.state = HookState.SET_UP

    def tear_down(self, sync_hook: Callable[[], object]) -> None:
        """Run both tear-down hooks, whatever the first one raises."""
        if self.async_scope is not None:
            self.open_scope.tell_later(self.async_scope.tear_down())
        if self.state is HookState.SET_UP:
            self.state = HookState.TORN_DOWN
            self.attempt(functools.partial(self.call_hook, sync_hook))
        if self.open_scope.untold and not self.run.takes_errors_of_class_at_once:
            first, *others = self.open_scope.take_untold()
            self.open_scope.tell_later(others)
            raise first

    def close(self) -> None:
        """Run what is left of the tear-down, and the cleanups; what that raises is to be reported."""
        if self in exploring:
            exploring.remove(self)
        if self.state is HookState.SET_UP:  # the run was interrupted, or went elsewhere
            self.attempt(self.cls.tearDownClass)
        if self.async_scope is not None:
            self.open_scope.tell_later(self.async_scope.tear_down())
        self.clean_up()

    def clean_up(self) -> None:
        """Run the cleanups; what they raise is to be reported."""
        if self.state is not HookState.NOT_CALLED:
            # unittest's own: asyncunit's leaves the class, which calls this.
            try:
                unittest.TestCase.doClassCleanups.__func__(self.cls)  # type: ignore[attr-defined]
            finally:
                errors: list[Any] = self.cls.tearDown_exceptions  # type: ignore[attr-defined]
                self.open_scope.tell_later(info[1] for info in errors)
        self.open_scope.tell_later(self.unwind())

    def no_loop(self, what: str) -> LoopScopeError:  # noqa: D102 - see the base
        name = self.cls.__qualname__
        return LoopScopeError(
            f"{what}, but {name} has no event loop to run it on: each of its tests has a loop of its own "
            f'({self.choice.reason}). Write in {name}:  loop_scope = "class"'
        )


def innermost_class(cls: type) -> ClassScope | None:
    """The class if it is the innermost open scope of this thread, as it is when its suite runs one of its tests."""
    open_runs = registry.this_thread.runs
    if open_runs and (chain := open_runs[-1].chain) and (innermost := chain[-1]).key is cls:
        hooks: ClassScope = innermost.hooks
        return hooks
    return None


def loop_of(run: Run, choice: LoopChoice, attempt: Attempt | None = None) -> LoopRunner:
    """The loop of that choice; where it is the test's own, it may follow a schedule."""
    return loop_in(run, run.innermost(choice.scope), choice.factory, attempt)


def fixtures_of(run: Run, cls: type, choice: LoopChoice) -> ClassFixtures | None:
    """The fixtures of a class that has a test to run; None if it knows of none."""
    plan = plans.plan_of(cls)
    if plan.is_empty:
        return None
    # A loop of the class's own comes when the class opens.
    return ClassFixtures(run, cls, plan, choice, loop_of(run, choice) if choice.scope > Scope.CLASS else None)


def configure(run: Run, choice: LoopChoice) -> None:
    """Have the open scopes know the configuration that is in force in each."""
    for open_scope in run.chain:
        open_scope.config = choice.config_at(open_scope.scope)
