"""The plan of a class: its fixtures, tests and variants; and the note on a parameter that nothing fills."""

from __future__ import annotations

import inspect
import re
import types
import unittest
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asyncunit.errors import DefinitionError, FixtureNotSetUpError, did_you_mean
from asyncunit.introspection.functions import (
    class_name,
    class_with_place,
    function_of,
    is_plain,
    is_test_method,
    parameters_of,
    required_parameters,
    written_of,
)
from asyncunit.plans import variants
from asyncunit.plans.fixtures import PLAN, REQUEST, Fixture, Node, Resolver, fixtures_of_modules
from asyncunit.plans.variants import Param, ParamSet, Variant
from asyncunit.records import Record
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

PREFIX = unittest.TestLoader.testMethodPrefix


class Demand(Record):
    """The widest loop that the fixtures of a class need, and the fixture that needs it.

    ``test`` is the test that names it, None where the whole class uses it.
    """

    scope: Scope
    fixture: Fixture[Any]
    test: str | None

    def __str__(self) -> str:
        return f"the {self.fixture}" + (f", which {self.test} names," if self.test else "")


class TestPlan(Record):
    """What one test uses beyond what is set up for its class, in the order in which it is set up.

    ``wide`` outlives the test: what is for all tests of the class, but differs from test to test by a param, and what
    this test names. ``own`` is made for each test, and is ``plainly_async`` if all of it is; ``named`` is made for
    this one, because it asks for it. ``arguments`` and ``values`` fill its parameters, if ``has_arguments``: with
    fixtures, and with the values of `parametrize`. ``chosen`` are the params of fixtures.
    """

    wide: tuple[Node, ...]
    own: tuple[Node, ...]
    plainly_async: bool
    named: tuple[Node, ...] = ()
    arguments: tuple[tuple[str, Node], ...] = ()
    values: Mapping[str, object] = types.MappingProxyType({})
    has_arguments: bool = False
    chosen: Mapping[Node, Param] = types.MappingProxyType({})


class Plan(Record):
    """The fixtures of a class, resolved by ``resolver``.

    ``whole`` is what all tests of the class use, and ``shared`` what of it is wider than one test and has one value, in
    the order in which it is set up. ``attributes`` are the names under which a test reads the value of a node, and
    ``names`` all of these. ``tests`` are the plans of the tests by name; those that use nothing of their own share the
    plan ``usual``. ``variants`` are what methods have become that params multiply, by their bare names. ``demand`` is
    None where no fixture needs a loop.
    """

    resolver: Resolver
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

    def used_by(self, name: str) -> tuple[Node, ...]:
        """What is set up for a test of that name, whether for it alone or for others, too."""
        plan = self.tests.get(name, self.usual)
        return (*self.whole, *plan.wide, *plan.named)

    def of_test(self, name: str, function: Callable[..., Any]) -> TestPlan:
        """The plan of a test; made now, where the test has come into the class after it was defined."""
        found = self.tests.get(name)
        if found is not None:
            return found
        if marks := variants.param_sets_of(written_of(function)):
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
        return _plan_of_one(self.resolver, self.whole, self.usual, tuple(asked.items()))


def define(cls: type) -> None:
    """Plan a class as it is defined, and put the tests that its params make into it.

    Raises DefinitionError for fixtures and parameters that do not go together.
    """
    written = _tests_of(cls)
    plan = _plan(cls, written)
    setattr(cls, PLAN, plan)
    variants.expand(cls, written, plan.variants)


def planned(cls: type) -> Plan | None:
    """The plan of a class as far as it is known when it is defined; None for a class that is not asyncunit's."""
    plan: Plan | None = vars(cls).get(PLAN)
    return plan


def plan_of(cls: type) -> Plan:
    """The plan of a class when it is run: fixtures that its module has got since the class was defined are in it."""
    plan = planned(cls)
    if plan is not None and (plan.resolver.is_final or plan.resolver.module_fixtures == fixtures_of_modules(cls)):
        plan.resolver.is_final = True
        return plan
    made = _plan(cls, _tests_of(cls))
    if plan is not None and list(made.tests) != list(plan.tests):
        _refuse_late_params(cls, plan, made)
    made.resolver.is_final = True
    setattr(cls, PLAN, made)
    return made


def _refuse_late_params(cls: type, plan: Plan, made: Plan) -> None:
    known = [fixture for fixtures in plan.resolver.module_fixtures.values() for fixture in fixtures.values()]
    for made_of_one in made.variants.values():
        for node in (node for variant in made_of_one for node in made.tests[variant.name].chosen):
            if node.fixture.owner is None and node.fixture not in known:
                raise DefinitionError(
                    f"the {node.fixture} has params and stands below {class_with_place(cls)}, whose tests they "
                    f"multiply. Move it above the class."
                )


def _plan(cls: type, written: Mapping[str, Any]) -> Plan:
    resolver = Resolver(cls)
    attributes: dict[Node, tuple[str, ...]] = {}
    for name, candidates in resolver.names.items():
        if candidates[0].owner is not None:
            node = resolver.node(candidates[0])
            attributes[node] = (*attributes.get(node, ()), name)
    roots = [resolver.node(fixture) for fixture in resolver.whole()]
    if getattr(cls, "_asyncunit_is_function", False):
        # All tests of the class are one function, and name the same.
        roots += [node for function in written.values() for node in _asked_by(resolver, function).values()]
    whole = resolver.in_order(roots)
    own = tuple(node for node in whole if node.is_of_test)
    usual = TestPlan(
        wide=tuple(node for node in whole if node.varies and not node.is_of_test),
        own=own,
        plainly_async=all(node.is_plainly_async for node in own),
    )
    tests: dict[str, TestPlan] = {}
    all_variants: dict[str, list[Variant]] = {}
    for name, function in written.items():
        if not resolver.names and (is_plain(function) or not variants.param_sets_of(function)):
            tests[name] = usual
            continue
        own_variants, plans = _plan_test(resolver, whole, usual, name, function)
        tests |= plans
        if own_variants is not None:
            all_variants[name] = own_variants
    usual_nodes = set(whole)
    named_by_tests = [
        (node, name) for name, plan in tests.items() for node in (*plan.wide, *plan.named) if node not in usual_nodes
    ]
    return Plan(
        resolver=resolver,
        whole=whole,
        shared=tuple(node for node in whole if not node.varies and not node.is_of_test),
        attributes=attributes,
        names=tuple(name for names in attributes.values() for name in names),
        usual=usual,
        tests=tests,
        variants=all_variants,
        demand=_demand([*((node, None) for node in whole), *named_by_tests]),
    )


def _plan_test(
    resolver: Resolver, whole: tuple[Node, ...], usual: TestPlan, name: str, function: Any
) -> tuple[list[Variant] | None, dict[str, TestPlan]]:
    """The variants that a test method becomes, None if it stays one; and the plan of each test, by name."""
    marks = variants.param_sets_of(function)
    _check_marks(resolver.cls, name, function, marks)
    arguments = tuple(_asked_by(resolver, function).items())
    plan = _plan_of_one(resolver, whole, usual, arguments) if arguments else usual
    every = dict.fromkeys((*whole, *plan.wide, *plan.named))
    varying = {node: node.fixture.param_set for node in every if node.fixture.param_set is not None}
    if not varying and not marks:
        return None, {name: plan}
    if name == "runTest":
        raise DefinitionError(
            f"{class_with_place(resolver.cls)}: runTest is to run several times; give it a name that begins with test."
        )
    own_variants = variants.combine(name, [*varying.values(), *marks])
    plans = {}
    for variant in own_variants:
        chosen = dict(zip(varying, variant.chosen, strict=False))
        pairs = zip(marks, variant.chosen[len(varying) :], strict=True)
        values = {key: value for mark, choice in pairs for key, value in zip(mark.names, choice.values, strict=True)}
        plans[variant.name] = plan.replace(values=values, has_arguments=bool(arguments or values), chosen=chosen)
    return own_variants, plans


def _asked_by(resolver: Resolver, function: Any) -> dict[str, Node]:
    """The fixtures that a test method names, but for what `parametrize` fills."""
    taken = {name for mark in variants.param_sets_of(function) for name in mark.names}
    asked = resolver.asked_by(function_of(function))
    return {name: node for name, node in asked.items() if name not in taken}


def _plan_of_one(
    resolver: Resolver, whole: tuple[Node, ...], usual: TestPlan, arguments: tuple[tuple[str, Node], ...]
) -> TestPlan:
    """The plan of a test that names these fixtures; what it has no value for is made in the order of all."""
    named = resolver.named(whole, dict(arguments))
    wide = usual.wide
    if any(not node.is_of_test for node in named):
        wide = tuple(
            node
            for node in resolver.in_order((*wide, *named))
            if not node.is_of_test and (node in wide or node in named)
        )
    of_test = tuple(node for node in named if node.is_of_test)
    return usual.replace(wide=wide, named=of_test, arguments=arguments, has_arguments=bool(arguments))


def _demand(asked: Iterable[tuple[Node, str | None]]) -> Demand | None:
    demands = [
        Demand(max(node.fixture.scope, node.fixture.loop_scope or Scope.FUNCTION), node.fixture, test)
        for node, test in asked
        if node.fixture.is_async
    ]
    return max(demands, key=lambda demand: demand.scope, default=None)


def _check_marks(cls: type, name: str, function: Any, marks: tuple[ParamSet, ...]) -> None:
    """Raise DefinitionError for a parameter that `parametrize` fills and the test does not have, or has had filled."""
    taken: set[str] = set()
    for mark in marks:
        test = f"{class_name(cls)}.{name} ({mark.where})"
        parameters = parameters_of(function)
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for filled in mark.names:
            if filled in taken:
                raise DefinitionError(f"{test} is parametrized twice by {filled!r}; keep one of the two.")
            if filled not in parameters and not takes_any:
                there = ", ".join(parameters) or "none"
                raise DefinitionError(
                    f"{test} is parametrized by {filled!r}, which is not one of its parameters: {there}."
                    f"{did_you_mean(filled, list(parameters))}"
                )
            taken.add(filled)


def _tests_of(cls: type) -> dict[str, Any]:
    """The test methods of a class as they are written there and in its bases, by name."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            if name.startswith(PREFIX) or name == "runTest":
                if is_plain(member) and "[" not in name:
                    found[name] = member
                    continue
                written = variants.written_test(member, name)
                if written is not None and is_test_method(written):
                    found[name] = written
                elif not variants.is_generated(member):
                    found.pop(name, None)
    return found


def unknown_parameter(plan: Plan, name: str, test: TestPlan) -> str | None:
    """What there is to say of a parameter of a test that nothing fills; None where a decorator may fill it."""
    written = variants.written_behind(inspect.getattr_static(plan.resolver.cls, name))
    function = function_of(written)
    if type(function) is not types.FunctionType or hasattr(function, "__wrapped__"):
        return None
    required = required_parameters(function)[0 if type(written) is staticmethod else 1 :]
    filled = {*test.values, *(parameter for parameter, _ in test.arguments)}
    missing = [each for each in required if each not in filled]
    return _of_unknown(plan, missing[0]) if missing else None


def _of_unknown(plan: Plan, parameter: str) -> str:
    names = sorted(plan.resolver.names)
    there = f"The fixtures that {plan.resolver.cls.__qualname__} has: {', '.join(names) or 'none'}."
    return f"{parameter!r} is the name of no fixture. {there}{did_you_mean(parameter, names)}"


def parameter_note(plan: Plan, error: Exception, name: str, method: Any, filled: Iterable[str]) -> str | None:
    """What there is to say of a parameter of a test that nobody, or more than one, has filled, and the like."""
    names = sorted(plan.resolver.names)
    if isinstance(error, FixtureNotSetUpError):
        return None
    if isinstance(error, AttributeError) and error.name in names and isinstance(error.obj, plan.resolver.cls):
        return f"{error.name!r} is a fixture of the module. Name it as a parameter: def test_...(self, {error.name})."
    text = str(error)
    called = text.partition("()")[0]
    if called.rpartition(".")[2] != name.partition("[")[0] and called not in _names_in_errors(method):
        return None
    for each in filled:
        if f"multiple values for argument {each!r}" in text:
            return f"asyncunit passes {each!r} by keyword; parameters that decorators fill stand before such."
        if f"unexpected keyword argument {each!r}" in text or ("positional-only" in text and f"'{each}'" in text):
            return (
                f"asyncunit passes {each!r} by keyword, because the test names it as a parameter. Have what takes it, "
                f"a decorator mostly, take it by keyword and pass it on: *args, **kwargs."
            )
    missing = re.findall(r"'(\w+)'", text.partition("missing ")[2])
    if not missing:
        return None
    if missing[0] == REQUEST:
        return "'request' is what fixtures are told by who asks for them; a test reads its values by their names."
    if missing[0] in names:
        return (
            f"{missing[0]!r} is a fixture, but a decorator of the test hides its parameters. Write "
            f"@functools.wraps(function) in the decorator."
        )
    there = f"The fixtures that {plan.resolver.cls.__qualname__} has: {', '.join(names) or 'none'}."
    return f"asyncunit passes the fixtures that a test names. {there}{did_you_mean(missing[0], names)}"


def _names_in_errors(method: Any) -> set[str]:
    """The names by which Python's own errors call a test, and what its decorators have put in front."""
    names = set()
    while method is not None:
        names.add(getattr(method, "__qualname__", ""))
        method = getattr(method, "__wrapped__", None)
    return names
