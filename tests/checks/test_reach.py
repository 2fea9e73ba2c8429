import socket
import types

import pytest

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
