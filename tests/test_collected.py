import types

import pytest

from asyncunit import ConfigurationError, DefinitionError, LoopScopeError, Scope, fixture
from asyncunit.collected import (
    AsyncFixture,
    Collected,
    Place,
    Taker,
    adopt_markers,
    depth_needed,
    depth_of,
    effective,
    is_async_function,
    mark_fixture,
    parse_marker,
    parse_peer_marker,
)
from asyncunit.config import Config
from tests.support import module_of


def mark(name="asyncunit", *args, **kwargs):
    return types.SimpleNamespace(name=name, args=args, kwargs=kwargs)


class Parent:
    def iter_markers_with_node(self, name):
        return []

    def listchain(self):
        return []


class Node:
    """As much of a node of pytest's as is asked for."""

    nodeid = "test_module.py::test_x"

    def __init__(self, *marks, obj=None, definitions=()):
        self.own_markers = list(marks)
        self.obj = obj
        self._fixtureinfo = types.SimpleNamespace(name2fixturedefs={each.argname: [each] for each in definitions})
        self.parent = Parent()
        self.session = types.SimpleNamespace(
            _fixturemanager=types.SimpleNamespace(getfixturedefs=lambda name, node: None)
        )

    def listchain(self):
        return [self.session, self]

    def get_closest_marker(self, name):
        return next((each for each in self.own_markers if each.name == name), None)


def definition(function, scope="function", name="value"):
    return types.SimpleNamespace(func=function, scope=scope, argname=name, baseid="", node=None)


async def coroutine_function():
    pass


async def generator():
    yield


def taker(**options):
    values = {
        "config": Config(),
        "is_peer_active": False,
        "peer_mode": "strict",
        "peer_config": Config().leniently(),
        "test_scope": Scope.FUNCTION,
        "fixture_scope": None,
    }
    return Taker(**(values | options))


PLACES = tuple(Place(scope, str(scope), object()) for scope in (Scope.SESSION, Scope.PACKAGE, Scope.MODULE))


@pytest.mark.parametrize(("function", "expected"), [(coroutine_function, True), (generator, True), (taker, False)])
def test_an_async_function_is_a_coroutine_function_or_an_async_generator(function, expected):
    assert is_async_function(function) is expected


@pytest.mark.parametrize(
    ("options", "marks", "expected"),
    [
        ({}, [], None),
        ({}, [mark()], "asyncunit"),
        ({}, [mark("asyncio")], "asyncio"),
        ({}, [mark(), mark("asyncio")], "asyncunit"),
        ({"config": Config(mode="auto")}, [], "asyncunit"),
        ({"config": Config(mode="auto")}, [mark("anyio")], None),
        ({"config": Config(mode="auto")}, [mark("asyncio")], "asyncio"),
        ({"peer_mode": "auto"}, [], "asyncio"),
        ({"is_peer_active": True}, [mark("asyncio")], None),
        ({"is_peer_active": True, "peer_mode": "auto", "config": Config(mode="auto")}, [], None),
        ({"is_peer_active": True, "config": Config(mode="auto")}, [], "asyncunit"),
        ({"is_peer_active": True, "peer_mode": "auto"}, [mark(), mark("asyncio")], "asyncunit"),
    ],
)
def test_each_function_belongs_to_one_plugin(options, marks, expected):
    assert taker(**options).take({each.name for each in marks}, coroutine_function) == expected


def test_what_both_plugins_are_told_to_take_is_an_error():
    with pytest.raises(DefinitionError, match="marked both asyncunit and asyncio, and pytest-asyncio is active"):
        taker(is_peer_active=True).take({"asyncunit", "asyncio"}, coroutine_function)


def test_a_sync_function_is_taken_only_where_it_is_marked():
    assert taker(config=Config(mode="auto")).take(set(), taker) is None
    assert taker().take({"asyncunit"}, taker) == "asyncunit"


@pytest.mark.parametrize(
    ("scope", "depth"),
    [(Scope.SESSION, 1), (Scope.PACKAGE, 2), (Scope.MODULE, 3), (Scope.CLASS, 4), (Scope.FUNCTION, 4)],
)
def test_outside_a_class_the_scope_of_a_class_is_the_tests_own(scope, depth):
    assert depth_of(scope, PLACES) == depth


def test_a_fixture_needs_a_loop_as_wide_as_it_lives_or_as_it_says():
    @fixture(scope="module", loop_scope="session")
    async def wide(): ...

    @fixture(scope="package")
    async def of_package(): ...

    found = AsyncFixture(wide, definition(wide.function, "module"), is_peers=False)
    assert depth_needed(found, PLACES) == 1
    # pytest has it live as long as the session where no package of the item's defines it
    there = definition(of_package.function, "package")
    assert depth_needed(AsyncFixture(of_package, there, is_peers=False), PLACES) == 1
    assert depth_needed(AsyncFixture(of_package, there, is_peers=True), PLACES) == 2
    there.node = PLACES[1].node
    assert depth_needed(AsyncFixture(of_package, there, is_peers=False), PLACES) == 2


def test_the_function_of_a_fixture_knows_its_fixture():
    @fixture
    async def one(): ...

    assert mark_fixture(one) is one.function
    collected = Collected(taker())
    found = collected.async_fixture(definition(mark_fixture(one)))
    assert found == AsyncFixture(one, found.definition, is_peers=False)
    assert collected.async_fixture(found.definition) is found


def test_an_unmarked_async_fixture_is_taken_in_auto_mode_and_by_test_cases():
    there = definition(coroutine_function)
    assert Collected(taker()).async_fixture(there) is None
    assert Collected(taker()).async_fixture_for(there, is_case=True).fixture.is_async
    assert Collected(taker()).async_fixture_for(there, is_case=False) is None
    assert Collected(taker(config=Config(mode="auto"))).async_fixture(there).is_peers is False
    assert Collected(taker(peer_mode="auto")).async_fixture(there).is_peers is True
    assert Collected(taker(is_peer_active=True, peer_mode="auto")).async_fixture(there) is None


def plan(*marks, fixtures=(), **options):
    return Collected(taker(**options)).plan(Node(*marks, obj=coroutine_function, definitions=fixtures))


def wide_fixture():
    @fixture(scope="session")
    async def value(): ...

    return definition(mark_fixture(value), "session")


def test_a_loop_scope_is_inferred_from_the_widest_fixture():
    made = plan(mark(), fixtures=[wide_fixture()])
    assert (made.loop_scope, made.depth) == (Scope.SESSION, 1)
    assert made.reason.startswith("inferred from the fixture 'value' of")


def test_a_loop_scope_is_at_least_the_configured_one():
    config = Config(loop_scope=Scope.SESSION, sources={"loop_scope": "setup.cfg"})
    made = plan(mark(), config=config)
    assert (made.loop_scope, made.reason) == (Scope.SESSION, "configured in setup.cfg")
    assert plan(mark()).loop_scope is Scope.FUNCTION


def test_a_fixture_that_is_wider_than_the_loop_scope_that_is_named_is_an_error_with_the_mend():
    with pytest.raises(LoopScopeError, match=r"needs a loop that lasts for the session. Write  @pytest.mark.asyncunit"):
        plan(mark(loop_scope="function"), fixtures=[wide_fixture()])


def test_a_function_of_the_peers_keeps_its_loop_whatever_its_fixtures_need():
    made = plan(mark("asyncio"), fixtures=[wide_fixture()])
    assert (made.loop_scope, made.is_peers, made.config.fail_on) == (Scope.FUNCTION, True, frozenset())
    assert plan(mark("asyncio", loop_scope="session")).loop_scope is Scope.SESSION


def coroutine_functions_that_say_nothing_of_their_own_share_a_plan():
    collected = Collected(taker(config=Config(mode="auto")))
    one, other = Node(obj=coroutine_function), Node(obj=coroutine_function)
    other.parent = one.parent
    assert collected.plan(one) is collected.plan(other)
    assert collected.plan_of(one) is collected.plan_for_fixtures(one)
    assert collected.plan_of(Node()) is None


def test_a_marker_has_keywords_only_and_known_ones():
    assert parse_marker(mark(timeout=5), "here") == {"timeout": 5.0}
    with pytest.raises(ConfigurationError, match="here: the marker asyncunit has the positional argument 5; expected"):
        parse_marker(mark("asyncunit", 5), "here")
    with pytest.raises(ConfigurationError, match="here: the marker asyncunit: there is no key 'tiemout'.*'timeout'"):
        parse_marker(mark(tiemout=5), "here")


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (mark("asyncio", "session"), "accepts only keyword arguments"),
        (mark("asyncio", scop="session"), "accepts only keyword arguments"),
        (mark("asyncio", scope="session", loop_scope="session"), 'defines both "scope" and "loop_scope"'),
        (
            mark("asyncio", loop_scope="sesion"),
            "unexpected loop scope value 'sesion'. Valid scopes are: function, class",
        ),
        (mark("asyncio", loop_factories="one"), "must be a non-empty sequence of strings"),
        (mark("asyncio", loop_factories=[]), "must be a non-empty sequence of strings"),
    ],
)
def test_the_marker_of_the_peer_is_read_as_the_peer_reads_it(marker, message):
    with pytest.raises(ConfigurationError, match=message):
        parse_peer_marker(marker)


def test_the_marker_of_the_peer_may_say_nothing():
    assert parse_peer_marker(None) == parse_peer_marker(mark("asyncio")) == {}
    assert parse_peer_marker(mark("asyncio", scope="class")) == {"loop_scope": Scope.CLASS}
    assert parse_peer_marker(mark("asyncio", loop_factories=["a"])) == {"loop_factories": ("a",)}


def test_the_effective_values_are_all_but_the_mode():
    values = effective(Config(timeout=5), Scope.CLASS)
    assert values["loop_scope"] == "class"
    assert values["timeout"] == 5
    assert values["fail_on"] == ["unhandled_errors"]
    assert "mode" not in values


MARKED = """
import types
pytestmark = types.SimpleNamespace(name="asyncunit", args=(), kwargs={"timeout": 3})

class TestCase(asyncunit.AsyncTestCase):
    pytestmark = [types.SimpleNamespace(name="asyncunit", args=(), kwargs={"loop_scope": "class"})]

    @asyncunit.settings(timeout=5)
    async def test_x(self): pass
    test_x.pytestmark = [types.SimpleNamespace(name="asyncunit", args=(), kwargs={"timeout": TIMEOUT})]
"""


def test_markers_of_test_cases_say_what_settings_say():
    with module_of(MARKED.replace("TIMEOUT", "5")) as module:
        adopt_markers(module, [module.TestCase])
        assert module.asyncunit_settings.values == {"timeout": 3}
        assert module.TestCase.loop_scope is Scope.CLASS


def test_a_marker_and_settings_that_disagree_in_one_place_are_an_error():
    with module_of(MARKED.replace("TIMEOUT", "4")) as module:
        with pytest.raises(
            ConfigurationError, match=r"test_x: the marker asyncunit says timeout=4.0, and .*=5.0; write"
        ):
            adopt_markers(module, [module.TestCase])
