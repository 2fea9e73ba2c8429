"""The fixtures that a class can name, what their parameters mean there, and the order in which they are set up."""

from __future__ import annotations

import functools
import itertools
import sys
import types
import unittest
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from asyncunit.errors import DefinitionError, did_you_mean
from asyncunit.introspection.functions import class_with_place, is_plain, required_parameters
from asyncunit.plans.fixtures import REQUEST, Fixture, hidden_fixture, is_fixture
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Node:
    """A fixture as a class sees it: with the fixtures that its parameters mean there.

    There is one for all classes that see it so, and these share its value. ``varies`` are those of the fixtures behind
    it, itself included, that have params. ``needs_loop`` is true where one of them is async, and
    ``is_of_test`` where it is made for each test. ``is_plainly_async`` and ``takes_request`` are the fixture's: each
    test asks for them, and what has a __getattr__() is slow to ask.
    """

    __slots__ = (
        "__weakref__",
        "dependencies",
        "fixture",
        "is_of_test",
        "is_plainly_async",
        "needs_loop",
        "takes_request",
        "varies",
    )

    def __init__(self, fixture: Fixture[Any], dependencies: tuple[tuple[str, Node], ...]) -> None:
        self.fixture = fixture
        self.dependencies = dependencies
        self.is_of_test = fixture.scope is Scope.FUNCTION
        self.is_plainly_async: bool = fixture.is_plainly_async
        self.takes_request: bool = fixture.takes_request
        own = [] if fixture.param_set is None else [self]
        self.varies: tuple[Node, ...] = tuple(
            dict.fromkeys([*(varying for _, node in dependencies for varying in node.varies), *own])
        )
        self.needs_loop: bool = fixture.is_async or any(node.needs_loop for _, node in dependencies)

    def rests_on(self, other: Node) -> bool:
        """Whether another node is it, or one of those behind it."""
        return self is other or any(node.rests_on(other) for _, node in self.dependencies)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.fixture}>"


def node_of(fixture: Fixture[Any], dependencies: tuple[tuple[str, Node], ...]) -> Node:
    """The one node of a fixture whose parameters mean these."""
    # By their ids, which last as long as the node that has them; the nodes themselves would keep classes alive.
    key = tuple(id(dependency) for _, dependency in dependencies)
    node: Node = fixture.nodes.setdefault(key, Node(fixture, dependencies))
    return node


def is_shared(node: Node) -> bool:
    """Whether all who see its fixture so have this node, and find its value: not where params choose it."""
    return not node.varies and any(each is node for each in node.fixture.nodes.values())


class Resolver:
    """The fixtures that a class can name: its own and its bases', then those at the top of their modules."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.module_fixtures = fixtures_of_modules(cls)
        # By name, the one first that hides the others; with the place in which each is defined, as an order.
        self.names: dict[str, list[Fixture[Any]]] = {}
        self._order: dict[Fixture[Any], tuple[int, int]] = {}
        self._nodes: dict[Fixture[Any], Node] = {}
        # The class that has something else under the name of a base's fixture.
        self._hidden: dict[str, type] = {}
        # True once the class is run: the module, and with it its fixtures, is there as a whole.
        self.is_final = False
        self._read_classes()
        # Of two modules that have a fixture of one name, the class's own comes first.
        merged: dict[str, Fixture[Any]] = {}
        for fixtures in reversed(self.module_fixtures.values()):
            merged |= fixtures
        for name, found in merged.items():
            self.names.setdefault(name, []).append(found)
            self._order.setdefault(found, (-1, len(self._order)))

    def _read_classes(self) -> None:
        for depth, base in enumerate(self.cls.__mro__):
            own: dict[str, Fixture[Any]] = {}
            for position, (name, member) in enumerate(vars(base).items()):
                if is_plain(member):
                    continue
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
                if (hiding := self._hiding(name, depth)) is not None:
                    self._hidden[name] = hiding
                elif found not in self.names.get(name, ()):
                    self.names.setdefault(name, []).append(found)

    def _hiding(self, name: str, depth: int) -> type | None:
        """The class before that of this depth that has something else than a fixture under a name."""
        members = ((base, vars(base).get(name)) for base in self.cls.__mro__[:depth] if name in vars(base))
        return next((base for base, member in members if not is_fixture(member)), None)

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
        own_module = self.module_fixtures.get(self.cls.__module__, {}).values()
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
                f"in {class_with_place(self.cls)} these fixtures need each other:\n"
                + "\n".join(f"  {one} names {other.name!r}" for one, other in itertools.pairwise(circle))
                + "\nTake one of these parameters out."
            )
        dependencies = []
        self._check_parameters(fixture)
        for name in fixture.asks_for:
            needed = self.find(name, fixture)
            if needed is None:
                if hasattr(fixture.function, "__wrapped__"):
                    continue  # a decorator may fill it, as mock.patch does
                raise self._unknown(fixture, name)
            if needed.scope < fixture.scope:
                wide, narrow = str(fixture.scope), str(needed.scope)
                raise DefinitionError(
                    f"in {class_with_place(self.cls)}, the {fixture} has scope {wide!r} and names the {needed}, "
                    f"which has scope {narrow!r} and is gone before it. Write scope={wide!r} at {needed.where}, or "
                    f"scope={narrow!r} at {fixture.where}."
                )
            dependencies.append((name, self.node(needed, (*path, fixture))))
        node = node_of(fixture, tuple(dependencies))
        self._nodes[fixture] = node
        return node

    def _unknown(self, fixture: Fixture[Any], name: str) -> DefinitionError:
        if name in self._hidden:
            cls = self._hidden[name]
            hint = (
                f" In {class_with_place(cls)} it is {vars(cls)[name]!r}, which hides the fixture of a base; make it a "
                f"fixture."
            )
        elif name == fixture.name:
            hint = " It names itself, and there is no fixture of that name in a base that it overrides."
        elif name in ("self", "cls") and fixture.owner is None:
            hint = f" At the top of a module a fixture has no parameter {name!r}."
        else:
            hint = did_you_mean(name, sorted(self.names)) or (
                f" Define it in the class, in a base, or in the module above the class; if subclasses are to bring it, "
                f"take asyncunit's class out of the bases of {self.cls.__qualname__}: any class can have fixtures."
            )
        return DefinitionError(
            f"in {class_with_place(self.cls)}, the {fixture} names {name!r}, and there is no fixture of that "
            f"name.{hint}"
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


class Around:
    """What whoever runs the tests finds for a module besides what is at its top: pytest has conftest.py files for that.

    ``of_module`` is None where there is nothing.
    """

    of_module: Callable[[types.ModuleType], Mapping[str, Fixture[Any]]] | None = None


around = Around()


def fixtures_of_modules(cls: type) -> dict[str, dict[str, Fixture[Any]]]:
    """The fixtures at the top of the modules in which the class and its bases are defined, by module, its own first."""
    names = dict.fromkeys(base.__module__ for base in cls.__mro__)
    not_the_suites = ("builtins", "unittest", "asyncunit")
    return {name: _fixtures_of_module(name) for name in names if name.partition(".")[0] not in not_the_suites}


def _fixtures_of_module(name: str) -> dict[str, Fixture[Any]]:
    module = sys.modules.get(name)
    members = [] if module is None else list(vars(module).items())
    found: dict[str, Fixture[Any]] = {}
    for key, member in members:
        if is_fixture(member):
            other = found.setdefault(member.given_name or key, member)
            if other is not member:
                raise DefinitionError(f"the {other} and the {member} have one name in {name}. Rename one of them.")
    if around.of_module is None or module is None:
        return found
    return {**around.of_module(module), **found}


@functools.cache
def _reserved_names() -> frozenset[str]:
    """The attributes of a test case of unittest's."""
    return frozenset(dir(unittest.IsolatedAsyncioTestCase()))


def _is_asyncunits(cls: type) -> bool:
    return cls.__module__.partition(".")[0] == "asyncunit" and issubclass(cls, unittest.TestCase)
