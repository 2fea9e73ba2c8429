"""pytest's fixtures that asyncunit runs."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from asyncunit.errors import raise_all
from asyncunit.introspection.frames import is_at_yield
from asyncunit.introspection.functions import as_coroutine, is_awaitable
from asyncunit.introspection.tracebacks import printing_at_interrupt
from asyncunit.lifecycle.async_scope import AsyncScope, async_scope_of, unwind
from asyncunit.lifecycle.cleanups import Exit, cut_short, leave
from asyncunit.lifecycle.fixtures import AsyncExit, OpenFixture, ScopeFixtures, SyncSteps, no_yield
from asyncunit.loops.loop import LoopRunner, current_loop
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.plans.fixtures import Fixture, Node, is_shared
from asyncunit.pytest_plugin.run import PytestRun
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import Carried, OpenScope, Within, given_to

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# Has a coroutine run in a certain context.
_Within = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


def value_in(scope: OpenScope, node: Node, loop_runner: LoopRunner | None) -> OpenFixture | None:
    """The fixture as it is set up in a scope, on that loop."""
    return scope.fixtures.shared(node, loop_runner) if isinstance(scope.fixtures, ScopeFixtures) else None


def forget_errors(scope: OpenScope) -> None:
    """Have what has failed in a scope be tried again by the next who asks for it."""
    if isinstance(scope.fixtures, ScopeFixtures):
        scope.fixtures.forget_errors()


class OpenPytestFixture:
    """A fixture that pytest has set up and tears down; an async one in the task of its scope, in a context of its own.

    What it sets in context variables is set around the run until it is torn down. ``open_fixture`` is what its scope
    has of it, None where that is a test's. ``is_declared`` is as `PytestFixture` has it. ``has_begun`` is true once its
    function was called, and ``was_cut`` where something has cancelled its set-up, which the next who asks for it is to
    try again.
    """

    has_begun = was_cut = False

    def __init__(self, run: PytestRun, node: Node, *, is_declared: bool = False) -> None:
        self.open_fixture: OpenFixture | None = None
        self._run = run
        self._node = node
        # Whether its value is found again by who comes back to its loop.
        self._stays = is_declared and is_shared(node)
        self._fixture = node.fixture
        self._exit: Exit | None = None
        self._carried: Carried | None = None
        # Where its scope has it; None where it has set nothing up that others find.
        self._in: ScopeFixtures | None = None

    def take(self, open_fixture: OpenFixture, finish: Callable[[], None]) -> Any:
        """The value of one that is set up in its scope already, and stays there when pytest lets go of it."""
        self.open_fixture, open_fixture.forget = open_fixture, finish
        return open_fixture.get()

    def set_up_beside(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop | None) -> Any:
        """Run a sync fixture, or its set-up, outside any loop; one that is given is the current one meanwhile."""
        self.has_begun = True
        made = _beside(loop, call)
        if not inspect.isgenerator(made):
            return made
        steps = SyncSteps(self._fixture, made)
        try:
            return _beside(loop, steps.enter)
        finally:
            if is_at_yield(made):
                self._exit = functools.partial(_beside, loop, steps.leave)

    def share(
        self, scope: OpenScope, async_scope: AsyncScope | None, set_up: Callable[[], Any], finish: Callable[[], None]
    ) -> Any:
        """Set it up such that it is found in its scope, or the error that it raises.

        ``finish`` has pytest tear it down, if the scope breaks, or closes.
        """
        open_fixture = OpenFixture(self._node, async_scope)
        try:
            open_fixture.value = set_up()
        except Exception as error:
            open_fixture.error, open_fixture.traceback = error, error.__traceback__
            raise
        finally:
            if not self.was_cut:
                open_fixture.exit_ = None if self._exit is None and open_fixture.error else finish
                self.open_fixture = open_fixture
                self._in = scope.fixtures or ScopeFixtures(scope)
                self._in.open_fixtures[self] = open_fixture
                if self._stays:
                    end = functools.partial(self._in.end, self, open_fixture)
                    self._run.tear_down_with_node(scope, end)
        return open_fixture.value

    def set_up(
        self,
        call: Callable[[], Any],
        scope_task: ScopeTask,
        finish: Callable[[], None],
        context: contextvars.Context | None,
    ) -> Any:
        """Run the set-up, and return its value. ``finish`` has pytest tear it down, if its scope breaks.

        In that context, the task's own, or in a copy of the current one.
        """
        set_up = functools.partial(self._set_up_in, call, scope_task, context)
        scope = scope_task.scope
        if scope.scope is Scope.FUNCTION:
            return set_up()
        return self.share(scope, async_scope_of(scope, scope_task.loop_runner), set_up, finish)

    def _set_up_in(self, call: Callable[[], Any], scope_task: ScopeTask, context: contextvars.Context | None) -> Any:
        scope = scope_task.scope
        within: _Within = _itself
        if context is None:
            context = given_to(scope)
            within = functools.partial(Within, context)
        scope_task.begin_set_up()
        self.has_begun = True
        cut = None
        try:
            value = self._set_up(context.run(call), scope_task, within)
        except asyncio.CancelledError as error:
            cut = error
        if cut is not None:
            self.was_cut = True
            raise self._cut_short(scope_task, cut)
        self._carried = Carried(context)
        return value

    def _set_up(self, made: Any, scope_task: ScopeTask, within: _Within) -> Any:
        """What the fixture gives, by what the call of its function has returned."""
        if inspect.isasyncgen(made):
            return self._begin(made, scope_task, within)
        return scope_task.run(within(as_coroutine(made))) if is_awaitable(made) else made

    def _begin(self, made: AsyncGenerator[Any, Any], scope_task: ScopeTask, within: _Within) -> Any:
        try:
            value = scope_task.run(within(_first(made)))
        except StopAsyncIteration:
            raise no_yield(self._fixture) from None
        finally:
            if is_at_yield(made):
                self._exit = _Exit(scope_task, self._fixture, made, within)
        return value

    def _cut_short(self, scope_task: ScopeTask, cut: asyncio.CancelledError) -> BaseException:
        """What is to be raised where a wider scope, or the fixture's own, was cancelled meanwhile."""
        scope = scope_task.scope
        if scope.scope is not Scope.FUNCTION:
            scope_task.set_up_was_cut(cut)
        *others, reason = unwind(self._run, scope_task.loop_runner) or [cut_short(scope, cut)]
        self._run.pending += others
        return reason

    def tear_down(self) -> None:
        """pytest lets go of it: tear it down, unless its value stays. May be called twice."""
        open_fixture = self.open_fixture
        if open_fixture is None or self._in is not None:
            if open_fixture is not None and self._stays and self._run.is_moving:
                open_fixture.exit_ = self._end
            else:
                self._end()
        elif open_fixture.forget is not None:
            open_fixture.forget = self.open_fixture = None

    def _end(self) -> None:
        """Run the tear-down, and put back what was set in context variables."""
        errors: list[BaseException] = []
        if self._in is not None:
            self._in.open_fixtures.pop(self, None)
        if self.open_fixture is not None:
            ended, self.open_fixture = self.open_fixture, None
            for fixtures in [each.fixtures for each in reversed(self._run.chain)]:
                if isinstance(fixtures, ScopeFixtures):
                    errors += fixtures.tear_down_what_rests_on(ended)
        exit_, self._exit = self._exit, None
        try:
            with printing_at_interrupt(self._fixture, errors):
                if exit_ is not None:
                    errors += leave(exit_)
            raise_all(errors, f"tearing down {self._fixture}")
        finally:
            if self._carried is not None:
                self._carried.put_back()


def _beside(loop: asyncio.AbstractEventLoop | None, call: Callable[[], Any]) -> Any:
    if loop is None:
        return call()
    before = current_loop()
    asyncio.set_event_loop(loop)
    try:
        return call()
    finally:
        asyncio.set_event_loop(before)


class _Exit(AsyncExit):
    """The tear-down of an async generator, in the context of the first."""

    def __init__(
        self,
        scope_task: ScopeTask,
        fixture: Fixture[Any],
        generator: AsyncGenerator[object, Any],
        within: _Within,
    ) -> None:
        super().__init__(scope_task, fixture, generator)
        self._within = within

    def awaitable(self) -> Coroutine[Any, Any, None]:
        """What is to be awaited."""
        return self._within(self.leave())


def _itself(coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """The coroutine, to be run in the context of the task."""
    return coroutine


async def _anext(generator: AsyncGenerator[Any, Any]) -> Any:
    return await anext(generator)  # only now, for where this never begins, nothing is left un-awaited


def _first(generator: AsyncGenerator[Any, Any]) -> Coroutine[Any, Any, Any]:
    coroutine: Any = _anext(generator)
    coroutine.__qualname__ = getattr(generator, "__qualname__", coroutine.__qualname__)
    first: Coroutine[Any, Any, Any] = coroutine
    return first
