import asyncio
import unittest
import unittest.case
import unittest.suite

import pytest

import asyncunit
from asyncunit.cases import run as runs
from asyncunit.cases.run import UnittestRun
from asyncunit.scope import Scope
from asyncunit.scopes import registry
from tests.support import Result, run, run_suite, suite_of


@pytest.fixture(autouse=True)
def no_run_is_left():
    yield
    while registry.runs():
        registry.end(registry.runs()[-1])


class Example(asyncunit.SessionLoopTestCase):
    loops: list = []

    async def test_x(self):
        self.loops.append(asyncio.get_running_loop())


def test_the_private_names_of_unittest_are_there():
    assert unittest.TestResult()._moduleSetUpFailed is False
    assert unittest.case._module_cleanups == []
    assert str(unittest.suite._ErrorHolder("name")) == "name"
    assert unittest.skip("why")(lambda: None).__unittest_skip__ is True
    assert unittest.TestSuite.run.__code__.co_varnames[:2] == ("self", "result")
    assert unittest.TestCase.run.__code__.co_varnames[:2] == ("self", "result")


def test_a_run_is_told_by_the_result_that_the_suite_reports_to():
    seen = []

    class Test(unittest.TestCase):
        def test_x(self):
            seen.append(runs.current_run())

        test_y = test_x

    result = run(Test)
    assert result.wasSuccessful()
    assert seen[0] is seen[1]
    assert seen[0].result is result
    assert registry.runs() == []


def test_the_run_ends_when_its_runner_says_so():
    """As where failfast has kept the outermost suite from coming to its end."""
    Example.loops.clear()
    result = Result()
    result.startTestRun()
    suite = suite_of(Example)
    suite.addTest(lambda result: result.stop())
    suite.run(result)
    assert not Example.loops[0].is_closed()
    result.stopTestRun()
    assert Example.loops[0].is_closed()
    assert result.stopTestRun.__func__ is Result.stopTestRun


def test_a_run_ends_as_its_outermost_suite_does_whether_or_not_its_runner_says_so():
    Example.loops.clear()
    for _ in range(2):
        suite_of(Example).run(unittest.TestResult())
        assert Example.loops[-1].is_closed()
    assert len(Example.loops) == 2


def test_what_ends_a_run_is_no_test_and_is_gone_after_it():
    suite = suite_of(Example)
    number = suite.countTestCases()
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun == number
    assert [test for test in suite if test is not None and not isinstance(test, unittest.TestSuite)] == []


def test_a_run_whose_suite_has_not_come_to_its_end_ends_when_the_next_begins():
    Example.loops.clear()
    suite = suite_of(Example)
    suite.addTest(lambda result: result.stop())
    suite.run(unittest.TestResult())
    assert not Example.loops[0].is_closed()
    run(Example)
    first, second = Example.loops
    assert first.is_closed()
    assert second is not first


def test_a_run_inside_a_test_is_a_run_of_its_own():
    Example.loops.clear()

    class Outer(asyncunit.SessionLoopTestCase):
        seen = []

        def test_1(self):
            self.seen.append(asyncio.get_event_loop())
            assert run(Example).wasSuccessful()

        async def test_2(self):
            self.seen.append(asyncio.get_running_loop())

    assert run(Outer).wasSuccessful()
    assert Outer.seen[0] is Outer.seen[1]
    assert Example.loops[0] is not Outer.seen[0]


def test_a_run_inside_a_plain_test_disturbs_the_outer_one_no_more():
    Example.loops.clear()

    class Plain(unittest.TestCase):
        def test_x(self):
            suite_of(Example).run(unittest.TestResult())

    result = run(Example, Plain, Example)
    assert result.wasSuccessful()
    outer, inner, outer_again = Example.loops
    assert outer is outer_again
    assert inner is not outer


def test_errors_at_the_end_of_the_run_are_in_its_result():
    class Test(asyncunit.SessionLoopTestCase):
        async def test_x(self):
            session = registry.runs()[-1].chain[0]
            session.keep("broken", lambda: None, lambda _: [ValueError("at the end")])

    result = run(Test)
    assert result.testsRun == 1
    assert [(name, str(error)) for name, error in result.raised] == [("closing", "at the end")]
    assert str(result.errors[0][0]) == "closing (session)"


def test_errors_where_nobody_takes_them_go_to_stderr(capsys):
    class Test(asyncunit.SessionLoopTestCase):
        async def test_x(self):
            session = registry.runs()[-1].chain[0]
            session.keep("broken", lambda: None, lambda _: [ValueError("at the end")])

    suite = suite_of(Test)
    suite.debug()
    assert "ValueError: at the end" in capsys.readouterr().err


def test_skips_are_reported_as_skips():
    result = Result()
    run = UnittestRun(result)
    run.report_all([unittest.SkipTest("why")], "setUpModule (m)")
    assert [(str(test), why) for test, why in result.skipped] == [("setUpModule (m)", "why")]


def test_without_a_result_errors_are_raised_all_of_them():
    run = UnittestRun(None)
    run.report_all([], "nothing")
    with pytest.raises(ValueError, match="one"):
        run.report_all([ValueError("one")], "name")
    with pytest.raises(ExceptionGroup) as caught:
        run.report_all([ValueError("one"), ValueError("two")], "name")
    assert [str(error) for error in caught.value.exceptions] == ["one", "two"]


def test_a_test_expects_failure_by_itself_or_by_its_class():
    class Test(asyncunit.AsyncTestCase):
        @unittest.expectedFailure
        def test_marked(self): ...

        @staticmethod
        def test_static(): ...

    @unittest.expectedFailure
    class Marked(Test): ...

    def expecting(cls):
        return [runs.expects_failure(cls(name), getattr(cls, name)) for name in ("test_marked", "test_static")]

    assert expecting(Test) == [True, False]
    assert expecting(Marked) == [True, True]


def test_user_code_calls_from_hooks_and_tests_and_not_from_a_suite_inside_them():
    seen = {"outside": runs.is_called_by_user()}

    class Inner(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            seen["suite in a test"] = runs.is_called_by_user()

        def test_x(self):
            pass

    class Test(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            seen["hook"] = runs.is_called_by_user()

        def test_x(self):
            seen["test"] = runs.is_called_by_user()
            suite_of(Inner).run(unittest.TestResult())

    class Next(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
            seen["suite"] = runs.is_called_by_user()

        def test_x(self):
            pass

    assert run(Test, Next).wasSuccessful()
    assert seen == {"outside": False, "hook": True, "test": True, "suite in a test": False, "suite": False}


def test_ctrl_c_closes_all_scopes_and_goes_on_errors_on_stderr(capsys):
    events = []

    class Test(asyncunit.SessionLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            session = registry.runs()[-1].chain[0]
            session.keep("broken", lambda: None, lambda _: [ValueError("at the end")])

        @classmethod
        async def asyncTearDownClass(cls):
            events.append("asyncTearDownClass")

        async def test_x(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Test)
    assert events == ["asyncTearDownClass"]
    assert registry.runs() == []
    err = capsys.readouterr().err
    assert err.count("ValueError: at the end") == 1
    assert "KeyboardInterrupt" not in err


def test_the_innermost_scope_of_a_test_is_its_own():
    seen = []

    class Test(asyncunit.AsyncTestCase):
        async def test_x(self):
            seen.extend(open_scope.scope for open_scope in registry.runs()[-1].chain)

    run(Test)
    assert seen == sorted(Scope, reverse=True)


# What unittest is runs.


def test_the_tests_that_are_to_run_are_those_of_the_suite():
    seen = []

    class Test(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            seen.append(runs.has_test_to_run(cls))

        def test_x(self):
            pass

        @unittest.skip("why")
        def test_skipped(self):
            pass

    run(Test)
    run_suite(unittest.TestSuite([Test("test_skipped")]))
    Test.setUpClass()
    assert seen == [True, False, True]
    Test.doClassCleanups()


def test_the_results_are_those_that_are_reported_to_innermost_first():
    seen = []

    class Inner(unittest.TestCase):
        def test_x(self):
            seen.extend(runs.results())

    class Outer(unittest.TestCase):
        def test_x(self):
            unittest.TestSuite([Inner("test_x")]).run(inner)

    inner, outer = unittest.TestResult(), unittest.TestResult()
    before = list(runs.results())
    unittest.TestSuite([Outer("test_x")]).run(outer)
    # Each stands in the frame of a suite, and in that of its test.
    assert seen == [inner, inner, outer, outer, *before]


def test_the_class_to_be_run_is_that_of_the_test_that_the_suite_has_come_to():
    seen = []

    class First(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            seen.append(runs.current_run(in_hook=True).class_to_be_run())

        def test_x(self): ...

    class Second(First): ...

    result = Result()
    unittest.TestSuite([First("test_x"), Second("test_x")]).run(result)
    assert seen == [First, Second]
