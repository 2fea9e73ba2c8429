"""An async cleanup, the exit of a context, and what becomes of a cancellation."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from asyncunit.errors import CutShortError, DefinitionError, LoopClosedError
from asyncunit.introspection.functions import class_name, is_awaitable
from asyncunit.introspection.tracebacks import all_of, attribute_of, is_error
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import Continuation, call_in_time
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# A sync cleanup of a class or a module, as unittest keeps it.
Cleanup = tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]

# What tears a fixture down: called once, outside the loop. What it raises is for the report.
Exit = Callable[[], None]


def leave(exit_: Callable[[], object]) -> list[BaseException]:
    """Call what tears something down, and return what that raised."""
    try:
        exit_()
    except KeyboardInterrupt:
        raise
    except LoopClosedError as error:
        return [] if error.is_repeated else [error]
    except BaseException as error:
        return [error]
    return []


T = TypeVar("T")


class AsyncCleanup:
    """One async cleanup of a scope, which unittest keeps among its own, to call in their order. Runs once."""

    _is_done = False

    def __init__(self, scope_task: ScopeTask, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        self.scope_task = scope_task
        self._call = (function, args, kwargs)

    def __call__(self) -> None:
        """Run it; a cancellation of it goes on through what the scope has entered."""
        if self._is_done:
            return
        if self.scope_task.loop_runner.is_interrupted:
            self.drop()
            return
        self._is_done = True
        self.scope_task.is_ending = True
        try:
            self._run()
        except CancelledError as error:
            if not self.scope_task.cancelled(error):
                raise cut_short(self.scope_task.scope, error) from error
        except SystemExit as error:
            if self.scope_task.scope.scope is Scope.FUNCTION:  # unittest takes it as an error of the test
                raise
            raise as_exception(error, self.scope_task.scope) from error

    def _run(self) -> None:
        function, args, kwargs = self._call
        self.scope_task.call(function, *args, **kwargs)

    def drop(self) -> None:
        """Do not run any more: the loop is gone."""
        self._is_done = True


class ContextExit(AsyncCleanup):
    """The exit of an async context that a scope has entered; it is told of the cancellation in flight."""

    def __init__(self, scope_task: ScopeTask, manager: object) -> None:
        self.scope_task = scope_task
        self._manager: Any = manager

    def _run(self) -> None:
        self.scope_task.run(self.awaitable())

    def awaitable(self) -> Coroutine[Any, Any, None]:
        """What is to be awaited to leave the context."""
        return self.leave()

    async def leave(self) -> None:
        """Exit the context, in the task of the scope."""
        error = self.scope_task.cancellation
        if error is None:
            await type(self._manager).__aexit__(self._manager, None, None, None)
            return
        try:
            if await self._exit(error):
                self.scope_task.cancellation = None
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as replacement:
            self.scope_task.cancellation = put_behind(replacement, error)

    async def _exit(self, error: BaseException) -> object:
        """Exit as ``async with`` would for the error; what is returned is true where that ends here."""
        return await type(self._manager).__aexit__(self._manager, type(error), error, error.__traceback__)


def put_behind(error: BaseException, earlier: BaseException) -> BaseException:
    """Have the report of an error show the one that it came up while handling, as Python does in an ``async with``."""
    if any(other is earlier for other in all_of(error)):
        return error
    first = error
    while (context := attribute_of(first, "__context__")) is not None:
        first = context
    object.__setattr__(first, "__context__", earlier)
    return error


def to_tell(scope_task: ScopeTask, error: BaseException) -> list[Any]:
    """What is to be reported of an error: a cancellation goes through what the scope holds, where none does already."""
    if not is_error(error, CancelledError):
        return [error]
    return [] if scope_task.cancelled(error) else [cut_short(scope_task.scope, error)]


async def enter_context(manager: Any, scope_task: ScopeTask, register: Callable[[ContextExit], object]) -> Any:
    """Enter an async context in the task of the scope, register its exit, and return what it gave."""
    cls = type(manager)
    if not (hasattr(cls, "__aenter__") and hasattr(cls, "__aexit__")):
        hint = ""
        if hasattr(cls, "__enter__") and hasattr(cls, "__exit__"):
            hint = " but it supports the context manager protocol. Did you mean to use enterContext()?"
        raise TypeError(f"'{class_name(cls)}' object does not support the asynchronous context manager protocol{hint}")
    value = await scope_task.submit(cls.__aenter__, manager)
    register(ContextExit(scope_task, manager))
    return value


def call_hook(scope_task: ScopeTask, hook: Callable[[], object], continuation: Continuation | None = None) -> None:
    """Call an async hook and await what it returns; raise DefinitionError if that cannot be awaited."""
    value = scope_task.call_sync(hook)
    if not is_awaitable(value):
        name = getattr(hook, "__qualname__", None) or repr(hook)
        raise DefinitionError(
            f"{name}() returned {value!r}, which cannot be awaited, so nothing of it may have run. Write "
            f"'async def {name.rpartition('.')[2]}' without yield, or use the sync hook."
        )
    scope_task.run(value, continuation)


def call_without_task(scope: OpenScope, function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Call a sync step of a scope that has no task; a cancellation, which is nobody's then, is raised as an error."""
    try:
        return call_in_time(scope, function, *args, **kwargs)
    except CancelledError as error:  # unittest stops at it
        raise cut_short(scope, error) from error


def as_errors(cancellation: BaseException | None, scope: OpenScope) -> list[Exception]:
    """What is left of a cancellation as errors for a report; unittest stops at what is not an Exception."""
    if cancellation is None:
        return []
    return [cancellation if is_error(cancellation, Exception) else cut_short(scope, cancellation)]


def as_exception(error: BaseException, scope: OpenScope) -> Exception:
    """The error for the report of a class or a module; unittest stops at what is not an Exception."""
    if is_error(error, Exception):
        return error
    made = CutShortError(f"code of the scope '{scope}' raised {error!r}")
    made.__cause__ = error
    return made


def cut_short(scope: OpenScope, cause: BaseException | None) -> CutShortError:
    """The error for a scope that was cancelled, where no error of anybody's says why."""
    error = CutShortError(
        f"the scope '{scope}' was cancelled before it was done, and no error says why: a cancel scope that it was "
        f"in was cancelled, or somebody called cancel() on its task."
    )
    error.__cause__ = cause
    return error
