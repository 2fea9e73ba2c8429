"""The errors of a test case that has several.

pytest takes an item for the result of its test case, and notes all errors that this is told of, in ``_excinfo``. With
each of its reports it shows one of them: the second in the place of what the tear-down has raised, the third never.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# The methods by which unittest tells of errors.
_TELL = ("addError", "addFailure")


def raise_others(item: Any) -> None:
    """Have all but the first be raised as pytest tears down the item, where it tells of all that is raised."""
    if "addError" not in vars(item):  # else it is run once more
        others: list[BaseException] = []
        for name in _TELL:
            setattr(item, name, functools.partial(_add, item, getattr(item, name), others))


def forget_others(item: Any) -> None:
    """Put back what `raise_others` has replaced: pytest keeps all items, and each of them would be more to collect."""
    for name in _TELL:
        vars(item).pop(name, None)


def _add(item: Any, add: Callable[..., object], others: list[BaseException], case: object, exc_info: Any) -> None:
    error = exc_info[1]
    if isinstance(error, pytest.exit.Exception):
        others.clear()  # the run ends here, and nobody reports more of it
    elif getattr(item, "_excinfo", None):
        # pytest calls the last of these first, and tells of what they raise in their order.
        others.append(error)
        item.addfinalizer(functools.partial(_raise, error, others))
        return
    add(case, exc_info)


def _raise(error: BaseException, others: list[BaseException]) -> None:
    if any(each is error for each in others):
        others[:] = [each for each in others if each is not error]
        raise error
