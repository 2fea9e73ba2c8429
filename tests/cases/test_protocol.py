import asyncio
import contextvars
import copy
import pickle
import threading
import unittest
from unittest import IsolatedAsyncioTestCase

import pytest

import asyncunit
from asyncunit import AsyncTestCase, ClassLoopTestCase
from asyncunit.scopes import registry
from tests.support import Result, run

variable = contextvars.ContextVar("variable", default="outside")


def test_the_private_names_of_unittest_are_there():
    for name in ("_callSetUp", "_callTestMethod", "_callTearDown", "_callCleanup", "_setupAsyncioRunner"):
        assert callable(getattr(IsolatedAsyncioTestCase, name))
    for name in ("_tearDownAsyncioRunner", "_callAsync", "_callMaybeAsync"):
        assert callable(getattr(IsolatedAsyncioTestCase, name))
    test = IsolatedAsyncioTestCase()
    assert test._cleanups == []
    assert test._testMethodName == "runTest"
    assert test._asyncioRunner is None
    assert isinstance(test._asyncioTestContext, contextvars.Context)
    of_isolated = vars(test).keys() - vars(unittest.TestCase()).keys()
    assert of_isolated == {"_asyncioRunner", "_asyncioTestContext"}  # else its __init__() adds what may be needed


def test_the_private_names_that_bases_use_do_what_they_did():
    class Test(ClassLoopTestCase):
        def setUp(self):
            self.loop = self._asyncioRunner.get_loop()
            variable.set("setUp")
            self._asyncioTestContext.copy().run(variable.get)

        async def value(self, value):
            return value, asyncio.get_running_loop()

        def test_x(self):
            assert self.loop is asyncio.get_event_loop()

        def _callTestMethod(self, method):
            assert self._callAsync(self.value, 3) == (3, self.loop)
            assert self._callMaybeAsync(self.value, 4) == (4, self.loop)
            assert self._callMaybeAsync(variable.get) == "setUp"
            super()._callTestMethod(method)

    assert run(Test).raised == []


class ExtendsSteps(IsolatedAsyncioTestCase):
    def _callSetUp(self):
        self.steps = ["before set-up"]
        super()._callSetUp()

    def _callTestMethod(self, method):
        self.steps.append("before test")
        super()._callTestMethod(method)

    def _callTearDown(self):
        self.steps.append("before tear-down")
        super()._callTearDown()
        type(self).all_steps = self.steps

    async def asyncSetUp(self):
        self.steps.append("asyncSetUp")

    async def asyncTearDown(self):
        self.steps.append("asyncTearDown")

    async def test_x(self):
        self.steps.append("test")


@pytest.mark.parametrize("bases", [(ExtendsSteps, ClassLoopTestCase), (ClassLoopTestCase, ExtendsSteps)])
def test_bases_that_extend_the_steps_of_a_test_work_before_and_after(bases):
    Test = type("Test", bases, {})
    assert run(Test).raised == []
    assert Test.all_steps == [
        "before set-up",
        "asyncSetUp",
        "before test",
        "test",
        "before tear-down",
        "asyncTearDown",
    ]


@pytest.mark.parametrize("is_behind", [False, True])
def test_a_base_may_have_an_init_of_its_own(is_behind):
    class Base(IsolatedAsyncioTestCase):
        def __init__(self, methodName="runTest"):
            super().__init__(methodName)
            self.made = "by the base"

        async def test_x(self):
            self.assertEqual(self.made, "by the base")

    Test = type("Test", (ClassLoopTestCase, Base) if is_behind else (Base, ClassLoopTestCase), {})
    assert run(Test).passed == ["test_x"]


def test_an_instance_can_be_run_twice():
    class Test(AsyncTestCase):
        async def test_x(self):
            self.addAsyncCleanup(asyncio.sleep, 0)

    test = Test("test_x")
    for _ in range(2):
        result = Result()
        test.run(result)
        assert result.passed == ["test_x"]


def test_a_debug_run_that_fails_is_left_open_for_its_cleanups():
    events = []

    class Test(AsyncTestCase):
        async def test_x(self):
            self.addAsyncCleanup(self.clean)
            raise ValueError("boom")

        async def clean(self):
            events.append("cleanup")

    test = Test("test_x")
    with pytest.raises(ValueError, match="boom"):
        test.debug()
    assert events == []
    test.doCleanups()
    assert events == ["cleanup"]
    assert registry.runs() == []


def test_cleanups_can_be_done_in_the_middle_of_a_test():
    events = []

    class Test(AsyncTestCase):
        async def test_x(self):
            self.addCleanup(events.append, "cleanup")
            self.doCleanups()
            events.append("test")
            await asyncio.sleep(0)

        def test_y(self):
            self.test_x().close()
            self.addCleanup(events.append, "cleanup")
            self.doCleanups()
            events.append("test")

    assert run(Test).raised == []
    assert events == ["cleanup", "test"] * 2


class Picklable(AsyncTestCase):
    __test__ = False  # it is run by the tests below

    async def test_x(self):
        self.addAsyncCleanup(asyncio.sleep, 0)

    async def test_pickles(self):
        with self.subTest():
            assert pickle.loads(pickle.dumps(self)) == self


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda test: pickle.loads(pickle.dumps(test))])
def test_instances_pickle_and_copy(duplicate):
    test = Picklable("test_x")
    for _ in range(2):
        test = duplicate(test)
        result = Result()
        test.run(result)
        assert result.passed == ["test_x"]
    assert test == Picklable("test_x")


@pytest.mark.parametrize("base", [AsyncTestCase, ClassLoopTestCase])
def test_a_base_may_use_the_private_names_before_the_set_up(base):
    class Early(IsolatedAsyncioTestCase):
        def _callSetUp(self):
            self.loop = self._asyncioRunner.get_loop()
            self._callAsync(self.early)
            self._asyncioTestContext.run(variable.set, "early")
            super()._callSetUp()

        async def early(self):
            assert asyncio.get_running_loop() is self.loop

    class Test(Early, base):
        async def test_x(self):
            assert asyncio.get_running_loop() is self.loop
            assert variable.get() == "early"

        @unittest.skip("why")
        async def test_skipped(self):
            pass

    assert run(Test).raised == []


def test_a_running_test_pickles():
    result = Result()
    Picklable("test_pickles").run(result)
    assert result.raised == []


class WithLocks(AsyncTestCase):
    __test__ = False  # it is run by the test below

    @asyncunit.fixture(scope="class")
    def of_the_class(cls):
        return threading.Lock()

    @asyncunit.fixture
    async def of_the_test(self):
        yield threading.Lock()

    @asyncunit.fixture(params=[1])
    def again(self):
        return threading.Lock()

    async def test_pickles(self, of_the_test):
        assert of_the_test is self.of_the_test
        self.addAsyncCleanup(asyncio.sleep, 0)
        self.own = self.of_the_class.locked()
        type(self).duplicate = pickle.loads(pickle.dumps(self))


def test_a_running_test_pickles_without_the_values_of_its_fixtures():
    result = Result()
    WithLocks("test_pickles[1]").run(result)
    duplicate = WithLocks.duplicate
    assert duplicate.own is False
    duplicate.run(result)
    assert result.passed == ["test_pickles[1]"] * 2


def test_a_test_pickles_while_a_base_sets_it_up():
    class Base(IsolatedAsyncioTestCase):
        def _callSetUp(self):
            super()._callSetUp()

    class Test(ClassLoopTestCase, Base):
        def setUp(self):
            assert self.__getstate__()["_asyncunit_substitute"] is None
            assert copy.deepcopy(self) == self

        async def test_x(self): ...

    assert run(Test).passed == ["test_x"]


@pytest.mark.parametrize("base", [IsolatedAsyncioTestCase, unittest.TestCase])
def test_the_cleanups_of_a_base_are_called_where_there_are_none(base):
    seen = []

    class Base(base):
        def doCleanups(self):
            seen.append(self._cleanups)
            return super().doCleanups()

    class Test(ClassLoopTestCase, Base):
        async def test_x(self): ...

    assert run(Test).wasSuccessful()
    assert seen == [[]]
