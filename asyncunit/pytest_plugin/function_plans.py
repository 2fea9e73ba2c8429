"""Test functions as pytest has collected them: whose each is, what is configured for it, and which loop it runs on.

Nothing here imports pytest: what is said of nodes, items and fixture definitions is what pytest documents of them,
but for ``item._fixtureinfo``, the only place that tells which fixtures an item asks for, and
``session._fixturemanager``, the only one that tells of a fixture that nobody asks for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple

from asyncunit.config.keys import MARKER, PEER_MARKER
from asyncunit.config.settings import ATTRIBUTE, Config, settings_of, settings_of_module
from asyncunit.errors import LoopScopeError
from asyncunit.introspection.functions import is_plain, written_of
from asyncunit.plans.loop_choice import config_of_module
from asyncunit.pytest_plugin.asyncio_compat import Taker
from asyncunit.pytest_plugin.fixture_plans import AdoptedFixture, AdoptedFixtures, depth_needed
from asyncunit.pytest_plugin.markers import check_agreement, parse_marker, parse_peer_marker
from asyncunit.pytest_plugin.nodes import Place, depth_of, is_function, outer_depth_of, places_of
from asyncunit.pytest_plugin.policies import overriding_policy
from asyncunit.scope import Scope, ScopePath

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The name under which the part of the plugin is registered that is only there where something is async.
RUN = "asyncunit-run"


def is_async_test(item: Any) -> bool:
    """Whether the item of pytest is an async test function that asyncunit runs. The name is pytest-asyncio's."""
    run = item.config.pluginmanager.get_plugin(RUN)
    return run is not None and run.collected.plan_of(item) is not None


class FunctionPlan(NamedTuple):
    """What is known of a test function that asyncunit runs: see `asyncunit.pytest_plugin.run.Standing`.

    ``fixtures`` are the async ones that it asks for. ``reason`` says why it runs on its loop. ``is_peers`` is true
    where it has pytest-asyncio's meaning. ``marker`` is the one that was read, and ``own_markers`` are how many of it
    and of the other plugin's the test bears itself.
    """

    places: tuple[Place, ...]
    depth: int
    config: Config
    configs: tuple[Config, ...]
    fixtures: tuple[AdoptedFixture, ...]
    reason: str
    is_peers: bool
    marker: Any
    own_markers: int = 0
    is_sync: bool = False

    @property
    def path(self) -> ScopePath:
        """The scopes around the test."""
        return tuple((place.scope, place.key) for place in self.places)

    @property
    def loop_scope(self) -> Scope:
        """The scope that owns the loop."""
        return self.places[self.depth - 1].scope if self.depth <= len(self.places) else Scope.FUNCTION


class _Surroundings(NamedTuple):
    """What is true of all items with one parent.

    ``configs`` are those of ``places``, and ``explicit`` is the loop scope that one of these names. ``policy`` is the
    fixture by which a suite gives a policy that makes its loops. ``plans`` are those of functions that say nothing of
    their own, by whether they have pytest-asyncio's meaning.
    """

    places: tuple[Place, ...]
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

    def __init__(self, taker: Taker) -> None:
        self.taker = taker
        self.fixtures = AdoptedFixtures(taker)
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
        taken_by = self.taker.take(self._markers_of(node), function)
        if taken_by is None:
            self._parent.has_others = True
            return None
        surroundings = self._parent.surroundings or self.surroundings(node)
        plan = self._plan(node, function, surroundings, is_peers=taken_by == PEER_MARKER)
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
        taken_by = self.taker.take(self._markers_of(item), item.obj)
        if taken_by is None:
            return None
        plan = self._plan(item, item.obj, self.surroundings(item), is_peers=taken_by == PEER_MARKER)
        self._changed[item] = plan
        return plan

    def mark(self, item: Any, marker: Any, *, append: bool = False) -> None:
        """Put a marker on an item that is not the user's."""
        item.add_marker(marker, append=append)
        self._marked.setdefault(item, []).append(item.own_markers[-1 if append else 0])

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
        key = item._fixtureinfo
        if item in self._changed:
            return self._changed[item]
        found = self._plans.get(id(key)) or self._others.get(id(key))
        if found is None:
            function = getattr(item, "obj", None)
            plan = self._plan(item, function, self.surroundings(item), is_peers=False, is_sync=True)
            found = self._others[id(key)] = key, plan
        return found[1]

    # Which loop.

    def _plan(
        self, node: Any, function: Any, surroundings: _Surroundings, *, is_peers: bool, is_sync: bool = False
    ) -> FunctionPlan:
        fixtures = self._fixtures_of(node)
        written = _settings_of(function)
        own_markers = _count(node.own_markers) if node.own_markers else 0
        if not written and not fixtures and not own_markers:
            # Most functions of a module are alike in all that is planned.
            plan = surroundings.plans.get(is_peers)
            if plan is None:
                plan = surroundings.plans[is_peers] = self._make_plan(node, surroundings, (), {}, is_peers, is_sync)
            return plan
        plan = self._make_plan(node, surroundings, fixtures, written, is_peers, is_sync)
        return plan._replace(own_markers=own_markers)

    def _make_plan(
        self,
        node: Any,
        surroundings: _Surroundings,
        fixtures: tuple[AdoptedFixture, ...],
        written: Mapping[str, Any],
        is_peers: bool,
        is_sync: bool,
    ) -> FunctionPlan:
        marker = node.get_closest_marker(PEER_MARKER if is_peers else MARKER)
        places = surroundings.places
        if is_peers:
            return self._plan_as_peer(places, fixtures, marker)
        config, explicit = surroundings.configs[-1], surroundings.explicit
        said: dict[str, Any] = {}
        for mark in node.own_markers:
            if mark.name == MARKER:
                said = {**parse_marker(mark, node.nodeid), **said}
        explicit = said.get("loop_scope", written.get("loop_scope", explicit))
        config = self._merge(config.merged(written, node.nodeid), said, written, node.nodeid)
        depth, reason = depth_of(config.loop_scope, places), config.reason("loop_scope")
        if explicit is not None:
            depth, reason = depth_of(explicit, places), "as it says"
        for each in fixtures:
            needed = depth_needed(each, places)
            if needed < depth and explicit is None:
                depth, reason = needed, f"inferred from the {each.fixture}"
            elif needed < depth and explicit is Scope.PACKAGE is places[needed - 1].scope:
                depth, reason = needed, f"as it says; it is the package of the {each.fixture}"
            elif needed < depth and not is_sync:
                raise _too_narrow(explicit, each, places)
        return FunctionPlan(
            places,
            depth,
            config,
            surroundings.configs,
            fixtures,
            reason,
            is_peers=False,
            marker=marker,
            is_sync=is_sync,
        )

    def _plan_as_peer(
        self, places: tuple[Place, ...], fixtures: tuple[AdoptedFixture, ...], marker: Any
    ) -> FunctionPlan:
        taker = self.taker
        values = parse_peer_marker(marker)
        scope = values.get("loop_scope", taker.test_scope)
        reason = "as it says" if "loop_scope" in values else "by pytest-asyncio's default"
        config = taker.peer_config
        if "loop_factories" in values:
            config = config.merged({"loop_factories": values["loop_factories"]}, "the marker asyncio")
        configs = (config,) * len(places)
        return FunctionPlan(
            places, outer_depth_of(scope, places), config, configs, fixtures, reason, is_peers=True, marker=marker
        )

    def surroundings(self, item: Any) -> _Surroundings:
        """The scopes that an item stands in, and what is configured for them."""
        parent = self._parent_of(item)
        if parent.surroundings is None:
            parent.surroundings = self._survey(item)
        return parent.surroundings

    def _survey(self, item: Any) -> _Surroundings:
        places = places_of(item)
        marked = reversed(list(item.parent.iter_markers_with_node(MARKER)))
        said = {id(at): parse_marker(mark, at.nodeid) for at, mark in marked}
        config = self.taker.config
        configs = []
        explicit = None
        for place in places:
            of_node = said.get(id(place.node), {}) if place.node is not None else {}
            if place.scope is Scope.MODULE:
                written = settings_of_module(place.key)
                config = self._merge(config_of_module(place.key, config), of_node, written, place.node.nodeid)
            elif place.scope is Scope.CLASS:
                written = settings_of(place.key)
                config = self._merge(config.merged(written, place.node.nodeid), of_node, written, place.node.nodeid)
                explicit = of_node.get("loop_scope", written.get("loop_scope", explicit))
            elif of_node:
                config = config.merged(of_node, place.node.nodeid)
            configs.append(config)
        policy = None if self.taker.is_peer_active else overriding_policy(item)
        return _Surroundings(places, tuple(configs), explicit, policy, {})

    def _merge(self, config: Config, marked: Mapping[str, Any], written: Mapping[str, Any], where: str) -> Config:
        """The configuration with what a marker says; that and ``asyncunit.settings`` are to say the same."""
        check_agreement(marked, written, where)
        return config.merged(marked, f"the marker of {where}")

    def _fixtures_of(self, node: Any) -> tuple[AdoptedFixture, ...]:
        # The last definition of a name overrides those before it, and may ask for them.
        definitions = node._fixtureinfo.name2fixturedefs.values()
        if not definitions:
            return ()
        found = [self.fixtures.find(each[-1]) for each in definitions if each]
        return tuple(each for each in found if each is not None)

    def loop_depth(self, found: AdoptedFixture, plan: FunctionPlan, places: tuple[Place, ...]) -> int:
        """How many of the scopes around an item last as long as the loop that one of its fixtures runs on."""
        needed = depth_needed(found, places)
        if found.is_peers and (plan.is_peers or plan.is_sync):
            if found.fixture.loop_scope is None and self.taker.fixture_scope is not None:
                return min(outer_depth_of(self.taker.fixture_scope, places), needed)
            return needed
        return min(plan.depth, needed)


def _too_narrow(explicit: Scope | None, found: AdoptedFixture, places: tuple[Place, ...]) -> LoopScopeError:
    depth = depth_needed(found, places)
    needed = places[depth - 1].scope if depth <= len(places) else Scope.FUNCTION
    return LoopScopeError(
        f'it has loop_scope = "{explicit}", but the {found.fixture}, which it uses, needs a loop that lasts for '
        f'the {needed}. Write  @pytest.mark.asyncunit(loop_scope="{needed}")  or leave loop_scope out, and it is '
        f"inferred."
    )


def _count(marks: Iterable[Any]) -> int:
    """How many of these markers say something of asyncunit."""
    count = 0
    for mark in marks:
        if mark.name in (MARKER, PEER_MARKER):
            count += 1
    return count


def _settings_of(function: Any) -> Mapping[str, Any]:
    """What ``asyncunit.settings`` says of a function."""
    function = written_of(function)
    return {} if is_plain(function) else getattr(function, "__dict__", {}).get(ATTRIBUTE, {})
