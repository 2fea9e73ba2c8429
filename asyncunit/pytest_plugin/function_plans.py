"""Test functions as pytest has collected them: whose each is, what is configured for it, and which loops it runs on.

Nothing here imports pytest: what is said of nodes, items and fixture definitions is what pytest documents of them,
but for ``item._fixtureinfo``, the only place that tells which fixtures an item asks for, and
``session._fixturemanager``, the only one that tells of a fixture that nobody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from asyncunit.config import ASYNCIO_MARKER, MARKER
from asyncunit.config.settings import (
    ATTRIBUTE,
    Config,
    choose_factories,
    config_of_module,
    parse,
    settings_of,
    settings_of_module,
)
from asyncunit.errors import ConfigurationError, LoopScopeError
from asyncunit.introspection.functions import is_plain, module_hook, written_of
from asyncunit.pytest_plugin.asyncio_compat import Ownership, overriding_policy
from asyncunit.pytest_plugin.fixture_plans import PytestFixture, PytestFixtures, depth_needed
from asyncunit.pytest_plugin.nodes import (
    ScopeNode,
    check_agreement,
    depth_of,
    is_function,
    outer_depth_of,
    parse_asyncio_marker,
    parse_marker,
    scope_nodes_of,
)
from asyncunit.records import Record
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# The name under which the part of the plugin is registered that is only there where something is async.
RUN = "asyncunit-run"


def is_async_test(item: Any) -> bool:
    """Whether the item of pytest is an async test function that asyncunit runs. The name is pytest-asyncio's."""
    run = item.config.pluginmanager.get_plugin(RUN)
    return run is not None and run.collected.plan_of(item) is not None


class FunctionPlan(Record):
    """What is known of a test function that asyncunit runs: see `asyncunit.pytest_plugin.run.Position`.

    ``explicit`` is true where it names the scope of its loop, or what it stands in does.

    ``fixtures`` are the async ones that it asks for. ``reason`` says why it runs on its loop. ``is_asyncio`` is true
    where it has pytest-asyncio's meaning. ``marker`` is the one that was read, and ``own_markers`` are how many of it
    and of the other plugin's the test bears itself.
    """

    scope_nodes: tuple[ScopeNode, ...]
    depth: int
    config: Config
    configs: tuple[Config, ...]
    fixtures: tuple[PytestFixture, ...]
    reason: str
    is_asyncio: bool
    marker: Any
    own_markers: int = 0
    is_sync: bool = False
    explicit: bool = False

    @property
    def loop_scope(self) -> Scope:
        """The scope that owns the loop."""
        return self.scope_nodes[self.depth - 1].scope if self.depth <= len(self.scope_nodes) else Scope.FUNCTION


class _Surroundings(Record):
    """What is true of all items with one parent.

    ``configs`` are those of ``scope_nodes``, and ``explicit`` is the loop scope that one of these names. ``policy``
    is the fixture by which a suite gives a policy that makes its loops. ``plans`` are those of functions that say
    nothing of their own, by whether they have pytest-asyncio's meaning.
    """

    scope_nodes: tuple[ScopeNode, ...]
    configs: tuple[Config, ...]
    explicit: Scope | None
    policy: Any
    plans: dict[bool, FunctionPlan]


class _Parent:
    """What functions stand in: the names of its markers and of those around it; its surroundings, once asked for."""

    def __init__(self, markers: frozenset[str]) -> None:
        self.markers = markers
        self.surroundings: _Surroundings | None = None
        # Whether there are functions in it that are not asyncunit's.
        self.has_others = False


class Collected:
    """The test functions that have been collected, and the async fixtures."""

    def __init__(self, ownership: Ownership) -> None:
        self.ownership = ownership
        self.fixtures = PytestFixtures(ownership)
        # By the id of what pytest knows of the fixtures of a function, which all its variants share.
        self._plans: dict[int, tuple[Any, FunctionPlan]] = {}
        # Of what is no async test, but may ask for async fixtures.
        self._others: dict[int, tuple[Any, FunctionPlan]] = {}
        self._parents: dict[Any, _Parent] = {}
        # The last of them, for items with one parent come one after the other.
        self._node: Any = None
        self._parent = _Parent(frozenset())
        # What `mark` has put on items, and the plans of those whose markers say something else now.
        self._marked: dict[Any, list[Any]] = {}
        self._changed: dict[Any, FunctionPlan] = {}
        # The scopes of the loops that the async hooks of modules run on, and with these their functions.
        self.hook_scopes: dict[str, Scope] = {}

    def plan_of(self, item: Any) -> FunctionPlan | None:
        """The plan of an item; None where it is not an async test function of asyncunit's."""
        if self._changed and item in self._changed:
            return self._changed[item]
        found = self._plans.get(id(getattr(item, "_fixtureinfo", None)))
        return None if found is None else found[1]

    def plan(self, node: Any) -> FunctionPlan | None:
        """Plan a function; None where it is not asyncunit's.

        Raises ConfigurationError, DefinitionError and LoopScopeError for what is wrong with it.
        """
        function = node.obj
        claimed_by = self.ownership.take(self._markers_of(node), function)
        if claimed_by is None:
            self._parent.has_others = True
            return None
        surroundings = self._parent.surroundings or self.surroundings(node)
        plan = self._plan(node, function, surroundings, is_asyncio=claimed_by == ASYNCIO_MARKER)
        self._plans[id(node._fixtureinfo)] = node._fixtureinfo, plan
        return plan

    def policy_of(self, node: Any) -> Any:
        """The fixture that gives the policy by which the loops of a function are made; None where nothing does."""
        policy = self.surroundings(node).policy
        return policy if policy is not None and (self.plan_of(node) or self._fixtures_of(node)) else None

    def plan_again(self, item: Any) -> FunctionPlan | None:
        """Plan an item anew if it bears markers that its plan knows nothing of; None if it does not.

        One of its params may have brought them, or a hook. Raises as `plan` does.
        """
        plan = self.plan_of(item)
        if plan is None:
            return self._plan_late(item) if _count(item.own_markers) and is_function(item) else None
        ours = self._marked.get(item, ())
        written = [mark for mark in item.own_markers if not any(mark is each for each in ours)]
        if _count(written) == plan.own_markers:
            return None
        item.own_markers[:] = written
        self._marked.pop(item, None)
        return self._plan_late(item)

    def _plan_late(self, item: Any) -> FunctionPlan | None:
        """Plan one item by its own markers, when all is collected."""
        claimed_by = self.ownership.take(self._markers_of(item), item.obj)
        if claimed_by is None:
            return None
        plan = self._plan(item, item.obj, self.surroundings(item), is_asyncio=claimed_by == ASYNCIO_MARKER)
        self._changed[item] = plan
        return plan

    def mark(self, item: Any, marker: Any, *, append: bool = False) -> None:
        """Put a marker on an item that is not the user's."""
        item.add_marker(marker, append=append)
        self._marked.setdefault(item, []).append(item.own_markers[-1 if append else 0])

    def put(self, item: Any, plan: FunctionPlan) -> None:
        """Have an item be planned like that, before `plan_again`."""
        key = item._fixtureinfo
        plans = self._plans if id(key) in self._plans else self._others
        plans[id(key)] = key, plan

    def shared_plan(self, items: Sequence[Any], *, is_innermost: bool) -> FunctionPlan | None:
        """The one plan of all items that stand in a parent, which can say for them what is in force; else None.

        What is not asyncunit's may be among them, or deeper in the parent, only where that is marked anyway.
        """
        parent = self._parent_of(items[0])
        usual = None if parent.surroundings is None else parent.surroundings.plans.get(False)
        is_marked = MARKER in parent.markers
        if usual is None or not (is_marked or (is_innermost and not parent.has_others)):
            return None
        plans = map(self.plan_of, items)
        return usual if all(plan is usual or (plan is None and is_marked) for plan in plans) else None

    def _markers_of(self, node: Any) -> Set[str]:
        """The names of the markers that a function has, its own and those of what it stands in."""
        around = self._parent_of(node).markers
        return around.union(mark.name for mark in node.own_markers) if node.own_markers else around

    def _parent_of(self, item: Any) -> _Parent:
        node = item.parent
        if node is not self._node:
            found = self._parents.get(node)
            if found is None:
                found = _Parent(frozenset(mark.name for each in node.listchain() for mark in each.own_markers))
                self._parents[node] = found
            self._node, self._parent = node, found
        return self._parent

    def plan_for_fixtures(self, item: Any) -> FunctionPlan:
        """The plan of any item, by which its async fixtures are set up."""
        if (plan := self.plan_of(item)) is not None:
            return plan
        key = item._fixtureinfo
        if id(key) not in self._others:
            function = getattr(item, "obj", None)
            plan = self._plan(item, function, self.surroundings(item), is_asyncio=False, is_sync=True)
            self._others[id(key)] = key, plan
        return self._others[id(key)][1]

    # Which loop.

    def _plan(
        self, node: Any, function: Any, surroundings: _Surroundings, *, is_asyncio: bool, is_sync: bool = False
    ) -> FunctionPlan:
        fixtures = self._fixtures_of(node)
        written = _settings_of(function)
        own_markers = _count(node.own_markers) if node.own_markers else 0
        if not written and not fixtures and not own_markers:
            # Most functions of a module are alike in all that is planned.
            plan = surroundings.plans.get(is_asyncio)
            if plan is None:
                plan = surroundings.plans[is_asyncio] = self._make_plan(node, surroundings, (), {}, is_asyncio, is_sync)
            return plan
        plan = self._make_plan(node, surroundings, fixtures, written, is_asyncio, is_sync)
        return plan.replace(own_markers=own_markers)

    def _make_plan(
        self,
        node: Any,
        surroundings: _Surroundings,
        fixtures: tuple[PytestFixture, ...],
        written: Mapping[str, Any],
        is_asyncio: bool,
        is_sync: bool,
    ) -> FunctionPlan:
        marker = node.get_closest_marker(ASYNCIO_MARKER if is_asyncio else MARKER)
        scope_nodes = surroundings.scope_nodes
        if is_asyncio:
            return self._plan_for_asyncio(scope_nodes, fixtures, marker)
        config, explicit = surroundings.configs[-1], surroundings.explicit
        said: dict[str, Any] = {}
        for mark in node.own_markers:
            if mark.name == MARKER:
                said = {**parse_marker(mark, node.nodeid), **said}
        explicit = said.get("loop_scope", written.get("loop_scope", explicit))
        config = self._merge(config.merged(written, node.nodeid), said, written, node.nodeid)
        depth, reason = depth_of(config.loop_scope, scope_nodes), config.reason("loop_scope")
        if explicit is not None:
            depth, reason = depth_of(explicit, scope_nodes), "as it says"
        for each in fixtures:
            needed = depth_needed(each, scope_nodes)
            if needed < depth and explicit is None:
                depth, reason = needed, f"inferred from the {each.fixture}"
            elif needed < depth and explicit is Scope.PACKAGE is scope_nodes[needed - 1].scope:
                depth, reason = needed, f"as it says; it is the package of the {each.fixture}"
            elif needed < depth and not is_sync:
                raise _too_narrow(explicit, f"the {each.fixture}, which it uses,", scope_nodes[needed - 1].scope)
        of_module = depth_of(Scope.MODULE, scope_nodes)
        if explicit is not None and depth > of_module and not is_sync:
            module = str(scope_nodes[of_module - 1].key)
            if (hook := module_hook(module)) is not None:
                raise _too_narrow(explicit, f"{module}.{hook}", Scope.MODULE)
        plan = FunctionPlan(
            scope_nodes,
            depth,
            config,
            surroundings.configs,
            fixtures,
            reason,
            is_asyncio=False,
            marker=marker,
            is_sync=is_sync,
            explicit=explicit is not None,
        )
        return self.join_hook(plan) if self.hook_scopes else plan

    def join_hook(self, plan: FunctionPlan) -> FunctionPlan:
        """The plan, on the loop of the async hooks of its module where that lasts longer."""
        name = str(plan.scope_nodes[depth_of(Scope.MODULE, plan.scope_nodes) - 1].key)
        scope = self.hook_scopes.get(name)
        depth = plan.depth if scope is None or plan.explicit else depth_of(scope, plan.scope_nodes)
        return (
            plan.replace(depth=depth, reason=f"inferred from {name}.{module_hook(name)}")
            if depth < plan.depth
            else plan
        )

    def _plan_for_asyncio(
        self, scope_nodes: tuple[ScopeNode, ...], fixtures: tuple[PytestFixture, ...], marker: Any
    ) -> FunctionPlan:
        ownership = self.ownership
        values = parse_asyncio_marker(marker)
        scope = values.get("loop_scope", ownership.test_scope)
        reason = "as it says" if "loop_scope" in values else "by pytest-asyncio's default"
        config = ownership.asyncio_config
        if "loop_factories" in values:
            config = config.merged({"loop_factories": values["loop_factories"]}, "the marker asyncio")
        configs = (config,) * len(scope_nodes)
        return FunctionPlan(
            scope_nodes,
            outer_depth_of(scope, scope_nodes),
            config,
            configs,
            fixtures,
            reason,
            is_asyncio=True,
            marker=marker,
        )

    def surroundings(self, item: Any) -> _Surroundings:
        """The scopes that an item stands in, and what is configured for them."""
        parent = self._parent_of(item)
        if parent.surroundings is None:
            parent.surroundings = self._survey(item)
        return parent.surroundings

    def _survey(self, item: Any) -> _Surroundings:
        scope_nodes = scope_nodes_of(item)
        marked = reversed(list(item.parent.iter_markers_with_node(MARKER)))
        said = {at: parse_marker(mark, at.nodeid) for at, mark in marked}
        config = self.ownership.config
        configs = []
        explicit = None
        for scope_node in scope_nodes:
            of_node = said.get(scope_node.node, {})
            if scope_node.scope is Scope.MODULE:
                written = settings_of_module(scope_node.key)
                config = self._merge(config_of_module(scope_node.key, config), of_node, written, scope_node.node.nodeid)
            elif scope_node.scope is Scope.CLASS:
                written = settings_of(scope_node.key)
                config = self._merge(
                    config.merged(written, scope_node.node.nodeid), of_node, written, scope_node.node.nodeid
                )
                explicit = of_node.get("loop_scope", written.get("loop_scope", explicit))
            elif of_node:
                config = config.merged(of_node, scope_node.node.nodeid)
            configs.append(config)
        policy = None if self.ownership.is_asyncio_active else overriding_policy(item)
        return _Surroundings(scope_nodes, tuple(configs), explicit, policy, {})

    def _merge(self, config: Config, marked: Mapping[str, Any], written: Mapping[str, Any], where: str) -> Config:
        """The configuration with what a marker says; that and ``asyncunit.settings`` are to say the same."""
        check_agreement(marked, written, where)
        return config.merged(marked, f"the marker of {where}")

    def _fixtures_of(self, node: Any) -> tuple[PytestFixture, ...]:
        # The last definition of a name overrides those before it, and may ask for them.
        definitions = node._fixtureinfo.name2fixturedefs.values()
        if not definitions:
            return ()
        found = [self.fixtures.find(each[-1]) for each in definitions if each]
        return tuple(each for each in found if each is not None)

    def loop_depth(self, found: PytestFixture, plan: FunctionPlan, scope_nodes: tuple[ScopeNode, ...]) -> int:
        """How many of the scopes around an item last as long as the loop that one of its fixtures runs on."""
        needed = depth_needed(found, scope_nodes)
        if found.is_asyncio and (plan.is_asyncio or plan.is_sync):
            if found.fixture.loop_scope is None and self.ownership.fixture_scope is not None:
                return min(outer_depth_of(self.ownership.fixture_scope, scope_nodes), needed)
            return needed
        return min(plan.depth, needed)


def _too_narrow(explicit: Scope | None, what: str, needed: Scope) -> LoopScopeError:
    from asyncunit.plans.loop_choice import too_narrow

    fix = f'Write  @pytest.mark.asyncunit(loop_scope="{needed}")  or leave loop_scope out'
    return too_narrow("it", f'"{explicit}"', what, needed, fix)


def _count(marks: Iterable[Any]) -> int:
    """How many of these markers say something of asyncunit."""
    count = 0
    for mark in marks:
        if mark.name in (MARKER, ASYNCIO_MARKER):
            count += 1
    return count


def _settings_of(function: Any) -> Mapping[str, Any]:
    """What ``asyncunit.settings`` says of a function."""
    function = written_of(function)
    return {} if is_plain(function) else getattr(function, "__dict__", {}).get(ATTRIBUTE, {})


# The loop factories of a function.


# The name of the parameter by which an item has its loop factory.
PARAM = "_asyncunit_loop_factory"
# The hooks by which a suite gives them, the nearest first.
_HOOK = "pytest_asyncunit_loop_factories"
_ASYNCIO_HOOK = "pytest_asyncio_loop_factories"


def factory_of(item: Any, plan: FunctionPlan) -> Any:
    """The loop factory that an item runs with, but for its clock; None where nobody names any."""
    callspec = getattr(item, "callspec", None)
    configured = plan.config.loop_factory
    return configured if callspec is None else callspec.params.get(PARAM, configured)


class LoopFactories:
    """Those of one run of pytest; ``config`` is pytest's."""

    def __init__(self, config: Any, *, is_asyncio_active: bool) -> None:
        self._config = config
        # pytest-asyncio's own hook is its own to call.
        self._names = (_HOOK,) if is_asyncio_active else (_HOOK, _ASYNCIO_HOOK)
        # What functions stand in that was asked for last, and whether a hook is there; a conftest.py may bring one.
        self._parent: Any = None
        self._are_given = False

    def _are_given_to(self, node: Any) -> bool:
        if node.parent is not self._parent:
            self._parent = node.parent
            self._are_given = any(getattr(node.ihook, name).get_hookimpls() for name in self._names)
        return self._are_given

    def of(self, node: Any, plan: FunctionPlan) -> Mapping[str, Any] | None:
        """The loop factories of a test by name, and the reason in the place of one that cannot be had.

        None where there is but the configured one. Raises ConfigurationError.
        """
        if not plan.config.loop_factories and not self._are_given_to(node):
            return None
        chosen = _names_said(node, plan)
        for name in self._names:
            hook = getattr(node.ihook, name)
            if hook.get_hookimpls():
                given = _checked(name, hook(config=self._config, item=node))
                return given if chosen is None else choose_factories(chosen, given)
        if plan.is_asyncio and chosen is not None:
            raise ConfigurationError(
                "mark.asyncio 'loop_factories' requires at least one pytest_asyncio_loop_factories hook implementation."
            )
        configured = plan.config.loop_factories
        return configured if isinstance(configured, Mapping) else None


def _names_said(node: Any, plan: FunctionPlan) -> tuple[str, ...] | None:
    """The names by which the marker of a test chooses some; None where it does not."""
    written = None if plan.marker is None else plan.marker.kwargs.get("loop_factories")
    said = parse({"loop_factories": written}, node.nodeid)["loop_factories"]
    return said if isinstance(said, tuple) else None


def _checked(name: str, given: Any) -> Mapping[str, Any]:
    """What a hook has returned, if it is what that may return."""
    if (
        isinstance(given, Mapping)
        and given
        and all(isinstance(key, str) and key and callable(factory) for key, factory in given.items())
    ):
        return given
    raise ConfigurationError(
        f"{name} must return a non-empty mapping of factory names to callables; it returned {given!r}."
    )
