"""The plan of what pytest has collected, drawn as that of unittest's suites is."""

from __future__ import annotations

import unittest
from collections.abc import Iterable
from typing import Any

from asyncunit.cases.plan_tree import Outline, add_case, module_of, relative
from asyncunit.pytest_plugin.function_plans import Collected, FunctionPlan
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def of_items(items: Iterable[Any], collected: Collected) -> Outline:
    """The tree of what pytest has collected."""
    session = Outline("session", "")
    for item in items:
        cls = getattr(item, "cls", None)
        if cls is not None and issubclass(cls, unittest.TestCase):
            add_case(session, cls, item.name, collected.ownership.config)
        elif hasattr(item, "module"):
            add_function(session, item.module.__name__, cls, item.name, collected.plan_of(item))
        else:
            session.child("test", item.nodeid)
    return session


def add_function(session: Outline, module: str, cls: type | None, name: str, plan: FunctionPlan | None) -> None:
    """Add a test function as pytest has collected it; ``plan`` is None where it is not asyncunit's."""
    package, around = module_of(session, module)
    at = {Scope.SESSION: session, Scope.PACKAGE: package, Scope.MODULE: around}
    if cls is not None:
        around = around.child("class", cls.__qualname__)
        at[Scope.CLASS] = around
    test = around.child("test", name)
    if plan is None:
        return
    test.loop, test.why = str(plan.loop_scope), relative(plan.reason)
    for found in plan.fixtures:
        at.get(found.fixture.scope, test).set_up([found.fixture.name])
