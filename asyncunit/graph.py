"""Which fixtures a class asks for: their names resolved, their order, the loop that they need; once per class."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
import sys
import unittest
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asyncunit import params
from asyncunit.errors import DefinitionError, nearest
from asyncunit.fixtures import Fixture, required_parameters
from asyncunit.params import Param, ParamSet, Variant
from asyncunit.scopes import Scope

__all__ = ["Demand", "Node", "Plan", "TestPlan", "define", "is_planned", "plan_of"]

__unittest = True  # a traceback that a user reads begins at the user's line

PREFIX = unittest.TestLoader.testMethodPrefix
# Where a class keeps its plan.
ATTRIBUTE = "_asyncunit_plan"


class Node:
    """A fixture as a class sees it: with the fixtures that its parameters mean there.

    There is one for all classes that see it so, and these share its value. ``varies`` are those of the fixtures behind
    it, itself included, that have params. ``needs_loop`` is true where one of them is async.
    """

    __slots__ = ("dependencies", "fixture", "needs_loop", "varies")

    def __init__(self, fixture: Fixture[Any], dependencies: tuple[tuple[str, Node], ...]) -> None:
        self.fixture = fixture
        self.dependencies = dependencies
        own = [] if fixture.param_set is None else [self]
        self.varies: tuple[Node, ...] = tuple(
            dict.fromkeys([*(varying for _, node in dependencies for varying in node.varies), *own])
        )
        self.needs_loop: bool = fixture.is_async or any(node.needs_loop for _, node in dependencies)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.fixture}>"


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """The widest loop that the fixtures of a class need, and the fixture that needs it."""

    scope: Scope
    fixture: Fixture[Any]


@dataclasses.dataclass(frozen=True, slots=True)
class TestPlan:
    """What one test uses beyond what is set up for its class, in the order in which it is set up.

    ``wide`` is for all tests of the class, but differs from test to test by a param; ``own`` is made for each test;
    ``named`` is what only this test asks for. ``arguments`` and ``values`` fill its parameters: with fixtures, and
    with the values of `parametrize`. ``chosen`` are the params of fixtures.
    """

    wide: tuple[Node, ...]
    own: tuple[Node, ...]
    named: tuple[Node, ...]
    arguments: tuple[tuple[str, Node], ...]
    values: Mapping[str, object]
    chosen: Mapping[Node, Param]


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """The fixtures of a class, resolved.

    ``shared`` is what all tests of the class use alike, wider than one test, in the order in which it is set up.
    ``attributes`` are the names under which a test reads the value of a node, and ``names`` all of these. ``tests`` are
    the plans of the tests by name; those that use nothing of their own share the plan ``usual``.
    """

    resolver: _Resolver
    whole: tuple[Node, ...]
    shared: tuple[Node, ...]
    attributes: Mapping[Node, tuple[str, ...]]
    names: tuple[str, ...]
    usual: TestPlan
    tests: Mapping[str, TestPlan]
    variants: Mapping[str, list[Variant]]
    demand: Demand | None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be set up, or to be passed to a test."""
        has_usual_tests = all(plan is self.usual for plan in self.tests.values())
        return has_usual_tests and not self.whole and not self.resolver.names

    def of_test(self, name: str, function: Callable[..., Any]) -> TestPlan:
        """The plan of a test; made now, where the test has come into the class after it was defined."""
        found = self.tests.get(name)
        if found is not None:
            return found
        asked = self.resolver.asked_by(function)
        varying = [varying for node in (*self.whole, *asked.values()) for varying in node.varies]
        if varying:
            raise DefinitionError(
                f"{name} uses the {varying[0].fixture}, whose params make several tests of one when the class is "
                f"defined, but it came into the class later. Define it in the body of the class."
            )
        nodes = self.resolver.in_order((*self.whole, *asked.values()))
        return self.usual if not asked else _plan_test(self.whole, nodes, asked, {}, {})

    def explain(self, error: TypeError, filled: Iterable[str]) -> str | None:
        """What there is to say of a parameter of a test that nobody, or more than one, has filled."""
        names = sorted(self.resolver.names)
        text = str(error)
        for name in filled:
            if f"multiple values for argument {name!r}" in text:
                return f"asyncunit passes {name!r} by keyword; parameters that decorators fill stand before such."
        missing = re.findall(r"'(\w+)'", text.partition("missing ")[2])
        if not missing:
            return None
        there = f"The fixtures that {self.resolver.cls.__qualname__} has: {', '.join(names) or 'none'}."
        return f"asyncunit passes the fixtures that a test names. {there}{nearest(missing[0], names)}"


class _Resolver:
    """The fixtures that a class can name: its own and its bases', then those at the top of their modules."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.module_fixtures = _fixtures_of_modules(cls)
        # By name, the one first that hides the others; with the place in which each is defined, as an order.
        self.names: dict[str, list[Fixture[Any]]] = {}
        self._order: dict[Fixture[Any], tuple[int, int]] = {}
        self._nodes: dict[Fixture[Any], Node] = {}
        # Whether the module is there as a whole.
        self.is_final = False
        self._read_classes()
        for name, found in self.module_fixtures.items():
            self.names.setdefault(name, []).append(found)
            self._order.setdefault(found, (-1, len(self._order)))

    def _read_classes(self) -> None:
        hidden: set[str] = set()
        for depth, base in enumerate(self.cls.__mro__):
            own: dict[str, Fixture[Any]] = {}
            for position, (name, member) in enumerate(vars(base).items()):
                if isinstance(member, Fixture):
                    self._check(member, name)
                    own[name] = member
                    self._order.setdefault(member, (len(self.cls.__mro__) - depth, position))
                elif isinstance(member, classmethod | staticmethod) and isinstance(member.__func__, Fixture):
                    raise DefinitionError(
                        f"{member.__func__} stands under @{type(member).__name__}. Take that away: a fixture of a "
                        f"class is passed the test, or from scope='class' on the class, as its first parameter."
                    )
            for name, found in own.items():
                if name not in hidden and found not in self.names.get(name, ()):
                    self.names.setdefault(name, []).append(found)
            hidden.update(name for name in vars(base) if name not in own)

    def _check(self, found: Fixture[Any], name: str) -> None:
        if not found.is_written_for_owner:
            first = "self" if found.scope is Scope.FUNCTION else "cls"
            raise DefinitionError(f"{found} takes no parameter; expected {first} as the first: def {name}({first}).")
        if found.given_name not in (None, name) and vars(found.owner or self.cls).get(found.name) is not found:
            other = vars(found.owner or self.cls).get(found.name)
            raise DefinitionError(f"{found} has the name of something else in that class: {other!r}. Rename one.")
        if hasattr(unittest.IsolatedAsyncioTestCase, name):
            raise DefinitionError(f"{found} would hide unittest's own {name}(). Give it another name.")

    def whole(self) -> list[Fixture[Any]]:
        """The fixtures that all tests of the class use, whatever they name."""
        own_module = _fixtures_of_module(self.cls.__module__).values()
        found = []
        for candidates in self.names.values():
            first = candidates[0]
            is_used = first.autouse is not False if first.owner is not None else first.autouse and first in own_module
            if is_used:
                found.append(first)
        return found

    def find(self, name: str, asked_by: Fixture[Any] | None = None) -> Fixture[Any] | None:
        """The fixture of that name; for one that names itself, the one that it overrides."""
        candidates = self.names.get(name, [])
        if asked_by in candidates:
            candidates = candidates[candidates.index(asked_by) + 1 :]
        return candidates[0] if candidates else None

    def asked_by(self, function: Callable[..., Any]) -> dict[str, Node]:
        """The fixtures that a test method names as parameters, each with its node."""
        if not self.names:
            return {}
        found = {name: self.find(name) for name in required_parameters(function)}
        return {name: self.node(fixture) for name, fixture in found.items() if fixture is not None}

    def node(self, fixture: Fixture[Any], path: tuple[Fixture[Any], ...] = ()) -> Node:
        """The node of a fixture in this class; raises DefinitionError for what is wrong with its dependencies."""
        known = self._nodes.get(fixture)
        if known is not None:
            return known
        if fixture in path:
            circle = [*path[path.index(fixture) :], fixture]
            raise DefinitionError(
                f"in {_title(self.cls)} these fixtures need each other:\n"
                + "\n".join(f"  {one} names {other.name!r}" for one, other in itertools.pairwise(circle))
                + "\nTake one of these parameters out."
            )
        dependencies = []
        for name in fixture.asks_for:
            needed = self.find(name, fixture)
            if needed is None:
                raise self._unknown(fixture, name)
            if needed.scope < fixture.scope:
                raise DefinitionError(
                    f"in {_title(self.cls)}, the {fixture} has scope {str(fixture.scope)!r} and names the {needed}, "
                    f"which has scope {str(needed.scope)!r} and is gone before it. Write scope={str(fixture.scope)!r} "
                    f"on {needed.name!r}, or scope={str(needed.scope)!r} on {fixture.name!r}."
                )
            dependencies.append((name, self.node(needed, (*path, fixture))))
        node: Node = fixture.nodes.setdefault(tuple(dependencies), Node(fixture, tuple(dependencies)))
        self._nodes[fixture] = node
        return node

    def _unknown(self, fixture: Fixture[Any], name: str) -> DefinitionError:
        if name == fixture.name:
            hint = " It names itself, and there is no fixture of that name in a base that it overrides."
        elif name in ("self", "cls") and fixture.owner is None:
            hint = f" At the top of a module a fixture has no parameter {name!r}."
        else:
            hint = nearest(name, sorted(self.names)) or (
                f" Define it in the class, in a base, or in the module above the class; if subclasses are to bring it, "
                f"take asyncunit's class out of the bases of {self.cls.__qualname__}: any class can have fixtures."
            )
        return DefinitionError(
            f"in {_title(self.cls)}, the {fixture} names {name!r}, and there is no fixture of that name.{hint}"
        )

    def in_order(self, roots: Iterable[Node]) -> tuple[Node, ...]:
        """These nodes and all behind them: wider scopes first, then dependencies, then as they are defined."""
        closure: dict[Node, None] = {}
        for root in roots:
            self._gather(root, closure)
        ordered: dict[Node, None] = {}
        for node in sorted(closure, key=lambda node: (-node.fixture.scope, self._order[node.fixture])):
            _append(node, ordered)
        return tuple(ordered)

    def _gather(self, node: Node, closure: dict[Node, None]) -> None:
        if node not in closure:
            closure[node] = None
            for _, dependency in node.dependencies:
                self._gather(dependency, closure)


def _append(node: Node, ordered: dict[Node, None]) -> None:
    for _, dependency in node.dependencies:
        if dependency not in ordered:
            _append(dependency, ordered)
    ordered[node] = None


def define(cls: type) -> None:
    """Plan a class as it is defined, and put the tests that its params make into it.

    Raises DefinitionError for fixtures and parameters that do not go together.
    """
    written = _tests_of(cls)
    plan = _plan(cls, written)
    setattr(cls, ATTRIBUTE, plan)
    params.expand(cls, written, plan.variants)


def is_planned(cls: type) -> bool:
    """Whether the class is one of asyncunit's, whose fixtures are set up."""
    return ATTRIBUTE in vars(cls)


def plan_of(cls: type) -> Plan:
    """The plan of a class when it is run: fixtures that its module has got since the class was defined are in it."""
    plan: Plan | None = vars(cls).get(ATTRIBUTE)
    if plan is not None and (plan.resolver.is_final or plan.resolver.module_fixtures == _fixtures_of_modules(cls)):
        plan.resolver.is_final = True
        return plan
    made = _plan(cls, _tests_of(cls))
    if plan is not None and list(made.tests) != list(plan.tests):
        _refuse_late_params(cls, plan, made)
    made.resolver.is_final = True
    setattr(cls, ATTRIBUTE, made)
    return made


def _refuse_late_params(cls: type, plan: Plan, made: Plan) -> None:
    known = plan.resolver.module_fixtures.values()
    for variants in made.variants.values():
        for node in (node for variant in variants for node in made.tests[variant.name].chosen):
            if node.fixture.owner is None and node.fixture not in known:
                raise DefinitionError(
                    f"the {node.fixture} has params and stands below {_title(cls)}, whose tests they multiply. Move "
                    f"it above the class."
                )


def _plan(cls: type, written: Mapping[str, Any]) -> Plan:
    resolver = _Resolver(cls)
    attributes: dict[Node, tuple[str, ...]] = {}
    for name, candidates in resolver.names.items():
        if candidates[0].owner is not None:
            node = resolver.node(candidates[0])
            attributes[node] = (*attributes.get(node, ()), name)
    whole = resolver.in_order(resolver.node(fixture) for fixture in resolver.whole())
    usual = _plan_test(whole, whole, {}, {}, {})
    tests: dict[str, TestPlan] = {}
    all_variants: dict[str, list[Variant]] = {}
    used = dict.fromkeys(whole)
    varies = any(node.varies for node in whole)
    for name, function in written.items():
        marks = params.param_sets_of(function)
        asked = resolver.asked_by(getattr(function, "__func__", function))
        if not (marks or asked or varies):
            tests[name] = usual
            continue
        taken = _check_marks(cls, name, function, marks)
        asked = {parameter: node for parameter, node in asked.items() if parameter not in taken}
        nodes = resolver.in_order((*whole, *asked.values())) if asked else whole
        used |= dict.fromkeys(nodes)
        varying = {node: node.fixture.param_set for node in nodes if node.fixture.param_set is not None}
        if not varying and not marks:
            tests[name] = _plan_test(whole, nodes, asked, {}, {})
            continue
        all_variants[name] = params.combine(name, [*varying.values(), *marks])
        for variant in all_variants[name]:
            chosen = dict(zip(varying, variant.chosen, strict=False))
            pairs = zip(marks, variant.chosen[len(varying) :], strict=True)
            values = {
                key: value for mark, choice in pairs for key, value in zip(mark.names, choice.values, strict=True)
            }
            tests[variant.name] = _plan_test(whole, nodes, asked, values, chosen)
    shared = tuple(node for node in whole if node.fixture.scope > Scope.FUNCTION and not node.varies)
    names = tuple(name for names in attributes.values() for name in names)
    return Plan(resolver, whole, shared, attributes, names, usual, tests, all_variants, _demand(used))


def _plan_test(
    whole: tuple[Node, ...],
    nodes: tuple[Node, ...],
    asked: Mapping[str, Node],
    values: Mapping[str, object],
    chosen: Mapping[Node, Param],
) -> TestPlan:
    return TestPlan(
        wide=tuple(node for node in whole if node.fixture.scope > Scope.FUNCTION and node.varies),
        own=tuple(node for node in whole if node.fixture.scope is Scope.FUNCTION),
        named=tuple(node for node in nodes if node not in whole),
        arguments=tuple(asked.items()),
        values=values,
        chosen=chosen,
    )


def _demand(nodes: Iterable[Node]) -> Demand | None:
    demands = [
        Demand(max(node.fixture.scope, node.fixture.loop_scope or Scope.FUNCTION), node.fixture)
        for node in nodes
        if node.fixture.is_async
    ]
    return max(demands, key=lambda demand: demand.scope, default=None)


def _check_marks(cls: type, name: str, function: Any, marks: tuple[ParamSet, ...]) -> set[str]:
    """The parameters that `parametrize` fills; raises DefinitionError for one that the test does not have."""
    taken: set[str] = set()
    for mark in marks:
        parameters = inspect.signature(function).parameters
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for filled in mark.names:
            if filled in taken:
                raise DefinitionError(
                    f"{_title(cls)}.{name} ({mark.where}) is parametrized twice by {filled!r}; keep one of the two."
                )
            if filled not in parameters and not takes_any:
                there = ", ".join(list(parameters)[1:]) or "none"
                raise DefinitionError(
                    f"{_title(cls)}.{name} ({mark.where}) is parametrized by {filled!r}, which is not one of its "
                    f"parameters: {there}.{nearest(filled, list(parameters))}"
                )
            taken.add(filled)
    return taken


def _tests_of(cls: type) -> dict[str, Any]:
    """The test methods of a class as they are written there and in its bases, by name."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if name.startswith(PREFIX) or name == "runTest":
                written = params.written_test(member, name)
                if callable(getattr(written, "__func__", written)):
                    found[name] = written
                else:
                    found.pop(name, None)
    return found


def _fixtures_of_modules(cls: type) -> dict[str, Fixture[Any]]:
    """The fixtures at the top of the modules in which the class and its bases are defined, the class's first."""
    found: dict[str, Fixture[Any]] = {}
    for name in dict.fromkeys(base.__module__ for base in cls.__mro__):
        if name.partition(".")[0] not in ("builtins", "unittest", "asyncunit"):
            found = {**_fixtures_of_module(name), **found}
    return found


def _fixtures_of_module(name: str) -> dict[str, Fixture[Any]]:
    members = vars(sys.modules[name]).items() if name in sys.modules else ()
    return {member.given_name or key: member for key, member in members if isinstance(member, Fixture)}


def _title(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
