"""The async hooks of classes and modules: their names, and which of them are written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["CLASS_HOOKS", "MODULE_HOOKS", "class_hook", "class_hooks", "empty_hook", "module_hook", "module_hooks"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Hook = Callable[[], object]
Function = TypeVar("Function", bound=Callable[..., Any])

CLASS_HOOKS = ("asyncSetUpClass", "asyncTearDownClass")
MODULE_HOOKS = ("asyncSetUpModule", "asyncTearDownModule")


def module_hooks(name: str) -> tuple[Hook | None, Hook | None]:
    """The async set-up and tear-down hook of the module, None for one that it does not have."""
    module = sys.modules.get(name)
    set_up, tear_down = (getattr(module, hook, None) for hook in MODULE_HOOKS)
    return set_up, tear_down


def module_hook(name: str) -> str | None:
    """The name of the first async hook that the module has, None if it has none."""
    return next((name for name, hook in zip(MODULE_HOOKS, module_hooks(name), strict=True) if hook is not None), None)


def empty_hook(function: Function) -> Function:
    """Mark an async class hook that is only there for overrides to call: nobody needs a loop for it."""
    function.is_empty_hook = True  # type: ignore[attr-defined]
    return function


def class_hooks(cls: type) -> tuple[Hook | None, Hook | None]:
    """The async set-up and tear-down hook of the class, None for one that it does not have."""
    set_up, tear_down = (getattr(cls, name, None) for name in CLASS_HOOKS)
    return _unless_empty(set_up), _unless_empty(tear_down)


def _unless_empty(hook: Hook | None) -> Hook | None:
    return None if getattr(hook, "is_empty_hook", False) is True else hook


def class_hook(cls: type) -> str | None:
    """The name of the first async hook that the class has, None if it has none."""
    return next((name for name, hook in zip(CLASS_HOOKS, class_hooks(cls), strict=True) if hook is not None), None)
