import asyncio
import types

import pytest

from asyncunit import LeftBehindError
from asyncunit.pytest_plugin.function_plans import Collected
from asyncunit.pytest_plugin.items import ItemRunner
from asyncunit.pytest_plugin.loop_factories import PARAM
from asyncunit.scopes import registry
from tests.pytest_plugin.test_function_plans import Fake, Node, mark, ownership


class Item(Node):
    """As much of an item of pytest's as is asked for while it runs."""

    name = "test_x"

    def __init__(self, function, parent=None, **settings):
        super().__init__(mark(**settings), obj=function)
        self._fixtureinfo.argnames = ()
        self.funcargs = {}
        self.parent = parent or self.parent

    def listchain(self):
        return [Fake(own_markers=[], addfinalizer=lambda finalizer: None), self]


@pytest.fixture
def collected():
    return Collected(ownership())


@pytest.fixture
def items(collected):
    before = len(registry.runs())
    items = ItemRunner(collected)
    yield items
    items.end()
    assert len(registry.runs()) == before


def run(items, collected, item):
    collected.plan(item)
    items.come_to(item)
    RAN.clear()
    assert items.call(item, collected.plan_of(item)) is None
    return RAN[0]


RAN = []


async def running_loop():
    RAN.append(asyncio.get_running_loop())


def test_a_test_runs_on_the_loop_that_its_marker_says(items, collected):
    own = run(items, collected, Item(running_loop))
    shared = [run(items, collected, Item(running_loop, loop_scope="session")) for _ in range(2)]
    assert own.is_closed()
    assert own is not shared[0]
    assert shared[0] is shared[1]
    assert not shared[0].is_closed()


def test_the_end_of_the_run_closes_what_is_open(collected):
    items = ItemRunner(collected)
    loop = run(items, collected, Item(running_loop, loop_scope="session"))
    items.end()
    assert loop.is_closed()


def test_the_loop_factory_is_that_of_the_items_parameter(items, collected):
    made = []

    def factory():
        made.append(asyncio.new_event_loop())
        return made[-1]

    item = Item(running_loop)
    item.callspec = types.SimpleNamespace(params={PARAM: factory})
    assert run(items, collected, item) is made[0]


def test_what_a_failed_test_has_left_is_reported_when_it_is_left(items, collected):
    async def leave_and_fail():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        raise ValueError("of the test")

    item = Item(leave_and_fail)
    with pytest.raises(ValueError, match="of the test"):
        run(items, collected, item)
    with pytest.raises(LeftBehindError):
        items.leave(item, None)
    items.leave(item, None)  # once


def test_fixtures_that_are_not_async_are_pytests_to_run(items, collected):
    definition = Fake(func=lambda: 1, scope="function", argname="value", baseid="")
    items.come_to(Item(running_loop))
    assert items.in_place_of(definition, types.SimpleNamespace(instance=None)) is None
