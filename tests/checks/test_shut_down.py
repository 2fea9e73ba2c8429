"""A loop that a test has shut down in part is replaced for the next one, and who did it is told."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncunit import ClassLoopTestCase, LeftBehindError, settings
from tests.checks.test_left_callbacks import FACTORIES
from tests.support import run

pytestmark = pytest.mark.filterwarnings("default::asyncunit.AsyncUnitWarning")


async def numbers():
    yield 1
    yield 2


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.__module__.partition(".")[0])
def base(request):
    class Base(ClassLoopTestCase):
        loop_factory = staticmethod(request.param)
        ups = []

        @classmethod
        async def asyncSetUpClass(cls):
            cls.ups.append(asyncio.get_running_loop())

    return Base


def test_a_default_executor(base):
    @settings(fail_on="left_callbacks")
    class Test(base):
        async def test_1(self):
            await asyncio.get_running_loop().shutdown_default_executor()

        async def test_2(self):
            self.assertEqual(await asyncio.to_thread(len, ""), 0)

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_2"], [("test_1", LeftBehindError)])
    assert f"the default executor of an event loop that others share, shut down at {__file__}:" in str(
        result.only_error()
    )
    assert len(Test.ups) == 2


def test_async_generators(base):
    @settings(fail_on="left_callbacks")
    class Test(base):
        async def test_1(self):
            await asyncio.get_running_loop().shutdown_asyncgens()

        async def test_2(self):
            self.assertEqual([number async for number in numbers()], [1, 2])

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_2"], [("test_1", LeftBehindError)])
    assert "the async generators of an event loop" in str(result.only_error())


def test_the_executor_that_a_test_has_set_is_taken_back(base):
    class Test(base):
        async def test_1(self):
            with ThreadPoolExecutor() as executor:
                asyncio.get_running_loop().set_default_executor(executor)

        async def test_2(self):
            self.assertEqual(await asyncio.to_thread(len, ""), 0)

    assert run(Test).passed == ["test_1", "test_2"]
    assert len(Test.ups) == 1


def test_the_executor_that_a_class_has_set_stays(base):
    with ThreadPoolExecutor(thread_name_prefix="own") as own, ThreadPoolExecutor() as other:

        class Test(base):
            @classmethod
            async def asyncSetUpClass(cls):
                asyncio.get_running_loop().set_default_executor(own)

            async def test_1(self):
                asyncio.get_running_loop().set_default_executor(other)

            async def test_2(self):
                def name():
                    import threading

                    return threading.current_thread().name

                self.assertIn("own", await asyncio.to_thread(name))

        assert run(Test).passed == ["test_1", "test_2"]


def test_a_shut_down_by_the_tear_down_of_a_class_is_no_finding_where_its_loop_ends_with_it(base):
    @settings(fail_on="all")
    class Test(base):
        async def test_1(self):
            await asyncio.to_thread(len, "")

        @classmethod
        async def asyncTearDownClass(cls):
            await asyncio.get_running_loop().shutdown_default_executor()

    assert run(Test).passed == ["test_1"]
    assert run(Test).raised == []
