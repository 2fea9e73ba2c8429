"""The command line: ``python -m asyncunit``, which takes what ``python -m unittest`` takes, and draws plans."""

from __future__ import annotations

import argparse
import platform
import sys
import traceback
import types
import unittest
from typing import Any

import asyncunit
from asyncunit.cases.loader import AsyncTestLoader
from asyncunit.errors import AsyncUnitError
from asyncunit.introspection.tracebacks import users_lines

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


_ABOUT_PLAN = """\
python -m asyncunit plan ... takes the same arguments, runs nothing, and draws which tests share which event loop, and
why. It ends with 1 if something is wrong with a test. Its own options:
  --json       the plan as JSON, with relative paths, to be compared in CI
  --depth N    only N levels below the session: 1 packages, 2 modules, 3 classes, 4 tests
python -m asyncunit --version shows the version.
"""


class main(unittest.TestProgram):  # noqa: N801 - named as unittest's is
    """As unittest.main(), with `AsyncTestLoader`: run the tests of a module, or what the command line says.

    ``python -m asyncunit plan`` takes the same arguments, runs nothing, and draws what would be run: which tests share
    which event loop, and why. ``--json`` gives it as JSON, and ``--depth N`` draws N levels below the session. Where
    something is wrong with a test, it ends with 1.
    """

    # unittest's own attributes.
    test: unittest.TestSuite
    exit: bool
    progName: str
    testNamePatterns: list[str] | None
    result: unittest.TestResult

    def __init__(
        self,
        module: types.ModuleType | str | None = "__main__",
        defaultTest: Any = None,
        argv: list[str] | None = None,
        **options: Any,
    ) -> None:
        argv = list(argv or sys.argv)
        self._plan: argparse.Namespace | None = None
        if argv[1:2] == ["plan"]:
            self._plan, others = _plan_options().parse_known_args(argv[2:])
            argv[1:] = others
        self._loader: unittest.TestLoader = options.setdefault("testLoader", AsyncTestLoader())
        super().__init__(module, defaultTest, argv, **options)

    def parseArgs(self, argv: list[str]) -> None:
        """Read the command line; beyond what unittest's help says, say what there is more."""
        if "--version" in argv[1:]:
            sys.stdout.write(f"asyncunit {asyncunit.__version__} (Python {platform.python_version()})\n")
            sys.exit(0)
        try:
            super().parseArgs(argv)
        except SystemExit as ended:
            if not ended.code and {"-h", "--help"} & set(argv):
                sys.stdout.write(f"\n{_ABOUT_PLAN}")
            raise

    def createTests(self, from_discovery: bool = False, Loader: Any = None) -> None:
        """Load the tests; a mistake in a definition or in the configuration ends the program."""
        if self.testNamePatterns:  # brackets are part of names, and not a choice of letters
            self.testNamePatterns = [pattern.replace("[", "[[]") for pattern in self.testNamePatterns]
        try:
            super().createTests(from_discovery, Loader)
        except AsyncUnitError as error:
            if not self.exit:
                raise
            lines = traceback.format_list(users_lines(error))
            sys.stderr.write(f"{''.join(lines)}{self.progName}: error: {error}\n")
            sys.exit(2)

    def runTests(self) -> None:
        """Run the tests; or draw their plan."""
        if self._plan is not None:
            self._draw(self._plan)
            return
        left_out = getattr(self._loader, "left_out", None)
        if left_out and not self.test.countTestCases():
            sys.stderr.write("".join(f"{self.progName}: {text}\n" for text in left_out))
        super().runTests()

    def _draw(self, options: argparse.Namespace) -> None:
        from asyncunit.cases import plan_tree

        tree = plan_tree.of_suite(self.test)
        shown = tree if options.depth is None else tree.down_to(options.depth)
        if options.json:
            sys.stdout.write(plan_tree.as_json(shown) + "\n")
        else:
            plan_tree.write(shown, sys.stdout)
        if self.exit:
            sys.exit(1 if tree.has_errors else 0)


def _plan_options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m asyncunit plan", add_help=False, allow_abbrev=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--depth", type=int)
    return parser
