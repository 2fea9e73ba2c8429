import asyncio
import gc

import asyncunit
from asyncunit import AsyncTestCase, ClassLoopTestCase, CutShortError, LoopClosedError
from tests.support import Result, run, suite_of


def test_a_test_that_closes_its_loop_is_in_error_and_harms_no_other():
    class Test(AsyncTestCase):
        starts = 0

        @classmethod
        async def asyncSetUpClass(cls):
            cls.starts += 1
            cls.loop = asyncio.get_running_loop()

        def test_1(self):
            self.loop.close()

        async def test_2(self):
            assert self.starts == 2
            assert asyncio.get_running_loop() is self.loop

    result = run(Test)
    assert result.errors_by_name == [("test_1", LoopClosedError)]
    assert result.passed == ["test_2"]


def test_a_test_that_closes_a_loop_of_its_own_is_in_error():
    class Test(AsyncTestCase):
        def test_x(self):
            asyncio.get_event_loop().close()

    assert run(Test).errors_by_name == [("test_x", LoopClosedError)]


def test_a_suite_run_by_a_test_leaves_the_outer_class_as_it_is():
    events = []

    class Inner(asyncunit.SessionLoopTestCase):
        async def test_x(self):
            pass

    class Outer(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            events.append("asyncSetUpClass")

        @classmethod
        async def asyncTearDownClass(cls):
            events.append("asyncTearDownClass")

        def test_1(self):
            suite_of(Inner).run(Result())

        async def test_2(self):
            events.append("test_2")

    assert run(Outer).raised == []
    assert events == ["asyncSetUpClass", "test_2", "asyncTearDownClass"]


def test_a_tear_down_that_a_scope_cut_short_without_an_error_is_an_error():
    class Swallow:
        async def __aenter__(self):
            self.task = asyncio.current_task()
            return self.task

        async def __aexit__(self, *_):
            return True

    class Test(AsyncTestCase):
        async def asyncSetUp(self):
            self.task = await self.enterAsyncContext(Swallow())

        async def test_x(self):
            pass

        async def asyncTearDown(self):
            self.task.cancel()
            await asyncio.Event().wait()

    assert run(Test).errors_by_name == [("test_x", CutShortError)]


def test_a_function_loop_that_a_test_closes_leaves_no_noise(caplog):
    class Test(AsyncTestCase):
        async def asyncSetUp(self): ...

        def test_x(self):
            asyncio.get_event_loop().close()

    assert isinstance(run(Test).only_error(), LoopClosedError)
    gc.collect()
    assert caplog.records == []
