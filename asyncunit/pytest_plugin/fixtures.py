"""pytest's fixtures that asyncunit runs."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from typing import Any, NamedTuple

from asyncunit.errors import raise_all
from asyncunit.introspection.frames import is_at_yield
from asyncunit.introspection.functions import as_coroutine, is_async_function, is_awaitable, written_of
from asyncunit.lifecycle.async_scope import AsyncScope, async_scope_of, unwind
from asyncunit.lifecycle.cleanups import Exit, cut_short, leave
from asyncunit.lifecycle.fixture_setup import AsyncExit, SyncSteps, no_yield
from asyncunit.lifecycle.fixtures import OpenFixture, ScopeFixtures
from asyncunit.loops.loop import LoopRunner, current_loop
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.plans.class_plan import plan_of
from asyncunit.plans.fixture_graph import Node, node_of
from asyncunit.plans.fixtures import Fixture
from asyncunit.pytest_plugin.asyncio_compat import Taker
from asyncunit.pytest_plugin.nodes import Place, depth_of
from asyncunit.pytest_plugin.run import HostedRun
from asyncunit.scope import Scope
from asyncunit.scopes.contexts import Carried, Within, given_to
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# Has a coroutine run in a certain context.
_Within = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


def value_in(scope: OpenScope, node: Node, loop_runner: LoopRunner | None) -> OpenFixture | None:
    """The fixture as it is set up in a scope, on that loop."""
    return scope.fixtures.shared(node, loop_runner) if isinstance(scope.fixtures, ScopeFixtures) else None


class HostedFixture:
    """An async fixture that its host has set up and tears down, in the task of its scope, in a context of its own.

    What it sets in context variables is set around the run until it is torn down.
    """

    def __init__(self, run: HostedRun, node: Node, key: Hashable) -> None:
        self._run = run
        self._node = node
        self._fixture = node.fixture
        self._key = key
        self._exit: Exit | None = None
        self._carried: Carried | None = None
        self._in: ScopeFixtures | None = None

    def set_up_beside(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop | None) -> Any:
        """Run a sync fixture, or its first half, outside any loop; one that is given is the current one meanwhile."""
        made = _beside(loop, call)
        if not inspect.isgenerator(made):
            return made
        steps = SyncSteps(self._fixture, made)
        self._exit = functools.partial(_beside, loop, steps.leave)
        return _beside(loop, steps.enter)

    def share(self, scope: OpenScope, async_scope: AsyncScope | None, value: Any, finish: Callable[[], None]) -> None:
        """Have it found in its scope. ``finish`` has the host tear it down, if the scope breaks, or closes."""
        open_fixture = OpenFixture(self._node, async_scope)
        open_fixture.value, open_fixture.exit_ = value, finish
        self._in = scope.fixtures or ScopeFixtures(scope)
        self._in.open_fixtures[self._key] = open_fixture

    def set_up(
        self,
        call: Callable[[], Any],
        runner: ScopeTask,
        finish: Callable[[], None],
        context: contextvars.Context | None,
    ) -> Any:
        """Run the first half, and return its value. ``finish`` has the host tear it down, if its scope breaks.

        In that context, the task's own, or in a copy of the current one.
        """
        scope = runner.scope
        within: _Within = _itself
        if context is None:
            context = given_to(scope)
            within = functools.partial(Within, context)
        runner.begin_set_up()
        cut = None
        try:
            value = self._first_half(context.run(call), runner, within)
        except asyncio.CancelledError as error:
            cut = error
        if cut is not None:
            raise self._cut_short(runner, cut)
        self._carried = Carried(context)
        if scope.scope is not Scope.FUNCTION:
            self.share(scope, async_scope_of(scope, runner.loop_runner), value, finish)
        return value

    def _first_half(self, made: Any, runner: ScopeTask, within: _Within) -> Any:
        """What the fixture gives, by what the call of its function has returned."""
        if inspect.isasyncgen(made):
            return self._begin(made, runner, within)
        return runner.run(within(as_coroutine(made))) if is_awaitable(made) else made

    def _begin(self, made: AsyncGenerator[Any, Any], runner: ScopeTask, within: _Within) -> Any:
        try:
            value = runner.run(within(_first(made)))
        except StopAsyncIteration:
            raise no_yield(self._fixture) from None
        finally:
            if is_at_yield(made):
                self._exit = _Exit(runner, self._fixture, made, within)
        return value

    def _cut_short(self, runner: ScopeTask, cut: asyncio.CancelledError) -> BaseException:
        """What is to be raised where a wider scope, or the fixture's own, was cancelled meanwhile."""
        scope = runner.scope
        if scope.scope is not Scope.FUNCTION:
            runner.set_up_was_cut(cut)
        *others, reason = unwind(self._run, runner.loop_runner) or [cut_short(scope, cut)]
        self._run.pending += others
        return reason

    def tear_down(self) -> None:
        """Run the second half, and put back what was set in context variables. May be called twice."""
        errors: list[BaseException] = []
        if self._in is not None:
            self._in.open_fixtures.pop(self._key, None)
            for fixtures in [each.fixtures for each in reversed(self._run.chain)]:
                if isinstance(fixtures, ScopeFixtures):
                    errors += fixtures.tear_down_what_rests_on(self._node)
        exit_, self._exit = self._exit, None
        try:
            if exit_ is not None:
                errors += leave(exit_)
            raise_all(errors, f"tearing down {self._fixture}")
        finally:
            if self._carried is not None:
                self._carried.put_back()


def _beside(loop: asyncio.AbstractEventLoop | None, call: Callable[[], Any]) -> Any:
    if loop is None:
        return call()
    before = current_loop()
    asyncio.set_event_loop(loop)
    try:
        return call()
    finally:
        asyncio.set_event_loop(before)


class _Exit(AsyncExit):
    """The second half of an async generator, in the context of the first."""

    def __init__(
        self,
        runner: ScopeTask,
        fixture: Fixture[Any],
        generator: AsyncGenerator[object, Any],
        within: _Within,
    ) -> None:
        super().__init__(runner, fixture, generator)
        self._within = within

    def awaitable(self) -> Coroutine[Any, Any, None]:
        """What is to be awaited."""
        return self._within(self.leave())


def _itself(coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """The coroutine, to be run in the context of the task."""
    return coroutine


def _first(generator: AsyncGenerator[Any, Any]) -> Coroutine[Any, Any, Any]:
    coroutine: Any = as_coroutine(anext(generator))
    coroutine.__qualname__ = getattr(generator, "__qualname__", coroutine.__qualname__)
    first: Coroutine[Any, Any, Any] = coroutine
    return first


# Where the function of a fixture keeps what `asyncunit.fixture` has made of it.
ATTRIBUTE = "__asyncunit_fixture__"


def mark_fixture(fixture: Fixture[Any]) -> Callable[..., Any]:
    """The function of a fixture, as pytest is to have it; it knows its fixture."""
    function = fixture.function
    if not hasattr(function, "__dict__") or vars(function).get(ATTRIBUTE, fixture) is not fixture:
        function = functools.wraps(function)(functools.partial(function))
    setattr(function, ATTRIBUTE, fixture)
    return function


class AdoptedFixture(NamedTuple):
    """A fixture of pytest's that asyncunit runs; ``is_peers`` where it has pytest-asyncio's meaning.

    ``is_declared`` is true where it was declared with ``asyncunit.fixture``.
    It is async, or sync and lives in a scope where asyncunit's test cases find it, too.
    """

    fixture: Fixture[Any]
    definition: Any
    is_peers: bool
    is_declared: bool = False


class AdoptedFixtures:
    """Those of one run of pytest."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        # By the id of the definition, which is kept so that its id stays its own.
        self._known: dict[int, tuple[Any, AdoptedFixture | None]] = {}

    def find(self, definition: Any) -> AdoptedFixture | None:
        """The fixture of pytest's, if it is async and asyncunit's to run."""
        found = self._known.get(id(definition))
        if found is None:
            found = self._known[id(definition)] = definition, self._find(definition)
        return found[1]

    def _find(self, definition: Any) -> AdoptedFixture | None:
        function = written_of(definition.func)
        made = declared(definition)
        if made is not None:
            is_ours = made.is_async or made.scope >= Scope.MODULE
            return AdoptedFixture(made, definition, is_peers=False, is_declared=True) if is_ours else None
        # What pytest-asyncio's decorator leaves on its functions.
        is_peers = getattr(function, "_force_asyncio_fixture", False)
        if self._taker.is_peer_active and (is_peers or self._taker.peer_mode == "auto"):
            return None
        if not is_async_function(function) and not is_peers:
            return None
        if not is_peers and self._taker.config.mode != "auto" and self._taker.peer_mode != "auto":
            return None
        return self._adopt(definition, is_peers=is_peers or self._taker.config.mode != "auto")

    def find_for(self, definition: Any, *, is_case: bool) -> AdoptedFixture | None:
        """As `find`; all async ones that asyncunit's test cases use are its own to run."""
        found = self.find(definition)
        return self._adopted(definition) if found is None and is_case else found

    def node_of(self, found: AdoptedFixture, item: Any) -> Node:
        """The fixture with what its parameters mean to pytest, the same as a class has that sees it so."""
        nodes = []
        for name in found.fixture.asks_for:
            behind = self._find_behind(found.definition, name, item)
            if behind is None:
                return Node(found.fixture, ())  # nobody else's, because what it is made of is pytest's alone
            nodes.append((name, self.node_of(behind, item)))
        return node_of(found.fixture, tuple(nodes))

    def _find_behind(self, definition: Any, name: str, item: Any) -> AdoptedFixture | None:
        """What a parameter of a fixture means for an item; None where that is not asyncunit's to run."""
        definitions = list(item._fixtureinfo.name2fixturedefs.get(name, ()))
        if definition in definitions:
            definitions = definitions[: definitions.index(definition)]
        return self.find(definitions[-1]) if definitions else None

    def _adopted(self, definition: Any) -> AdoptedFixture | None:
        """The fixture of pytest's if it is async, whoever would run it for test functions."""
        function = written_of(definition.func)
        if not is_async_function(function) or (
            self._taker.is_peer_active and hasattr(function, "_force_asyncio_fixture")
        ):
            return None
        return self._adopt(definition, is_peers=False)

    def _adopt(self, definition: Any, *, is_peers: bool) -> AdoptedFixture:
        function = written_of(definition.func)
        scope = Scope.parse(definition.scope, f"fixture {definition.argname!r}: scope")
        said = getattr(function, "_loop_scope", None)
        loop_scope = None if said is None else Scope.parse(said, f"fixture {definition.argname!r}: loop_scope")
        made: Fixture[Any] = Fixture(function, scope, loop_scope, None, None, definition.argname)
        return AdoptedFixture(made, definition, is_peers)


def declared(definition: Any) -> Fixture[Any] | None:
    """The fixture that a definition of pytest's was made of; None where it was declared for pytest."""
    found: Fixture[Any] | None = getattr(written_of(definition.func), ATTRIBUTE, None)
    return found


def is_set_up_by_case(definition: Any, item: Any, widest: Scope = Scope.SESSION) -> bool:
    """Whether the test case sets the fixture up itself, in the order that it has under unittest."""
    found = declared(definition)
    return (
        found is not None
        and found.scope <= widest
        and any(node.fixture is found for node in plan_of(item.cls).used_by(item.name))
    )


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
    """Have pytest set up those that are declared with ``asyncunit.fixture`` as unittest's runner does, scope by scope.

    Their dependencies come first anyway, and so do wider scopes; within one, they come as they are defined.
    """
    info = getattr(item, "_fixtureinfo", None)
    if info is None or not info.name2fixturedefs:
        return
    names = item.fixturenames
    found = {}
    for index, name in enumerate(names):
        definition = info.name2fixturedefs[name][-1] if name in info.name2fixturedefs else None
        if definition is not None and (made := declared(definition)) is not None:
            # What is declared further out comes first.
            found[index] = (-made.scope, len(definition.baseid), _line(made)), name
    for index, (_, name) in zip(found, sorted(found.values()), strict=True):
        names[index] = name


def _line(fixture: Fixture[Any]) -> int:
    """The line at which a fixture is written."""
    code = getattr(inspect.unwrap(fixture.function), "__code__", None)
    return 0 if code is None else int(code.co_firstlineno)


def depth_of_fixture(found: AdoptedFixture, places: tuple[Place, ...]) -> int:
    """As `depth_of`, for where pytest has a fixture live."""
    scope = found.fixture.scope
    if scope is not Scope.PACKAGE or _is_in_module(found, places):
        return depth_of(scope, places)
    depth = _depth_of_package(found.definition, places)
    # pytest-asyncio's loops of packages last as long as its fixtures of packages, wherever pytest has these live.
    return depth_of(scope, places) if found.is_peers and depth == 1 else depth


def _is_in_module(found: AdoptedFixture, places: tuple[Place, ...]) -> bool:
    """Whether an ``asyncunit.fixture`` is at the top of the module: its package is that of the module."""
    module = next((place.node for place in places if place.scope is Scope.MODULE), None)
    return found.is_declared and module is not None and _is_at(found.definition, module)


def _is_at(definition: Any, node: Any) -> bool:
    """Whether a fixture is declared for what is in a node."""
    at = getattr(definition, "node", None)  # new in pytest 9.1
    return at is node if at is not None else definition.baseid == getattr(node, "nodeid", None)


def _depth_of_package(definition: Any, places: tuple[Place, ...]) -> int:
    for depth in range(len(places), 0, -1):
        place = places[depth - 1]
        if place.scope is Scope.PACKAGE and _is_at(definition, place.node):
            return depth
    return 1  # else it lives as long as the session


def depth_needed(found: AdoptedFixture, places: tuple[Place, ...]) -> int:
    """As `depth_of`, for the loop that a fixture needs."""
    fixture = found.fixture
    if not fixture.is_async and not found.is_peers:
        return len(places) + 1
    depth = depth_of_fixture(found, places)
    return depth if fixture.loop_scope is None else min(depth, depth_of(fixture.loop_scope, places))
