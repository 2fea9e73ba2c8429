"""Functions, tests and fixtures, that stand in no class of asyncunit's: run in the scopes of a run that a host has."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable, Mapping, Sequence
from typing import Any

from asyncunit.awaitables import is_async_def, is_awaitable
from asyncunit.config import Config
from asyncunit.contexts import Carried, Within
from asyncunit.errors import raise_all
from asyncunit.fixtures import Fixture
from asyncunit.graph import Node
from asyncunit.halves import AsyncHalf, cut_short, half_of, loop_in, unwind
from asyncunit.hosted import HostedRun
from asyncunit.jobs import END_TASK, KEEP_TASK, After
from asyncunit.open_scopes import OpenScope
from asyncunit.parsing import LoopFactory
from asyncunit.runner import LoopRunner, current_loop
from asyncunit.running import OpenTest
from asyncunit.scope_runner import ScopeRunner
from asyncunit.scopes import Path, Scope
from asyncunit.values import Live, ScopeFixtures
from asyncunit.yields import AsyncExit, Exit, SyncSteps, leave, no_yield

__all__ = ["FunctionTest", "HostedFixture", "Standing", "value_in", "wide_runner"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# Has a coroutine run in a certain context.
_Within = Callable[[Coroutine[Any, Any, Any]], Coroutine[Any, Any, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Standing:
    """Where a test function stands: the scopes around it, the loop that it runs on, and what is configured for it.

    ``depth`` is how many of the scopes in ``path`` last as long as the loop: one that has all of them around it is the
    test's own. ``configs`` are those of the scopes in the path.
    """

    path: Path
    depth: int
    factory: LoopFactory | None
    config: Config
    configs: Sequence[Config]

    @property
    def has_own_loop(self) -> bool:
        """Whether the loop is the test's own."""
        return self.depth > len(self.path)

    def enter(self, run: HostedRun, depth: int) -> OpenScope:
        """Open the scopes of the path, so many of them at least, and return the innermost of these."""
        chain = run.chain
        if len(chain) < depth or any(
            each.scope is not scope or each.key != key
            for each, (scope, key) in zip(chain, self.path[:depth], strict=False)
        ):
            run.enter(self.path[:depth])
        for open_scope, config in zip(chain, self.configs, strict=False):
            open_scope.config = config
        return chain[depth - 1]


class FunctionTest(OpenTest):
    """One test function while it runs. ``errors`` are those that could not be raised where they came up.

    ``is_called_often`` is true where it is called more than once, as by hypothesis.
    """

    is_called_often = False

    def __init__(self, run: HostedRun, standing: Standing, name: str, function: Any = None) -> None:
        self.run = run
        self._function = function
        self.standing = standing
        self.name = name
        self.errors: list[BaseException] = []
        self._case = types.SimpleNamespace()
        # Those on loops that are not the test's.
        self._others: list[ScopeRunner] = []

    @property
    def is_open(self) -> bool:
        """Whether its scope is open."""
        return self.runner is not None

    def open(self) -> ScopeRunner:
        """Open the scope of the test, on its loop."""
        run, standing = self.run, self.standing
        standing.enter(run, len(standing.path))
        open_scope = run.open(Scope.FUNCTION, self.name)
        open_scope.config = standing.config
        open_scope.function = self._function
        try:
            loops = loop_in(
                run, open_scope if standing.has_own_loop else run.chain[standing.depth - 1], standing.factory
            )
        except BaseException:  # of the user's factory
            run.leave(open_scope)
            raise
        return self.begin(run, ScopeRunner(loops, open_scope))

    def runner_on(self, depth: int) -> ScopeRunner:
        """The test's task on the loop of one of the scopes around it."""
        runner = self.runner or self.open()
        loops = loop_in(self.run, self.run.chain[depth - 1], self.standing.factory)
        if loops is runner.loops:
            return runner
        for other in self._others:
            if other.loops is loops:
                return other
        self._others.append(ScopeRunner(loops, runner.scope))
        return self._others[-1]

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Call the test, and await what it returns if that can be; raises what ended it."""
        is_fresh = self.runner is None
        runner = self.runner or self.open()
        context = runner.scope.context if is_fresh else runner.scope.own(contextvars.copy_context())
        cut = None
        try:
            if is_async_def(function):
                value = function(**arguments)
            elif is_fresh:
                value = runner.call_sync(function, **arguments)
            else:
                value = runner.call_sync(context.run, function, **arguments)
            if not is_awaitable(value):
                return value
            if not is_fresh:
                value = Within(context, _coroutine(value))
            return runner.run(value, self)
        except asyncio.CancelledError as error:
            cut = error
        raise self.cut_short(cut)

    def next_step(self, went_well: bool) -> After:
        """The task ends with the test where nothing is left to be run in it, in the same run of the loop."""
        return END_TASK if went_well and self.outer is None and not self.is_called_often else KEEP_TASK

    def step_failed(self, error: BaseException) -> None:
        """There is no step that could fail."""
        raise error

    def leave_behind(self, errors: Sequence[BaseException]) -> None:  # noqa: D102 - see the base
        self.errors += errors

    def close(self) -> list[Exception]:  # noqa: D102 - see the base
        errors: list[Any] = self.errors
        self.errors = []
        for other in self._others:
            if other.end() is not None and not other.loops.loop.is_closed():
                other.loops.turn()
                other.end()
        errors += super().close()
        self.runner = None
        return errors


def value_in(scope: OpenScope, fixture: Fixture[Any], loops: LoopRunner | None) -> Live | None:
    """The fixture as it is live in a scope, on that loop."""
    return scope.fixtures.shared(fixture, loops) if isinstance(scope.fixtures, ScopeFixtures) else None


def wide_runner(run: HostedRun, standing: Standing, depth: int, loop_depth: int) -> ScopeRunner:
    """The task of a scope around a test, on the loop of that scope or of a wider one."""
    open_scope = standing.enter(run, depth)
    return half_of(open_scope, loop_in(run, run.chain[loop_depth - 1], standing.factory)).runner


class HostedFixture:
    """An async fixture that its host has set up and tears down, in the task of its scope, in a context of its own.

    What it sets in context variables is set around the run until it is torn down.
    """

    def __init__(self, run: HostedRun, fixture: Fixture[Any], key: Hashable) -> None:
        self._run = run
        self._fixture = fixture
        self._key = key
        self._exit: Exit | None = None
        self._carried: Carried | None = None
        self._in: ScopeFixtures | None = None

    def set_up_beside(self, call: Callable[[], Any], loop: asyncio.AbstractEventLoop | None) -> Any:
        """Run a sync fixture, or its first half, outside any loop; one that is given is the current one meanwhile."""
        made = _beside(loop, call)
        if not inspect.isgenerator(made):
            return made
        steps = SyncSteps(self._fixture, made)
        self._exit = functools.partial(_beside, loop, steps.leave)
        return _beside(loop, steps.enter)

    def share(self, scope: OpenScope, half: AsyncHalf | None, value: Any, finish: Callable[[], None]) -> None:
        """Have it found in its scope. ``finish`` has the host tear it down, if the scope breaks, or closes."""
        live = Live(Node(self._fixture, ()), half)
        live.value, live.exit_ = value, finish
        self._in = scope.fixtures or ScopeFixtures(scope)
        self._in.live[self._key] = live

    def set_up(
        self,
        call: Callable[[], Any],
        runner: ScopeRunner,
        finish: Callable[[], None],
        context: contextvars.Context | None,
    ) -> Any:
        """Run the first half, and return its value. ``finish`` has the host tear it down, if its scope breaks.

        In that context, the task's own, or in a copy of the current one.
        """
        scope = runner.scope
        is_own = context is None
        if context is None:
            context = scope.own(contextvars.copy_context())
        within = functools.partial(Within, context) if is_own else _itself
        runner.begin_set_up()
        cut = None
        try:
            made = context.run(call)
            if inspect.isasyncgen(made):
                value = self._begin(made, runner, within)
            elif is_awaitable(made):
                value = runner.run(within(_coroutine(made)))
            else:
                value = made
        except asyncio.CancelledError as error:
            cut = error
        if cut is not None:
            raise self._cut_short(runner, cut)
        self._carried = Carried(context)
        if scope.scope is not Scope.FUNCTION:
            self.share(scope, half_of(scope, runner.loops), value, finish)
        return value

    def _begin(self, made: AsyncGenerator[Any, Any], runner: ScopeRunner, within: _Within) -> Any:
        try:
            value = runner.run(within(_first(made)))
        except StopAsyncIteration:
            raise no_yield(self._fixture) from None
        self._exit = _Exit(runner, self._fixture, made, within)
        return value

    def _cut_short(self, runner: ScopeRunner, cut: asyncio.CancelledError) -> BaseException:
        """What is to be raised where a wider scope, or the fixture's own, was cancelled meanwhile."""
        scope = runner.scope
        if scope.scope is not Scope.FUNCTION:
            runner.set_up_was_cut(cut)
        *others, reason = unwind(self._run, runner.loops) or [cut_short(scope, cut)]
        self._run.pending += others
        return reason

    def tear_down(self) -> None:
        """Run the second half, and put back what was set in context variables. May be called twice."""
        errors: list[BaseException] = []
        if self._in is not None:
            self._in.live.pop(self._key, None)
            for fixtures in [each.fixtures for each in reversed(self._run.chain)]:
                if isinstance(fixtures, ScopeFixtures):
                    errors += fixtures.tear_down_what_rests_on(self._fixture)
        exit_, self._exit = self._exit, None
        try:
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
    """The second half of an async generator, in the context of the first."""

    def __init__(
        self,
        runner: ScopeRunner,
        fixture: Fixture[Any],
        generator: AsyncGenerator[object, Any],
        within: _Within,
    ) -> None:
        super().__init__(runner, fixture, generator)
        self._within = within

    def awaitable(self) -> Coroutine[Any, Any, None]:
        """What is to be awaited."""
        return self._within(self.leave())


def _itself(coroutine: Coroutine[Any, Any, Any]) -> Coroutine[Any, Any, Any]:
    """The coroutine, to be run in the context of the task."""
    return coroutine


def _first(generator: AsyncGenerator[Any, Any]) -> Coroutine[Any, Any, Any]:
    coroutine: Any = _await(anext(generator))
    coroutine.__qualname__ = getattr(generator, "__qualname__", coroutine.__qualname__)
    first: Coroutine[Any, Any, Any] = coroutine
    return first


def _coroutine(awaitable: Any) -> Coroutine[Any, Any, Any]:
    """The awaitable, if it is a coroutine, or one that awaits it."""
    return awaitable if type(awaitable) is types.CoroutineType else _await(awaitable)


async def _await(awaitable: Any) -> Any:
    return await awaitable
