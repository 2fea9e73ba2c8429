"""Contexts that do not nest as scopes do: what is awaited in one, and what is carried from one to another."""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine, Generator, Mapping
from typing import Any

from asyncunit.owners import is_mark

__all__ = ["Carried", "Within", "changes", "values_around", "values_of"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Values = Mapping[contextvars.ContextVar[Any], Any]

_NOTHING = object()


def values_around() -> Values:
    """What is set in the current context."""
    return values_of(contextvars.copy_context(), {})


def values_of(context: contextvars.Context, before: Values) -> Values:
    """What is set in a context: ``before`` itself, where that is the same still."""
    if len(context) == len(before):
        for variable, value in context.items():
            if before.get(variable, _NOTHING) is not value:
                break
        else:
            return before
    return dict(context.items())


def changes(before: Values, after: Values) -> Values:
    """What is set in ``after`` and was not, or was another object, in ``before``."""
    if before is after:
        return {}
    return {
        variable: value
        for variable, value in after.items()
        if before.get(variable, _NOTHING) is not value and not is_mark(variable)
    }


class Within(Coroutine[Any, Any, Any]):
    """A coroutine that runs in a context of its own, in the task that awaits it.

    A task has one context, for all that it awaits. ``cr_await`` is what is awaited inside, as a coroutine's is.
    """

    def __init__(self, context: contextvars.Context, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.cr_await = coroutine
        self.__qualname__: str = getattr(coroutine, "__qualname__", type(coroutine).__qualname__)
        self._run = context.run

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # it has all that await asks for

    def __iter__(self) -> Within:
        return self

    def __next__(self) -> Any:
        return self._run(self.cr_await.send, None)

    def send(self, value: Any) -> Any:
        """Go on with a value."""
        return self._run(self.cr_await.send, value)

    def throw(self, *error: Any) -> Any:
        """Go on with an error."""
        return self._run(self.cr_await.throw, error[1] if len(error) > 1 and error[1] is not None else error[0])

    def close(self) -> None:
        """End it."""
        self._run(self.cr_await.close)


class Carried:
    """What was set in one context, set in the current one as well, until it is put back."""

    def __init__(self, source: contextvars.Context) -> None:
        set_there = changes(values_around(), source)
        self._tokens = [(variable, variable.set(value)) for variable, value in set_there.items()]

    def put_back(self) -> None:
        """Have the current context as it was. May be called twice."""
        while self._tokens:
            variable, token = self._tokens.pop()
            variable.reset(token)
