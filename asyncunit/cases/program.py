"""The command line: ``python -m asyncunit``, which takes what ``python -m unittest`` takes, and draws plans."""

from __future__ import annotations

import sys
import types
import unittest
from typing import Any

from asyncunit.cases.loader import AsyncTestLoader
from asyncunit.errors import ConfigurationError

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class main(unittest.TestProgram):  # noqa: N801 - named as unittest's is
    """As unittest.main(), with `AsyncTestLoader`: run the tests of a module, or what the command line says.

    ``python -m asyncunit plan`` takes the same arguments, runs nothing, and draws what would be run: which tests share
    which event loop, and why. ``--json`` gives it as JSON. Where something is wrong with a test, it ends with 1.
    """

    # unittest's own attributes.
    test: unittest.TestSuite
    exit: bool
    progName: str
    testNamePatterns: list[str] | None

    def __init__(
        self,
        module: types.ModuleType | str | None = "__main__",
        defaultTest: Any = None,
        argv: list[str] | None = None,
        **options: Any,
    ) -> None:
        argv = list(argv or sys.argv)
        self._is_plan = argv[1:2] == ["plan"]
        self._as_json = self._is_plan and "--json" in argv
        if self._is_plan:
            del argv[1]
            argv = [each for each in argv if each != "--json"]
        options.setdefault("testLoader", AsyncTestLoader())
        super().__init__(module, defaultTest, argv, **options)

    def createTests(self, from_discovery: bool = False, Loader: Any = None) -> None:
        """Load the tests; a mistake in the configuration ends the program as one on the command line does."""
        if self.testNamePatterns:  # brackets are part of names, and not a choice of letters
            self.testNamePatterns = [pattern.replace("[", "[[]") for pattern in self.testNamePatterns]
        try:
            super().createTests(from_discovery, Loader)
        except ConfigurationError as error:
            if not self.exit:
                raise
            sys.stderr.write(f"{self.progName}: error: {error}\n")
            sys.exit(2)

    def runTests(self) -> None:
        """Run the tests; or draw their plan."""
        if not self._is_plan:
            super().runTests()
            return
        from asyncunit.cases import plan_tree as outline

        drawn = outline.of_suite(self.test)
        if self._as_json:
            sys.stdout.write(outline.as_json(drawn) + "\n")
        else:
            outline.write(drawn, sys.stdout)
        if self.exit:
            sys.exit(1 if drawn.has_errors else 0)
