"""Running small suites inside a test: from classes, from the text of a module, and by the real command."""

import itertools
import os
import subprocess
import sys
import textwrap
import types
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path

from tests import prepared

ROOT = Path(__file__).parent.parent

_numbers = itertools.count()


def suite_of(*classes: type[unittest.TestCase]) -> unittest.TestSuite:
    """All tests of the classes, as unittest's loader finds them."""
    loader = unittest.TestLoader()
    return unittest.TestSuite(loader.loadTestsFromTestCase(cls) for cls in classes)


class Result(unittest.TestResult):
    """A result that keeps the exceptions themselves, by the short name of what they are reported for."""

    def __init__(self) -> None:
        super().__init__()
        self.raised: list[tuple[str, BaseException]] = []
        self.passed: list[str] = []

    def addError(self, test, err):
        super().addError(test, err)
        self.raised.append((short_name(test), err[1]))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.raised.append((short_name(test), err[1]))

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed.append(short_name(test))

    @property
    def errors_by_name(self) -> list[tuple[str, type[BaseException]]]:
        return [(name, type(error)) for name, error in self.raised]

    def only_error(self) -> BaseException:
        assert len(self.raised) == 1, self.raised
        return self.raised[0][1]


def short_name(test: object) -> str:
    """``test_x`` of a test; ``setUpClass`` or the like of anything else."""
    return getattr(test, "_testMethodName", None) or str(test).partition(" (")[0]


def run(*classes: type[unittest.TestCase]) -> Result:
    """Run the classes as a runner does, which says when the run begins and ends."""
    return run_suite(suite_of(*classes))


def run_suite(suite: unittest.TestSuite) -> Result:
    result = Result()
    result.startTestRun()
    try:
        suite.run(result)
    finally:
        result.stopTestRun()
    return result


@contextmanager
def module_of(source: str, name: str | None = None, **names: object) -> Iterator[types.ModuleType]:
    """A module with that text, which has ``names``, as long as the block lasts."""
    name = name or f"module_{next(_numbers)}"
    loader = _TextLoader("import asyncio, contextvars, unittest, asyncunit\n" + textwrap.dedent(source))
    module = module_from_spec(ModuleSpec(name, loader))
    sys.modules[name] = module
    vars(module).update(names)
    try:
        loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]


class _TextLoader(InspectLoader):
    """The import system's view of a module that is a text and no file."""

    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source


def run_module(source: str, **names: object) -> Result:
    """Run the tests of a module with that text."""
    with module_of(source, **names) as module:
        return run_suite(unittest.TestLoader().loadTestsFromModule(module))


def python(*arguments: str, cwd: Path, timeout: float = 60, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run this Python, with asyncunit importable and no configuration of the environment's."""
    environment = {**prepared.without_settings(os.environ), "PYTHONPATH": str(ROOT), **environ}
    command = [sys.executable, *arguments]
    if imports := prepared.imports_for(arguments, environ):
        return prepared.process_with(imports).run(command, cwd, environment, timeout)
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def write(directory: Path, **files: str) -> Path:
    """Write Python files, their names without the ending."""
    for name, text in files.items():
        (directory / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    return directory
