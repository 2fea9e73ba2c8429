"""What calling a function returned: whether it can be awaited, and what becomes of it where it will not be."""

from __future__ import annotations

import inspect
import types
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from asyncunit.errors import DefinitionError

__all__ = ["as_coroutine", "discard", "is_async_def", "is_awaitable", "judge_value"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def is_async_def(function: object) -> bool:
    """Whether calling ``function`` runs none of its lines, but makes a coroutine of them."""
    code = getattr(function, "__code__", None)
    return type(code) is types.CodeType and bool(code.co_flags & inspect.CO_COROUTINE)


def is_awaitable(value: object) -> bool:
    """Whether ``value`` can be awaited, asked of coroutines first, for they are what it mostly is."""
    return type(value) is types.CoroutineType or inspect.isawaitable(value)


def as_coroutine(awaitable: Any) -> Coroutine[Any, Any, Any]:
    """The awaitable, if it is a coroutine, or one that awaits it."""
    return awaitable if type(awaitable) is types.CoroutineType else _await(awaitable)


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def discard(awaitable: object) -> None:
    """Close a coroutine that will not be awaited, so that Python does not warn about it as well."""
    if isinstance(awaitable, Coroutine):
        awaitable.close()


def judge_value(method: Callable[[], object], value: object) -> None:
    """Raise for a value which shows that the test has not run; warn of any other, as unittest does."""
    name = getattr(method, "__qualname__", None) or repr(method)
    if isinstance(value, types.AsyncGeneratorType | types.GeneratorType):
        kind = "an async generator" if isinstance(value, types.AsyncGeneratorType) else "a generator"
        raise DefinitionError(
            f"{name} is {kind}, for it has a yield, so none of its lines has run. Take the yield out of the test; what "
            f"sets up and tears down belongs into asyncSetUp, or into a context that enterAsyncContext() enters."
        )
    if is_awaitable(value):
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
