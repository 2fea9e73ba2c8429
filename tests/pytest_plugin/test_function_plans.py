import types

import pytest

from asyncunit import LoopScopeError, Scope, fixture
from asyncunit.config.settings import Config
from asyncunit.pytest_plugin.asyncio_compat import Ownership
from asyncunit.pytest_plugin.fixture_plans import mark_fixture
from asyncunit.pytest_plugin.function_plans import Collected


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
