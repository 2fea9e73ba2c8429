import asyncio
import types

import pytest

from asyncunit import ConfigurationError, LoopScopeError, Scope, fixture
from asyncunit.config.settings import Config, Unavailable
from asyncunit.pytest_plugin.asyncio_compat import Ownership
from asyncunit.pytest_plugin.fixture_plans import mark_fixture
from asyncunit.pytest_plugin.function_plans import Collected, LoopFactories


def mark(name="asyncunit", *args, **kwargs):
    return types.SimpleNamespace(name=name, args=args, kwargs=kwargs)


class Fake(types.SimpleNamespace):
    """As much of an object of pytest's as is asked for; what it stands for has a hash, too."""

    __hash__, __eq__ = object.__hash__, object.__eq__


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
        self.session = Fake(_fixturemanager=types.SimpleNamespace(getfixturedefs=lambda name, node: None))

    def listchain(self):
        return [self.session, self]

    def get_closest_marker(self, name):
        return next((each for each in self.own_markers if each.name == name), None)


def definition(function, scope="function", name="value"):
    return Fake(func=function, scope=scope, argname=name, baseid="", node=None)


async def coroutine_function():
    pass


async def generator():
    yield


def ownership(**options):
    values = {
        "config": Config(),
        "is_asyncio_active": False,
        "asyncio_mode": "strict",
        "asyncio_config": Config().leniently(),
        "test_scope": Scope.FUNCTION,
        "fixture_scope": None,
    }
    return Ownership(**(values | options))


def plan(*marks, fixtures=(), **options):
    return Collected(ownership(**options)).plan(Node(*marks, obj=coroutine_function, definitions=fixtures))


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
    assert (made.loop_scope, made.is_asyncio, made.config.fail_on) == (Scope.FUNCTION, True, frozenset())
    assert plan(mark("asyncio", loop_scope="session")).loop_scope is Scope.SESSION


def test_coroutine_functions_that_say_nothing_of_their_own_share_a_plan():
    collected = Collected(ownership(config=Config(mode="auto")))
    one, other = Node(obj=coroutine_function), Node(obj=coroutine_function)
    other.parent = one.parent
    assert collected.plan(one) is collected.plan(other)
    assert collected.plan_of(one) is collected.plan_for_fixtures(one)
    assert collected.plan_of(Node()) is None


GIVEN = {"one": asyncio.new_event_loop, "two": asyncio.SelectorEventLoop}


class Hook:
    """A hook of pytest's that a conftest.py implements such that it returns ``given``, or that nobody implements."""

    def __init__(self, given=None):
        self._given = given

    def get_hookimpls(self):
        return [] if self._given is None else [self]

    def __call__(self, *, config, item):
        return self._given


def factories_of(marker, *, ours=None, asyncio_compat=None, is_asyncio_active=False, **options):
    hooks = types.SimpleNamespace(
        pytest_asyncunit_loop_factories=Hook(ours), pytest_asyncio_loop_factories=Hook(asyncio_compat)
    )
    node = Node(marker, obj=coroutine_function)
    node.ihook = hooks
    plan = Collected(ownership(**options)).plan(node)
    return LoopFactories(types.SimpleNamespace(hook=hooks), is_asyncio_active=is_asyncio_active).of(node, plan)


def test_where_nobody_gives_any_there_is_but_the_configured_one():
    assert factories_of(mark()) is None


def test_a_hook_gives_them_and_asyncunits_is_nearer_than_the_peers():
    assert factories_of(mark(), asyncio_compat=GIVEN) == GIVEN
    assert factories_of(mark(), ours={"one": GIVEN["one"]}, asyncio_compat=GIVEN) == {"one": GIVEN["one"]}


def test_the_hook_of_the_peer_is_its_own_where_that_is_active():
    assert factories_of(mark(), asyncio_compat=GIVEN, is_asyncio_active=True) is None


def test_a_marker_may_choose_by_a_text():
    assert factories_of(mark(loop_factories="two"), ours=GIVEN) == {"two": GIVEN["two"]}


def test_a_marker_chooses_among_those_that_a_hook_gives():
    chosen = factories_of(mark(loop_factories=["two", "three"]), ours=GIVEN)
    assert chosen == {
        "two": GIVEN["two"],
        "three": "Loop factory 'three' is not available. Available factories: one, two.",
    }
    assert isinstance(chosen["three"], Unavailable)


@pytest.mark.parametrize("given", [{}, [], {"one": 1}, {"": asyncio.new_event_loop}, {1: asyncio.new_event_loop}])
def test_what_a_hook_may_not_return_is_an_error_that_shows_it(given):
    with pytest.raises(ConfigurationError) as caught:
        factories_of(mark(), ours=given)
    assert str(caught.value) == (
        "pytest_asyncunit_loop_factories must return a non-empty mapping of factory names to callables; it returned "
        f"{given!r}."
    )


def test_configured_ones_are_used_where_no_hook_gives_any():
    config = Config().merged({"loop_factories": GIVEN}, "pyproject.toml")
    assert factories_of(mark(), config=config) == GIVEN
    assert factories_of(mark(), config=config, ours={"one": GIVEN["one"]}) == {"one": GIVEN["one"]}


def test_the_marker_of_the_peer_chooses_only_where_a_hook_gives_some():
    with pytest.raises(ConfigurationError, match="requires at least one pytest_asyncio_loop_factories hook"):
        factories_of(mark("asyncio", loop_factories=["one"]))
