import asyncio
import contextvars

import pytest

from asyncunit import Scope
from asyncunit.plans.fixtures import Node, fixture
from asyncunit.pytest_plugin.fixtures import OpenPytestFixture
from asyncunit.pytest_plugin.run import FunctionTest, wide_scope_task
from tests.conftest import position, running_task

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def set_up(run_of_pytest, declared, runner, finish=lambda: None):
    opened = OpenPytestFixture(run_of_pytest, Node(declared, ()))
    return opened, opened.set_up(declared.function, runner, finish, None)


def test_both_halves_of_a_fixture_and_the_test_run_in_one_task(run_of_pytest):
    tasks = []

    @fixture
    async def one():
        async with asyncio.timeout(5):
            tasks.append(asyncio.current_task())
            yield "value"
            tasks.append(asyncio.current_task())

    test = FunctionTest(run_of_pytest, position(1), "test_x")
    test.outer = []
    opened, value = set_up(run_of_pytest, one, test.scope_task_on(1))
    assert value == "value"
    tasks.append(test.call(running_task, {}))
    opened.tear_down()
    opened.tear_down()
    assert test.close() == []
    assert len(set(tasks)) == 1


def test_what_a_fixture_sets_is_set_around_the_run_until_it_is_torn_down(run_of_pytest):
    @fixture(scope="session")
    async def one():
        variable.set("set")

    def check():
        opened, _ = set_up(run_of_pytest, one, wide_scope_task(run_of_pytest, position(1), 1, 1))
        seen = variable.get()
        opened.tear_down()
        return seen, variable.get()

    assert contextvars.copy_context().run(check) == ("set", "unset")


def test_a_crash_of_a_wide_fixture_ends_the_running_test_with_its_error(run_of_pytest):
    finished = []
    crash = asyncio.Event

    @fixture(scope="module")
    async def server():
        nonlocal crash
        crash = asyncio.Event()

        async def serve():
            await crash.wait()
            raise OSError("the server crashed")

        async with asyncio.TaskGroup() as group:
            group.create_task(serve())
            yield

    async def wait():
        crash.set()
        await asyncio.Event().wait()

    test = FunctionTest(run_of_pytest, position(3), "test_x")

    def finish():
        finished.append(True)
        opened.tear_down()

    opened = OpenPytestFixture(run_of_pytest, Node(server, ()))
    opened.set_up(server.function, wide_scope_task(run_of_pytest, position(3), 3, 3), finish, None)
    with pytest.raises(ExceptionGroup) as caught:
        test.call(wait, {})
    assert [str(error) for error in caught.value.exceptions] == ["the server crashed"]
    assert finished == [True]
    assert test.close() == []


def test_a_timeout_that_a_fixture_holds_is_raised_in_its_place(run_of_pytest):
    @fixture
    async def limit():
        async with asyncio.timeout(0.01):
            yield

    test = FunctionTest(run_of_pytest, position(4), "test_x")
    opened = OpenPytestFixture(run_of_pytest, Node(limit, ()))
    test.outer = [opened.tear_down]
    opened.set_up(limit.function, test.scope_task_on(4), opened.tear_down, None)
    with pytest.raises(TimeoutError):
        test.call(asyncio.Event().wait, {})
    assert test.close() == []


def test_a_sync_fixture_finds_the_loop_to_be_the_current_one(run_of_pytest):
    @fixture
    def current():
        loop = asyncio.get_event_loop()
        yield loop
        seen.append(asyncio.get_event_loop() is loop)

    seen = []
    runner = FunctionTest(run_of_pytest, position(1), "test_x").scope_task_on(1)
    opened = OpenPytestFixture(run_of_pytest, Node(current, ()))
    assert opened.set_up_beside(current.function, runner.loop_runner.loop) is runner.loop_runner.loop
    opened.tear_down()
    assert seen == [True]
    assert runner.scope.scope is Scope.FUNCTION
