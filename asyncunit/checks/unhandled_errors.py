"""What is seen of a loop while tests run on it: errors that nobody handles, tasks, settings; what is shut down.

That a part of a loop was shut down before its time, no loop says, nor can it be undone. So it is noted as it happens,
with whose doing it was; then the loop is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import types
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from asyncunit.checks.findings import Finding, judge
from asyncunit.config.settings import Check
from asyncunit.introspection.frames import Place, caller, describe_task, represent
from asyncunit.introspection.tracebacks import is_reported
from asyncunit.loops.loop import Instrument, LoopRunner
from asyncunit.loops.task_factory import made_outside, make_task
from asyncunit.loops.wrong_loop import explain
from asyncunit.records import Record
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope, came_from_outside, current_owner, owner_of
from asyncunit.scopes.registry import runs

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


_logger = logging.getLogger("asyncio")

_Handler = Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]

# What asyncio says of a task that was collected as garbage, with all that could have ended it.
_DESTROYED = "Task was destroyed but it is pending"


E = TypeVar("E", bound=BaseException)


class Unhandled(Record):
    """Something that reached the exception handler of a loop, and whose it is."""

    owner: OpenScope | None
    finding: Finding


class Observer(Instrument):
    """What is seen of one loop.

    ``unhandled`` is what has reached the loop's exception handler since a test began, and ``aside`` what came while
    none ran: both until they are reported. ``test`` is the test that runs, or the last that did; ``lingering`` are
    tests that are over, of which something is left that may make tasks still. A loop that comes with a handler or a
    task factory of its own keeps it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, loop_owner: OpenScope | None = None) -> None:
        super().__init__(loop, loop_owner)
        # True once a part of the loop was shut down that others still need: it is to be replaced.
        self.is_unfit = False
        self._loop_owner = loop_owner
        # Nobody is to use a test's own loop after it.
        self.is_shared = loop_owner is None or loop_owner.scope is not Scope.FUNCTION
        self._parts = PartsOfLoop(loop, self._part_was_shut_down) if self.is_shared else None
        self._executor_before: Any = None
        # The handle that has raised last, which may do so at each turn of the loop.
        self._last_handle: Any = None
        self.unhandled: list[Unhandled] = []
        self.aside: list[Unhandled] = []
        self.test: OpenScope | None = None
        self.lingering: list[OpenScope] = []
        self.is_closed = False
        # Async generators that have been reported, and say more when the loop closes.
        self._forgotten: weakref.WeakSet[Any] | None = None
        self._own_handler: _Handler = self._handle
        self._own_factory: Any = make_task
        handler = loop.get_exception_handler()
        factory: Any = loop.get_task_factory()
        if handler is None:
            handler = self._own_handler
            loop.set_exception_handler(handler)
        if factory is None:
            factory = self._own_factory
            loop.set_task_factory(factory)
        # How the loop was set before a test, by all that had run on it; None once it is closed.
        slow = getattr(loop, "slow_callback_duration", None)
        self._before: _Settings | None = factory, handler, loop.get_debug(), slow
        self.is_new_to_tests = False

    # What the loop runner and the tasks of scopes tell.

    def raised_between_steps(self, error: BaseException) -> None:  # noqa: D102 - see the base
        self.add(None, Finding(Check.UNHANDLED_ERRORS, f"A task raised {error!r}", None, error))

    def loop_closed(self, _loop: asyncio.AbstractEventLoop, left: Iterable[asyncio.Task[Any]]) -> list[Exception]:
        """What has reached the exception handler of the loop and was not reported, and tasks that are nobody's."""
        self.is_closed = True
        self._own_handler, self._before = _nothing, None  # both a cycle, with each loop
        findings = [item.finding for item in self.take_all()]
        for task in left:
            if came_from_outside(task):
                place = made_outside(task)
                how = "started from outside, as by a thread" if place is None else "in the context of no test"
                findings.append(Finding(Check.LEAKED_TASKS, f"a pending {describe_task(task, place)}, {how}", place))
        return [] if self._loop_owner is None else judge(self._loop_owner, findings)

    def add(self, owner: OpenScope | None, finding: Finding) -> None:
        """Have a finding be in the report of the test that runs, or that of its owner."""
        self.unhandled.append(Unhandled(owner, finding))

    # Errors.

    def _handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not issubclass(type(error), BaseException):
            error = None
        generator = context.get("asyncgen")
        is_forgotten = self._forgotten is not None and generator is not None and generator in self._forgotten
        if is_reported(error) or is_forgotten:
            return
        if self.is_ending and issubclass(
            type(error), asyncio.CancelledError
        ):  # of a callback that asks a task for its error
            return
        if self._is_repeated(context.get("handle"), error):
            return
        captured = _is_captured()
        if captured or self.is_closed or _logger.hasHandlers():
            loop.default_exception_handler(context)
        if not captured and not self.is_closed:
            if error is not None:
                explain(error, loop)
            message = str(context.get("message") or "Unhandled exception in event loop")
            self.unhandled.append(self._item(message, error, context))

    def _is_repeated(self, handle: object, error: BaseException | None) -> bool:
        """Whether a reader's callback, which is called at each turn of the loop, has only raised again."""
        last = self.unhandled[-1].finding.error if self.unhandled and handle is not None else None
        is_repeated = last is not None and handle is self._last_handle and type(last) is type(error)
        self._last_handle = handle
        return is_repeated

    def _part_was_shut_down(self, owner: OpenScope, text: str, place: Place | None) -> None:
        if owner is not self._loop_owner:  # else nobody is to use it after this
            self.is_unfit = True
            self.add(owner, Finding(Check.LEFT_CALLBACKS, text, place))

    def _item(self, message: str, error: BaseException | None, context: Mapping[str, Any]) -> Unhandled:
        thing = context.get("task") or context.get("future") or context.get("handle")
        owner = current_owner() if thing is None else owner_of(thing)
        place = None if owner is None or thing is None else owner.place_of(thing)
        if issubclass(type(thing), asyncio.Task):
            described = describe_task(thing, place)
            if message.startswith(_DESTROYED):
                return Unhandled(owner, Finding(Check.LEAKED_TASKS, f"a pending {described}, which nobody held", place))
            message = f"{message}: {described}"
        elif issubclass(type(thing), asyncio.Future):
            if owner is None and self.test is not None and not self.test.is_over:
                owner = self.test  # a future does not say where it is from
            message = f"{message}: {represent(thing)}"
        # So libraries say, when a thing of theirs is let go, that nobody has closed it: "Unclosed client session".
        check = Check.UNCLOSED_RESOURCES if error is None else Check.UNHANDLED_ERRORS
        return Unhandled(owner, Finding(check, message, place, error))

    def expecting(
        self,
        loop: asyncio.AbstractEventLoop,
        expected: tuple[type[BaseException], ...],
        caught: list[Any],
        case: object,
    ) -> Iterator[list[Any]]:
        """While the generator waits, errors of these types are expected; then they are put into the list."""
        before, self.unhandled = self.unhandled, []
        try:
            with self._hearing(loop):
                try:
                    yield caught
                finally:
                    self._look_for(expected, loop, case)
        finally:
            found, self.unhandled = self.unhandled, before
            for item in found:
                if issubclass(type(item.finding.error), expected):
                    caught.append(item.finding.error)
                else:
                    self.unhandled.append(item)

    @contextlib.contextmanager
    def _hearing(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Be told of what reaches the exception handler of the loop, where that is another's, as well as that one."""
        handler = loop.get_exception_handler()
        if handler is self._own_handler:
            yield
            return
        loop.set_exception_handler(_both(self._own_handler, handler))
        try:
            yield
        finally:
            loop.set_exception_handler(handler)

    def _look_for(
        self, expected: tuple[type[BaseException], ...], loop: asyncio.AbstractEventLoop, case: object
    ) -> None:
        """Have the errors be known that come up only once somebody looks for them."""
        owner = current_owner()
        if owner is not None:
            found = self.unretrieved(loop, owner, case)
            self.unhandled += [Unhandled(owner, finding) for finding in found]
        if not any(issubclass(type(item.finding.error), expected) for item in self.unhandled):
            gc.collect()  # a task says that its error was not retrieved when it is let go

    def unretrieved(self, loop: asyncio.AbstractEventLoop, owner: OpenScope, case: object = None) -> list[Finding]:
        """What tasks that the scope has made, and that somebody still holds, have raised to nobody.

        A loop whose exception handler is another one has that told.
        """
        held = [*owner.things(), *(vars(case).values() if case is not None else ())]
        findings = []
        for task in {id(thing): thing for thing in held if issubclass(type(thing), asyncio.Task)}.values():
            # There is no public way to ask whether the error of a task was retrieved; asking for it, retrieves it.
            if not task.done() or task.cancelled() or not getattr(task, "_log_traceback", False):
                continue
            error = task.exception()
            context = {"message": "Task exception was never retrieved", "exception": error, "future": task}
            if loop.get_exception_handler() is not self._own_handler:
                loop.call_exception_handler(context)
            elif not is_reported(error):
                explain(error, loop)
                findings.append(self._item(context["message"], error, context).finding)
        return findings

    def take(self, owner: OpenScope) -> list[Unhandled]:
        """What is to be reported when a scope wider than a test ends: its own, and that of what was inside it."""
        own: list[Unhandled] = []
        others: list[Unhandled] = []
        for item in self.take_all():
            (own if item.owner is None or item.owner.is_inside(owner) else others).append(item)
        self.aside = others
        return own

    def take_since_test_began(self) -> list[Unhandled]:
        """What is to be reported when a test ends; also what is still to be reported of those before it."""
        found = self.unhandled + [item for item in self.aside if item.owner is not None and item.owner.is_over]
        self.aside = [item for item in self.aside if item.owner is None or not item.owner.is_over]
        self.unhandled = []
        return found

    def take_all(self) -> list[Unhandled]:
        """All that is still to be reported."""
        found = self.aside + self.unhandled
        self.aside, self.unhandled = [], []
        return found

    def forget_generators(self, things: Iterable[object]) -> None:
        """Hear no more of async generators that are in the report."""
        if self._forgotten is None:
            self._forgotten = weakref.WeakSet()
        self._forgotten.update(thing for thing in things if isinstance(thing, types.AsyncGeneratorType))

    # Settings.

    def before_test(self, loop: asyncio.AbstractEventLoop) -> None:
        """Remember how the loop is set, and keep what came up while no test ran from the test's report."""
        self.is_new_to_tests = False
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(self._own_handler)
        self._before = _settings_of(loop)
        self._executor_before = None if self._parts is None else self._parts.executor
        self.aside += self.unhandled
        self.unhandled = []

    def put_back(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the loop as it was before the test."""
        factory, before = loop.get_task_factory(), self._before
        if factory is not self._own_factory:
            gc.collect(1)  # tasks that are not known say that nobody has their error only when they are let go
        if before is None:
            return
        if (
            factory is not before[0]
            or loop.get_exception_handler() is not before[1]
            or loop.get_debug() is not before[2]
            or getattr(loop, "slow_callback_duration", None) != before[3]
        ):
            _put_back(loop, before, _settings_of(loop))
        parts = self._parts
        if parts is not None and parts.executor is not self._executor_before:
            parts.put_back(loop, self._executor_before)


# What is set on a loop, and may be set by a test: its task factory, exception handler, debug mode, and what it takes
# for a slow callback, which not every loop has.
_Settings = tuple[Any, Any, bool, float | None]


def _settings_of(loop: asyncio.AbstractEventLoop) -> _Settings:
    slow = getattr(loop, "slow_callback_duration", None)
    return loop.get_task_factory(), loop.get_exception_handler(), loop.get_debug(), slow


def _put_back(loop: asyncio.AbstractEventLoop, before: _Settings, now: _Settings) -> None:
    """Set the loop as it was, as far as it is not."""
    if now[0] is not before[0]:
        loop.set_task_factory(before[0])
    if now[1] is not before[1]:
        loop.set_exception_handler(before[1])
    if now[2] is not before[2]:
        loop.set_debug(before[2])
    if before[3] not in (None, now[3]):
        loop.slow_callback_duration = before[3]


def observer_on(loop_runner: LoopRunner) -> Observer:
    """What looks on at the loop of a loop runner that is to have an observer."""
    observer: Observer = loop_runner.instrument
    return observer


def observer_of(loop: asyncio.AbstractEventLoop | None) -> Observer | None:
    """What is seen of a loop; None where that is closed, or no open scope of this thread has it.

    It is searched for: to remember it with each loop takes as long as a tenth of a trivial test, and few ask.
    """
    if loop is None or loop.is_closed():
        return None
    kept = (thing for run in runs() for open_scope in run.chain for thing in open_scope.all_kept())
    return next((observer_on(each) for each in kept if isinstance(each, LoopRunner) and each.loop is loop), None)


def expecting(
    observer: Observer,
    loop: asyncio.AbstractEventLoop,
    expected: type[E] | tuple[type[E], ...],
    failure: type[BaseException],
    case: object = None,
) -> Iterator[list[E]]:
    """While the generator waits, errors of these types are expected; ``failure`` is raised if there is none."""
    types_ = expected if isinstance(expected, tuple) else (expected,)
    if not types_ or not all(isinstance(cls, type) and issubclass(cls, BaseException) for cls in types_):
        raise TypeError(
            f"expectUnhandledErrors() was given {expected!r}; expected an exception type, or a tuple of them, as in:  "
            f"with self.expectUnhandledErrors(ValueError) as caught:"
        )
    caught: list[E] = []
    yield from observer.expecting(loop, types_, caught, case)
    if not caught:
        names = " or ".join(cls.__name__ for cls in types_)
        raise failure(f"{names} was expected to reach the exception handler of the event loop, and did not")


def _both(one: _Handler, other: _Handler | None) -> _Handler:
    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        one(loop, context)
        if other is not None:
            other(loop, context)

    return handle


def _nothing(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """What stands for the handler of a loop that is closed."""


class _Taken(logging.NullHandler):
    """On asyncio's logger while a test takes what it logs in another way than by assertLogs()."""


def take_the_log() -> Callable[[], None]:
    """Know that a test takes what asyncio logs, as with assertLogs("asyncio"), until what is returned is called."""
    handler = _Taken()
    _logger.addHandler(handler)
    return lambda: _logger.removeHandler(handler)


def _is_captured() -> bool:
    """Whether a test takes what asyncio logs itself, with assertLogs("asyncio") or pytest's caplog."""
    return any(
        type(handler).__module__.startswith("unittest.") or type(handler) is _Taken for handler in _logger.handlers
    )


# A part of a loop that is shut down before its time.


_PARTS = {"shutdown_default_executor": "default executor", "shutdown_asyncgens": "async generators"}


class PartsOfLoop:
    """Tells ``tell`` what is shut down of a loop, and whose doing that is.

    ``executor`` is the default executor that the loop was given; None while it has its own. A loop whose methods cannot
    be replaced is left alone.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Callable[[OpenScope, str, Place | None], None]) -> None:
        self.executor: Any = None
        self._tell = tell
        reference = weakref.ref(loop)  # for a cycle would be much to collect, with each loop
        methods: dict[str, Any] = {"set_default_executor": self._setting(reference)}
        for name, what in _PARTS.items():
            methods[name] = self._shutting_down(reference, name, what)
        with contextlib.suppress(AttributeError):  # a loop whose attributes nobody can set
            for name, method in methods.items():
                setattr(loop, name, method)

    def put_back(self, loop: asyncio.AbstractEventLoop, executor: Any) -> None:
        """Give the loop that default executor again; in the place of its own it has a new one, which is the same."""
        if self.executor is not executor:
            from concurrent.futures import ThreadPoolExecutor  # which takes time to import, and is seldom needed

            loop.set_default_executor(executor or ThreadPoolExecutor(thread_name_prefix="asyncio"))
            self.executor = executor

    def _shutting_down(
        self, reference: weakref.ref[asyncio.AbstractEventLoop], name: str, what: str
    ) -> Callable[..., Coroutine[Any, Any, None]]:
        async def shut_down(*args: Any, **kwargs: Any) -> None:
            loop, owner = reference(), current_owner()
            if loop is None:
                return
            if owner is not None:
                place = caller()
                text = f"the {what} of an event loop that others share, shut down"
                text += f" at {place}" if place else ""
                self._tell(owner, text, place)
            await getattr(type(loop), name)(loop, *args, **kwargs)

        return shut_down

    def _setting(self, reference: weakref.ref[asyncio.AbstractEventLoop]) -> Callable[[Any], None]:
        def set_default_executor(executor: Any) -> None:
            if (loop := reference()) is not None:
                type(loop).set_default_executor(loop, executor)
                self.executor = executor

        return set_default_executor
