"""Plain functions as tests, and the loader that finds them: what there is in addition to unittest's own."""

from __future__ import annotations

import fnmatch
import functools
import inspect
import os
import sys
import types
import unittest
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from asyncunit import config as configuration
from asyncunit import plans, variants
from asyncunit.case import AsyncTestCase
from asyncunit.config import Config
from asyncunit.errors import DefinitionError
from asyncunit.loops import CHOSEN, config_of_class, config_of_module
from asyncunit.parsing import Unavailable, parse_mode
from asyncunit.signatures import class_name

__all__ = ["AsyncTestLoader", "FunctionTestCase", "cases_of", "flat", "load_tests"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_FROM_MODULE = unittest.TestLoader.loadTestsFromModule.__code__


class FunctionTestCase(AsyncTestCase):
    """One test function at the top of a module, as unittest runs tests. Each function has a class of its own.

    So each has the loop that it needs, and no more, as with pytest.
    """

    _asyncunit_mend = 'Write above it:  @asyncunit.settings(loop_scope="{scope}")'

    def id(self) -> str:
        """The name of the function, and what it is run with: the loop factory first, as under pytest."""
        cls = type(self)
        name, bracket, rest = self._testMethodName.partition("[")
        factory = cls.__qualname__.partition("[")[2].removesuffix("]")
        if factory:
            name = f"{name}[{factory}-{rest}" if bracket else f"{name}[{factory}]"
            return f"{cls.__module__}.{name}"
        return f"{cls.__module__}.{self._testMethodName}"

    def __str__(self) -> str:
        return f"{self.id().removeprefix(type(self).__module__ + '.')} ({self.id()})"

    def __repr__(self) -> str:
        return f"<{self.id()}>"

    def shortDescription(self) -> str | None:
        """The first line of the docstring of the function."""
        doc = getattr(getattr(self, self._testMethodName), "__doc__", None)
        return doc.strip().split("\n")[0].strip() if doc else None


def _class(name: str, bases: tuple[type, ...], attributes: Mapping[str, Any]) -> Any:
    return types.new_class(name, bases, exec_body=lambda namespace: namespace.update(attributes))


def case_of_function(module: types.ModuleType, name: str, function: Any) -> type[FunctionTestCase]:
    """The class for a test function of a module; raises DefinitionError as the definition of a class does."""
    said = dict(configuration.settings_of(function))
    attributes: dict[str, Any] = {
        "__module__": module.__name__,
        "__qualname__": name,
        "__doc__": function.__doc__,
        name: staticmethod(function),
    }
    for key in configuration.CLASS_ATTRIBUTES:
        if key in said:
            value = said.pop(key)
            attributes[key] = staticmethod(value) if key == "loop_factory" and value is not None else value
    attributes[configuration.ATTRIBUTE] = said
    made: type[FunctionTestCase] = _class(name, (FunctionTestCase,), attributes)
    return made


def functions_of(module: types.ModuleType, prefix: str) -> dict[str, Any]:
    """The test functions at the top of a module, in the order of their definition."""
    return {name: member for name, member in vars(module).items() if _is_test(name, member, prefix)}


def _is_test(name: str, member: Any, prefix: str) -> bool:
    is_function = inspect.isfunction(member) or isinstance(member, functools.partial)
    return name.startswith(prefix) and is_function and getattr(member, "__test__", True)


def _tests_of_function(
    loader: unittest.TestLoader, module: types.ModuleType, name: str, function: Any
) -> list[unittest.TestCase]:
    """The tests that a function is; what is wrong with it is the error of a test."""
    try:
        case = case_of_function(module, name, function)
    except Exception as error:
        return [_failing(module.__name__, name, name, error)]
    found = [test for each in _with_factories(case, _config()) for test in _tests_of_case(loader, each)]
    return [test for test in found if _is_wanted(loader, test)]


def _tests_of_case(loader: unittest.TestLoader, case: type[unittest.TestCase]) -> list[unittest.TestCase]:
    patterns, loader.testNamePatterns = loader.testNamePatterns, None
    try:
        return [case(name) for name in loader.getTestCaseNames(case)]
    finally:
        loader.testNamePatterns = patterns


def _is_wanted(loader: unittest.TestLoader, test: unittest.TestCase) -> bool:
    patterns = loader.testNamePatterns
    return patterns is None or any(fnmatch.fnmatchcase(test.id(), pattern) for pattern in patterns)


def _failing(module: str, qualname: str, name: str, error: Exception) -> unittest.TestCase:
    """A test that raises the error, under the name of the one that could not be made."""

    title = f"{module}.{qualname}" if name == qualname else f"{module}.{qualname}.{name}"
    attributes = {"__module__": module, "__qualname__": qualname, name: _raising(error), "id": lambda _: title}
    made: unittest.TestCase = _class(qualname, (unittest.TestCase,), attributes)(name)
    return made


# Several loop factories.


def _with_factories(cls: type[AsyncTestCase], config: Config) -> Iterator[type[AsyncTestCase]]:
    """The class, or one for each of its loop factories; those that cannot be had are skipped."""
    factories = config_of_class(cls, config_of_module(cls.__module__, config)).loop_factories
    if not isinstance(factories, Mapping) or getattr(cls, CHOSEN, None) is not None:
        yield cls
        return
    for name, factory in factories.items():
        title = "" if len(factories) == 1 else f"[{name}]"
        attributes: dict[str, Any] = {
            "__module__": cls.__module__,
            "__qualname__": f"{cls.__qualname__}{title}",
            "__doc__": cls.__doc__,
            CHOSEN: name,
        }
        if not isinstance(factory, Unavailable):
            attributes["loop_factory"] = factory if isinstance(factory, type) else staticmethod(factory)
        made = _class(f"{cls.__name__}{title}", (cls,), attributes)
        yield unittest.skip(factory)(made) if isinstance(factory, Unavailable) else made


def _config() -> Config:
    written = frozenset(pair for pair in os.environ.items() if pair[0].startswith(configuration.ENVIRONMENT_PREFIX))
    return _config_of(Path.cwd(), written)


@functools.lru_cache(maxsize=1)  # it is asked for each class and function
def _config_of(directory: Path, environ: frozenset[tuple[str, str]]) -> Config:
    return configuration.load(directory, dict(environ))


# Plain test cases with async tests.


def _async_tests(loader: unittest.TestLoader, cls: type[unittest.TestCase]) -> list[str]:
    """The async tests of a class which unittest calls without awaiting them; none where the class runs them itself."""
    if issubclass(cls, unittest.IsolatedAsyncioTestCase):
        return []
    if any(getattr(cls, name) is not getattr(unittest.TestCase, name) for name in ("run", "__call__", "debug")):
        return []
    names = loader.getTestCaseNames(cls)
    return [name for name in names if inspect.iscoroutinefunction(inspect.unwrap(getattr(cls, name)))]


def _awaiting(cls: type[unittest.TestCase]) -> type[AsyncTestCase]:
    """The class, with asyncunit's behind it."""
    attributes = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    made: type[AsyncTestCase] = _class(cls.__name__, (cls, AsyncTestCase), attributes)
    return made


def _refusing(cls: type[unittest.TestCase], names: Iterable[str]) -> type[unittest.TestCase]:
    """The class, with an error in the place of each of its async tests."""
    attributes: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
    }
    for name in names:
        error = DefinitionError(
            f"{class_name(cls)}.{name} is an async function, which unittest.TestCase calls without awaiting it, so "
            f"none of its lines would run. Write asyncunit.AsyncTestCase as the base of {cls.__qualname__}, or "
            f"configure mode = auto."
        )
        attributes[name] = _raising(error)
    made: type[unittest.TestCase] = _class(cls.__name__, (cls,), attributes)
    return made


def _raising(error: Exception) -> Callable[[object], None]:
    """A test that raises the error."""

    def fail(_: object) -> None:
        raise error

    return fail


def cases_of(
    cls: type[unittest.TestCase],
    config: Config,
    loader: unittest.TestLoader = unittest.defaultTestLoader,
    *,
    takes_all: bool,
) -> list[type[unittest.TestCase]]:
    """The classes to be run in the place of a class: one for each of its loop factories, one that awaits its tests.

    ``config`` is that of the run, and ``loader`` says what is a test. Where ``takes_all`` is not true, the async tests
    of a plain class are errors.
    """
    if issubclass(cls, AsyncTestCase):
        return list(_with_factories(cls, config))
    found = _async_tests(loader, cls)
    if not found:
        return [cls]
    return list(_with_factories(_awaiting(cls), config)) if takes_all else [_refusing(cls, found)]


class AsyncTestLoader(unittest.TestLoader):
    """unittest's loader, and what it does not find: the loader of ``python -m asyncunit``.

    Where ``mode`` is ``auto``, the functions at the top of each module are tests, whether or not the module has
    `load_tests`, and the async tests of plain ``unittest.TestCase`` classes are run; where it is ``strict``, these are
    errors, for unittest would have them pass without running. The bare name of a test that has become many selects all
    of them. ``mode`` is read from the configuration where it is None.
    """

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = None if mode is None else parse_mode(mode, "AsyncTestLoader: mode")
        # Whether functions are tests, also where the module does not say so; None leaves it to the mode.
        self.takes_functions: bool | None = None

    @property
    def takes_all(self) -> bool:
        """Whether all that is async and named as a test is one."""
        return (self.mode or _config().mode) == "auto"

    def cases_of(self, cls: type[unittest.TestCase]) -> list[type[unittest.TestCase]]:
        """The classes to be run in the place of a class."""
        return cases_of(cls, _config(), self, takes_all=self.takes_all)

    def loadTestsFromTestCase(self, testCaseClass: type[unittest.TestCase]) -> unittest.TestSuite:
        """The tests of a class, once for each of its loop factories."""
        cases = self.cases_of(testCaseClass)
        if len(cases) == 1:
            return super().loadTestsFromTestCase(cases[0])
        suite = unittest.TestSuite()
        suite.addTests(super(AsyncTestLoader, self).loadTestsFromTestCase(case) for case in cases)
        return suite

    def loadTestsFromModule(
        self, module: types.ModuleType, *args: Any, pattern: str | None = None
    ) -> unittest.TestSuite:
        """The tests of a module, its functions included."""
        tests = super().loadTestsFromModule(module, *args, pattern=pattern)
        takes_functions = self.takes_functions
        if takes_functions is None:
            takes_functions = self.takes_all or _package_says_so(module)
        if takes_functions and getattr(module, "load_tests", None) is not load_tests:
            tests.addTests(self.suite_of_functions(module))
        return tests

    def suite_of_functions(self, module: types.ModuleType) -> list[unittest.TestSuite]:
        """The tests of each function at the top of a module."""
        functions = functions_of(module, self.testMethodPrefix)
        made = (_tests_of_function(self, module, name, function) for name, function in functions.items())
        return [self.suiteClass(tests) for tests in made if tests]

    def loadTestsFromName(self, name: str, module: types.ModuleType | None = None) -> unittest.TestSuite:
        """The tests of that name: also that of a function, and all that a test has become."""
        tests = self._functions_named(name, module)
        if tests is None:
            tests = self._variants_named(name, module)
        return super().loadTestsFromName(name, module) if tests is None else self.suiteClass(tests)

    def _functions_named(self, name: str, module: types.ModuleType | None) -> list[unittest.TestCase] | None:
        """The tests of a function at the top of a module; None where the name is not that of one."""
        path, bracket, _ = name.partition("[")
        module_name, dot, function_name = path.rpartition(".")
        if module is None and dot:
            module = _imported(module_name)
        elif module is not None and dot:
            return None
        function = vars(module).get(function_name or path) if module is not None else None
        if module is None or not _is_test(function_name or path, function, self.testMethodPrefix):
            return None
        tests = _tests_of_function(self, module, function_name or path, function)
        wanted = name.rpartition(".")[2] if not bracket else path.rpartition(".")[2] + name[len(path) :]
        chosen = [test for test in tests if not bracket or _name_of(test) == wanted]
        if not chosen:
            names = "".join(f"\n  {test.id()}" for test in tests)
            text = f"there is no test {name!r}; {function_name or path} is run as{names}"
            return [_failing(module.__name__, wanted, wanted, ValueError(text))]
        return chosen

    def _variants_named(self, name: str, module: types.ModuleType | None) -> list[unittest.TestCase] | None:
        """All that a test of a class has become; None where the name is not that of one."""
        class_path, _, test = name.rpartition(".")
        module_path, _, class_title = class_path.rpartition(".")
        found = module if module is not None and not module_path else _imported(module_path)
        cls = getattr(found, class_title.partition("[")[0], None)
        if not isinstance(cls, type) or not issubclass(cls, AsyncTestCase):
            return None
        cases = [
            case for case in _with_factories(cls, _config()) if class_title in (case.__qualname__, cls.__qualname__)
        ]
        plan = plans.planned(cls)
        many = [] if plan is None else [variant.name for variant in plan.variants.get(test, ())]
        if not many and cases == [cls]:
            return None
        is_bare = many and variants.is_bare_name(getattr(cls, test, None))
        return [case(each) for case in cases for each in (many if is_bare else [test])]


def _package_says_so(module: types.ModuleType) -> bool:
    """Whether a package that the module is in has `load_tests`, which speaks for all its modules."""
    parts = module.__name__.split(".")[:-1]
    packages = (sys.modules.get(".".join(parts[:count])) for count in range(len(parts), 0, -1))
    return any(getattr(package, "load_tests", None) is load_tests for package in packages)


def _name_of(test: unittest.TestCase) -> str:
    return test.id().removeprefix(f"{type(test).__module__}.")


def _imported(name: str) -> types.ModuleType | None:
    """The module of that name; None if there is none, or it cannot be imported: unittest tells of that."""
    if not name:
        return None
    try:
        __import__(name)
    except Exception:  # its own error is the test's that unittest makes of it
        return None
    return sys.modules.get(name)


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str | None) -> unittest.TestSuite:
    """Have the functions at the top of a module be tests: ``from asyncunit import load_tests``, in the module.

    In the ``__init__`` of a package it does so for all its modules, which it discovers. The protocol is unittest's.
    """
    module = _module_being_loaded()
    ours = loader if isinstance(loader, AsyncTestLoader) else _like(loader)
    found = unittest.TestSuite()
    for cls in dict.fromkeys(type(test) for test in flat(tests)):
        found.addTests(_expanded(cls, [test for test in flat(tests) if type(test) is cls]))
    found.addTests(ours.suite_of_functions(module))
    if hasattr(module, "__path__"):
        found.addTests(_discovered(loader, module, pattern))
    return found


def _expanded(cls: type[unittest.TestCase], tests: list[unittest.TestCase]) -> Iterable[unittest.TestCase]:
    """The tests of a class, once for each of its loop factories."""
    if not issubclass(cls, AsyncTestCase):
        return tests
    return [case(test._testMethodName) for case in _with_factories(cls, _config()) for test in tests]


def flat(suite: Iterable[Any]) -> Iterator[unittest.TestCase]:
    """The tests of a suite, those of the suites in it included."""
    for test in suite:
        if isinstance(test, unittest.BaseTestSuite):
            yield from flat(test)
        else:
            yield test


def _module_being_loaded() -> types.ModuleType:
    """The module that unittest's loader has come to: it does not say so to ``load_tests``, so its frame is asked."""
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code is _FROM_MODULE:
            module: types.ModuleType = frame.f_locals["module"]
            return module
        frame = frame.f_back
    raise DefinitionError(
        "asyncunit.load_tests was called by something other than unittest's loader, which alone knows the module. "
        "Import it into the module of tests, and leave it to unittest to call it: from asyncunit import load_tests"
    )


def _like(loader: unittest.TestLoader) -> AsyncTestLoader:
    """Our loader, told what another one was told."""
    made = AsyncTestLoader()
    vars(made).update(vars(loader))
    return made


def _discovered(loader: unittest.TestLoader, package: types.ModuleType, pattern: str | None) -> unittest.TestSuite:
    """The tests of the modules of a package, the functions included."""
    ours = _like(loader)
    ours.takes_functions = True
    top = loader._top_level_dir  # type: ignore[attr-defined]  # what discovery has found; it is not told to load_tests
    directory = Path(package.__path__[0])
    if top is None:
        top = str(directory.parents[package.__name__.count(".")])
    suite = unittest.TestSuite()
    for entry in sorted(directory.iterdir()):
        name = f"{package.__name__}.{entry.stem}"
        if entry.suffix == ".py" and fnmatch.fnmatch(entry.name, pattern or "test*.py"):
            suite.addTests(ours.loadTestsFromName(name))
        elif entry.is_dir() and (entry / "__init__.py").is_file():
            suite.addTests(ours.discover(str(entry), pattern or "test*.py", top))
    return suite
