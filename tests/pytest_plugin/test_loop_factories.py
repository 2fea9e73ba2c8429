import asyncio
import types

import pytest

from asyncunit import ConfigurationError
from asyncunit.config.parsing import Unavailable
from asyncunit.config.settings import Config
from asyncunit.pytest_plugin.function_plans import Collected
from asyncunit.pytest_plugin.loop_factories import LoopFactories
from tests.pytest_plugin.test_function_plans import Node, coroutine_function, mark, ownership

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
