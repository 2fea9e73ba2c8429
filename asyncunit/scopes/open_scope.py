"""An open scope: its context, what closes with it, and whose something is that is made while tests run.

The context tells whose it is. Nothing here knows of event loops: a scope keeps whatever it is given, and closes it
when it is left.
"""

from __future__ import annotations

import contextvars
import functools
import gc
import types
import weakref
from collections.abc import Callable, Coroutine, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
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


class Called:
    """What a scope is called in messages; put into words when one asks, for few do.

    It knows nothing else of the scope, and is kept where that is not. ``is_function`` is true of a test that is known
    to be a plain function, and ``within`` is what the next wider scope is called.
    """

    __slots__ = ("_is_function", "_key", "scope", "within")

    def __init__(self, scope: Scope, key: Hashable, is_function: bool, within: Called | None) -> None:
        self.scope = scope
        self.within = within
        self._key = key
        self._is_function = is_function

    @property
    def name(self) -> str:
        """The name, with its kind of scope; that of a test is as unittest names one."""
        key = self._key
        if isinstance(key, type):
            return f"{self.scope} {class_name(key)}"
        if self.scope is Scope.FUNCTION and self.within is not None:
            return f"{key} ({self._place()}.{key})"
        return f"{self.scope} {key}" if key else str(self.scope)

    @property
    def path(self) -> tuple[tuple[Scope, str], ...]:
        """The name of the scope, and of those around it."""
        own = ((self.scope, self.name),)
        return own if self.within is None else own + self.within.path

    @property
    def class_name(self) -> str | None:
        """The name of the class that it is, or is in; None if there is none."""
        if isinstance(self._key, type):
            return self._key.__qualname__
        return None if self.within is None else self.within.class_name

    @property
    def has_no_self(self) -> bool:
        """Whether it is that of a test which is a plain function."""
        around = self._around()
        is_class_of_it = isinstance(around, type) and around.__qualname__ == str(self._key).partition("[")[0]
        return self._is_function or is_class_of_it

    def _place(self) -> str:
        """The dotted name of what a test stands in: its class, or for a function its module."""
        around = self._around()
        if not isinstance(around, type):
            return str(around)
        return around.__module__ if self.has_no_self else class_name(around)

    def _around(self) -> Hashable:
        return None if self.within is None else self.within._key


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
    def called(self) -> Called:
        """What the scope is called in messages, for who knows it when it has ended, too."""
        within = self.within
        return Called(self.scope, self.key, self.function is not None, None if within is None else within.called)

    @property
    def name(self) -> str:
        """What the scope is called in a message."""
        return self.called.name

    @property
    def has_no_self(self) -> bool:
        """Whether it is that of a test which is a plain function."""
        return self.called.has_no_self

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


# Whose something is that is made while tests run.


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


# Of what has no context. Not a WeakKeyDictionary, because that takes longer, and a test may have a loop of its own.
_remembered: dict[weakref.ref[object], Called] = {}


def remember_owner(thing: object, owner: OpenScope) -> None:
    """Note whose a thing is that has no context, as a loop has none: as long as there is the thing."""
    _remembered[weakref.ref(thing, _remembered.pop)] = owner.called


def remembered_owner(thing: object) -> Called | None:
    """What messages say of the owner that was noted, also after its scope has ended."""
    return _remembered.get(weakref.ref(thing))


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
