import asyncio
import types

import pytest

from asyncunit.pytest_plugin.debugging import postpone, stopping


def test_an_async_test_stops_in_the_debugger_before_its_first_line():
    happened = []

    async def test(value):
        happened.append(value)
        return "returned"

    stopped = stopping(test, lambda: happened.append("stopped"))
    assert asyncio.run(stopped(value=5)) == "returned"
    assert happened == ["stopped", 5]


def test_what_pytest_has_put_in_front_of_an_async_test_is_passed_by():
    async def test():
        return "returned"

    def in_the_debugger():
        raise AssertionError("is not called")

    in_the_debugger.__wrapped__ = test
    assert asyncio.run(stopping(in_the_debugger, lambda: None)()) == "returned"


def test_a_sync_test_is_called_as_pytest_has_it_called():
    def test(): ...

    assert stopping(test, lambda: None) is test


class Case:
    """As much of a test case as is asked for."""

    def __init__(self, *errors):
        self.happened = []
        self._errors = list(errors)

    def tearDown(self):
        self.happened.append("tearDown")

    def _asyncunit_finish(self):
        self.tearDown()
        self.happened.append("finish")
        return self._errors


def postponed(case):
    finalizers = []
    postpone(types.SimpleNamespace(instance=case, nodeid="test_x.py::test_x", addfinalizer=finalizers.append))
    [finish] = finalizers
    return finish


def test_what_is_postponed_runs_when_pytest_leaves_the_item():
    case = Case()
    finish = postponed(case)
    case.tearDown()  # as pytest does when the test is over
    assert case.happened == []
    assert case._asyncunit_is_postponed
    finish()
    assert case.happened == ["tearDown", "finish"]


def test_what_the_postponed_tear_down_raises_is_raised():
    with pytest.raises(ExceptionGroup, match="tearing down test_x.py::test_x") as caught:
        postponed(Case(ValueError("one"), ValueError("two")))()
    assert len(caught.value.exceptions) == 2
