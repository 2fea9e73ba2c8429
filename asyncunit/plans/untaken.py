"""Functions at the top of a module that look like tests, where nothing tells unittest of them: they would never run."""

from __future__ import annotations

import functools
import inspect
import sys
import types
import unittest
import warnings
from typing import Any

from asyncunit.errors import AsyncUnitWarning

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

LOAD_TESTS = "load_tests"
# The names of the modules whose functions a loader of asyncunit's takes.
spoken_for: set[str] = set()


def functions_of(module: types.ModuleType, prefix: str) -> dict[str, Any]:
    """The test functions at the top of a module, in the order of their definition."""
    return {name: member for name, member in vars(module).items() if is_test(name, member, prefix)}


def is_test(name: str, member: Any, prefix: str) -> bool:
    """Whether what a module has under that name is a test function."""
    is_function = inspect.isfunction(member) or isinstance(member, functools.partial)
    return name.startswith(prefix) and is_function and getattr(member, "__test__", True)


def untaken(module: types.ModuleType, prefix: str) -> str | None:
    """What to say of the functions of a module that look like tests and are not run; None where there are none."""
    names = list(functions_of(module, prefix))
    if not names:
        return None
    shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return (
        f"{module.__name__} has functions that look like tests ({shown}), and unittest runs none of them. Write in the "
        f"module: from asyncunit import load_tests, or configure mode = auto and run python -m asyncunit."
    )


def watch_module_of(function: Any) -> None:
    """Have the module of a function that is at its top warn of such functions when unittest looks for `load_tests`.

    unittest's loader asks a module for that attribute; one that has none answers by its ``__getattr__`` (PEP 562).
    """
    name = str(getattr(function, "__module__", None))
    module = sys.modules.get(name)
    if module is not None and "." not in getattr(function, "__qualname__", "."):
        vars(module).setdefault("__getattr__", functools.partial(_answer, name))


def _answer(module: str, attribute: str) -> Any:
    if attribute == LOAD_TESTS and module not in spoken_for:
        text = untaken(sys.modules[module], unittest.TestLoader.testMethodPrefix)
        if text is not None:
            file = vars(sys.modules[module]).get("__file__") or module
            warnings.warn_explicit(text, AsyncUnitWarning, file, 1)
    raise AttributeError(f"module {module!r} has no attribute {attribute!r}")
