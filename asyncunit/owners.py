"""Whose something is that is made while tests run: told by the context in which it was made, not by the time."""

from __future__ import annotations

import contextvars
import gc
from typing import Any

from asyncunit.open_scopes import MARK, Mark, OpenScope

__all__ = [
    "came_from_outside",
    "context_of",
    "current_owner",
    "give",
    "given_to",
    "is_mark",
    "owner_of",
    "owner_of_context",
]

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
