import socket
import types

from asyncunit.checks.unclosed_resources import outliving


class Case:
    pass


class Pool:
    pass


def test_what_only_the_test_itself_holds_does_not_outlive_it():
    case = Case()
    with socket.socket() as thing:
        case.thing = [thing]
        assert outliving([thing], case) == []


def test_what_a_class_holds_does():
    class Keeper:
        pool = Pool()

    case = Case()
    with socket.socket() as thing:
        Keeper.pool.free = [thing]
        case.pool = Keeper.pool
        assert outliving([thing], case) == [thing]


def test_what_a_module_holds_does():
    module = types.ModuleType("module")
    with socket.socket() as thing:
        module.cache = {"key": (thing,)}
        assert outliving([thing], Case()) == [thing]


def test_of_several_things_each_is_told():
    class Keeper:
        pool = Pool()

    case = Case()
    with socket.socket() as kept, socket.socket() as left:
        Keeper.pool.free = {"kept": kept}
        case.left = left
        assert outliving([left, kept], case) == [kept]
