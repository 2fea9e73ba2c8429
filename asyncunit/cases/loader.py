"""The loader that finds plain functions as tests, and the test cases that it makes: in addition to unittest's own.

It makes them of plain functions, of plain test cases, and for each of several loop factories.

Of unittest's private names, this uses ``_loading_packages`` of its loader: discovery does not load those once more; and
``_exception`` of its loader's tests, which has the text of what could not be loaded.
"""

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

from asyncunit.cases.case import AsyncTestCase
from asyncunit.config.settings import (
    ATTRIBUTE,
    CLASS_ATTRIBUTES,
    Config,
    Unavailable,
    config_of_module,
    parse_mode,
    settings_of,
)
from asyncunit.config.sources import ENVIRONMENT_PREFIX, load
from asyncunit.errors import AsyncUnitError, DefinitionError
from asyncunit.introspection.functions import class_name, functions_of, is_test, spoken_for, untaken
from asyncunit.introspection.tracebacks import without_loader
from asyncunit.plans import class_plan as plans
from asyncunit.plans import variants
from asyncunit.plans.class_plan import planned
from asyncunit.plans.loop_choice import CHOSEN, ask_for_case, config_of_class
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# Where a test that only raises an error keeps it.
_ERROR = "__asyncunit_error__"


# Functions at the top of a module.


class _Named(unittest.TestCase):
    """A test that is named as a function at the top of a module is."""

    def __str__(self) -> str:
        return f"{self.id().removeprefix(type(self).__module__ + '.')} ({self.id()})"

    def __repr__(self) -> str:
        return f"<{self.id()}>"


class FunctionTestCase(_Named, AsyncTestCase):
    """One test function at the top of a module, as unittest runs tests. Each function has a class of its own.

    So each has the loop that it needs, and no more, as with pytest.
    """

    # What it names is set up as what is for all of its module is: wider scopes first, then as they are defined.
    _asyncunit_is_function = True
    _asyncunit_fix = 'Write above it:  @asyncunit.settings(loop_scope="{scope}")'

    def id(self) -> str:
        """The name of the function, and what it is run with: the loop factory first, as under pytest."""
        cls = type(self)
        name, bracket, rest = self._testMethodName.partition("[")
        factory = cls.__qualname__.partition("[")[2].removesuffix("]")
        if factory:
            name = f"{name}[{factory}-{rest}" if bracket else f"{name}[{factory}]"
            return f"{cls.__module__}.{name}"
        return f"{cls.__module__}.{self._testMethodName}"

    def shortDescription(self) -> str | None:
        """The first line of the docstring of the function."""
        doc = getattr(getattr(self, self._testMethodName), "__doc__", None)
        return doc.strip().split("\n")[0].strip() if doc else None


def _class(name: str, bases: tuple[type, ...], attributes: Mapping[str, Any]) -> Any:
    return types.new_class(name, bases, exec_body=lambda namespace: namespace.update(attributes))


def _in_place_of(cls: type, bases: tuple[type, ...], attributes: Mapping[str, Any], title: str = "") -> Any:
    """A class to be run in the place of another, with ``title`` behind its name."""
    said = {"__module__": cls.__module__, "__qualname__": f"{cls.__qualname__}{title}", "__doc__": cls.__doc__}
    return _class(f"{cls.__name__}{title}", bases, {**said, **attributes})


def case_of_function(module: types.ModuleType, name: str, function: Any) -> type[FunctionTestCase]:
    """The class for a test function of a module; raises DefinitionError as the definition of a class does."""
    said = dict(settings_of(function))
    attributes: dict[str, Any] = {
        "__module__": module.__name__,
        "__qualname__": name,
        "__doc__": function.__doc__,
        name: staticmethod(function),
    }
    for key in CLASS_ATTRIBUTES:
        if key in said:
            value = said.pop(key)
            attributes[key] = staticmethod(value) if key == "loop_factory" and value is not None else value
    attributes[ATTRIBUTE] = said
    made: type[FunctionTestCase] = _class(name, (FunctionTestCase,), attributes)
    return made


def apart(case: type[FunctionTestCase], names: Iterable[str]) -> Iterator[unittest.TestCase]:
    """The tests that one function is, by their names.

    Outside a class, what has the scope of one is each test's own, as with pytest: these are in classes of their own.
    """
    plan = planned(case)
    nodes = () if plan is None else plan.whole
    has_scope_of_class = any(node.fixture.scope is Scope.CLASS for node in nodes) or str(case.loop_scope) == "class"
    for name in names:
        yield (_in_place_of(case, (case,), {}) if has_scope_of_class else case)(name)


class FailedFunction(_Named):
    """In the place of a test function of which no test case could be made: it raises the error."""

    def id(self) -> str:
        """The name of the function."""
        return f"{type(self).__module__}.{self._testMethodName}"


def failing(module: str, name: str, error: Exception) -> FailedFunction:
    """A test that raises the error, under the name of the function that could not be made one."""
    attributes = {"__module__": module, "__qualname__": name, name: _raising(error)}
    made: FailedFunction = _class(name, (FailedFunction,), attributes)(name)
    return made


def _raising(error: Exception) -> Callable[[object], None]:
    """A test that raises the error."""

    def fail(_: object) -> None:
        raise error

    setattr(fail, _ERROR, error)
    return fail


def error_of(test: object) -> Exception | None:
    """The error of a test that only raises it; None for any other."""
    found: Exception | None = getattr(test, _ERROR, None)
    return found


# Several loop factories.


def _with_factories(cls: type[AsyncTestCase], config: Config) -> Iterator[type[AsyncTestCase]]:
    """The class, or one for each of its loop factories; those that cannot be had are skipped."""
    factories = config_of_class(cls, config_of_module(cls.__module__, config)).loop_factories
    if not isinstance(factories, Mapping) or getattr(cls, CHOSEN, None) is not None:
        yield cls
        return
    for name, factory in factories.items():
        title = "" if len(factories) == 1 else f"[{name.replace('.', '_')}]"
        attributes: dict[str, Any] = {CHOSEN: name}
        if not isinstance(factory, Unavailable):
            attributes["loop_factory"] = factory if isinstance(factory, type) else staticmethod(factory)
        made = _in_place_of(cls, (cls,), attributes, title)
        yield unittest.skip(factory)(made) if isinstance(factory, Unavailable) else made


# Plain test cases with async tests.


def _async_tests(loader: unittest.TestLoader, cls: type[unittest.TestCase]) -> list[str]:
    """The async tests of a class which unittest calls without awaiting them; none where the class runs them itself."""
    if issubclass(cls, unittest.IsolatedAsyncioTestCase):
        return []
    if any(getattr(cls, name) is not getattr(unittest.TestCase, name) for name in ("run", "__call__", "debug")):
        return []
    names = [*loader.getTestCaseNames(cls), "runTest"]
    return [name for name in names if inspect.iscoroutinefunction(inspect.unwrap(getattr(cls, name, None)))]  # type: ignore[arg-type]


def _awaiting(cls: type[unittest.TestCase]) -> type[AsyncTestCase]:
    """The class, with asyncunit's behind it."""
    made: type[AsyncTestCase] = _in_place_of(cls, (cls, AsyncTestCase), {})
    return made


def _refusing(cls: type[unittest.TestCase], names: Iterable[str], fix: str) -> type[unittest.TestCase]:
    """The class, with an error in the place of each of its async tests."""
    attributes = {}
    for name in names:
        error = DefinitionError(
            f"{class_name(cls)}.{name} is an async function, which unittest.TestCase calls without awaiting it, so "
            f"none of its lines would run. Write asyncunit.AsyncTestCase as the base of {cls.__qualname__}, or "
            f"{fix}."
        )
        attributes[name] = _raising(error)
    made: type[unittest.TestCase] = _in_place_of(cls, (cls,), attributes)
    return made


def cases_of(
    cls: type[unittest.TestCase],
    config: Config,
    loader: unittest.TestLoader = unittest.defaultTestLoader,
    *,
    takes_all: bool,
    fix: str = "configure mode = auto",
) -> list[type[unittest.TestCase]]:
    """The classes to be run in the place of a class: one for each of its loop factories, one that awaits its tests.

    ``config`` is that of the run, and ``loader`` says what is a test. Where ``takes_all`` is not true, the async tests
    of a plain class are errors, which name ``fix`` as one.
    """
    if issubclass(cls, AsyncTestCase):
        return list(_with_factories(cls, config))
    found = _async_tests(loader, cls)
    if not found:
        return [cls]
    return list(_with_factories(_awaiting(cls), config)) if takes_all else [_refusing(cls, found, fix)]


def flat(suite: Iterable[Any]) -> Iterator[unittest.TestCase]:
    """The tests of a suite, those of the suites in it included."""
    for test in suite:
        if isinstance(test, unittest.BaseTestSuite):
            yield from flat(test)
        else:
            yield test


# The loader.


_FROM_MODULE = unittest.TestLoader.loadTestsFromModule.__code__


def _tests_of_function(
    loader: unittest.TestLoader, module: types.ModuleType, name: str, function: Any
) -> list[unittest.TestCase]:
    """The tests that a function is; what is wrong with it is the error of a test."""
    try:
        case = case_of_function(module, name, function)
    except Exception as error:
        # What asyncunit says of a definition names its place; the way to where that was found is nobody's.
        shown = error.with_traceback(None) if isinstance(error, AsyncUnitError) else error
        return [failing(module.__name__, name, shown)]
    cases = cases_of(case, _config(), takes_all=True)
    for each in cases:
        ask_for_case(each)
    found = [test for each in cases for test in _tests_of_case(loader, each)]
    return [test for test in found if _is_wanted(loader, test)]


def _tests_of_case(loader: unittest.TestLoader, case: type[unittest.TestCase]) -> list[unittest.TestCase]:
    patterns, loader.testNamePatterns = loader.testNamePatterns, None
    try:
        names = loader.getTestCaseNames(case)
        return list(apart(case, names) if issubclass(case, FunctionTestCase) else map(case, names))
    finally:
        loader.testNamePatterns = patterns


def _is_wanted(loader: unittest.TestLoader, test: unittest.TestCase) -> bool:
    patterns = loader.testNamePatterns
    return patterns is None or any(fnmatch.fnmatchcase(test.id(), pattern) for pattern in patterns)


class AsyncTestLoader(unittest.TestLoader):
    """unittest's loader, and what it does not find: the loader of ``python -m asyncunit``.

    Where ``mode`` is ``auto``, the functions at the top of each module are tests, whether or not the module has
    `load_tests`, and the async tests of plain ``unittest.TestCase`` classes are run; where it is ``strict``, these are
    errors, because unittest lets them pass without running. The bare name of a test that has become many selects all
    of them. ``mode`` is read from the configuration where it is None.
    """

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = None if mode is None else parse_mode(mode, "AsyncTestLoader: mode")
        # Whether functions are tests, also where the module does not say so; None leaves it to the mode.
        self.takes_functions: bool | None = None
        # What to say of each module with functions that look like tests and are not taken.
        self.left_out: list[str] = []

    @property
    def takes_all(self) -> bool:
        """Whether all that is async and named as a test is one."""
        return (self.mode or _config().mode) == "auto"

    def cases_of(self, cls: type[unittest.TestCase]) -> list[type[unittest.TestCase]]:
        """The classes to be run in the place of a class."""
        return cases_of(cls, _config(), self, takes_all=self.takes_all)

    def discover(self, *args: Any, **kwargs: Any) -> unittest.TestSuite:
        """unittest's discovery; the error of a definition begins at its line, and not where the loader is."""
        suite = super().discover(*args, **kwargs)
        for test in flat(suite):
            error = vars(test).get("_exception")
            if isinstance(error, ImportError) and "\nasyncunit.errors." in str(error):
                error.msg = without_loader(str(error))
        return suite

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
        takes_functions = self.takes_functions
        if takes_functions is None:
            takes_functions = self.takes_all or _package_says_so(module)
        if takes_functions:
            spoken_for.add(module.__name__)
        tests = super().loadTestsFromModule(module, *args, pattern=pattern)
        if vars(module).get("load_tests") is not load_tests:
            if takes_functions:
                tests.addTests(self.suite_of_functions(module))
            elif text := untaken(module, self.testMethodPrefix):
                self.left_out.append(text)
        return tests

    def suite_of_functions(self, module: types.ModuleType) -> list[unittest.TestSuite]:
        """The tests of each function at the top of a module."""
        functions = functions_of(module, self.testMethodPrefix)
        made = (_tests_of_function(self, module, name, function) for name, function in functions.items())
        return [self.suiteClass(tests) for tests in made if tests]

    def loadTestsFromName(self, name: str, module: types.ModuleType | None = None) -> unittest.TestSuite:
        """The tests of that name: also that of a function, and all that a test has become."""
        functions = self._functions_named(name, module)
        if functions is not None:
            return self.suiteClass(functions)
        tests = self._variants_named(name, module)
        return super().loadTestsFromName(name, module) if tests is None else tests

    def _functions_named(self, name: str, module: types.ModuleType | None) -> list[unittest.TestCase] | None:
        """The tests of a function at the top of a module; None where the name is not that of one."""
        path = name.partition("[")[0]
        module_name, dot, function_name = path.rpartition(".")
        if dot:
            module = _imported(module_name) if module is None else None
        function = None if module is None else vars(module).get(function_name)
        if module is None or not is_test(function_name, function, self.testMethodPrefix):
            return None
        tests = _tests_of_function(self, module, function_name, function)
        if path == name:
            return tests
        wanted = function_name + name[len(path) :]
        chosen = [test for test in tests if _name_of(test) == wanted]
        if chosen:
            return chosen
        names = "".join(f"\n  {test.id()}" for test in tests)
        text = f"there is no test {name!r}; {function_name} is run as{names}"
        return [failing(module.__name__, wanted, ValueError(text))]

    def _variants_named(self, name: str, module: types.ModuleType | None) -> unittest.TestSuite | None:
        """All that a test of a class, or the class, has become; None where the name is not that of one."""
        path = name.partition("[")[0]
        cls = _class_named(path, module)
        if cls is None:
            path = path.rpartition(".")[0]
            cls = _class_named(path, module)
        if cls is None or path == name:
            return None
        # What stands behind the name of the class is compared and not split: the ids in it may have dots.
        behind = name[len(path) :]
        suite = self.suiteClass([])
        for case in self.cases_of(cls):
            title = case.__qualname__.removeprefix(cls.__qualname__)
            if behind == title:
                suite.addTest(super().loadTestsFromTestCase(case))
            elif behind.startswith((f"{title}.", ".")):
                suite.addTests(_tests_named(case, behind.removeprefix(title).removeprefix(".")))
        return suite if suite.countTestCases() else None


def _class_named(path: str, module: types.ModuleType | None) -> type[unittest.TestCase] | None:
    """The test class at the top of a module; None where there is none of that name."""
    module_path, _, name = path.rpartition(".")
    found = getattr(module if module is not None and not module_path else _imported(module_path), name, None)
    return found if isinstance(found, type) and issubclass(found, unittest.TestCase) else None


def _tests_named(case: type[unittest.TestCase], name: str) -> list[unittest.TestCase]:
    """The test of a class; all that it has become, where the name is the bare one; none where it is not a method's."""
    plan = plans.planned(case)
    many = [] if plan is None else [variant.name for variant in plan.variants.get(name, ())]
    if many and variants.is_bare_name(getattr(case, name, None)):
        return [case(each) for each in many]
    member = inspect.getattr_static(case, name, None)
    is_method = callable(getattr(case, name, None)) and not isinstance(member, staticmethod)
    return [case(name)] if is_method else []


def _package_says_so(module: types.ModuleType) -> bool:
    """Whether a package that the module is in has `load_tests`, which speaks for all its modules."""
    parts = module.__name__.split(".")[:-1]
    packages = (sys.modules.get(".".join(parts[:count])) for count in range(len(parts), 0, -1))
    return any(getattr(package, "__dict__", {}).get("load_tests") is load_tests for package in packages)


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
    by_class: dict[type[unittest.TestCase], list[unittest.TestCase]] = {}
    for test in flat(tests):
        by_class.setdefault(type(test), []).append(test)
    for cls, tests_of_class in by_class.items():
        cases = ours.cases_of(cls)
        if cases == [cls]:
            found.addTests(tests_of_class)
        else:
            found.addTests(case(test._testMethodName) for case in cases for test in tests_of_class)
    found.addTests(ours.suite_of_functions(module))
    if hasattr(module, "__path__"):
        found.addTests(_discovered(loader, module, pattern))
    return found


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
    """The tests of the modules of a package, the functions included, as unittest's own discovery finds them."""
    ours: Any = _like(loader)
    ours.takes_functions = True
    # unittest does not say so itself where the package is loaded by its name.
    ours._loading_packages = {*ours._loading_packages, package.__name__}
    directory = Path(package.__path__[0])
    top = directory.parents[package.__name__.count(".")]
    found: unittest.TestSuite = ours.discover(str(directory), pattern or "test*.py", str(top))
    return found


# The configuration, where nobody gives it.


def _config() -> Config:
    written = frozenset(pair for pair in os.environ.items() if pair[0].startswith(ENVIRONMENT_PREFIX))
    return _config_of(Path.cwd(), written)


@functools.lru_cache(maxsize=1)  # it is asked for each class and function
def _config_of(directory: Path, environ: frozenset[tuple[str, str]]) -> Config:
    return load(directory, dict(environ))
