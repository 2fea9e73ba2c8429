"""Fixtures as they are declared and read, and as a class can name them: what their parameters mean, in which order."""

from __future__ import annotations

import functools
import inspect
import itertools
import sys
import types
import unittest
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, TypeGuard, TypeVar, overload

from asyncunit.errors import DefinitionError, FixtureNotSetUpError, did_you_mean
from asyncunit.introspection.functions import (
    class_with_place,
    first_parameter,
    is_plain,
    name_of,
    positional_only,
    required_parameters,
    watch_module_of,
    written_at,
)
from asyncunit.introspection.tracebacks import at_users_line
from asyncunit.plans.variants import Ids, ParamSet, is_name, param_sets_of, parse_params
from asyncunit.scope import Scope
from asyncunit.scopes import registry

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

REQUEST = "request"
# Where a class keeps its plan: which fixtures it asks for.
PLAN = "_asyncunit_plan"


class Fixture(Generic[T_co]):
    """A fixture as it is declared; as an attribute, it gives the value that is set up for whoever reads it.

    ``owner`` is the class that it is declared in, None at the top of a module. ``is_async`` and ``is_generator`` tell
    what its function is written as, under its decorators; ``is_lazy``, whether calling it runs none of its lines yet,
    and ``is_plainly_async``, whether that makes a coroutine or an async generator of them;
    ``takes_request``, whether one of its parameters is the request. ``nodes`` are what the classes that have been
    defined make of it, by what its parameters mean there.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        scope: Scope,
        loop_scope: Scope | None,
        autouse: bool | None,
        param_set: ParamSet | None,
        name: str | None,
    ) -> None:
        self.function = function
        self.scope = scope
        self.loop_scope = loop_scope
        self.autouse = autouse
        self.param_set = param_set
        self.given_name = name
        self.name: str = name or name_of(function)
        self.owner: type | None = None
        self.where = written_at(function)
        self.nodes: weakref.WeakValueDictionary[tuple[int, ...], Any] = weakref.WeakValueDictionary()
        written = inspect.unwrap(function)
        if not inspect.isroutine(written) and not isinstance(written, functools.partial):
            written = type(written).__call__
        is_async_generator = inspect.isasyncgenfunction(written)
        self.is_async = is_async_generator or inspect.iscoroutinefunction(written)
        self.is_generator = is_async_generator or inspect.isgeneratorfunction(written)
        self.is_lazy = any(
            is_kind(function)
            for is_kind in (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
        )
        code = function.__code__ if type(function) is types.FunctionType else None
        flags = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
        self.is_plainly_async = code is not None and bool(code.co_flags & flags)
        self._required = required_parameters(function)
        self.takes_request = REQUEST in self._required
        self.first_parameter = first_parameter(function)
        self.positional_only = positional_only(function)
        self.__doc__ = function.__doc__
        self.__name__ = self.name
        self.__qualname__ = getattr(function, "__qualname__", self.name)
        self.__module__ = function.__module__

    def __set_name__(self, owner: type, name: str) -> None:
        if self.owner is None:
            self.owner = owner
            self.name = self.given_name or name
            if self.name not in vars(owner):
                setattr(owner, self.name, self)

    @property
    def asks_for(self) -> tuple[str, ...]:
        """The names of the fixtures that fill its parameters."""
        first = None if self.owner is None else self.first_parameter
        return tuple(name for name in self._required if name not in (REQUEST, first))

    @property
    def is_written_for_owner(self) -> bool:
        """Whether it has the parameter that the instance or the class is passed as, if it needs one."""
        return self.owner is None or self.first_parameter is not None

    def __str__(self) -> str:
        place = self.__module__ if self.owner is None else self.owner.__qualname__
        return f"fixture {self.name!r} of {place} ({self.where})"

    def __repr__(self) -> str:
        return f"<{self}>"

    def __get__(self, instance: object, owner: type | None = None) -> T_co:
        found = self._find(instance)
        if found is not None:
            value: T_co = found[0]
            return value
        cls = owner if owner is not None else type(instance)
        if instance is None and not _is_running(cls):
            return self  # type: ignore[return-value]  # as a property gives itself
        raise self._not_set_up(cls)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"'Fixture' object has no attribute {name!r}")
        raise self._not_set_up(self.owner)

    def _find(self, instance: object) -> tuple[T_co] | None:
        """The value that it has for the running test, else for the class, else for all: in a tuple."""
        for run in reversed(registry.runs() or registry.all_runs()):
            for open_scope in reversed(run.chain):
                found: tuple[T_co] | None = open_scope.fixtures and open_scope.fixtures.find(self, instance)
                is_asking = open_scope.scope is Scope.CLASS or (open_scope.fixtures and open_scope.scope < Scope.CLASS)
                if found is not None or is_asking:
                    return found
        return None

    def _not_set_up(self, cls: type | None) -> FixtureNotSetUpError:
        reader = "" if cls is None else f" for {cls.__qualname__}"
        return FixtureNotSetUpError(f"{self} has no value{reader} here. {self._fix(cls)}")

    def _fix(self, cls: type | None) -> str:
        parameter = f"def test_...(self, {self.name})"
        if cls is None:
            return f"At the top of a module, it is for the tests and fixtures that name it as a parameter: {parameter}."
        if issubclass(cls, unittest.TestCase) and not hasattr(cls, PLAN):
            return (
                f"{cls.__qualname__} is not one of asyncunit's test cases; write asyncunit.AsyncTestCase as its base."
            )
        if self.owner is None:
            return "It was put into the class after that was defined; define it in the body of the class."
        if inspect.getattr_static(cls, self.name, self) is not self:
            return (
                f"{cls.__qualname__} overrides it. To have it in the fixture that overrides it, name it there as a "
                f"parameter: def {self.name}(self, {self.name})."
            )
        if self.autouse is False:
            when = ", and after their setUp hooks" if self.scope is Scope.FUNCTION else ""
            return (
                f"It has autouse=False, so it is set up only for the tests and fixtures that name it as a parameter, "
                f"as in {parameter}{when}."
            )
        if self.scope is Scope.FUNCTION:
            return (
                f"It is set up for each test, before setUp, and gone after its cleanups. A fixture that needs it names "
                f"it as a parameter, as in def ...(self, {self.name}). Class and module hooks can read fixtures of "
                f"wider scopes only."
            )
        if any(node.varies for node in self.nodes.values()):
            return (
                "It has params, so its value is another one from test to test: tests and their hooks can read it, "
                "class and module hooks cannot."
            )
        return (
            f"It is set up before the first test that uses it, and before the hooks of its own scope ({self.scope}). "
            f"To have it in another fixture, name it there as a parameter."
        )


def is_fixture(value: object) -> TypeGuard[Fixture[Any]]:
    """Whether the value is a fixture, asked without waking a proxy or a lazy object."""
    return type(value) is Fixture


def hidden_fixture(member: Any) -> Fixture[Any] | None:
    """The fixture that another decorator has made something else of."""
    inside: object = None
    if type(member) is types.FunctionType:
        inside = vars(member).get("__wrapped__")
    elif type(member) in (classmethod, staticmethod):
        inside = member.__func__
    elif type(member) is property:
        inside = member.fget
    elif type(member) is functools.cached_property:
        inside = member.func
    return inside if is_fixture(inside) else None


def _is_running(cls: type) -> bool:
    """Whether the class, or a class that inherits from it, is open in this thread."""
    return any(
        isinstance(open_scope.key, type) and issubclass(open_scope.key, cls)
        for run in registry.runs()
        for open_scope in run.chain
    )


class Request:
    """What a fixture is told of who asks for it, when it names ``request`` as a parameter. The terms are pytest's.

    ``cls`` is the test class and ``instance`` the test; both are None where the fixture outlives them.
    """

    __slots__ = ("_chosen", "_fixture", "cls", "instance", "scope")

    def __init__(
        self,
        scope: str,
        cls: type | None,
        instance: object | None,
        fixture: Fixture[Any],
        chosen: tuple[object, ...] | None,
    ) -> None:
        self.scope = scope
        self.cls = cls
        self.instance = instance
        self._fixture = fixture
        self._chosen = chosen

    def __repr__(self) -> str:
        return f"<Request of {self._fixture}: scope={self.scope!r}, cls={self.cls!r}, instance={self.instance!r}>"

    @property
    def param(self) -> Any:
        """The value of ``params`` that the fixture is set up with; raises AttributeError where it has none."""
        if self._chosen is None:
            raise AttributeError(f"{self._fixture} has no params, so its request has no param. Write params=[...].")
        return self._chosen[0]


class _Decorator(Protocol):
    """What `fixture` returns when it is called with keywords."""

    @overload
    def __call__(self, func: Callable[..., AsyncIterator[T]], /) -> Fixture[T]: ...
    @overload
    def __call__(self, func: Callable[..., Awaitable[T]], /) -> Fixture[T]: ...
    @overload
    def __call__(self, func: Callable[..., Iterator[T]], /) -> Fixture[T]: ...
    @overload
    def __call__(self, func: Callable[..., T], /) -> Fixture[T]: ...
    @overload
    def __call__(self, func: classmethod[Any, ..., AsyncIterator[T]], /) -> Fixture[T]: ...
    @overload
    def __call__(self, func: classmethod[Any, ..., Awaitable[T]], /) -> Fixture[T]: ...
    @overload
    def __call__(self, func: classmethod[Any, ..., Iterator[T]], /) -> Fixture[T]: ...
    @overload
    def __call__(self, func: classmethod[Any, ..., T], /) -> Fixture[T]: ...


@overload
def fixture(func: Callable[..., AsyncIterator[T]], /) -> Fixture[T]: ...
@overload
def fixture(func: Callable[..., Awaitable[T]], /) -> Fixture[T]: ...
@overload
def fixture(func: Callable[..., Iterator[T]], /) -> Fixture[T]: ...
@overload
def fixture(func: Callable[..., T], /) -> Fixture[T]: ...
@overload
def fixture(
    func: None = None,
    /,
    *,
    scope: Scope | str = ...,
    loop_scope: Scope | str | None = ...,
    autouse: bool | None = ...,
    params: Iterable[object] | None = ...,
    ids: Ids = ...,
    name: str | None = ...,
) -> _Decorator: ...


def fixture(
    func: Any = None,
    /,
    *,
    scope: Scope | str = Scope.FUNCTION,
    loop_scope: Scope | str | None = None,
    autouse: bool | None = None,
    params: Iterable[object] | None = None,
    ids: Ids = None,
    name: str | None = None,
) -> Any:
    """Declare a fixture: ``@asyncunit.fixture`` on a coroutine function, a function, or a generator of either kind.

    What it returns, or yields, is its value. The code after the ``yield`` tears it down. It is set up once per
    ``scope``. A class that inherits it has it set up for each of its tests, as an attribute and as a parameter; with
    ``autouse=False`` only for those that name it. At the top of a module it is for the tests that name it, and with
    ``autouse=True`` for all of the module. Parameters are filled by the fixtures of that name.

    ``loop_scope`` asks for an event loop at least that wide for whoever uses it. ``params`` multiplies the tests that
    use it, and ``request.param`` is the value in turn; ``ids`` names them, see `parametrize`. ``name`` is its name if
    that is not the function's. The terms are pytest's. Raises DefinitionError for what could not work, and
    ConfigurationError for an unknown scope.
    """

    def declare(function: Any) -> Fixture[Any]:
        with at_users_line:
            return _declare(function, scope, loop_scope, autouse, params, ids, name)

    with at_users_line:
        return declare if func is None else declare(func)


def _declare(
    function: Any,
    scope: Scope | str,
    loop_scope: Scope | str | None,
    autouse: bool | None,
    params: Iterable[object] | None,
    ids: Ids,
    name: str | None,
) -> Fixture[Any]:
    if isinstance(function, classmethod) and Scope.parse(scope, "asyncunit.fixture: scope") > Scope.FUNCTION:
        function = function.__func__  # it is passed the class in any case
    _check_function(function)
    known = name or name_of(function)
    where = f"fixture {known!r} ({written_at(function)}): "
    parsed = Scope.parse(scope, f"{where}scope")
    loop = None if loop_scope is None else Scope.parse(loop_scope, f"{where}loop_scope")
    if autouse is not None and not isinstance(autouse, bool):
        raise DefinitionError(f"{where}autouse is {autouse!r}; expected True, False or None.")
    if name is not None and not (isinstance(name, str) and is_name(name)):
        raise DefinitionError(f"{where}name is {name!r}; expected the name of an attribute.")
    if params is None and ids is not None:
        raise DefinitionError(f"{where}there are ids and no params; write params=[...].")
    if param_sets_of(function):
        raise DefinitionError(f"{where}asyncunit.parametrize is for tests; write params=[...] here.")
    param_set = None
    if params is not None:
        param_set = ParamSet((known,), parse_params((known,), params, ids, f"{where}params"), written_at(function))
    made: Fixture[Any] = Fixture(function, parsed, loop, autouse, param_set, name)
    if known == REQUEST:
        raise DefinitionError(f"{where}the name {REQUEST!r} is taken: fixtures are told by it who asks for them.")
    _check_loop_scope(made, where)
    watch_module_of(function)
    return made


def _check_function(function: Any) -> None:
    if isinstance(function, classmethod | staticmethod):
        raise DefinitionError(
            f"asyncunit.fixture decorates the {type(function).__name__} {function.__qualname__} "
            f"({written_at(function)}). Take @{type(function).__name__} away: a fixture of a class is passed the test, "
            f"or from scope='class' on the class, as its first parameter."
        )
    if isinstance(function, type | Fixture) or not callable(function):
        hint = f" Write asyncunit.fixture(scope={str(function)!r})." if isinstance(function, str | Scope) else ""
        place = f" ({written_at(function)})" if isinstance(function, property) else ""
        raise DefinitionError(
            f"asyncunit.fixture decorates {function!r}{place}; expected a function, a coroutine function, or a "
            f"generator of either kind.{hint}"
        )


def _check_loop_scope(made: Fixture[Any], where: str) -> None:
    scope, loop = made.scope, made.loop_scope
    if loop is not None and not made.is_async:
        raise DefinitionError(
            f"{where}it has loop_scope = {str(loop)!r}, but it is not async and needs no event loop. Take loop_scope "
            f"out, or write 'async def'."
        )
    if loop is not None and loop < scope:
        raise DefinitionError(
            f"{where}it has scope = {str(scope)!r} and loop_scope = {str(loop)!r}: its event loop would end before "
            f"it. Take loop_scope out, or write loop_scope = {str(scope)!r}."
        )


# The fixtures that a class can name.


class Node:
    """A fixture as a class sees it: with the fixtures that its parameters mean there.

    There is one for all classes that see it so, and these share its value. ``varies`` are those of the fixtures behind
    it, itself included, that have params. ``needs_loop`` is true where one of them is async, and
    ``is_of_test`` where it is made for each test. ``function``, ``is_generator``, ``is_plainly_async`` and
    ``takes_request`` are the fixture's: each test asks for them, and what has a __getattr__() is slow to ask.
    """

    __slots__ = (
        "__weakref__",
        "dependencies",
        "fixture",
        "function",
        "is_generator",
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
        self.function: Callable[..., Any] = fixture.function
        self.is_generator: bool = fixture.is_generator
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
