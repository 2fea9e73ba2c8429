"""One fixture set up, and what is to be called to tear it down."""

from __future__ import annotations

import contextlib
import inspect
import types
from asyncio import CancelledError
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import Any

from asyncunit.errors import DefinitionError, LoopClosedError
from asyncunit.introspection.frames import is_at_yield, is_guarded_at_yield
from asyncunit.introspection.functions import discard
from asyncunit.lifecycle.cleanups import ContextExit, Exit, call_without_task, cut_short, put_behind
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import TearDown
from asyncunit.plans.fixtures import Fixture
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def make(
    fixture: Fixture[Any],
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    scope: OpenScope,
    scope_task: ScopeTask | None,
    register: Callable[[Exit], None],
) -> Any:
    """Call the function of a fixture in its scope, and return the value; register what tears it down, if it yields.

    That is registered as soon as the set-up has come to its yield, also where the step then raises all the same:
    because it took too long, or was cancelled just then.

    What is async about it runs in the task of the scope, by ``scope_task``, and the rest outside the loop, in the same
    context. Raises CancelledError where the scope was cancelled meanwhile.
    """
    made: Any
    if fixture.is_lazy:
        made = fixture.function(*arguments, **keywords)
    elif scope_task is None:
        made = call_without_task(scope, fixture.function, *arguments, **keywords)
    else:
        made = scope_task.call_sync(fixture.function, *arguments, **keywords)
    if fixture.is_generator:
        return _begin(fixture, made, scope, scope_task, register)
    return _value_of(fixture, made, scope_task)


def _begin(
    fixture: Fixture[Any], made: Any, scope: OpenScope, scope_task: ScopeTask | None, register: Callable[[Exit], None]
) -> Any:
    """Run the set-up of a generator."""
    if scope_task is not None and type(made) is types.AsyncGeneratorType:
        exit_ = AsyncExit(scope_task, fixture, made)
        first: Any = anext(made)
        try:
            return scope_task.run(first)
        except StopAsyncIteration:
            raise no_yield(fixture) from None
        finally:
            first.close()  # it may not have begun, and Python would warn
            if exit_.is_due:
                register(exit_)
    if type(made) is types.GeneratorType:
        steps = _ScopedExit(fixture, made, scope, scope_task)
        try:
            return call_without_task(scope, steps.enter) if scope_task is None else scope_task.call_sync(steps.enter)
        finally:
            if is_at_yield(made):
                register(steps)
    raise DefinitionError(
        f"{fixture} returned {made!r}; expected a generator, because it has a yield. Take away the decorator under "
        f"@asyncunit.fixture that makes something else of it."
    )


def _value_of(fixture: Fixture[Any], made: Any, scope_task: ScopeTask | None) -> Any:
    """The value that the function of a fixture has returned, awaited where it is a coroutine."""
    if inspect.isasyncgen(made) or inspect.isgenerator(made):
        raise DefinitionError(
            f"{fixture} returned {made!r}, which a decorator seems to have hidden, so nothing of it has run. Write "
            f"@functools.wraps(function) in the decorator; or to have it as the value, return it in something else."
        )
    if not inspect.iscoroutine(made):
        return made
    if scope_task is None:
        discard(made)
        raise DefinitionError(
            f"{fixture} returned {made!r}, which nobody awaits, for it is not written as async. Write 'async def'."
        )
    return scope_task.run(made)


class AsyncExit(ContextExit, TearDown):
    """The tear-down of an async generator; may be awaited by whoever runs in the task of the scope."""

    def __init__(self, scope_task: ScopeTask, fixture: Fixture[Any], generator: AsyncGenerator[object, Any]) -> None:
        self.scope_task = scope_task
        self.fixture = fixture
        self._generator = generator

    @property
    def is_due(self) -> bool:
        """Whether the set-up has come to its yield, however the step has ended: then the tear-down is to be run."""
        return is_at_yield(self._generator)

    async def leave(self) -> None:
        """Run the tear-down, in the task of the scope."""
        if self.scope_task.cancellation is not None and is_guarded_at_yield(self._generator):
            await super().leave()
            return
        try:
            await anext(self._generator)
        except StopAsyncIteration:
            return
        await self._refuse_second_yield()

    def _run(self) -> None:
        try:
            super()._run()
        except LoopClosedError:
            self.drop()
            raise

    def drop(self) -> None:
        """Close the generator as far as that goes without its loop, which is closed; Python would, and warn."""
        super().drop()
        closing = self._generator.aclose()
        with contextlib.suppress(StopIteration, GeneratorExit, RuntimeError):  # of what would need the loop
            closing.send(None)
            closing.throw(GeneratorExit)

    async def _exit(self, error: BaseException) -> bool:
        try:
            await self._generator.athrow(error)
        except StopAsyncIteration:
            return True
        await self._refuse_second_yield()
        return False

    async def _refuse_second_yield(self) -> None:
        try:
            raise _second_yield(self.fixture)
        finally:
            await self._generator.aclose()


class SyncSteps:
    """A generator of a fixture: what stands in front of its yield, and what stands behind it."""

    def __init__(self, fixture: Fixture[Any], generator: Generator[object, Any, object]) -> None:
        self.fixture = fixture
        self._generator = generator

    def enter(self) -> Any:
        """Run the set-up, and return what it yields."""
        try:
            return next(self._generator)
        except StopIteration:
            raise no_yield(self.fixture) from None

    @property
    def is_guarded(self) -> bool:
        """Whether something around the yield can see what is thrown into it."""
        return is_guarded_at_yield(self._generator)

    def leave(self, cancellation: BaseException | None = None) -> None:
        """Run the tear-down; a cancellation is thrown into it, where something around the yield can see it."""
        try:
            if cancellation is None:
                next(self._generator)
            else:
                self._generator.throw(cancellation)
        except StopIteration:
            return
        try:
            raise _second_yield(self.fixture)
        finally:
            self._generator.close()


class _ScopedExit(SyncSteps):
    """The tear-down of a generator, run outside the loop; it is told of a cancellation as async ones are."""

    def __init__(
        self,
        fixture: Fixture[Any],
        generator: Generator[object, Any, object],
        scope: OpenScope,
        scope_task: ScopeTask | None,
    ) -> None:
        super().__init__(fixture, generator)
        self._scope = scope
        self._runner = scope_task

    def __call__(self) -> None:
        scope_task = self._runner
        if scope_task is None:
            call_without_task(self._scope, self.leave)
            return
        scope_task.is_ending = True
        cancellation = scope_task.cancellation if self.is_guarded else None
        try:
            scope_task.call_sync(self.leave, cancellation)
            if cancellation is not None:
                scope_task.cancellation = None
        except (KeyboardInterrupt, SystemExit):
            raise
        except CancelledError as error:
            if cancellation is not None:
                scope_task.cancellation = put_behind(error, cancellation)
            elif not scope_task.cancelled(error):
                raise cut_short(scope_task.scope, error) from error
        except BaseException as error:
            if cancellation is None:
                raise
            scope_task.cancellation = put_behind(error, cancellation)


def no_yield(fixture: Fixture[Any]) -> DefinitionError:
    """The error for a generator that comes to its end before it yields."""
    return DefinitionError(
        f"{fixture} came to its end without a yield. Have each way through it yield the value once, or raise "
        f"unittest.SkipTest."
    )


def _second_yield(fixture: Fixture[Any]) -> DefinitionError:
    return DefinitionError(
        f"{fixture} yields a second time. A fixture yields once: what stands after the yield tears it down. For "
        f"several values, write params=[...]."
    )
