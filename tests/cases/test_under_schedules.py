import asyncio
import unittest

import asyncunit
from asyncunit.cases.run import HeldResult
from tests.loops.races import reply
from tests.support import run


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
