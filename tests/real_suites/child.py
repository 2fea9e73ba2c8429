"""Runs one suite with unittest, and writes what comes of each test as lines of JSON. A process of its own does this:

    python -P child.py [--base BASE] OUTCOMES TEST ...

BASE is "unittest" (nothing is replaced) or a loop scope. A TEST is the name of a module, a class or a method.
Nothing of this file's folder is imported, because it must not be on the path of the suite.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
import traceback
import unittest
import unittest.async_case
from pathlib import Path
from typing import Any, TextIO

UNREPLACED = "unittest"


def asyncunit_base(loop_scope: str) -> type[unittest.IsolatedAsyncioTestCase]:
    """An AsyncTestCase on LOOP_SCOPE, under the name of the class that it replaces."""
    import asyncunit

    import_all_of(asyncunit)
    namespace = {"loop_scope": loop_scope, "__module__": "unittest.async_case"}
    return type("IsolatedAsyncioTestCase", (asyncunit.AsyncTestCase,), namespace)


def import_all_of(package: Any) -> None:
    """Imports the modules of asyncunit that are imported late, so that none of them sees the class that is replaced."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            _import_but_for_pytest(module.name)


def _import_but_for_pytest(name: str) -> None:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", "_pytest"):
            raise


def replace_base(base: type[unittest.IsolatedAsyncioTestCase]) -> None:
    """Puts BASE into unittest, for all who import it later. It derives from what it replaces: isinstance() holds."""
    unittest.IsolatedAsyncioTestCase = base  # type: ignore[misc]
    unittest.async_case.IsolatedAsyncioTestCase = base  # type: ignore[misc]


class RecordingResult(unittest.TextTestResult):
    """A result that writes each outcome when it is known, so that it is there also where the run then hangs or dies."""

    outcomes: TextIO

    def _record(self, test: Any, word: str, detail: str = "") -> None:
        self.outcomes.write(json.dumps([test.id(), word, detail]) + "\n")
        self.outcomes.flush()

    def startTest(self, test: Any) -> None:
        self._record(test, "started and never ended")
        super().startTest(test)

    def addSuccess(self, test: Any) -> None:
        self._record(test, "passed")
        super().addSuccess(test)

    def addError(self, test: Any, err: Any) -> None:
        self._record(test, "error", last_line(err))
        super().addError(test, err)

    def addFailure(self, test: Any, err: Any) -> None:
        self._record(test, "failed", last_line(err))
        super().addFailure(test, err)

    def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:
        if err is not None:
            self._record(test, "failed" if issubclass(err[0], test.failureException) else "error", last_line(err))
        super().addSubTest(test, subtest, err)

    def addSkip(self, test: Any, reason: str) -> None:
        self._record(test, "skipped", reason)
        super().addSkip(test, reason)

    def addExpectedFailure(self, test: Any, err: Any) -> None:
        self._record(test, "expected failure")
        super().addExpectedFailure(test, err)

    def addUnexpectedSuccess(self, test: Any) -> None:
        self._record(test, "unexpected success")
        super().addUnexpectedSuccess(test)


def last_line(error: Any) -> str:
    """The first line of what the exception says: its type and message."""
    return "".join(traceback.format_exception_only(error[0], error[1])).strip().partition("\n")[0]


def loaded(name: str) -> unittest.TestSuite:
    """The tests of NAME; none of a module that skips itself, which is only known to unittest's discovery."""
    try:
        return unittest.defaultTestLoader.loadTestsFromName(name)
    except unittest.SkipTest:
        return unittest.TestSuite()


def run(outcomes: TextIO, names: list[str]) -> None:
    """Runs the tests of NAMES, and writes to OUTCOMES."""
    result_class = type("Result", (RecordingResult,), {"outcomes": outcomes})
    suite = unittest.TestSuite(loaded(name) for name in names)
    unittest.TextTestRunner(resultclass=result_class, verbosity=2).run(suite)


def main(arguments: list[str]) -> None:
    """The program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--base", default=UNREPLACED)
    parser.add_argument("outcomes", type=Path)
    parser.add_argument("tests", nargs="+")
    options = parser.parse_args(arguments)
    sys.path.insert(0, str(Path.cwd()))
    if options.base != UNREPLACED:
        replace_base(asyncunit_base(options.base))
    with options.outcomes.open("w", encoding="utf-8") as file:
        run(file, options.tests)


if __name__ == "__main__":
    main(sys.argv[1:])
