"""The program that runs one suite, in a process of its own as it is meant to be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real_suites import child
from tests.real_suites.outcomes import Outcome, read_outcomes

SUITE = """
import unittest
import asyncunit
from unittest import IsolatedAsyncioTestCase
from unittest.async_case import IsolatedAsyncioTestCase as Same

class TestIt(IsolatedAsyncioTestCase):
    async def test_pass(self):
        self.assertIs(Same, IsolatedAsyncioTestCase)
        self.assertIsInstance(self, unittest.IsolatedAsyncioTestCase)

    async def test_which(self):
        self.assertEqual(getattr(self, "loop_scope", None), None)

    async def test_error(self):
        raise ValueError("first\\nsecond")

    @unittest.skip("why")
    async def test_skip(self): ...

    @unittest.expectedFailure
    async def test_expected(self):
        self.fail()

    @unittest.expectedFailure
    async def test_unexpected(self): ...

    async def test_sub(self):
        with self.subTest(1):
            self.fail("in a subtest")
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "suite.py").write_text(SUITE)

    def run(*arguments):
        # Not -P: the checkout is on the path, the suite's folder is the working directory.
        environment = {**os.environ, "PYTHONPATH": str(Path(child.__file__).parents[2]), "PYTHONWARNINGS": ""}
        command = [sys.executable, "-P", child.__file__, str(tmp_path / "out"), *arguments]
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
        found = read_outcomes((tmp_path / "out").read_text().splitlines())
        return {name.rpartition(".")[2]: outcome for name, outcome in found.items()}

    return run


def test_each_outcome_is_written(run):
    assert run("suite") == {
        "test_error": Outcome("error", "ValueError: first"),
        "test_expected": Outcome("expected failure"),
        "test_pass": Outcome("passed"),
        "test_skip": Outcome("skipped", "why"),
        "test_sub": Outcome("failed", "AssertionError: in a subtest"),
        "test_unexpected": Outcome("unexpected success"),
        "test_which": Outcome("passed"),
    }


def test_the_base_is_replaced_before_the_suite_is_imported(run):
    found = run("--base", "class", "suite")
    assert found["test_which"] == Outcome("failed", "AssertionError: 'class' != None")
    assert found["test_pass"] == Outcome("passed")


def test_a_module_that_cannot_be_imported_is_an_error(run):
    [outcome] = run("no_such_module").values()
    assert outcome.word == "error"


def test_a_module_that_skips_itself_has_no_tests(run, tmp_path):
    (tmp_path / "skips.py").write_text("import unittest\nraise unittest.SkipTest('not here')")
    assert run("skips") == {}
