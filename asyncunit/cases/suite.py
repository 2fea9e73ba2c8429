"""Classes and modules: opened, set up, torn down and closed as unittest's suite asks for it.

unittest's suite calls ``setUpModule``, ``setUpClass`` and their counterparts, and reports what they raise. asyncunit
stands in front of these four, so that the async hooks have their place in the order whether or not an override calls
``super()``.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
import unittest
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from asyncunit.cases import run as runs
from asyncunit.config.settings import config_of_module
from asyncunit.errors import ConfigurationError, DefinitionError
from asyncunit.introspection.functions import MODULE_HOOKS, class_name, is_async_function
from asyncunit.lifecycle.fixtures import ClassFixtures
from asyncunit.lifecycle.hooks import ClassScope, HookState, ModuleScope, configure, fixtures_of, innermost_class
from asyncunit.loops.loop import LoopRunner, refuse_running_loop
from asyncunit.plans import class_plan as plans
from asyncunit.plans import loop_choice
from asyncunit.plans.loop_choice import LoopChoice
from asyncunit.records import Record
from asyncunit.scope import Scope
from asyncunit.scopes import registry
from asyncunit.scopes.registry import Run

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

P = ParamSpec("P")
T = TypeVar("T")


def open_module(run: Run, name: str) -> ModuleScope:
    """Enter the module, and close what is open elsewhere or inside it."""
    open_scope = run.enter(run.path_of_module(name))
    hooks: ModuleScope = open_scope.hooks or ModuleScope(run, open_scope, name, runs.module_cleanups)
    return hooks


def open_class(
    module: ModuleScope, cls: type[unittest.TestCase], choice: LoopChoice, fixtures: ClassFixtures | None
) -> ClassScope:
    """Enter the class. Its module is set up by then, for the class takes a copy of the module's context."""
    key: Any = cls
    open_scope = module.run.enter((*module.run.path_of_module(module.name), (Scope.CLASS, key)))
    configure(module.run, choice)
    hooks: ClassScope = open_scope.hooks or ClassScope(module, open_scope, cls, choice, fixtures)
    return hooks


def prepare_class(module: ModuleScope, cls: type[unittest.TestCase]) -> tuple[LoopChoice, ClassFixtures | None]:
    """Choose the loop of a class that has a test to run, and set up the fixtures that it uses and that outlive it.

    Raises what came of that when it was done ahead of the module's hooks.
    """
    if module.early_error is not None and module.early_error[0] is cls:
        error, module.early_error = module.early_error[1], None
        raise error
    choice = loop_choice.choose(cls, module.run_config)
    configure(module.run, choice)
    fixtures = fixtures_of(module.run, cls, choice)
    if fixtures is not None:
        fixtures.set_up(Scope.MODULE)
    return choice, fixtures


class Alone:
    """A test that nobody's suite has set up a class for: it opens all that it needs, and closes that after it."""

    def __init__(self) -> None:
        refuse_running_loop()
        begun = list(registry.runs())
        self._run = runs.current_run()  # which may have ended another
        self._is_new = self._run not in begun
        self._before = list(self._run.chain)

    def open(self, cls: type[unittest.TestCase]) -> ClassScope:
        """Open the class of the test, with its async part; the sync class hooks are for suites to call."""
        if not is_defined(cls):
            raise _undefined(cls)
        module = open_module(self._run, cls.__module__)
        choice, fixtures = prepare_class(module, cls)
        module.ensure()
        scope = open_class(module, cls, choice, fixtures)
        scope.ensure()
        return scope

    def close(self) -> list[Exception]:
        """Close what `open` has opened, and return what that raised."""
        opened = [open_scope for open_scope in self._run.chain if open_scope not in self._before]
        errors = self._run.leave(opened[0]) if opened else []
        if self._is_new:
            registry.end(self._run)
        return errors


def is_defined(cls: type) -> bool:
    """Whether asyncunit has been told of the class when that was defined."""
    return "_asyncunit_extended" in vars(cls)


def refuse_undefined(cls: type[unittest.TestCase]) -> None:
    """Have the set-up of a class fail that was defined without asyncunit: it has neither hooks nor a plan.

    Its loader is told nothing, because unittest's ends the whole run for an error of one class.
    """
    error = _undefined(cls)

    def setUpClass(_: type) -> None:
        raise error.with_traceback(None)

    cls.setUpClass = classmethod(setUpClass)  # type: ignore[assignment,method-assign]


def _undefined(cls: type) -> DefinitionError:
    # What a class writes itself is for its subclasses.
    base = next(base for base in cls.__mro__[1:] if "__init_subclass__" in vars(base))
    return DefinitionError(
        f"{class_name(cls)} was defined without asyncunit, because {class_name(base)}.__init_subclass__ does not pass "
        f"it on. Call  super().__init_subclass__(**kwargs)  in it."
    )


def running_class(cls: type) -> ClassScope | None:
    """The class that a test of this thread is about to run in, if a suite has set it up."""
    if registry.runs():
        runs.end_forgotten()  # that of a suite that a test has run
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
    if runs.is_called_by_user():
        sync_hook()
        return
    refuse_running_loop()
    module = open_module(runs.current_run(in_hook=True), cls.__module__)
    if module.state is HookState.NOT_CALLED:
        module.state = HookState.SET_UP  # pytest, where it finds no hooks in a module, calls none
    has_test = runs.has_test_to_run(cls)
    if has_test and module.failure is not None:
        raise module.failure  # nothing is set up in a module whose own set-up has failed
    choice, fixtures = prepare_class(module, cls) if has_test else (loop_choice.choose(cls, module.run_config), None)
    if has_test and not module.attempt_set_up(module.ensure):
        return
    scope = open_class(module, cls, choice, fixtures)
    if has_test:
        scope.open_loop()
    scope.set_up(sync_hook)
    module.take_cleanups()


@runs.interruptible
def set_up_module_for_function(name: str) -> LoopRunner | None:
    """Have the async hooks of a module be called for a test function of it that is no test case; return their loop."""
    run = runs.current_run(in_hook=True)
    path = run.path_of_module(name)
    # What is open inside it stays open, if it is the function's.
    open_scope = next((each for each in run.chain if (each.scope, each.key) == path[-1]), None) or run.enter(path)
    module: ModuleScope = open_scope.hooks or ModuleScope(run, open_scope, name, runs.module_cleanups)
    module.attempt_set_up(module.ensure)
    return None if module.async_scope is None else module.async_scope.scope_task.loop_runner


@runs.interruptible
def tear_down_class(cls: type[unittest.TestCase], sync_hook: Callable[[], object]) -> None:
    """What unittest's suite gets as ``tearDownClass``."""
    scope = innermost_class(cls)
    if scope is None or runs.is_called_by_user():
        sync_hook()
    else:
        scope.tear_down(sync_hook)


@runs.interruptible
def clean_up_class(cls: type[unittest.TestCase]) -> list[Exception] | None:
    """Leave the class and return what its cleanups raised; None where it is not open."""
    scope = innermost_class(cls)
    return None if scope is None else scope.run.leave(scope.open_scope)


def has_module_hooks(module: types.ModuleType | None) -> bool:
    """Whether a module has a set-up or a tear-down of its own."""
    has_sync_ones = any(_written_behind(hook) is not _nothing for hook in _found_in(module))
    return has_sync_ones or any(hasattr(module, hook) for hook in MODULE_HOOKS)


def front_hooks_of_module(name: str) -> None:
    """Stand in front of the sync hooks of a module, before unittest looks for them."""
    module = sys.modules.get(name)
    if module is None:
        return
    found = _found_in(module)
    if vars(module).get(_FRONTS) == (name, *found):
        return
    # A hook that is imported from another module may have a front there.
    hooks = _SyncHooks(*map(_written_behind, found))
    set_up = _front(functools.partial(_set_up_module, name, hooks), hooks.setUpModule)
    tear_down = _front(functools.partial(_tear_down_module, name, hooks), hooks.tearDownModule)
    noted = {"setUpModule": set_up, "tearDownModule": tear_down, _FRONTS: (name, set_up, tear_down)}
    for attribute, value in noted.items():
        setattr(module, attribute, value)


def _found_in(module: types.ModuleType | None) -> tuple[Callable[[], object], Callable[[], object]]:
    """The sync hooks of a module as they are now; where one is None, unittest calls none."""
    return getattr(module, "setUpModule", None) or _nothing, getattr(module, "tearDownModule", None) or _nothing


class _SyncHooks(Record):
    """The sync hooks of a module, as they are written in it."""

    setUpModule: Callable[[], object]
    tearDownModule: Callable[[], object]


# Under this name a module notes its own name and what stands in front of its hooks.
_FRONTS = "_asyncunit_fronts"


class _Front(Record):
    """What is noted on a function that stands in front of a hook: itself, for functools.wraps() copies the note."""

    function: Callable[[], None]
    written: Callable[[], object]


# The name of that note.
_FRONT = "_asyncunit_front"


def _front(act: Callable[[], None], written: Callable[[], object]) -> Callable[[], None]:
    @functools.wraps(written)
    def hook() -> None:
        act()

    setattr(hook, _FRONT, _Front(hook, written))
    return hook


def _written_behind(hook: Callable[[], object]) -> Callable[[], object]:
    """What a user has written: the hook, or what it stands in front of."""
    front: _Front | None = vars(hook).get(_FRONT) if type(hook) is types.FunctionType else None
    return hook if front is None or front.function is not hook else front.written


@runs.interruptible
def _set_up_module(name: str, hooks: _SyncHooks) -> None:
    if runs.is_called_by_user():
        hooks.setUpModule()
        return
    refuse_running_loop()
    module = open_module(runs.current_run(in_hook=True), name)
    module.sync_tear_down = hooks.tearDownModule
    module.state = HookState.SETTING_UP
    _set_up_first_class(module)
    module.attempt_set_up(functools.partial(_set_up_sync, module, hooks))


@runs.interruptible
def _tear_down_module(name: str, hooks: _SyncHooks) -> None:
    if runs.is_called_by_user():
        hooks.tearDownModule()
        return
    run = runs.current_run(in_hook=True)
    module = open_module(run, name)
    module.sync_tear_down = hooks.tearDownModule
    # unittest tears down nothing else; pytest knows nothing of an async set-up that has failed.
    module.state = HookState.SET_UP if module.failure is None else HookState.TORN_DOWN
    run.report_all(run.leave(module.open_scope), f"tearDownModule ({name})")


def _set_up_first_class(module: ModuleScope) -> None:
    """Set up the wide fixtures of the class that opens the module ahead of the module's hooks.

    What fails here is raised as the class is set up, and is the class's error.
    """
    cls: Any = module.run.class_to_be_run()
    if cls is None or plans.planned(cls) is None or not runs.has_test_to_run(cls):
        return
    try:
        prepare_class(module, cls)
    except Exception as error:
        module.early_error = cls, error


def _set_up_sync(module: ModuleScope, hooks: _SyncHooks) -> None:
    with contextlib.suppress(ConfigurationError):  # it is raised again where a class of the module is set up
        module.open_scope.config = config_of_module(module.name, module.run_config)
    for hook, written in vars(hooks).items():
        refuse_async(written, module.name, hook)
    module.set_up(hooks.setUpModule)


def refuse_async(written: object, place: str, hook: str) -> None:
    """Raise DefinitionError if one of the hooks that unittest calls is an async function."""
    if is_async_function(written):
        raise DefinitionError(
            f"{place}.{hook} is an async function, which unittest calls without awaiting it. "
            f"Rename it to async{hook[0].upper()}{hook[1:]}."
        )


def _nothing() -> None:
    """The sync hook of a module that has none."""
