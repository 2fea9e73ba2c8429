import asyncio
import textwrap
import types

import pytest

from asyncunit import LeftBehindError
from asyncunit.pytest_plugin.function_plans import PARAM, Collected
from asyncunit.pytest_plugin.items import ItemRunner, postpone, stopping
from asyncunit.scopes import registry
from tests.pytest_plugin.running import in_a_process, outcomes
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


CASE = """
    class TestX(asyncunit.AsyncTestCase):
        @asyncunit.fixture(autouse=True)
        async def fixture(self):
            yield
            {of_fixture}

        async def asyncTearDown(self):
            {of_hook}

        @classmethod
        async def asyncTearDownClass(cls):
            {of_class}

        async def test_x(self):
            {of_test}
"""


@pytest.fixture
def run_case(run):
    def run_case(of_test="pass", of_hook="pass", of_fixture="pass", of_class="pass", **files):
        text = CASE.format(of_test=of_test, of_hook=of_hook, of_fixture=of_fixture, of_class=of_class)
        return run(text, **files)

    return run_case


def raising(what):
    return f"raise ValueError('boom: {what}')"


def shown(result):
    """The errors that are shown, in the order of the alphabet."""
    lines = (line for line in result.outlines if not line.startswith(("FAILED", "ERROR")))
    return sorted(line.partition("Error: boom: ")[2] for line in lines if "Error: boom: " in line)


def test_all_errors_of_a_test_case_are_shown_in_their_order(run_case):
    result = run_case(raising("test"), raising("hook"), raising("fixture"))
    assert shown(result) == ["fixture", "hook", "test"]
    assert outcomes(result) == {"failed": 1, "errors": 1}
    result.stdout.fnmatch_lines(["*ValueError: boom: hook", "*ValueError: boom: fixture"])


def test_what_its_class_raises_is_shown_beside_the_second_error_of_its_last_test(run_case):
    result = run_case(raising("test"), raising("hook"), of_class=raising("class"))
    assert shown(result) == ["class", "hook", "test"]
    assert outcomes(result) == {"failed": 1, "errors": 1}


def test_what_its_class_raises_is_shown_where_its_last_test_is_skipped_and_then_fails(run_case):
    result = run_case("raise unittest.SkipTest('why')", of_fixture=raising("fixture"), of_class=raising("class"))
    assert shown(result) == ["class", "fixture"]
    assert outcomes(result) == {"skipped": 1, "errors": 1}


def test_a_failed_assertion_after_an_error_is_shown_too(run_case):
    result = run_case(raising("test"), "self.fail('boom: hook')", raising("fixture"))
    assert shown(result) == ["fixture", "hook", "test"]


def test_one_error_is_the_verdict_of_the_test(run_case):
    assert outcomes(run_case(of_hook=raising("hook"))) == {"failed": 1}


def test_the_run_ends_where_a_tear_down_says_so_after_an_error(pytester):
    text = CASE.format(
        of_test=raising("test"), of_hook=raising("hook"), of_fixture="pytest.exit('enough')", of_class="pass"
    )
    path = pytester.makepyfile("import asyncunit\nimport pytest\n" + textwrap.dedent(text))
    process = in_a_process(pytester, path)
    assert "Exit: enough" in process.communicate()[0]
    assert process.returncode == pytest.ExitCode.INTERRUPTED


def test_an_item_is_as_before_once_its_test_case_is_done(run_case):
    conftest = """
        def pytest_sessionfinish(session):
            [item] = session.items
            assert not {"addError", "addFailure"} & set(vars(item))
    """
    assert outcomes(run_case(conftest=textwrap.dedent(conftest))) == {"passed": 1}


def test_a_test_case_that_is_run_once_more_has_its_errors_once_more(run_case):
    conftest = """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            for log in (False, True):
                item._initrequest()
                runtestprotocol(item, nextitem=nextitem, log=log)
            return True
    """
    result = run_case(raising("test"), raising("hook"), raising("fixture"), conftest=textwrap.dedent(conftest))
    assert shown(result) == ["fixture", "hook", "test"]


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
