"""Functions: async or not, parameters, where they are written, what calls returned; which are hooks, or tests."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import unittest
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FunctionType,
    GeneratorType,
)  # slow to read of the module: it has a __getattr__()
from typing import Any

from asyncunit.errors import AsyncUnitWarning, DefinitionError
from asyncunit.introspection.frames import place_of_function

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


_ASYNC = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def function_of(member: Any) -> Any:
    """The function in what stands for one in a class."""
    return member.__func__ if type(member) in (staticmethod, classmethod) else member


def written_of(function: Any) -> Any:
    """The function itself, of one that is bound."""
    return getattr(function, "__func__", function)


def is_async_function(function: Any) -> bool:
    """Whether it is written as a coroutine function or an async generator."""
    function = written_of(function)
    if type(function) is FunctionType and function.__code__.co_flags & _ASYNC:
        return True  # as the next line says, but soon
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def members_of(cls: type) -> dict[str, Any]:
    """What stands in a class and its bases, as it is written, by name."""
    return {name: member for base in reversed(cls.__mro__) for name, member in vars(base).items()}


def is_plain(member: Any) -> bool:
    """Whether it is a function that nothing has been written on: no decorator of asyncunit's, nor most others."""
    return type(member) is FunctionType and not member.__dict__


def bound(member: Any, instance: object, owner: type) -> Any:
    """What is read of an instance of ``owner``, or of ``owner``, where its class or a base has the member."""
    bind = getattr(type(member), "__get__", None)  # asked of the type: a mock would make one
    return member if bind is None else bind(member, instance, owner)


def is_test_method(member: object) -> bool:
    """Whether unittest would call it as a test, if a class had it under the name of one."""
    return callable(function_of(member)) or type(member) is functools.partialmethod


def name_of(function: Any) -> str:
    """The name of a function, or of what stands for one."""
    while isinstance(function, functools.partial):
        function = function.func
    name: str = getattr(function, "__name__", None) or type(function).__name__
    return name


def written_at(function: Any) -> str:
    """The file and line in which a function is defined; its repr where that is not in Python."""
    function = function.fget if isinstance(function, property) else function_of(function)
    while isinstance(function, functools.partial | functools.partialmethod):
        function = function.func
    function = inspect.unwrap(function)
    place = place_of_function(function) or place_of_function(type(function).__call__)
    return repr(function) if place is None else f"{place.filename}:{place.line}"


def class_name(cls: type) -> str:
    """The name of a class for a message."""
    return f"{cls.__module__}.{cls.__qualname__}"


def class_with_place(cls: type) -> str:
    """The name of a class for a message, with the file and line in which it is defined, if they can be found."""
    name = class_name(cls)
    try:
        return f"{name} ({inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]})"
    except (OSError, TypeError):  # it does not come from a file
        return name


def parameters_of(function: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a test method, without the one that is passed the test."""
    parameters = dict(inspect.signature(function_of(function)).parameters)
    if hasattr(type(function), "__get__") and type(function) is not staticmethod and parameters:
        first = next(iter(parameters))
        if parameters[first].kind is not inspect.Parameter.VAR_POSITIONAL:
            del parameters[first]
    return parameters


def required_parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters that a caller has to fill, those included that a decorator may fill.

    One with a default is not asked for, as with pytest.
    """
    code = function.__code__ if type(function) is FunctionType else None
    if code is not None and not hasattr(function, "__wrapped__") and not hasattr(function, "__signature__"):
        # The short way: a class may have thousands of tests.
        count = code.co_argcount - len(function.__defaults__ or ())
        only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        with_default = function.__kwdefaults__ or ()
        return (*code.co_varnames[:count], *(name for name in only if name not in with_default))
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a callable written in C may not tell
        return ()
    return tuple(
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    )


def first_parameter(function: Callable[..., Any]) -> str | None:
    """The name of the parameter that takes the first positional argument, None if none does."""
    by_position = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    parameters = inspect.signature(function).parameters.values()
    return next((parameter.name for parameter in parameters if parameter.kind in by_position), None)


def positional_only(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters that cannot be filled by keyword."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(parameter.name for parameter in parameters if parameter.kind is parameter.POSITIONAL_ONLY)


# Asked for each test.
_CO_COROUTINE = inspect.CO_COROUTINE


def is_async_def(function: object) -> bool:
    """Whether calling ``function`` runs none of its lines, but makes a coroutine of them."""
    code = getattr(function, "__code__", None)
    return type(code) is CodeType and code.co_flags & _CO_COROUTINE != 0


def is_awaitable(value: object) -> bool:
    """Whether ``value`` can be awaited, asked of coroutines first, for they are what it mostly is."""
    return type(value) is CoroutineType or inspect.isawaitable(value)


def as_coroutine(awaitable: Any) -> Coroutine[Any, Any, Any]:
    """The awaitable, if it is a coroutine, or one that awaits it."""
    return awaitable if type(awaitable) is CoroutineType else _await(awaitable)


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def discard(awaitable: object) -> None:
    """Close a coroutine that will not be awaited, so that Python does not warn about it as well."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()


def judge_value(method: Callable[[], object], value: object) -> None:
    """Raise for a value which shows that the test has not run; warn of any other, as unittest does."""
    name = getattr(method, "__qualname__", None) or repr(method)
    if isinstance(value, AsyncGeneratorType | GeneratorType):
        kind = "an async generator" if isinstance(value, AsyncGeneratorType) else "a generator"
        raise DefinitionError(
            f"{name} is {kind}, because it has a yield, so none of its lines has run. Take the yield out of the test; "
            f"what sets up and tears down belongs into asyncSetUp, or into a context that enterAsyncContext() enters."
        )
    if is_awaitable(value) and not _is_done(value):
        discard(value)
        raise DefinitionError(f"{name} returned {value!r}, which nobody awaits. Await it in the test.")
    code = getattr(method, "__code__", None)
    warnings.warn_explicit(
        f"It is deprecated to return a value that is not None from a test case "
        f"({method} returned {type(value).__name__!r})",
        DeprecationWarning,
        filename=code.co_filename if code else "<unknown>",
        lineno=code.co_firstlineno if code else 1,
    )


def _is_done(value: Any) -> bool:
    """Whether it is a future, as asyncio tells one, that is done: nothing of it is still to run."""
    return hasattr(type(value), "_asyncio_future_blocking") and bool(value.done())


def is_example_test(function: Any) -> bool:
    """Whether it is a test that hypothesis calls with its examples."""
    return getattr(function, "is_hypothesis_test", False) is True  # a mock has every attribute


def inner_test(function: Any) -> Any:
    """The test that hypothesis calls with its examples; the function itself where that is not hypothesis's."""
    if is_example_test(function):
        return getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return function


@contextmanager
def substitute(function: Any, call: Callable[..., Any]) -> Iterator[None]:
    """Have hypothesis do ``call(test, **arguments)`` for each example, in the place of ``test(**arguments)``."""
    written = inner_test(function)

    @functools.wraps(written)
    def example(*args: Any, **kwargs: Any) -> Any:
        return call(functools.partial(written, *args), **kwargs)

    function.hypothesis.inner_test = example
    try:
        yield
    finally:
        function.hypothesis.inner_test = written


# The async hooks of a module.

MODULE_HOOKS = ("asyncSetUpModule", "asyncTearDownModule")

Hook = Callable[[], object]


def module_hooks(name: str) -> tuple[Hook | None, Hook | None]:
    """The async set-up and tear-down hook of the module, None for one that it does not have."""
    module = sys.modules.get(name)
    set_up, tear_down = (getattr(module, hook, None) for hook in MODULE_HOOKS)
    return set_up, tear_down


def module_hook(name: str) -> str | None:
    """The name of the first async hook that the module has, None if it has none."""
    return next((name for name, hook in zip(MODULE_HOOKS, module_hooks(name), strict=True) if hook is not None), None)


# Functions at the top of a module that look like tests, where nothing tells unittest of them: they would never run.


LOAD_TESTS = "load_tests"
# The names of the modules whose functions a loader of asyncunit's takes.
spoken_for: set[str] = set()


def functions_of(module: types.ModuleType, prefix: str) -> dict[str, Any]:
    """The test functions at the top of a module, in the order of their definition."""
    return {name: member for name, member in vars(module).items() if is_test(name, member, prefix)}


def is_test(name: str, member: Any, prefix: str) -> bool:
    """Whether what a module has under that name is a test function."""
    is_function = inspect.isfunction(member) or isinstance(member, functools.partial)
    return name.startswith(prefix) and is_function and getattr(member, "__test__", True)


def untaken(module: types.ModuleType, prefix: str) -> str | None:
    """What to say of the functions of a module that look like tests and are not run; None where there are none."""
    names = list(functions_of(module, prefix))
    if not names:
        return None
    shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return (
        f"{module.__name__} has functions that look like tests ({shown}), and unittest runs none of them. Write in the "
        f"module: from asyncunit import load_tests, or configure mode = auto and run python -m asyncunit."
    )


def watch_module_of(function: Any) -> None:
    """Have the module of a function that is at its top warn of such functions when unittest looks for `load_tests`.

    unittest's loader asks a module for that attribute; one that has none answers by its ``__getattr__`` (PEP 562).
    """
    name = str(getattr(function, "__module__", None))
    module = sys.modules.get(name)
    if module is not None and "." not in getattr(function, "__qualname__", "."):
        vars(module).setdefault("__getattr__", functools.partial(_answer, name))


def _answer(module: str, attribute: str) -> Any:
    if attribute == LOAD_TESTS and module not in spoken_for:
        text = untaken(sys.modules[module], unittest.TestLoader.testMethodPrefix)
        if text is not None:
            file = vars(sys.modules[module]).get("__file__") or module
            warnings.warn_explicit(text, AsyncUnitWarning, file, 1)
    raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
