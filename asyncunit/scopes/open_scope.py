"""An open scope: its context, what closes with it, and what is made in its context.

Nothing here knows of event loops: a scope keeps whatever it is given, and closes it when it is left.
"""

from __future__ import annotations

import contextvars
import functools
import types
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from asyncunit.config.settings import Config
from asyncunit.introspection.frames import Place
from asyncunit.introspection.functions import class_name
from asyncunit.introspection.tracebacks import print_all
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")

_DEFAULT = Config()

# What a context, and each copy of it, holds of its owner, and nothing else does, so that it is gone when all of them
# are: a set with nothing else in it, for sets can be referred to weakly, and are made fast.
Mark = set["OpenScope"]
MARK: contextvars.ContextVar[Mark] = contextvars.ContextVar("asyncunit_owner")
_set_mark = MARK.set


class OpenScope:
    """A scope that is open: its context, what closes with it, and what was made in it.

    ``within`` is the next wider scope. ``context`` is a copy of the wider scope's, taken when this one opened; what is
    made in it is this scope's. ``config`` is the configuration in force, the wider scope's until it says otherwise.
    ``hooks`` is what runs the scope's hooks, and ``fixtures`` what has set up its fixtures, if it has any: closed in
    this order, and before all that is kept. ``made`` are the tasks and resources that were made in it and are still
    alive, with the place where each was made; None until there is one. ``notices``, of the widest scope, take the
    warnings that are to be shown when all scopes of the run are closed; None where they are to be shown at once.

    ``untold`` are errors of the scope that could not be raised where they came up, mostly because another one was:
    `tell_later` puts them in, and who reports errors of the scope next takes all of them out, by `take_untold`. `close`
    returns what nobody has taken.

    ``has_more`` is true once what a narrower scope has made went over to it, for it keeps that: `take`.

    Of a test, ``is_over`` is true once it has run to its end: what comes up of it later is too late for its own report.
    ``function`` is the test itself where it is a plain function; None where it is a method, which its class has.
    """

    notices: Any = None
    has_more = False
    function: Any = None
    # What was set around the run when it opened, where pytest may set something meanwhile.
    around: Mapping[contextvars.ContextVar[Any], Any] = types.MappingProxyType({})
    made: dict[int, tuple[weakref.ref[Any], Place | None]] | None = None
    _closers: list[Callable[[], Sequence[Exception] | None]] | None = None
    # What has come into the context from wider scopes after it was copied.
    _spread: dict[contextvars.ContextVar[Any], Any] | None = None

    def __init__(
        self, scope: Scope, key: Hashable, context: contextvars.Context, within: OpenScope | None = None
    ) -> None:
        # What each test asks for is set here, and not in the class as well: Python is slow to read and to set what is
        # in both.
        self.is_over = False
        self.untold: tuple[Any, ...] = ()
        self.hooks: Any = None
        self.fixtures: Any = None
        # None until something is kept: a scope is opened for each test, and few of those keep anything.
        self._kept: dict[Hashable, Any] | None = None
        self.scope = scope
        self.key = key
        self.within = within
        self.context = context
        self.config: Config = _DEFAULT if within is None else within.config
        mark = {self}
        context.run(_set_mark, mark)
        # Dead once nothing holds the context, or one that is the scope's as well: no task, no callback.
        self._mark = weakref.ref(mark)

    def __str__(self) -> str:
        return self.name

    @functools.cached_property
    def name(self) -> str:
        """What the scope is called in a message."""
        if isinstance(self.key, type):
            return f"{self.scope} {class_name(self.key)}"
        if self.scope is Scope.FUNCTION and self.within is not None:
            return f"{self.key} ({self._place()}.{self.key})"  # as unittest names a test
        return f"{self.scope} {self.key}" if self.key else str(self.scope)

    @functools.cached_property
    def names(self) -> tuple[tuple[Scope, str], ...]:
        """The names of the scope, and of those around it."""
        own = ((self.scope, self.name),)
        return own if self.within is None else own + self.within.names

    def _place(self) -> str:
        """The dotted name of what a test stands in: its class, or for a function its module."""
        around = None if self.within is None else self.within.key
        if not isinstance(around, type):
            return str(around)
        return around.__module__ if self.has_no_self else class_name(around)

    @property
    def has_no_self(self) -> bool:
        """Whether it is that of a test which is a plain function."""
        around = None if self.within is None else self.within.key
        is_class_of_it = isinstance(around, type) and around.__qualname__ == str(self.key).partition("[")[0]
        return self.function is not None or is_class_of_it

    @property
    def is_left(self) -> bool:
        """Whether anything holds the context, or one that is the scope's as well: a task, a callback."""
        return self._mark() is not None

    def note(self, thing: Any, place: Place | None) -> None:
        """Remember something that was made in the context."""
        if self.made is None:
            self.made = {}
        made = self.made
        key = id(thing)  # for it need not have a hash
        made[key] = weakref.ref(thing, lambda _: made.pop(key, None)), place

    def take(self, thing: Any, place: Place | None) -> None:
        """Have something that was made in a narrower scope be this one's from now on."""
        self.has_more = True
        self.note(thing, place)

    def place_of(self, thing: Any) -> Place | None:
        """Where something was made, as far as that is known."""
        return None if self.made is None else self.made.get(id(thing), (None, None))[1]

    def things(self) -> list[Any]:
        """What was made in the context and is still there."""
        references = [] if self.made is None else [reference for reference, _ in list(self.made.values())]
        return [thing for reference in references if (thing := reference()) is not None]

    def outwards(self) -> Iterator[OpenScope]:
        """The scope, and those around it."""
        scope: OpenScope | None = self
        while scope is not None:
            yield scope
            scope = scope.within

    def is_inside(self, wider: OpenScope) -> bool:
        """Whether it is the other scope, or one inside it."""
        return any(scope is wider for scope in self.outwards())

    def mark(self) -> Mark:
        """What a context holds in which that is the scope's what is made."""
        mark = self._mark()
        if mark is None:
            mark = {self}
            self._mark = weakref.ref(mark)
        return mark

    def let_go(self) -> bool:
        """Let go of the context at the end of a test; return whether anything is left that was made in it."""
        del self.context
        self.is_over = True
        return self._mark() is not None

    def keep(self, key: Hashable, make: Callable[[], T], close: Callable[[T], Sequence[Exception] | None]) -> T:
        """What is kept under ``key``: made on the first call, and closed with the scope, the last made first."""
        if self._kept is None or self._closers is None:
            self._kept, self._closers = {}, []
        if key in self._kept:
            kept: T = self._kept[key]
            return kept
        value = self._kept[key] = make()
        self._closers.append(lambda: close(value))
        return value

    def kept(self, key: Hashable) -> Any | None:
        """What is kept under ``key``, or None."""
        return None if self._kept is None else self._kept.get(key)

    def all_kept(self) -> list[Any]:
        """All that is kept."""
        return [] if self._kept is None else list(self._kept.values())

    def take_over(self, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> None:
        """Have the context see what has changed in that of a wider scope, where nothing narrower says otherwise."""
        spread = self._spread = {} if self._spread is None else self._spread
        nothing = object()
        for variable, value in after.items():
            if before.get(variable, nothing) is value:
                continue
            own = self.context.get(variable, nothing)
            if own is before.get(variable, nothing) or own is spread.get(variable, self):
                self.context.run(variable.set, value)
                spread[variable] = value

    def has_anything_to_close(self) -> bool:
        """Whether there are hooks, fixtures, anything that is kept, or errors that are still to be reported."""
        return bool(self.hooks or self.fixtures or self._kept or self.untold)

    def tell_later(self, errors: Iterable[BaseException]) -> None:
        """Have errors be reported with the next ones of the scope, or when it is closed."""
        self.untold += tuple(errors)

    def take_untold(self) -> list[Any]:
        """The errors that are still to be reported, once."""
        untold, self.untold = list(self.untold), ()
        return untold

    def close(self) -> list[Exception]:
        """Close the hooks, the fixtures and what is kept; return what that raised, and what is still to be reported.

        May be called twice, also to go on where Ctrl-C interrupted it.
        """
        try:
            if self.hooks is not None:
                self.hooks.close()
            if self.fixtures is not None:
                self.tell_later(self.fixtures.close())
                if self.hooks is not None:
                    self.hooks.clean_up()
            while self._closers:
                try:
                    self.tell_later(self._closers.pop()() or ())
                except Exception as error:
                    self.tell_later([error])
        except KeyboardInterrupt:
            print_all(self, self.take_untold())
            raise
        self._kept = None  # what is kept refers to the scope
        return self.take_untold()
