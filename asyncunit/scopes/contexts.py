"""Whose something is that is made while tests run, told by its context; values carried from one context to another."""

from __future__ import annotations

import contextvars
import gc
import weakref
from collections.abc import Coroutine, Generator, Mapping
from typing import Any, NamedTuple

from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import MARK, Mark, OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# What a context holds in which nothing that is made is any scope's.
_NOBODYS: Mark = set()


def is_mark(variable: contextvars.ContextVar[Any]) -> bool:
    """Whether the variable is the one that says whose a context is."""
    return variable is MARK


def current_owner() -> OpenScope | None:
    """Whose it is what is made now."""
    return next(iter(MARK.get(_NOBODYS)), None)


def owner_of(thing: Any) -> OpenScope | None:
    """The owner of a task or a handle; None if it is nobody's that asyncunit knows."""
    context = context_of(thing)
    return None if context is None else owner_of_context(context)


def owner_of_context(context: contextvars.Context) -> OpenScope | None:
    """Whose it is what is made in the context."""
    mark: Mark = context.get(MARK, _NOBODYS)
    return next(iter(mark), None)


class Owner(NamedTuple):
    """What messages say of an owner: its name and those of the scopes around it, and its class."""

    scope: Scope
    name: str
    around: tuple[tuple[Scope, str], ...]
    class_name: str | None

    @property
    def path(self) -> tuple[tuple[Scope, str], ...]:
        """The name of the scope, and of those around it."""
        return ((self.scope, self.name), *self.around)


# Of what has no context; it is kept as long as anything refers to the thing, and so outlives the scope.
_remembered: weakref.WeakKeyDictionary[object, Owner] = weakref.WeakKeyDictionary()


def remember_owner(thing: object, owner: OpenScope) -> None:
    """Note whose a thing is that has no context, as a loop has none."""
    scope: OpenScope | None = owner
    while scope is not None and not isinstance(scope.key, type):
        scope = scope.within
    class_name = None if scope is None else scope.key.__qualname__  # type: ignore[attr-defined]
    around = () if owner.within is None else owner.within.names
    _remembered[thing] = Owner(owner.scope, owner.name, around, class_name)


def remembered_owner(thing: object) -> Owner | None:
    """What messages say of the owner that was noted, also after its scope has ended."""
    return _remembered.get(thing)


def came_from_outside(task: Any) -> bool:
    """Whether a task was made in no scope's context, as by a thread; one that was given to nobody was not."""
    context = context_of(task)
    return context is None or MARK not in context


def given_to(owner: OpenScope | None) -> contextvars.Context:
    """A copy of the current context, in which what is made is the owner's; that of none is left alone."""
    context = contextvars.copy_context()
    give(context, owner)
    return context


def give(context: contextvars.Context, owner: OpenScope | None) -> None:
    """Have what is made in the context from now on be the owner's."""
    context.run(MARK.set, _NOBODYS if owner is None else owner.mark())


def context_of(thing: Any) -> contextvars.Context | None:
    """The context in which a task or a handle runs."""
    get_context = getattr(thing, "get_context", None)  # new in Python 3.12
    if get_context is not None:
        found: contextvars.Context = get_context()
        return found
    # The first that a task of Python 3.11 refers to: those of its callbacks come after it.
    return next((other for other in gc.get_referents(thing) if type(other) is contextvars.Context), None)


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
