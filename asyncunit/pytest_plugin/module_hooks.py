"""The async hooks of a module for its test functions: when they are called, and which loop they share.

Under unittest, each test function is a test case of its module. pytest knows of no hooks but the sync ones. Of its
private names, this uses that of the fixture that calls these, ``_xunit_setup_module_fixture_`` and a module's name,
which is to come after asyncunit's; and ``item._fixtureinfo``, the only place that tells of an item's fixtures.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from asyncunit.errors import AsyncUnitError, LoopScopeError
from asyncunit.introspection.functions import module_hook
from asyncunit.loops.loop import LoopRunner
from asyncunit.plans import loop_choice
from asyncunit.plans.loop_choice import LoopChoice
from asyncunit.pytest_plugin.detection import is_case
from asyncunit.pytest_plugin.fixture_plans import declared
from asyncunit.pytest_plugin.function_plans import Collected, FunctionPlan, factory_of
from asyncunit.pytest_plugin.nodes import depth_of, is_function
from asyncunit.scope import Scope
from asyncunit.scopes import registry

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The name in a module of the fixture that has its hooks called.
_FIXTURE = "_asyncunit_module_hooks"

_NARROW = ("function", "class")

# How the name of pytest's own fixture begins that calls the sync hooks of a module.
_SYNC_HOOKS = "_xunit_setup_module_fixture_"


def declare_hooks(module: Any, collected: Collected) -> None:
    """Have the async hooks of a module be called before the first of its test functions, after its wide fixtures."""
    name = module.__name__
    seen: set[str] = set()

    # That of a class, for outside a class it is set up for each function, after all that is wider.
    @pytest.fixture(autouse=True, scope="class", name=_FIXTURE)
    def call_hooks(request: pytest.FixtureRequest) -> None:
        if not is_case(request.cls):
            from asyncunit.cases.suite import set_up_module_for_function

            loop_runner = set_up_module_for_function(name)
            item: Any = registry.runs()[-1].result
            _tear_down_first(item, request, seen)
            plan = collected.plan_of(item)
            if plan is not None and not plan.is_asyncio and loop_runner is not None:
                _check(item, plan, loop_runner)

    setattr(module, _FIXTURE, call_hooks)


def _check(item: Any, plan: FunctionPlan, loop_runner: LoopRunner) -> None:
    """Raise LoopScopeError where a test is on another loop than the hooks of its module."""
    owner = loop_runner.owner
    if plan.loop_scope is not owner.scope or plan.config.clocked(factory_of(item, plan)) is not loop_runner.factory:
        name = item.module.__name__
        raise LoopScopeError(
            f"{item.nodeid} runs on the {plan.loop_scope} loop ({plan.reason}), but {name}."
            f"{module_hook(name)} runs on another, that of the {owner}: the hooks of a module and its test "
            f"functions share one loop. Leave loop_scope and loop factories out, or write the same for all of the "
            f"module."
        )


def _tear_down_first(item: Any, request: pytest.FixtureRequest, seen: set[str]) -> None:
    """Have the hooks of a module be torn down before its fixtures that were set up after them, and not seen yet."""
    hooks = sync_hooks_of(item)
    new = {name for name, definition in _declared_wide(item) if definition.scope == "module"} - seen
    if hooks is not None and new:
        seen |= new
        finish = item._fixtureinfo.name2fixturedefs[hooks][-1].finish
        item.getparent(pytest.Module).addfinalizer(functools.partial(finish, request))


def _declared_wide(item: Any) -> list[tuple[str, Any]]:
    """The fixtures of an item that are wider than a class and declared with ``asyncunit.fixture``, by their names."""
    definitions = item._fixtureinfo.name2fixturedefs
    found = [(name, definitions[name][-1]) for name in item.fixturenames if name in definitions]
    return [each for each in found if (made := declared(each[1])) is not None and made.scope >= Scope.MODULE]


def sync_hooks_of(item: Any) -> str | None:
    """The name of pytest's fixture that calls the sync hooks of an item's module, where that has async ones, too."""
    names = item.fixturenames
    return next((name for name in names if name.startswith(_SYNC_HOOKS)), None) if _FIXTURE in names else None


def _order_hooks(item: Any) -> None:
    """Have the hooks of a module with async ones come after the fixtures that are wide, as under unittest."""
    names = item.fixturenames
    if _FIXTURE not in names:
        return
    hooks = sync_hooks_of(item)
    definitions = item._fixtureinfo.name2fixturedefs
    found = _declared_wide(item)
    if hooks is not None and found and names.index(hooks) < names.index(found[-1][0]):
        names.remove(hooks)
        names.insert(names.index(found[-1][0]) + 1, hooks)
    names.remove(_FIXTURE)
    wide = (
        index for index, name in enumerate(names) if name in definitions and definitions[name][-1].scope not in _NARROW
    )
    names.insert(max(wide, default=-1) + 1, _FIXTURE)


def join_hooks(collected: Collected, groups: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Have test functions run on one loop with the async hooks of their module: by its name, those with one parent."""
    found: list[tuple[str, Any, FunctionPlan]] = []
    for name, items in groups:
        for item in filter(is_function, items):
            plan = collected.plan_for_fixtures(item)
            if not plan.is_asyncio:
                _order_hooks(item)
                found.append((name, item, plan))
                choice = _choice_of(collected, item, plan)
                loop_choice.ask_for_function(name, item.nodeid, lambda _, choice=choice: choice)  # type: ignore[misc]
    for name, item, plan in found:
        with contextlib.suppress(AsyncUnitError):  # of a class, which reports it
            shared = loop_choice.choose_for_module(name, collected.ownership.config)
            if shared is not None:
                collected.hook_scopes[name] = shared.scope
                collected.put(item, collected.join_hook(plan))


def _choice_of(collected: Collected, item: Any, plan: FunctionPlan) -> LoopChoice:
    """What a test function asks for."""
    config, run_config = plan.config, collected.ownership.config
    of_module = plan.configs[depth_of(Scope.MODULE, plan.scope_nodes) - 1]
    factory = config.clocked(factory_of(item, plan))
    return LoopChoice(plan.loop_scope, factory, (config, of_module, run_config), plan.reason, plan.explicit)
