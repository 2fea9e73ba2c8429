"""What calling a function returned: whether it can be awaited, and what becomes of it where it will not be."""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Coroutine
from typing import Any

__all__ = ["as_coroutine", "discard", "is_async_def", "is_awaitable"]

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
