import socket
import types

import pytest

from asyncunit.checks import reach
from asyncunit.checks.reach import outliving
from asyncunit.scope import Scope
from tests.conftest import open_scope


class Case:
    pass


class Pool:
    pass


@pytest.fixture
def owner():
    return open_scope(Scope.FUNCTION)


def test_what_only_the_test_itself_holds_does_not_outlive_it(owner):
    case = Case()
    with socket.socket() as thing:
        case.thing = [thing]
        assert outliving([thing], owner, case) == []


def test_what_a_class_holds_does(owner):
    class Keeper:
        pool = Pool()

    case = Case()
    with socket.socket() as thing:
        Keeper.pool.free = [thing]
        case.pool = Keeper.pool
        assert outliving([thing], owner, case) == [thing]


def test_what_a_module_holds_does(owner):
    module = types.ModuleType("module")
    with socket.socket() as thing:
        module.cache = {"key": (thing,)}
        assert outliving([thing], owner, Case()) == [thing]


def test_of_several_things_each_is_told(owner):
    class Keeper:
        pool = Pool()

    case = Case()
    with socket.socket() as kept, socket.socket() as left:
        Keeper.pool.free = {"kept": kept}
        case.left = left
        assert outliving([left, kept], owner, case) == [kept]


def test_of_things_at_different_depths_each_is_told(owner):
    """The way of the one leads over what the other was found by before."""

    class Keeper:
        pool = Pool()

    with socket.socket() as near, socket.socket() as far:
        Keeper.pool.near, Keeper.pool.behind = near, [[[far]]]
        assert outliving([near, far], owner, Case()) == [near, far]


def test_a_search_ends_where_nothing_more_leads_to_the_thing(owner, monkeypatch):
    """It does not find what it has made itself."""
    steps = []
    behind = reach._Graph.referrers
    monkeypatch.setattr(reach._Graph, "referrers", lambda graph: steps.append(graph) or behind(graph))
    with socket.socket() as thing:
        held = [[thing]]
        assert outliving([thing], owner, Case()) == []
    assert held
    assert len(steps) == 3


def test_what_is_known_to_refer_to_a_thing_needs_no_search(owner, monkeypatch):
    monkeypatch.setattr(reach._Graph, "referrers", pytest.fail)
    thing, case = Pool(), Case()
    things, apart = [thing], [thing, thing]
    del thing
    assert outliving(things, owner, case, [apart, apart, things]) == []
