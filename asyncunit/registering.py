"""What a user registers with an open class or module: cleanups and contexts, in the task of that scope."""

from __future__ import annotations

import unittest
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import ParamSpec, TypeVar

from asyncunit import registry
from asyncunit.errors import LoopScopeError
from asyncunit.halves import AsyncCleanup, AsyncHalf, enter_context, half_of
from asyncunit.hooks import ClassScope, ModuleScope
from asyncunit.scopes import Scope
from asyncunit.suite import class_scope_of

__all__ = ["addAsyncModuleCleanup", "enterAsyncModuleContext", "half_of_class"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

P = ParamSpec("P")
T = TypeVar("T")


def half_of_class(cls: type[unittest.TestCase], what: str) -> AsyncHalf:
    """The async half of an open class; raises LoopScopeError where it has none, or is not open."""
    scope = class_scope_of(cls)
    if scope is None:
        raise LoopScopeError(
            f"{cls.__qualname__}.{what}() was called while no test or hook of {cls.__qualname__} runs; call it from "
            f"one, by cls or self."
        )
    half = scope.open_loop()
    if half is None:
        raise scope.no_loop(f"{cls.__qualname__}.{what}() was called")
    return half


def _module_and_half(what: str) -> tuple[ModuleScope, AsyncHalf]:
    """The innermost open module, and its async half on the loop of the class that is open in it, if that lasts."""
    run = registry.innermost_run()
    found = {} if run is None else {open_scope.scope: open_scope.hooks for open_scope in run.chain}
    if Scope.MODULE not in found:
        raise LoopScopeError(
            f"asyncunit.{what}() was called while no module of tests runs; call it from a hook or a test."
        )
    module: ModuleScope = found[Scope.MODULE]
    running: ClassScope | None = found.get(Scope.CLASS)
    if running is not None and running.half is not None and running.choice.scope >= Scope.MODULE:
        return module, half_of(module.open_scope, running.half.runner.loop_runner)
    half = module.open_loop()
    if half is None:
        raise module.no_loop(f"asyncunit.{what}() was called")
    return module, half


def addAsyncModuleCleanup(function: Callable[P, Awaitable[object]], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Have ``function`` awaited after the tear-down of the module whose hook or test calls this.

    As unittest.addModuleCleanup(), with which it shares one order, last registered first. Raises LoopScopeError
    where the module has no event loop.
    """
    module, half = _module_and_half("addAsyncModuleCleanup")
    module.add_cleanup(half.add(AsyncCleanup(half.runner, function, *args, **kwargs)))


async def enterAsyncModuleContext(manager: AbstractAsyncContextManager[T]) -> T:
    """Enter an async context manager, to be left after the tear-down of the module; return what it gives.

    It is entered and left in the module's own task. Raises LoopScopeError where the module has no event loop.
    """
    module, half = _module_and_half("enterAsyncModuleContext")
    value: T = await enter_context(manager, half.runner, lambda leave: module.add_cleanup(half.add(leave)))
    return value
