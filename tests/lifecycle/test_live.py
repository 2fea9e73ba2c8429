import pytest

from asyncunit import Scope, fixture
from asyncunit.lifecycle.async_scope import AsyncScope
from asyncunit.lifecycle.fixture_setup import make
from asyncunit.lifecycle.fixtures import OpenFixture, ScopeFixtures, find_in
from asyncunit.loops.scope_task import WideTask
from asyncunit.plans.fixture_graph import Node
from tests.conftest import open_scope


@fixture(scope="class")
def one():
    yield 1


@fixture(scope="class")
def two(one):
    yield 2


@fixture(scope="class")
async def generator():
    yield 3
    raise AssertionError("this is not to run without its loop")


@fixture(scope="class", params=[1, 2])
def varying(request): ...


ONE = Node(one, ())
TWO = Node(two, (("one", ONE),))
GENERATOR = Node(generator, ())


@pytest.fixture
def opened():
    return open_scope(Scope.CLASS)


@pytest.fixture
def fixtures(opened):
    return ScopeFixtures(opened)


@pytest.fixture
def async_scope(loop_runner, opened):
    return AsyncScope(WideTask(loop_runner, opened))


@pytest.fixture
def events():
    return []


def open_fixture(fixtures, events, node, async_scope=None):
    """Have the fixture of a node be set up, with an exit that notes that it was called."""
    made = OpenFixture(node, async_scope)
    made.value = node.fixture.function.__name__
    made.exit_ = lambda: events.append(made.value)
    fixtures.open_fixtures[node] = made
    return made


def test_they_are_those_of_their_scope(opened, fixtures):
    assert opened.fixtures is fixtures


def test_a_fixture_that_is_set_up_is_found_and_one_that_failed_is_not(fixtures, events):
    assert fixtures.find(one, None) is None
    made = open_fixture(fixtures, events, ONE)
    assert fixtures.find(one, None) == ("one",)
    made.error = ValueError()
    assert fixtures.find(one, None) is None
    assert fixtures.shared(one, None) is None


def test_a_class_sees_no_more_than_what_it_uses(fixtures, events):
    open_fixture(fixtures, events, ONE)
    fixtures.seen = {TWO: "seen"}
    assert fixtures.find(one, None) is None
    assert fixtures.find(two, None) == ("seen",)


def test_a_value_is_found_by_its_fixture_and_none_is_a_value():
    assert find_in({ONE: None}, one) == (None,)
    assert find_in({ONE: None}, two) is None


def test_what_needs_a_loop_is_shared_on_that_loop_only(fixtures, events, async_scope, loop_runner):
    made = open_fixture(fixtures, events, GENERATOR, async_scope)
    assert fixtures.shared(generator, loop_runner) is made
    assert fixtures.shared(generator, None) is None


def test_what_has_params_is_not_shared(fixtures, events):
    open_fixture(fixtures, events, Node(varying, ()))
    assert fixtures.shared(varying, None) is None


def test_what_rests_on_a_fixture_goes_down_with_it_the_last_first(fixtures, events):
    open_fixture(fixtures, events, ONE)
    open_fixture(fixtures, events, GENERATOR)
    open_fixture(fixtures, events, TWO)
    assert fixtures.tear_down_what_rests_on(one) == []
    assert events == ["two", "one"]
    assert list(fixtures.open_fixtures) == [GENERATOR]


def test_what_an_async_half_has_goes_down_with_it_alone(fixtures, events, async_scope):
    open_fixture(fixtures, events, ONE)
    open_fixture(fixtures, events, GENERATOR, async_scope)
    assert fixtures.tear_down(async_scope) == []
    assert events == ["generator"]


def test_every_error_of_a_tear_down_is_returned_and_the_rest_goes_on(fixtures, events):
    def fail():
        raise ValueError("boom")

    open_fixture(fixtures, events, ONE)
    open_fixture(fixtures, events, TWO).exit_ = fail
    assert [str(error) for error in fixtures.close()] == ["boom"]
    assert events == ["one"]
    assert fixtures.close() == []


def test_of_what_is_lost_an_async_second_half_does_not_run_and_a_sync_one_does(
    fixtures, events, async_scope, loop_runner, opened
):
    made = open_fixture(fixtures, events, GENERATOR, async_scope)
    exits = []
    make(generator, (), {}, opened, async_scope.runner, exits.append)
    [made.exit_] = exits
    open_fixture(fixtures, events, ONE, async_scope)
    loop_runner.loop.close()
    assert fixtures.lose(async_scope) == []
    assert events == ["one"]
    async_scope.runner.abandon()
