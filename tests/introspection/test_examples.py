import asyncio
import functools
import inspect
import types

import asyncunit
from asyncunit.introspection.functions import inner_test, substitute
from tests.support import run


def given(*examples):
    """As much of hypothesis.given() as is asked for: the test is called with each example, and is to return None."""

    def decorate(function):
        handle = types.SimpleNamespace(inner_test=function)

        @functools.wraps(function)
        def wrapper(*args):
            assert not inspect.iscoroutinefunction(handle.inner_test)
            for example in examples:
                assert handle.inner_test(*args, example) is None

        wrapper.is_hypothesis_test, wrapper.hypothesis = True, handle
        return wrapper

    return decorate


async def coroutine_function(value): ...


def test_the_test_of_hypothesis_is_the_one_that_it_calls():
    assert inner_test(given()(coroutine_function)) is coroutine_function
    assert inner_test(given) is given


def test_each_example_is_called_by_another_and_the_test_is_put_back():
    test = given(1, 2)(coroutine_function)
    called = []

    def call(written, *args, **kwargs):
        called.append((written.func, written.args))

    with substitute(test, call):
        test()
    assert called == [(coroutine_function, (1,)), (coroutine_function, (2,))]
    assert inner_test(test) is coroutine_function


def test_an_async_test_of_hypothesis_runs_with_all_examples_on_the_loop_of_its_class():
    seen = []

    class Test(asyncunit.ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.loop = asyncio.get_running_loop()

        @given(1, 2)
        async def test_x(self, value):
            assert asyncio.get_running_loop() is self.loop
            seen.append((value, asyncio.current_task()))

        @given(3)
        def test_y(self, value):
            assert asyncio.get_event_loop() is self.loop
            seen.append((value, None))

        @given(4)
        async def test_z(self, value):
            raise ValueError(value)

    result = run(Test)
    assert [value for value, _ in seen] == [1, 2, 3]
    assert seen[0][1] is seen[1][1]  # one task
    assert result.errors_by_name == [("test_z", ValueError)]


def test_an_example_that_is_cancelled_ends_the_test():
    class Test(asyncunit.AsyncTestCase):
        async def asyncSetUp(self):
            await self.enterAsyncContext(asyncio.timeout(0))

        @given(1, 2)
        async def test_x(self, value):
            await asyncio.sleep(1)

    assert run(Test).errors_by_name == [("test_x", TimeoutError)]
