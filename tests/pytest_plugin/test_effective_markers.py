import types

import pytest

from asyncunit import AsyncTestCase, ConfigurationError
from asyncunit.config.settings import Config
from asyncunit.plans import loop_choice
from asyncunit.pytest_plugin.effective_markers import EffectiveMarkers, is_case
from asyncunit.pytest_plugin.function_plans import Collected
from tests.pytest_plugin.test_function_plans import Node, coroutine_function, generator, mark, ownership, wide_fixture


class Item(Node):
    """As much of an item of pytest's as is marked."""

    name = "test_x"
    cls = None

    def add_marker(self, marker, append=True):
        marker = mark(marker) if isinstance(marker, str) else marker
        self.own_markers.insert(len(self.own_markers) if append else 0, marker)


class Marks:
    """As pytest.mark."""

    def __getattr__(self, name):
        return lambda **values: types.SimpleNamespace(name=name, args=(), kwargs=values)


def marked(*items, **options):
    collected = Collected(ownership(**options))
    for item in items:
        collected.plan(item)
    effective_markers = EffectiveMarkers(collected, Marks())
    refused = effective_markers.mark(items)
    assert refused == []
    return collected, effective_markers


def in_a_module(*items, marks=()):
    module = Item(*marks)
    module.listchain = lambda: [module]
    module.iter_markers_with_node = lambda name: []
    for item in items:
        item.parent = module
    return module


def test_a_test_case_is_told_apart_without_importing_what_it_is_made_of():
    assert is_case(type("TestCase", (AsyncTestCase,), {}))
    assert not is_case(type("Plain", (), {}))
    assert not is_case(None)


@pytest.mark.parametrize(("number", "explores"), [(1, False), (5, True)])
def test_it_is_known_whether_a_test_is_to_follow_schedules(number, explores):
    item = Item(mark(timeout=5), obj=coroutine_function)
    _, effective_markers = marked(item, config=Config(schedules=number))
    assert effective_markers.explores is explores


def test_an_item_says_in_front_of_its_markers_what_is_in_force_for_it():
    item = Item(mark(timeout=5), obj=coroutine_function)
    marked(item, config=Config(loop_debug=True))
    assert item.own_markers[0].kwargs | {"timeout": 5.0, "loop_debug": True, "loop_scope": "function"} == (
        item.own_markers[0].kwargs
    )


def test_an_item_that_is_not_asyncunits_is_left_alone():
    item = Item(obj=coroutine_function)
    marked(item)
    assert item.own_markers == []


def test_an_item_that_the_peers_mode_takes_gets_its_marker_too():
    item = Item(obj=coroutine_function)
    marked(item, asyncio_mode="auto")
    assert [each.name for each in item.own_markers] == ["asyncunit", "asyncio"]


def test_where_all_is_marked_that_stands_in_a_module_this_says_it_once_for_all_of_them():
    items = [Item(obj=coroutine_function), Item(obj=coroutine_function)]
    module = in_a_module(*items, marks=[mark()])
    collected, effective_markers = marked(*items)
    assert [each.kwargs.get("timeout", "none is said") for each in module.own_markers] == [None, "none is said"]
    assert [len(item.own_markers) for item in items] == [0, 0]
    items[1].add_marker(mark(timeout=3))
    assert list(effective_markers.mark_again(items)) == []
    assert [collected.plan_of(item).config.timeout for item in items] == [None, 3]


def test_where_functions_of_a_module_differ_each_says_it_for_itself():
    items = [Item(obj=coroutine_function), Item(mark(timeout=5), obj=coroutine_function)]
    module = in_a_module(*items, marks=[mark()])
    marked(*items)
    assert len(module.own_markers) == 1
    assert [item.own_markers[0].kwargs["timeout"] for item in items] == [None, 5]


def test_where_the_mode_takes_all_that_stands_in_a_module_this_says_it_for_them():
    items = [Item(obj=coroutine_function), Item(obj=coroutine_function)]
    module = in_a_module(*items)
    collected, effective_markers = marked(*items, config=Config(mode="auto"))
    assert [each.name for each in module.own_markers] == ["asyncunit"]
    assert [item.own_markers for item in items] == [[], []]
    items[1].add_marker(mark(timeout=3))
    assert list(effective_markers.mark_again(items)) == []
    assert [collected.plan_of(item).config.timeout for item in items] == [None, 3]


def test_a_module_says_nothing_of_the_sync_tests_in_it():
    items = [Item(obj=coroutine_function), Item(obj=lambda: None)]
    module = in_a_module(*items)
    marked(*items, config=Config(mode="auto"))
    assert module.own_markers == []
    assert [len(item.own_markers) for item in items] == [1, 0]


def test_a_module_says_nothing_of_the_classes_in_it():
    item, method = Item(obj=coroutine_function), Item(obj=lambda: None)
    module, cls = in_a_module(item), in_a_module(method)
    cls.listchain = lambda: [module, cls]
    marked(item, method, config=Config(mode="auto"))
    assert module.own_markers == []
    assert [len(each.own_markers) for each in (item, method)] == [1, 0]


def test_a_marker_that_is_added_later_counts():
    item = Item(mark(), obj=coroutine_function)
    collected, effective_markers = marked(item)
    item.add_marker(mark(timeout=3))
    assert list(effective_markers.mark_again([item])) == []
    assert collected.plan_of(item).config.timeout == 3
    assert item.own_markers[0].kwargs["timeout"] == 3


def test_what_is_wrong_with_a_marker_that_is_added_later_is_given_with_its_item():
    item = Item(mark(), obj=coroutine_function)
    _, effective_markers = marked(item)
    item.add_marker(mark(timeout=0))
    [(at, error)] = effective_markers.mark_again([item])
    assert at is item
    assert isinstance(error, ConfigurationError)


def test_a_class_says_what_is_in_force_and_runs_on_a_loop_as_wide_as_its_fixtures_of_pytests():
    class TestCase(AsyncTestCase):
        async def test_x(self): ...

    parent = Item(obj=TestCase)
    parent.listchain = lambda: [parent]
    parent.iter_markers_with_node = lambda name: []
    item = Item(obj=TestCase.test_x, definitions=[wide_fixture()])
    item.fixturenames = ["value"]
    item.parent, item.cls = parent, TestCase
    marked(item)
    assert loop_choice.choose(TestCase, Config()).scope.name == "SESSION"
    assert parent.own_markers[0].kwargs["loop_scope"] == "session"


@pytest.mark.parametrize(("scope", "groups"), [("function", []), ("session", []), ("module", ["asyncunit package"])])
def test_what_shares_a_loop_is_run_by_one_worker(scope, groups):
    item, collected = Item(mark(loop_scope=scope)), Collected(ownership())
    scope_node = types.SimpleNamespace(scope="module", node=None, key="package")
    collected.surroundings = lambda item: types.SimpleNamespace(scope_nodes=[scope_node])
    for _ in range(2):  # the second time, it is grouped
        EffectiveMarkers(collected, Marks()).group([item])
    assert [each.kwargs["name"] for each in item.own_markers if each.name == "xdist_group"] == groups


def test_async_generators_are_given_that_the_peer_refuses():
    items = [
        Item(mark("asyncio"), obj=generator),
        Item(mark(), obj=generator),
        Item(mark("asyncio"), obj=coroutine_function),
    ]
    collected = Collected(ownership())
    for item in items:
        collected.plan(item)
    assert EffectiveMarkers(collected, Marks()).mark(items) == items[:1]
