"""Test cases that stand in the place of something else: of plain functions, of loop factories, of plain test cases."""

from __future__ import annotations

import inspect
import types
import unittest
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from asyncunit.cases.case import AsyncTestCase
from asyncunit.config.parsing import Unavailable
from asyncunit.config.settings import ATTRIBUTE, CLASS_ATTRIBUTES, Config, settings_of
from asyncunit.errors import DefinitionError
from asyncunit.introspection.functions import class_name
from asyncunit.plans.class_plan import planned
from asyncunit.plans.loop_choice import CHOSEN, config_of_class, config_of_module
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
