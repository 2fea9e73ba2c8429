import asyncio
import gc
import unittest

import pytest

import asyncunit
from asyncunit import AsyncTestCase, ClassLoopTestCase
from asyncunit.cases.run import HeldResult
from asyncunit.scopes import registry
from tests.loops.races import reply
from tests.support import Result, run, run_module, suite_of


def test_a_test_on_its_own_opens_all_that_it_needs_and_closes_it_after():
    events = []

    class Test(asyncunit.SessionLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            events.append("asyncSetUpClass")
            cls.addAsyncClassCleanup(cls.clean)

        @classmethod
        async def clean(cls):
            events.append("cleanup")

        @classmethod
        async def asyncTearDownClass(cls):
            events.append("asyncTearDownClass")

        async def test_x(self):
            events.append("test")
            Test.loop = asyncio.get_running_loop()

    in_order = ["asyncSetUpClass", "test", "asyncTearDownClass", "cleanup"]
    for run_it in (
        lambda test: test.run(),
        lambda test: test.run(Result()),
        lambda test: test.debug(),
        lambda test: test(),
    ):
        events.clear()
        run_it(Test("test_x"))
        assert events == in_order
        assert Test.loop.is_closed()
        assert registry.runs() == []


def test_a_test_on_its_own_leaves_nothing_open_after_a_run_whose_runner_never_said_so():
    class Test(asyncunit.SessionLoopTestCase):
        async def test_x(self):
            Test.loop = asyncio.get_running_loop()

    suite_of(Test).run(unittest.TestResult())
    Test("test_x").run(Result())
    assert Test.loop.is_closed()
    assert registry.runs() == []


def test_errors_of_what_is_opened_for_one_test_are_that_tests_errors():
    class Test(AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            if cls.fails_at == "set-up":
                raise ValueError("set-up")

        @classmethod
        async def asyncTearDownClass(cls):
            raise ValueError("tear-down")

        async def test_x(self):
            pass

    for Test.fails_at in ("set-up", "tear-down"):
        result = Result()
        Test("test_x").run(result)
        assert [(name, str(error)) for name, error in result.raised] == [("test_x", Test.fails_at)]
        assert registry.runs() == []


def test_a_debug_run_that_fails_is_closed_with_the_test():
    class Test(AsyncTestCase):
        async def test_x(self):
            Test.loop = asyncio.get_running_loop()
            raise ValueError("boom")

    test = Test("test_x")
    with pytest.raises(ValueError, match="boom"):
        test.debug()
    del test
    gc.collect()
    assert Test.loop.is_closed()
    assert registry.runs() == []


def test_debug_mode_is_off_unless_somebody_asks():
    source = """
        class Test(asyncunit.ClassLoopTestCase):
            async def test_1(self): assert asyncio.get_running_loop().get_debug() is False
            @asyncunit.settings(loop_debug=True)
            async def test_2(self): assert asyncio.get_running_loop().get_debug() is True
            test_3 = test_1
        @asyncunit.settings(loop_debug=True)
        class Debug(asyncunit.SessionLoopTestCase):
            @classmethod
            async def asyncSetUpClass(cls): assert asyncio.get_running_loop().get_debug() is True
            async def test_1(self): assert asyncio.get_running_loop().get_debug() is True
            @asyncunit.settings(loop_debug=False)
            async def test_2(self): assert asyncio.get_running_loop().get_debug() is False
        class Session(asyncunit.SessionLoopTestCase):
            async def test_1(self): assert asyncio.get_running_loop().get_debug() is False
    """
    assert run_module(source).raised == []


def test_a_finished_test_is_let_go():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            self.addAsyncCleanup(asyncio.sleep, 0)

        test_y = test_x

    suite = suite_of(Test)
    gc.collect()
    suite.run(unittest.TestResult())
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each) is Test]


def test_a_test_that_debug_left_open_closes_nothing_of_others():
    class Test(ClassLoopTestCase):
        async def test_fail(self):
            self.fail()

        async def test_x(self):
            await asyncio.sleep(0)
            gc.collect()
            await asyncio.sleep(0)

    test = Test("test_fail")
    test.cycle = test
    with pytest.raises(AssertionError):
        test.debug()
    del test
    result = Result()
    Test("test_x").run(result)
    assert result.passed == ["test_x"]
    while registry.runs():
        registry.end(registry.runs()[-1])


def test_a_factory_that_fails_is_the_error_of_each_test_and_harms_no_other():
    class Test(AsyncTestCase):
        @staticmethod
        def loop_factory():
            raise ValueError("no loop today")

        async def test_1(self):
            pass

        test_2 = test_1

    class Next(ClassLoopTestCase):
        async def test_x(self):
            pass

    result = run(Test, Next)
    assert result.errors_by_name == [("test_1", ValueError), ("test_2", ValueError)]
    assert result.passed == ["test_x"]
    assert registry.runs() == []


def test_what_is_there_for_each_test_has_no_attribute_that_its_class_has_too():
    """Python specialises neither reading nor setting such an attribute, and each test does that many times."""

    class Test(ClassLoopTestCase):
        async def asyncSetUp(self):
            await asyncio.sleep(0)

        async def test_x(self):
            test = self._asyncunit_test
            scope_task = test.scope_task
            own = [self, test, test._run, scope_task, scope_task.scope, scope_task._current, scope_task.loop_runner]
            for thing in (*own, scope_task.loop_runner.instrument):
                both = {name for name in vars(thing) if any(name in vars(base) for base in type(thing).__mro__)}
                assert not both, (type(thing), both)

    assert run(Test).raised == []


class Recorder(unittest.TestResult):
    """Writes down what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def startTest(self, test):
        self.told.append("start")

    def stopTest(self, test):
        self.told.append("stop")

    def addSuccess(self, test):
        self.told.append("success")

    def addFailure(self, test, err):
        self.told.append(f"failure {getattr(err[1], '__notes__', [])}")


def test_what_is_reported_is_held_until_it_is_asked_for():
    result = Recorder()
    held = HeldResult(result)
    held.startTest(None)
    held.addSuccess(None)
    held.stopTest(None)
    assert result.told == []
    assert held.has_passed
    held.report()
    assert result.told == ["success"]


def test_a_failure_bears_the_note():
    result = Recorder()
    held = HeldResult(result)
    error = AssertionError()
    held.addFailure(None, (AssertionError, error, None))
    assert not held.has_passed
    held.add_note("schedule 5")
    held.report()
    assert result.told == ["failure ['schedule 5']"]


def test_a_result_that_knows_of_no_subtests_is_not_told_of_any():
    assert not hasattr(HeldResult(object()), "addSubTest")
    assert hasattr(HeldResult(unittest.TestResult()), "addSubTest")


def test_a_subtest_that_fails_is_no_success():
    held = HeldResult(unittest.TestResult())
    held.addSubTest(None, None, None)
    assert held.has_passed
    held.addSubTest(None, None, (AssertionError, AssertionError(), None))
    assert not held.has_passed


def test_what_a_test_leaves_on_its_case_is_gone_under_the_next_schedule():
    seen = []

    @asyncunit.settings(schedules=4)
    class Example(asyncunit.AsyncTestCase):
        async def test_it(self):
            seen.append(hasattr(self, "left"))
            self.left = True
            await reply()

    assert run(Example).wasSuccessful()
    assert seen == [False] * 4


def test_the_first_failure_is_the_verdict():
    runs = []

    @asyncunit.settings(schedules=10)
    class Example(asyncunit.AsyncTestCase):
        async def test_it(self):
            runs.append(1)
            await asyncio.gather(reply(), reply())
            self.assertLess(len(runs), 4)

    result = run(Example)
    assert len(runs) == 4
    error = result.only_error()
    assert error.__notes__[-1].startswith("This is schedule 3. In asyncio's own order it passes, and under")


def test_a_test_that_is_run_alone_has_no_suite_to_say_what_is_configured():
    runs = []

    @asyncunit.settings(schedules=10)
    class Example(asyncunit.AsyncTestCase):
        async def test_it(self):
            runs.append(1)

    Example("test_it").run(unittest.TestResult())
    assert len(runs) == 1
