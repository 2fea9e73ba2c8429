"""One fixture set up, and what is to be called to tear it down."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import types
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import Any

from asyncunit.errors import DefinitionError, LoopClosedError
from asyncunit.introspection.functions import discard
from asyncunit.lifecycle.cleanups import ContextExit, Exit, call_without_task
from asyncunit.loops.scope_task import ScopeRunner
from asyncunit.loops.steps import Half
from asyncunit.plans.fixtures import Fixture
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def make(
    fixture: Fixture[Any],
    arguments: tuple[object, ...],
    keywords: Mapping[str, object],
    scope: OpenScope,
    runner: ScopeRunner | None,
) -> tuple[Any, Exit | None]:
    """Call the function of a fixture in its scope, and return the value and what tears it down, if it yields.

    What is async about it runs in the task of the scope, by ``runner``, and the rest outside the loop, in the same
    context. Raises CancelledError where the scope was cancelled meanwhile.
    """
    made: Any
    if fixture.is_lazy:
        made = fixture.function(*arguments, **keywords)
    elif runner is None:
        made = call_without_task(scope, fixture.function, *arguments, **keywords)
    else:
        made = runner.call_sync(fixture.function, *arguments, **keywords)
    if fixture.is_generator:
        return _begin(fixture, made, scope, runner)
    return _value_of(fixture, made, runner), None


def _begin(fixture: Fixture[Any], made: Any, scope: OpenScope, runner: ScopeRunner | None) -> tuple[Any, Exit]:
    """Run the first half of a generator."""
    if runner is not None and type(made) is types.AsyncGeneratorType:
        first: Any = anext(made)
        try:
            return runner.run(first), AsyncExit(runner, fixture, made)
        except StopAsyncIteration:
            raise no_yield(fixture) from None
        finally:
            first.close()  # it may not have begun, and Python would warn
    if type(made) is types.GeneratorType:
        steps = _ScopedExit(fixture, made, scope, runner)
        return call_without_task(scope, steps.enter) if runner is None else runner.call_sync(steps.enter), steps
    raise DefinitionError(
        f"{fixture} returned {made!r}; expected a generator, for it has a yield. Take away the decorator under "
        f"@asyncunit.fixture that makes something else of it."
    )


def _value_of(fixture: Fixture[Any], made: Any, runner: ScopeRunner | None) -> Any:
    """The value that the function of a fixture has returned, awaited where it is a coroutine."""
    if inspect.isasyncgen(made) or inspect.isgenerator(made):
        raise DefinitionError(
            f"{fixture} returned {made!r}, which a decorator seems to have hidden, so nothing of it has run. Write "
            f"@functools.wraps(function) in the decorator; or to have it as the value, return it in something else."
        )
    if not inspect.iscoroutine(made):
        return made
    if runner is None:
        discard(made)
        raise DefinitionError(
            f"{fixture} returned {made!r}, which nobody awaits, for it is not written as async. Write 'async def'."
        )
    return runner.run(made)


class AsyncExit(ContextExit, Half):
    """The second half of an async generator; may be awaited by whoever runs in the task of the scope."""

    def __init__(self, runner: ScopeRunner, fixture: Fixture[Any], generator: AsyncGenerator[object, Any]) -> None:
        self.runner = runner
        self.fixture = fixture
        self._generator = generator

    async def leave(self) -> None:
        """Run the second half, in the task of the scope."""
        if self.runner.cancellation is not None:
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
    """A generator of a fixture: its two halves."""

    def __init__(self, fixture: Fixture[Any], generator: Generator[object, Any, object]) -> None:
        self.fixture = fixture
        self._generator = generator

    def enter(self) -> Any:
        """Run the first half, and return what it yields."""
        try:
            return next(self._generator)
        except StopIteration:
            raise no_yield(self.fixture) from None

    def leave(self, cancellation: BaseException | None = None) -> None:
        """Run the second half; a cancellation in flight is thrown into it."""
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
    """The second half of a generator, run outside the loop; it is told of a cancellation as async ones are."""

    def __init__(
        self,
        fixture: Fixture[Any],
        generator: Generator[object, Any, object],
        scope: OpenScope,
        runner: ScopeRunner | None,
    ) -> None:
        super().__init__(fixture, generator)
        self._scope = scope
        self._runner = runner

    def __call__(self) -> None:
        runner = self._runner
        if runner is None:
            call_without_task(self._scope, self.leave)
            return
        cancellation = runner.cancellation
        try:
            runner.call_sync(self.leave, cancellation)
            runner.cancellation = None
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if cancellation is not None:
                runner.cancellation = error
            elif isinstance(error, asyncio.CancelledError):
                runner.cancelled(error)
            else:
                raise


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
