"""Which fixtures a class asks for: their names resolved, their order, the loop that they need; once per class."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import re
import sys
import unittest
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asyncunit import params
from asyncunit.errors import DefinitionError, nearest
from asyncunit.fixtures import PLAN, REQUEST, Fixture, hidden_fixture, is_fixture, required_parameters
from asyncunit.params import Param, ParamSet, Variant
from asyncunit.scopes import Scope

__all__ = ["Demand", "Node", "Plan", "TestPlan", "define", "plan_of", "planned"]

__unittest = True  # a traceback that a user reads begins at the user's line

PREFIX = unittest.TestLoader.testMethodPrefix


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
    named: tuple[Node, ...] = ()
    arguments: tuple[tuple[str, Node], ...] = ()
    values: Mapping[str, object] = dataclasses.field(default_factory=dict)
    chosen: Mapping[Node, Param] = dataclasses.field(default_factory=dict)


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
        if marks := params.param_sets_of(getattr(function, "__func__", function)):
            raise DefinitionError(
                f"{name} ({marks[0].where}) is parametrized, which makes several tests of one when the class is "
                f"defined, but it came into the class later. Define it in the body of the class."
            )
        asked = self.resolver.asked_by(function)
        varying = [varying for node in (*self.whole, *asked.values()) for varying in node.varies]
        if varying:
            raise DefinitionError(
                f"{name} uses the {varying[0].fixture}, whose params make several tests of one when the class is "
                f"defined, but it came into the class later. Define it in the body of the class."
            )
        named = self.resolver.named(self.whole, asked)
        return dataclasses.replace(self.usual, named=named, arguments=tuple(asked.items()))

    def explain(self, error: TypeError, filled: Iterable[str]) -> str | None:
        """What there is to say of a parameter of a test that nobody, or more than one, has filled."""
        names = sorted(self.resolver.names)
        text = str(error)
        for name in filled:
            if f"multiple values for argument {name!r}" in text:
                return f"asyncunit passes {name!r} by keyword; parameters that decorators fill stand before such."
            if f"unexpected keyword argument {name!r}" in text or ("positional-only" in text and f"'{name}'" in text):
                return (
                    f"asyncunit passes {name!r} by keyword, for the test names it as a parameter. Have what takes it, "
                    f"a decorator mostly, take it by keyword and pass it on: *args, **kwargs."
                )
        missing = re.findall(r"'(\w+)'", text.partition("missing ")[2])
        if not missing:
            return None
        if missing[0] in names:
            return (
                f"{missing[0]!r} is a fixture, but a decorator of the test hides its parameters. Write "
                f"@functools.wraps(function) in the decorator."
            )
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
        # The class that has something else under the name of a base's fixture.
        self._hidden: dict[str, type] = {}
        # Whether the module is there as a whole.
        self.is_final = False
        self._read_classes()
        for name, found in self.module_fixtures.items():
            self.names.setdefault(name, []).append(found)
            self._order.setdefault(found, (-1, len(self._order)))

    def _read_classes(self) -> None:
        hidden: dict[str, type] = {}
        for depth, base in enumerate(self.cls.__mro__):
            own: dict[str, Fixture[Any]] = {}
            for position, (name, member) in enumerate(vars(base).items()):
                if is_fixture(member):
                    self._check(member, name)
                    own[name] = member
                    self._order.setdefault(member, (len(self.cls.__mro__) - depth, position))
                elif (inside := hidden_fixture(member)) is not None:
                    raise DefinitionError(
                        f"{inside} stands under another decorator, which makes {member!r} of it. Take that away, or "
                        f"put it under @asyncunit.fixture. (A fixture of a class is passed the test, or from "
                        f"scope='class' on the class, without @classmethod.)"
                    )
            for name, found in own.items():
                if name in hidden:
                    self._hidden[name] = hidden[name]
                elif found not in self.names.get(name, ()):
                    self.names.setdefault(name, []).append(found)
            for name in vars(base):
                if name not in own:
                    hidden.setdefault(name, base)

    def _check(self, found: Fixture[Any], name: str) -> None:
        if not found.is_written_for_owner:
            first = "self" if found.scope is Scope.FUNCTION else "cls"
            raise DefinitionError(f"{found} takes no parameter; expected {first} as the first: def {name}({first}).")
        if found.given_name not in (None, name) and vars(found.owner or self.cls).get(found.name) is not found:
            other = vars(found.owner or self.cls).get(found.name)
            raise DefinitionError(f"{found} has the name of something else in that class: {other!r}. Rename one.")
        if name in _reserved_names() or any(name in vars(base) for base in self.cls.__mro__ if _is_asyncunits(base)):
            raise DefinitionError(f"{found} would hide {name!r} of the test case itself. Give it another name.")

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

    def _check_parameters(self, fixture: Fixture[Any]) -> None:
        first = fixture.first_parameter
        if fixture.owner is not None and (first == REQUEST or first in self.names):
            raise DefinitionError(
                f"the first parameter of the {fixture} is {first!r}, but is passed the test, or from scope='class' on "
                f"the class. Write def {fixture.name}({'self' if fixture.scope is Scope.FUNCTION else 'cls'}, {first})."
            )
        if wrong := [name for name in fixture.asks_for if name in fixture.positional_only]:
            raise DefinitionError(
                f"the {fixture} takes {wrong[0]!r} by position only, but fixtures are passed by keyword. Take / out."
            )

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
        self._check_parameters(fixture)
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
        if name in self._hidden:
            cls = self._hidden[name]
            hint = f" {_title(cls)}.{name} is {vars(cls)[name]!r}, and hides the fixture of a base; make it a fixture."
        elif name == fixture.name:
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

    def named(self, whole: tuple[Node, ...], asked: Mapping[str, Node]) -> tuple[Node, ...]:
        """What a test that names these fixtures uses beyond what its whole class does."""
        if all(node in whole for node in asked.values()):
            return ()
        return tuple(node for node in self.in_order((*whole, *asked.values())) if node not in whole)

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
    setattr(cls, PLAN, plan)
    params.expand(cls, written, plan.variants)


def planned(cls: type) -> Plan | None:
    """The plan of a class as far as it is known when it is defined; None for a class that is not asyncunit's."""
    plan: Plan | None = vars(cls).get(PLAN)
    return plan


def plan_of(cls: type) -> Plan:
    """The plan of a class when it is run: fixtures that its module has got since the class was defined are in it."""
    plan = planned(cls)
    if plan is not None and (plan.resolver.is_final or plan.resolver.module_fixtures == _fixtures_of_modules(cls)):
        plan.resolver.is_final = True
        return plan
    made = _plan(cls, _tests_of(cls))
    if plan is not None and list(made.tests) != list(plan.tests):
        _refuse_late_params(cls, plan, made)
    made.resolver.is_final = True
    setattr(cls, PLAN, made)
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
    usual = TestPlan(
        wide=tuple(node for node in whole if node.fixture.scope > Scope.FUNCTION and node.varies),
        own=tuple(node for node in whole if node.fixture.scope is Scope.FUNCTION),
    )
    tests: dict[str, TestPlan] = {}
    all_variants: dict[str, list[Variant]] = {}
    used = dict.fromkeys(whole)
    varies = any(node.varies for node in whole)
    for name, function in written.items():
        marks = params.param_sets_of(function)
        asked = resolver.asked_by(params.function_of(function))
        if not (marks or asked or varies):
            tests[name] = usual
            continue
        taken = _check_marks(cls, name, function, marks)
        if name == "runTest" and (marks or varies):
            raise DefinitionError(
                f"{_title(cls)}.runTest is to run several times; give it a name that begins with test."
            )
        asked = {parameter: node for parameter, node in asked.items() if parameter not in taken}
        named = resolver.named(whole, asked)
        nodes = (*whole, *named)
        used |= dict.fromkeys(named)
        varying = {node: node.fixture.param_set for node in nodes if node.fixture.param_set is not None}
        if not varying and not marks:
            tests[name] = dataclasses.replace(usual, named=named, arguments=tuple(asked.items()))
            continue
        all_variants[name] = params.combine(name, [*varying.values(), *marks])
        for variant in all_variants[name]:
            chosen = dict(zip(varying, variant.chosen, strict=False))
            pairs = zip(marks, variant.chosen[len(varying) :], strict=True)
            values = {
                key: value for mark, choice in pairs for key, value in zip(mark.names, choice.values, strict=True)
            }
            tests[variant.name] = TestPlan(usual.wide, usual.own, named, tuple(asked.items()), values, chosen)
    shared = tuple(node for node in whole if node.fixture.scope > Scope.FUNCTION and not node.varies)
    names = tuple(name for names in attributes.values() for name in names)
    return Plan(resolver, whole, shared, attributes, names, usual, tests, all_variants, _demand(used))


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
        parameters = _parameters_of(function)
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for filled in mark.names:
            if filled in taken:
                raise DefinitionError(
                    f"{_title(cls)}.{name} ({mark.where}) is parametrized twice by {filled!r}; keep one of the two."
                )
            if filled not in parameters and not takes_any:
                there = ", ".join(parameters) or "none"
                raise DefinitionError(
                    f"{_title(cls)}.{name} ({mark.where}) is parametrized by {filled!r}, which is not one of its "
                    f"parameters: {there}.{nearest(filled, list(parameters))}"
                )
            taken.add(filled)
    return taken


def _parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a test method, without the one that is passed the test."""
    parameters = dict(inspect.signature(params.function_of(function)).parameters)
    if hasattr(type(function), "__get__") and type(function) is not staticmethod and parameters:
        first = next(iter(parameters))
        if parameters[first].kind is not inspect.Parameter.VAR_POSITIONAL:
            del parameters[first]
    return parameters


def _tests_of(cls: type) -> dict[str, Any]:
    """The test methods of a class as they are written there and in its bases, by name."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if name.startswith(PREFIX) or name == "runTest":
                written = params.written_test(member, name)
                if written is not None and params.is_method(written):
                    found[name] = written
                elif not params.is_generated(member):
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
    members = list(vars(sys.modules[name]).items()) if name in sys.modules else []
    found: dict[str, Fixture[Any]] = {}
    for key, member in members:
        if is_fixture(member):
            other = found.setdefault(member.given_name or key, member)
            if other is not member:
                raise DefinitionError(f"the {other} and the {member} have one name in {name}. Rename one of them.")
    return found


@functools.cache
def _reserved_names() -> frozenset[str]:
    """The attributes of a test case of unittest's."""
    return frozenset(dir(unittest.IsolatedAsyncioTestCase()))


def _is_asyncunits(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "asyncunit" and issubclass(cls, unittest.TestCase)


def _title(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
