"""The markers that asyncunit puts on the items of pytest: what is in force for each, and what shares a loop.

Nothing here imports pytest; ``mark`` is its ``pytest.mark``.
"""

from __future__ import annotations

import inspect
import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

from asyncunit.config import ASYNCIO_MARKER
from asyncunit.errors import AsyncUnitError
from asyncunit.introspection.functions import module_hook, written_of
from asyncunit.pytest_plugin.detection import is_case
from asyncunit.pytest_plugin.fixture_plans import depth_of_fixture, leave_to_case
from asyncunit.pytest_plugin.function_plans import Collected, FunctionPlan
from asyncunit.pytest_plugin.nodes import depth_of, effective
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class EffectiveMarkers:
    """Marks what has been collected. ``explores`` is true once one of the tests is to follow schedules."""

    explores = False

    def __init__(self, collected: Collected, mark: Any) -> None:
        self._collected = collected
        self._mark = mark

    def mark(self, items: Iterable[Any]) -> list[Any]:
        """Have each item say in the marker ``asyncunit`` what is in force for it.

        Returns those that pytest-asyncio refuses to run, for they are async generators.
        """
        by_parent: dict[Any, list[Any]] = {}
        for node, group in itertools.groupby(items, operator.attrgetter("parent")):
            by_parent.setdefault(node, []).extend(group)
        above = {each for node in by_parent for each in node.listchain()[:-1]}
        refused = []
        of_functions = [own for node, own in by_parent.items() if not is_case(getattr(node, "obj", None))]
        names = [str(getattr(getattr(own[0], "module", None), "__name__", None)) for own in of_functions]
        with_hooks = [each for each in zip(names, of_functions, strict=True) if module_hook(each[0]) is not None]
        if with_hooks:
            from asyncunit.pytest_plugin.module_hooks import join_hooks

            join_hooks(self._collected, with_hooks)
        for node, own in by_parent.items():
            if is_case(getattr(node, "obj", None)):
                self._mark_case(node, own)
            else:
                refused += self._mark_functions(node, own, is_innermost=node not in above)
        return refused

    def _mark_functions(self, node: Any, items: list[Any], *, is_innermost: bool) -> list[Any]:
        """Have what the items stand in say it, or else each item; return those that are refused."""
        shared = self._collected.shared_plan(items, is_innermost=is_innermost)
        if shared is not None:
            node.add_marker(self._marker(shared), append=False)
            return []
        refused = []
        markers: dict[int, Any] = {}  # by the ids of the plans
        for item in items:
            plan = self._collected.plan_of(item)
            if plan is None:
                continue
            if plan.is_asyncio and inspect.isasyncgenfunction(written_of(item.obj)):
                refused.append(item)
            if id(plan) not in markers:
                markers[id(plan)] = self._marker(plan)
            self._mark_function(item, plan, markers[id(plan)])
        return refused

    def _mark_function(self, item: Any, plan: FunctionPlan, marker: Any) -> None:
        """Have an item say what is in force for it, and that it is pytest-asyncio's kind of test if it is."""
        if plan.is_asyncio and plan.marker is None:
            self._collected.mark(item, getattr(self._mark, ASYNCIO_MARKER)(), append=True)
        self._collected.mark(item, marker)

    def _marker(self, plan: FunctionPlan) -> Any:
        self.explores = self.explores or plan.config.explores
        return self._mark.asyncunit(**effective(plan.config, plan.loop_scope))

    def mark_again(self, items: Iterable[Any]) -> Iterator[tuple[Any, AsyncUnitError]]:
        """Plan anew what has got another marker meanwhile, and give the items with which something is wrong now."""
        for item in items:
            if not item.own_markers:
                continue
            try:
                if (plan := self._collected.plan_again(item)) is not None:
                    self._mark_function(item, plan, self._marker(plan))
            except AsyncUnitError as error:
                yield item, error

    def _mark_case(self, node: Any, items: list[Any]) -> None:
        """Have the class of a test case say what is in force for it, and what pytest's fixtures ask of its loop."""
        from asyncunit.plans import loop_choice  # test cases have imported it

        self._collected.surroundings(items[0])  # what the user's markers say, before ours is among them
        try:
            for item in items:
                leave_to_case(item)
            for item in {tuple(item.fixturenames): item for item in items}.values():
                self._demand(item)
            choice = loop_choice.choose(node.obj, self._collected.ownership.config)
            configs = loop_choice.configs_of_tests(node.obj, choice.configs[0])
        except AsyncUnitError:  # it is the error of the class when that is set up, as under unittest
            return
        self.explores = self.explores or any(each.explores for each in (choice.configs[0], *configs.values()))
        node.add_marker(self._mark.asyncunit(**effective(choice.configs[0], choice.scope)), append=False)
        for item in items:
            if item.name in configs:
                values = effective(configs[item.name], choice.scope)
                item.add_marker(self._mark.asyncunit(**values), append=False)

    def _demand(self, item: Any) -> None:
        """Have the loop of a class last as long as the async fixtures of pytest's need that it uses."""
        from asyncunit.plans.class_plan import Demand
        from asyncunit.plans.loop_choice import ask

        definitions = item._fixtureinfo.name2fixturedefs
        for name in item.fixturenames:
            found = (
                self._collected.fixtures.find_for(definitions[name][-1], is_case=True) if name in definitions else None
            )
            if found is None or not (found.fixture.is_async or found.is_asyncio):
                continue
            scope = max(found.fixture.scope, found.fixture.loop_scope or Scope.FUNCTION)
            scope_nodes = self._collected.surroundings(item).scope_nodes
            if scope is Scope.PACKAGE and depth_of_fixture(found, scope_nodes) < depth_of(scope, scope_nodes):
                scope = Scope.SESSION  # it is in a package around that of the class, and these share no other loop
            ask(item.cls, Demand(scope, found.fixture, item.name))

    def group(self, items: Iterable[Any]) -> None:
        """Have pytest-xdist run in one worker what shares a loop, where nobody has grouped it."""
        for item in items:
            marker = item.get_closest_marker("asyncunit")
            scope = None if marker is None else marker.kwargs.get("loop_scope")
            if scope in ("class", "module", "package") and item.get_closest_marker("xdist_group") is None:
                scope_nodes = self._collected.surroundings(item).scope_nodes
                scope_node = next(each for each in reversed(scope_nodes) if str(each.scope) == scope)
                key = scope_node.node.nodeid if scope_node.node is not None else str(scope_node.key)
                item.add_marker(self._mark.xdist_group(name=f"asyncunit {key}"))
