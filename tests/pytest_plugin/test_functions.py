import asyncio
import contextvars

from asyncunit import LeftBehindError
from asyncunit.pytest_plugin.run import FunctionTest
from asyncunit.scopes import registry
from tests.conftest import fail, position, running_loop

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_a_test_with_a_loop_of_its_own_closes_it(hosted_run):
    test = FunctionTest(hosted_run, position(4), "test_x")
    loop = test.call(running_loop, {})
    assert not loop.is_closed()
    assert test.close() == []
    assert loop.is_closed()


def test_tests_that_stand_in_one_scope_share_its_loop(hosted_run):
    loops = []
    for name in ("test_x", "test_y"):
        test = FunctionTest(hosted_run, position(1), name)
        loops.append(test.call(running_loop, {}))
        test.close()
    assert loops[0] is loops[1]
    registry.end(hosted_run)
    assert loops[0].is_closed()


def test_what_one_test_sets_another_does_not_see(hosted_run):
    async def put():
        variable.set("x")

    async def get():
        return variable.get()

    for function, expected in ((put, None), (get, "unset")):
        test = FunctionTest(hosted_run, position(3), function.__name__)
        assert test.call(function, {}) == expected
        test.close()


def test_what_a_test_leaves_behind_is_an_error_of_its_end(hosted_run):
    async def leave():
        asyncio.ensure_future(fail())
        await asyncio.sleep(0)

    test = FunctionTest(hosted_run, position(3), "test_x")
    test.call(leave, {})
    (error,) = test.close()
    assert isinstance(error, LeftBehindError)


def test_a_sync_function_that_returns_a_coroutine_has_it_awaited(hosted_run):
    test = FunctionTest(hosted_run, position(3), "test_x")
    assert test.call(lambda: running_loop(), {}).is_running() is False
    assert test.call(lambda: 5, {}) == 5
    test.close()
