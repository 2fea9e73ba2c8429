import types
import unittest
from unittest import mock

import pytest

import asyncunit
from asyncunit.pytest_plugin.detection import has_async_tests, is_case, members_to_look_at


class Lazy:
    """As the objects of some libraries that are to be bound before they are used."""

    @property
    def __class__(self):
        raise RuntimeError("is not bound yet")


def module_with(**members):
    module = types.ModuleType("example")
    vars(module).update(members)
    return module


def sync(): ...


async def coroutine_function(): ...


async def generator():
    yield


def mark(name):
    """As a marker of pytest's."""
    return types.SimpleNamespace(name=name)


def marked(): ...


marked.pytestmark = [mark("asyncio")]


@pytest.fixture
async def of_pytest(): ...


@asyncunit.fixture
def of_asyncunit(): ...


class Plain(unittest.TestCase):
    __test__ = False

    async def test_x(self): ...


class Case(asyncunit.AsyncTestCase): ...


class SyncCase(unittest.TestCase): ...


def run_by_hypothesis(): ...


run_by_hypothesis.hypothesis = types.SimpleNamespace(inner_test=coroutine_function)


@pytest.mark.parametrize(
    "member",
    [coroutine_function, generator, marked, of_pytest, of_asyncunit, Plain, Case, run_by_hypothesis],
    ids=lambda member: getattr(member, "__name__", str(member)),
)
def test_what_is_async_or_marked_is_looked_at(member):
    assert ("member", member) in members_to_look_at(module_with(member=member, sync=sync))


@pytest.mark.parametrize("member", [sync, SyncCase, 5, mock.Mock(), mock.call])
def test_nothing_is_looked_at_where_all_is_sync(member):
    assert members_to_look_at(module_with(member=member)) == []


def test_lazy_objects_are_not_woken():
    assert members_to_look_at(module_with(one=Lazy(), some=[Lazy()])) == []


def test_plain_sync_functions_are_left_out():
    names = [name for name, _ in members_to_look_at(module_with(sync=sync, first=coroutine_function))]
    assert "first" in names
    assert "sync" not in names


@pytest.mark.parametrize("marks", [mark("asyncunit"), mark("asyncio"), [mark("slow"), mark("asyncunit")]])
def test_a_module_that_is_marked_is_looked_at(marks):
    assert members_to_look_at(module_with(pytestmark=marks))
    assert not members_to_look_at(module_with(pytestmark=mark("slow")))
    assert not members_to_look_at(module_with(other=marks))


def test_the_members_of_a_class_are_its_bases_too():
    class Base:
        async def test_x(self): ...

    class TestDerived(Base):
        def test_y(self): ...

    assert ("test_x", Base.test_x) in members_to_look_at(TestDerived)

    class TestOther(Base):
        def test_x(self): ...

    assert members_to_look_at(TestOther) == []


def test_a_static_method_is_seen_through():
    class TestStatic:
        @staticmethod
        async def test_x(): ...

    assert members_to_look_at(TestStatic)


def test_cases_are_told_apart():
    assert [is_case(each) for each in (Case, Plain, SyncCase, Case("__init__"), None, Lazy())] == [True] + [False] * 5
    assert [has_async_tests(each) for each in (Case, Plain, SyncCase, sync, Lazy())] == [
        True,
        True,
        False,
        False,
        False,
    ]
