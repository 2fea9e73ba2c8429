"""Tests that hypothesis calls with its examples.

It calls a sync function for each of them, so a test that is async is replaced meanwhile by one that has it awaited. The
names ``is_hypothesis_test`` and ``hypothesis.inner_test`` are those that it documents for who runs async tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["inner_test", "is_example_test", "substitute"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def is_example_test(function: Any) -> bool:
    """Whether it is a test that hypothesis calls with its examples."""
    return getattr(function, "is_hypothesis_test", False) is True  # a mock has every attribute


def inner_test(function: Any) -> Any:
    """The test that hypothesis calls with its examples; the function itself where that is not hypothesis's."""
    if is_example_test(function):
        return getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return function


@contextmanager
def substitute(function: Any, call: Callable[..., Any]) -> Iterator[None]:
    """Have hypothesis do ``call(test, **arguments)`` for each example, in the place of ``test(**arguments)``."""
    written = inner_test(function)

    @functools.wraps(written)
    def example(*args: Any, **kwargs: Any) -> Any:
        return call(functools.partial(written, *args), **kwargs)

    function.hypothesis.inner_test = example
    try:
        yield
    finally:
        function.hypothesis.inner_test = written
