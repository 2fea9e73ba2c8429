"""Fixtures as pytest has them: those that asyncunit declares to it, and those of its own that asyncunit runs.

Those of conftest.py files are known to test cases, too. Nothing here imports pytest.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from asyncunit.introspection.functions import is_async_function, required_parameters, written_of
from asyncunit.pytest_plugin.asyncio_compat import Ownership
from asyncunit.pytest_plugin.nodes import ScopeNode, depth_of, outer_depth_of
from asyncunit.records import Record
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


if TYPE_CHECKING:
    from asyncunit.plans.fixtures import Fixture, Node


@functools.cache
def _plans() -> Any:
    """What test cases know of fixtures; imported when there is a fixture for it, for many suites have none."""
    from asyncunit.plans import fixtures

    return fixtures


# What asyncunit declares.

# Before the names under which pytest finds the fixtures that are declared with ``asyncunit.fixture``.
PREFIX = "_asyncunit_fixture_"


def declare_fixtures(holder: Any, members: Iterable[tuple[str, Any]]) -> None:
    """Have pytest find the fixtures that are declared with ``asyncunit.fixture`` in a module or a class."""
    for name, member in list(members):
        if not _plans().is_fixture(member):
            continue
        function: Any = mark_fixture(member)
        if isinstance(holder, type) and member.scope >= Scope.CLASS:
            function = classmethod(function)
        scope: Any = str(member.scope)
        made = pytest.fixture(
            scope=scope,
            params=None if member.param_set is None else [param_of(each) for each in member.param_set.params],
            autouse=bool(member.autouse),
            name=member.given_name or name,
        )(function)
        setattr(holder, f"{PREFIX}{name}", made)


def param_of(param: Any) -> Any:
    """One of the params of a fixture, or of a test, as pytest writes it."""
    marks: list[Any] = [] if param.skip is None else [pytest.mark.skip(reason=param.skip)]
    if param.expected_failure:
        marks.append(pytest.mark.xfail(strict=True))
    return pytest.param(*param.values, id=param.id, marks=marks)


# What asyncunit runs.

# Where the function of a fixture keeps what `asyncunit.fixture` has made of it.
ATTRIBUTE = "__asyncunit_fixture__"


def mark_fixture(fixture: Fixture[Any]) -> Callable[..., Any]:
    """The function of a fixture, as pytest is to have it; it knows its fixture."""
    function = fixture.function
    if not hasattr(function, "__dict__") or vars(function).get(ATTRIBUTE, fixture) is not fixture:
        function = functools.wraps(function)(functools.partial(function))
    setattr(function, ATTRIBUTE, fixture)
    return function


class PytestFixture(Record):
    """A fixture of pytest's that asyncunit runs; ``is_asyncio`` where it has pytest-asyncio's meaning.

    ``is_declared`` is true where it was declared with ``asyncunit.fixture``.
    It is async, or sync and lives in a scope where asyncunit's test cases find it, too.
    """

    fixture: Fixture[Any]
    definition: Any
    is_asyncio: bool
    is_declared: bool = False


class PytestFixtures:
    """Those of one run of pytest."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        # By their definitions.
        self._known: dict[Any, PytestFixture | None] = {}

    @property
    def has_any(self) -> bool:
        """Whether something that was asked for is asyncunit's to run."""
        return any(found is not None for found in self._known.values())

    def find(self, definition: Any) -> PytestFixture | None:
        """The fixture of pytest's, if it is async and asyncunit's to run."""
        if definition not in self._known:
            self._known[definition] = self._find(definition)
        return self._known[definition]

    def _find(self, definition: Any) -> PytestFixture | None:
        function = written_of(definition.func)
        made = declared(definition)
        if made is not None:
            is_ours = made.is_async or made.scope >= Scope.MODULE
            return PytestFixture(made, definition, is_asyncio=False, is_declared=True) if is_ours else None
        # What pytest-asyncio's decorator leaves on its functions.
        is_asyncio = getattr(function, "_force_asyncio_fixture", False)
        if self._ownership.is_asyncio_active and (is_asyncio or self._ownership.asyncio_mode == "auto"):
            return None
        if not is_async_function(function) and not is_asyncio:
            return None
        if not is_asyncio and self._ownership.config.mode != "auto" and self._ownership.asyncio_mode != "auto":
            return None
        return self._make(definition, is_asyncio=is_asyncio or self._ownership.config.mode != "auto")

    def find_for(self, definition: Any, *, is_case: bool) -> PytestFixture | None:
        """As `find`; all async ones that asyncunit's test cases use are its own to run."""
        found = self.find(definition)
        return self._async_one(definition) if found is None and is_case else found

    def node_of(self, found: PytestFixture, item: Any) -> Node:
        """The fixture with what its parameters mean to pytest, the same as a class has that sees it so."""
        nodes = []
        for name in found.fixture.asks_for:
            behind = self._find_behind(found.definition, name, item)
            if behind is None:
                of_pytests: Node = _plans().Node(found.fixture, ())  # nobody else's, for what it is made of is pytest's
                return of_pytests
            nodes.append((name, self.node_of(behind, item)))
        node: Node = _plans().node_of(found.fixture, tuple(nodes))
        return node

    def _find_behind(self, definition: Any, name: str, item: Any) -> PytestFixture | None:
        """What a parameter of a fixture means for an item; None where that is not asyncunit's to run."""
        definitions = list(item._fixtureinfo.name2fixturedefs.get(name, ()))
        if definition in definitions:
            definitions = definitions[: definitions.index(definition)]
        return self.find(definitions[-1]) if definitions else None

    def _async_one(self, definition: Any) -> PytestFixture | None:
        """The fixture of pytest's if it is async, whoever would run it for test functions."""
        function = written_of(definition.func)
        if not is_async_function(function) or (
            self._ownership.is_asyncio_active and hasattr(function, "_force_asyncio_fixture")
        ):
            return None
        return self._make(definition, is_asyncio=False)

    def _make(self, definition: Any, *, is_asyncio: bool) -> PytestFixture:
        function = written_of(definition.func)
        scope = Scope.parse(definition.scope, f"fixture {definition.argname!r}: scope")
        said = getattr(function, "_loop_scope", None)
        loop_scope = None if said is None else Scope.parse(said, f"fixture {definition.argname!r}: loop_scope")
        made: Fixture[Any] = _plans().Fixture(function, scope, loop_scope, None, None, definition.argname)
        return PytestFixture(made, definition, is_asyncio)


def declared(definition: Any) -> Fixture[Any] | None:
    """The fixture that a definition of pytest's was made of; None where it was declared for pytest."""
    found: Fixture[Any] | None = getattr(written_of(definition.func), ATTRIBUTE, None)
    return found


def is_set_up_by_case(definition: Any, item: Any, widest: Scope = Scope.SESSION) -> bool:
    """Whether the test case sets the fixture up itself, in the order that it has under unittest."""
    found = declared(definition)
    if found is None or found.scope > widest:
        return False
    from asyncunit.plans.class_plan import plan_of  # test cases have imported it

    return any(node.fixture is found for node in plan_of(item.cls).used_by(item.name))


def leave_to_case(item: Any) -> None:
    """Have pytest not set up what a test case sets up itself.

    Raises as `plan_of` does.
    """
    definitions = item._fixtureinfo.name2fixturedefs
    item.fixturenames[:] = [
        name
        for name in item.fixturenames
        if name not in definitions or not is_set_up_by_case(definitions[name][-1], item)
    ]


def order_fixtures(item: Any) -> None:
    """Have pytest take those that are declared with ``asyncunit.fixture`` in the order of unittest's runner.

    Wider scopes come first; within one, dependencies do, and then they come as they are defined.
    """
    info = getattr(item, "_fixtureinfo", None)
    if info is None or not info.name2fixturedefs:
        return
    names = item.fixturenames
    found = {}
    for name in names:
        definitions = info.name2fixturedefs.get(name)
        if definitions and (made := declared(definitions[-1])) is not None:
            # What is declared further out comes first; what overrides another one has the place of that.
            first = definitions[0]
            found[name] = -made.scope, len(first.baseid), _line(declared(first) or made), name
    if len(found) > 1:
        ordered: dict[str, None] = {}
        for name in sorted(found, key=found.__getitem__):
            _append(name, info.name2fixturedefs, ordered)
        of_ours = iter([name for name in ordered if name in found])
        names[:] = [next(of_ours) if name in found else name for name in names]


def _append(
    name: str, definitions: Mapping[str, Any], ordered: dict[str, None], *, around: tuple[str, ...] = ()
) -> None:
    """Append the name of a fixture, after those that it needs and that are not there yet."""
    if name in ordered or name in around or name not in definitions:
        return
    for definition in reversed(definitions[name]):
        for dependency in definition.argnames:
            _append(dependency, definitions, ordered, around=(*around, name))
        if name not in definition.argnames:  # else it needs the one that it overrides
            break
    ordered[name] = None


def _line(fixture: Fixture[Any]) -> int:
    """The line at which a fixture is written."""
    code = getattr(inspect.unwrap(fixture.function), "__code__", None)
    return 0 if code is None else int(code.co_firstlineno)


def depth_of_fixture(found: PytestFixture, scope_nodes: tuple[ScopeNode, ...]) -> int:
    """As `depth_of`, for where pytest has a fixture live."""
    scope = found.fixture.scope
    if scope is not Scope.PACKAGE or _is_in_module(found, scope_nodes):
        return depth_of(scope, scope_nodes)
    depth = _depth_of_package(found.definition, scope_nodes)
    # pytest-asyncio's loops of packages last as long as its fixtures of packages, wherever pytest has these live.
    return outer_depth_of(scope, scope_nodes) if found.is_asyncio and depth == 1 else depth


def _is_in_module(found: PytestFixture, scope_nodes: tuple[ScopeNode, ...]) -> bool:
    """Whether an ``asyncunit.fixture`` is at the top of the module: its package is that of the module."""
    module = next((scope_node.node for scope_node in scope_nodes if scope_node.scope is Scope.MODULE), None)
    return found.is_declared and module is not None and _is_at(found.definition, module)


def _is_at(definition: Any, node: Any) -> bool:
    """Whether a fixture is declared for what is in a node."""
    at = getattr(definition, "node", None)  # new in pytest 9.1
    return at is node if at is not None else definition.baseid == getattr(node, "nodeid", None)


def _depth_of_package(definition: Any, scope_nodes: tuple[ScopeNode, ...]) -> int:
    for depth in range(len(scope_nodes), 0, -1):
        scope_node = scope_nodes[depth - 1]
        if scope_node.scope is Scope.PACKAGE and _is_at(definition, scope_node.node):
            return depth
    return 1  # else it lives as long as the session


def depth_needed(found: PytestFixture, scope_nodes: tuple[ScopeNode, ...]) -> int:
    """As `depth_of`, for the loop that a fixture needs."""
    fixture = found.fixture
    if not fixture.is_async and not found.is_asyncio:
        return len(scope_nodes) + 1
    depth = depth_of_fixture(found, scope_nodes)
    if fixture.loop_scope is None:
        return depth
    return min(depth, (outer_depth_of if found.is_asyncio else depth_of)(fixture.loop_scope, scope_nodes))


# The fixtures of conftest.py files.


class Conftests:
    """Those of one run of pytest, by their folders."""

    def __init__(self) -> None:
        self._modules: dict[Path, types.ModuleType] = {}
        self._before: Any = None

    def begin(self) -> None:
        """Have test cases know of them."""
        around = _plans().around
        self._before, around.of_module = around.of_module, self.fixtures_around

    def end(self) -> None:
        """Have test cases know of those again that they knew before: this was a run inside another."""
        _plans().around.of_module = self._before

    def add(self, conftest: types.ModuleType) -> None:
        """Take another one in."""
        self._modules[Path(str(conftest.__file__)).parent] = conftest

    def fixtures_around(self, module: types.ModuleType) -> Mapping[str, Fixture[Any]]:
        """What a test case in the module may ask for, outermost first, and sets up itself.

        All else is pytest's: what asks for a fixture of pytest's own, or what one of those asks for.
        """
        is_fixture = _plans().is_fixture
        file = getattr(module, "__file__", None)
        if file is None:
            return {}
        conftests = [self._modules[each] for each in reversed(Path(file).parents) if each in self._modules]
        found: dict[str, Fixture[Any]] = {}
        pytests: set[str] = set()
        for each in [*conftests, module]:
            for name, member in vars(each).items():
                if not is_fixture(member):
                    pytests.update(_names_of_pytests(member))
                elif each is not module and _has_place(member, each, module):
                    found[member.given_name or name] = member
        own = {member.given_name or name for name, member in vars(module).items() if is_fixture(member)}
        while missing := [
            name
            for name, fixture in found.items()
            if name in pytests or any(each not in found and each not in own for each in fixture.asks_for)
        ]:
            for name in missing:
                del found[name]
        return found


def _names_of_pytests(member: Any) -> Iterable[str]:
    """The name of a fixture that is declared for pytest, and of those that it asks for; none for anything else."""
    if type(member).__name__ != "FixtureFunctionDefinition" or hasattr(member.__wrapped__, ATTRIBUTE):
        return ()  # asyncunit declares its own to pytest, too
    return (member.name, *required_parameters(member.__wrapped__))


def _has_place(fixture: Fixture[Any], conftest: types.ModuleType, module: types.ModuleType) -> bool:
    """Whether it lives as long as the scope that a test case of the module has: pytest has its own for packages."""
    package = conftest.__name__.rpartition(".")[0]
    return fixture.scope is not Scope.PACKAGE or (package != "" and package == module.__name__.rpartition(".")[0])
