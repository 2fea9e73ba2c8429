import unittest

import asyncunit
from asyncunit.cases import run as executing
from tests.support import Result, run, run_suite


def test_the_tests_that_are_to_run_are_those_of_the_suite():
    seen = []

    class Test(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            seen.append(executing.has_test_to_run(cls))

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
            seen.extend(executing.results())

    class Outer(unittest.TestCase):
        def test_x(self):
            unittest.TestSuite([Inner("test_x")]).run(inner)

    inner, outer = unittest.TestResult(), unittest.TestResult()
    before = list(executing.results())
    unittest.TestSuite([Outer("test_x")]).run(outer)
    # Each stands in the frame of a suite, and in that of its test.
    assert seen == [inner, inner, outer, outer, *before]


def test_the_class_to_be_run_is_that_of_the_test_that_the_suite_has_come_to():
    seen = []

    class First(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            seen.append(executing.class_to_be_run())

        def test_x(self): ...

    class Second(First): ...

    result = Result()
    unittest.TestSuite([First("test_x"), Second("test_x")]).run(result)
    assert seen == [First, Second]
