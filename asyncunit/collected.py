"""Test functions as pytest has collected them: whose each is, what is configured for it, and which loop it runs on.

Nothing here imports pytest: what is said of nodes, items and fixture definitions is what pytest documents of them,
but for ``item._fixtureinfo``, the only place that tells which fixtures an item asks for, and
``session._fixturemanager``, the only one that tells of a fixture that nobody asks for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Set
from typing import Any

from asyncunit import config as configuration
from asyncunit.adopted import AdoptedFixture, AdoptedFixtures, depth_needed, written_of
from asyncunit.config import Config
from asyncunit.errors import DefinitionError, LoopScopeError
from asyncunit.keys import MARKER, PEER_MARKER
from asyncunit.loops import config_of_module
from asyncunit.markers import check_agreement, parse_marker, parse_peer_marker
from asyncunit.places import Place, depth_of, places_of
from asyncunit.scopes import Scope, ScopePath
from asyncunit.taker import Taker

__all__ = [
    "RUN",
    "Collected",
    "Plan",
    "is_async_test",
]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The name under which the part of the plugin is registered that is only there where something is async.
RUN = "asyncunit-run"


def is_async_test(item: Any) -> bool:
    """Whether the item of pytest is an async test function that asyncunit runs. The name is pytest-asyncio's."""
    run = item.config.pluginmanager.get_plugin(RUN)
    return run is not None and run.collected.plan_of(item) is not None


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What is known of a test function that asyncunit runs: see `asyncunit.functions.Standing`.

    ``fixtures`` are the async ones that it asks for. ``reason`` says why it runs on its loop. ``is_peers`` is true
    where it has pytest-asyncio's meaning. ``marker`` is the one that was read.
    """

    places: tuple[Place, ...]
    depth: int
    config: Config
    configs: tuple[Config, ...]
    fixtures: tuple[AdoptedFixture, ...]
    reason: str
    is_peers: bool
    marker: Any

    @property
    def path(self) -> ScopePath:
        """The scopes around the test."""
        return tuple((place.scope, place.key) for place in self.places)

    @property
    def loop_scope(self) -> Scope:
        """The scope that owns the loop."""
        return self.places[self.depth - 1].scope if self.depth <= len(self.places) else Scope.FUNCTION


@dataclasses.dataclass(frozen=True, slots=True)
class _Surroundings:
    """What is true of all items with one parent; ``plans`` are those of functions that say nothing of their own."""

    places: tuple[Place, ...]
    configs: tuple[Config, ...]
    explicit: Scope | None
    plans: dict[bool, Plan]


class Collected:
    """The test functions that have been collected, and the async fixtures."""

    def __init__(self, taker: Taker) -> None:
        self.taker = taker
        self.fixtures = AdoptedFixtures(taker)
        # By the id of what pytest knows of the fixtures of a function, which all its variants share.
        self._plans: dict[int, tuple[Any, Plan]] = {}
        # Of what is no async test, but may ask for async fixtures.
        self._others: dict[int, tuple[Any, Plan]] = {}
        self._surroundings: dict[Any, _Surroundings] = {}
        # The names of the markers of what functions stand in.
        self._markers: dict[Any, frozenset[str]] = {}
        # The marker that says what is in force for an item, and how many of the kind it has; and what has changed
        # since.
        self._marked: dict[Any, tuple[Any, int]] = {}
        self._changed: dict[Any, Plan] = {}

    def plan_of(self, item: Any) -> Plan | None:
        """The plan of an item; None where it is not an async test function of asyncunit's."""
        if self._changed and item in self._changed:
            return self._changed[item]
        found = self._plans.get(id(getattr(item, "_fixtureinfo", None)))
        return None if found is None else found[1]

    def plan(self, node: Any) -> Plan | None:
        """Plan a function; None where it is not asyncunit's.

        Raises ConfigurationError, DefinitionError and LoopScopeError for what is wrong with it.
        """
        taken_by = self.taker.take(self._markers_of(node), node.obj)
        if taken_by is None:
            return None
        plan = self._plan(node, is_peers=taken_by == PEER_MARKER)
        self._plans[id(node._fixtureinfo)] = node._fixtureinfo, plan
        return plan

    def plan_again(self, item: Any) -> bool:
        """Plan an item anew if it has got markers since `mark` was called for it; False if it has not.

        Raises as `plan` does.
        """
        marked = self._marked.get(item)
        if marked is None or _count(item) == marked[1]:
            return False
        ours = marked[0]
        item.own_markers[:] = [mark for mark in item.own_markers if mark is not ours]
        taken_by = self.taker.take(self._markers_of(item), item.obj)
        self._changed[item] = self._plan(item, is_peers=taken_by == PEER_MARKER)
        return True

    def mark(self, item: Any, marker: Any) -> None:
        """Have the item say by a marker what is in force for it; remember which markers it has by now."""
        item.add_marker(marker, append=False)
        self._marked[item] = item.own_markers[0], _count(item)

    def _markers_of(self, node: Any) -> Set[str]:
        """The names of the markers that a function has, its own and those of what it stands in."""
        around = self._markers.get(node.parent)
        if around is None:
            around = frozenset(mark.name for each in node.parent.listchain() for mark in each.own_markers)
            self._markers[node.parent] = around
        return around.union(mark.name for mark in node.own_markers) if node.own_markers else around

    def plan_for_fixtures(self, item: Any) -> Plan:
        """The plan of any item, by which its async fixtures are set up."""
        key = item._fixtureinfo
        if item in self._changed:
            return self._changed[item]
        found = self._plans.get(id(key)) or self._others.get(id(key))
        if found is None:
            found = self._others[id(key)] = key, self._plan(item, is_peers=False, is_sync=True)
        return found[1]

    # Which loop.

    def _plan(self, node: Any, *, is_peers: bool, is_sync: bool = False) -> Plan:
        surroundings = self.surroundings(node)
        fixtures = self._fixtures_of(node)
        written = _settings_of(node)
        if not written and not fixtures and not (node.own_markers and _count(node)):
            # Most functions of a module are alike in all that is planned.
            plan = surroundings.plans.get(is_peers)
            if plan is None:
                plan = surroundings.plans[is_peers] = self._make_plan(node, surroundings, (), {}, is_peers, is_sync)
            return plan
        return self._make_plan(node, surroundings, fixtures, written, is_peers, is_sync)

    def _make_plan(
        self,
        node: Any,
        surroundings: _Surroundings,
        fixtures: tuple[AdoptedFixture, ...],
        written: Mapping[str, Any],
        is_peers: bool,
        is_sync: bool,
    ) -> Plan:
        marker = node.get_closest_marker(PEER_MARKER if is_peers else MARKER)
        places = surroundings.places
        if is_peers:
            return self._plan_as_peer(node, places, fixtures, marker)
        config, explicit = surroundings.configs[-1], surroundings.explicit
        said: dict[str, Any] = {}
        for mark in node.own_markers:
            if mark.name == MARKER:
                said = {**parse_marker(mark, node.nodeid), **said}
        explicit = said.get("loop_scope", written.get("loop_scope", explicit))
        config = self._merge(config.merged(written, node.nodeid), said, written, node.nodeid)
        depth = depth_of(config.loop_scope, places)
        reason = config.reason("loop_scope")
        if explicit is not None:
            depth, reason = depth_of(explicit, places), "as it says"
            for each in fixtures:
                if depth_needed(each, places) < depth and not is_sync:
                    raise self._too_narrow(explicit, each, places)
        else:
            for each in fixtures:
                if depth_needed(each, places) < depth:
                    depth, reason = depth_needed(each, places), f"inferred from the {each.fixture}"
        return Plan(places, depth, config, surroundings.configs, fixtures, reason, is_peers=False, marker=marker)

    def _plan_as_peer(
        self, node: Any, places: tuple[Place, ...], fixtures: tuple[AdoptedFixture, ...], marker: Any
    ) -> Plan:
        taker = self.taker
        if node.session._fixturemanager.getfixturedefs("event_loop_policy", node):
            raise DefinitionError(
                "it overrides the fixture event_loop_policy; no loop comes from an event loop policy, which Python "
                "3.16 removes. Say in a conftest.py which loops there are:\n"
                "  def pytest_asyncunit_loop_factories(config, item):\n"
                "      return {'mine': MyEventLoop}"
            )
        values = parse_peer_marker(marker)
        scope = values.get("loop_scope", taker.test_scope)
        config = taker.peer_config
        if "loop_factories" in values:
            config = config.merged({"loop_factories": values["loop_factories"]}, "the marker asyncio")
        configs = (config,) * len(places)
        return Plan(
            places, depth_of(scope, places), config, configs, fixtures, "as it says", is_peers=True, marker=marker
        )

    def surroundings(self, item: Any) -> _Surroundings:
        """The scopes that an item stands in, and what is configured for them."""
        found = self._surroundings.get(item.parent)
        if found is None:
            found = self._surroundings[item.parent] = self._survey(item)
        return found

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
                written = configuration.settings_of_module(place.key)
                config = self._merge(config_of_module(place.key, config), of_node, written, place.node.nodeid)
            elif place.scope is Scope.CLASS:
                written = configuration.settings_of(place.key)
                config = self._merge(config.merged(written, place.node.nodeid), of_node, written, place.node.nodeid)
                explicit = of_node.get("loop_scope", written.get("loop_scope", explicit))
            elif of_node:
                config = config.merged(of_node, place.node.nodeid)
            configs.append(config)
        return _Surroundings(places, tuple(configs), explicit, {})

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

    def _too_narrow(self, explicit: Scope, found: AdoptedFixture, places: tuple[Place, ...]) -> LoopScopeError:
        depth = depth_needed(found, places)
        needed = places[depth - 1].scope if depth <= len(places) else Scope.FUNCTION
        return LoopScopeError(
            f'it has loop_scope = "{explicit}", but the {found.fixture}, which it uses, needs a loop that lasts for '
            f'the {needed}. Write  @pytest.mark.asyncunit(loop_scope="{needed}")  or leave loop_scope out, and it is '
            f"inferred."
        )

    def loop_depth(self, found: AdoptedFixture, plan: Plan, places: tuple[Place, ...]) -> int:
        """How many of the scopes around an item last as long as the loop that one of its fixtures runs on."""
        needed = depth_needed(found, places)
        if plan.is_peers and found.is_peers:
            if found.fixture.loop_scope is None and self.taker.fixture_scope is not None:
                return min(depth_of(self.taker.fixture_scope, places), needed)
            return needed
        return min(plan.depth, needed)


def _count(node: Any) -> int:
    """How many markers a node has itself that say something of asyncunit."""
    count = 0
    for mark in node.own_markers:
        if mark.name in (MARKER, PEER_MARKER):
            count += 1
    return count


def _settings_of(node: Any) -> Mapping[str, Any]:
    """What ``asyncunit.settings`` says of a function."""
    members: Mapping[str, Any] = getattr(written_of(getattr(node, "obj", None)), "__dict__", {})
    said: Mapping[str, Any] = members.get(configuration.ATTRIBUTE, {})
    return said
