import socket
import types

from asyncunit.keepers import outlives


class Case:
    pass


class Pool:
    pass


def test_what_only_the_test_itself_holds_does_not_outlive_it():
    case = Case()
    with socket.socket() as thing:
        case.thing = [thing]
        assert not outlives(thing, case)


def test_what_a_class_holds_does():
    class Keeper:
        pool = Pool()

    case = Case()
    with socket.socket() as thing:
        Keeper.pool.free = [thing]
        case.pool = Keeper.pool
        assert outlives(thing, case)


def test_what_a_module_holds_does():
    module = types.ModuleType("module")
    with socket.socket() as thing:
        module.cache = {"key": (thing,)}
        assert outlives(thing, Case())
