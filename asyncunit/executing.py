"""What unittest is executing in this thread, read from its frames.

unittest's suite tells class and module hooks nothing of the run that they are part of: neither the result, nor which
tests of theirs are selected. ``__unittest_skip__`` is what its decorators set.
"""

from __future__ import annotations

import inspect
import types
import unittest
from collections.abc import Iterator, Mapping
from typing import Any

from asyncunit import registry

__all__ = ["class_to_be_run", "has_test_to_run", "results"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

_SUITE_RUN = unittest.TestSuite.run.__code__
_TEST_RUN = unittest.TestCase.run.__code__


def _frames() -> Iterator[types.FrameType]:
    """The frames of unittest's own that are being executed in this thread, innermost first."""
    frame = inspect.currentframe()
    frames = []
    while frame is not None:
        if frame.f_code is _SUITE_RUN or frame.f_code is _TEST_RUN:
            frames.append(frame)
        frame = frame.f_back
    return iter(frames)


def _suite_run() -> Mapping[str, Any] | None:
    """The variables of the innermost suite that is being executed in this thread."""
    return next((frame.f_locals for frame in _frames() if frame.f_code is _SUITE_RUN), None)


def results() -> Iterator[Any]:
    """The results that unittest reports to in this thread, innermost first."""
    return (result for frame in _frames() if (result := frame.f_locals.get("result")) is not None)


def has_test_to_run(cls: type[unittest.TestCase]) -> bool:
    """Whether any test of the class is in the suite that is being executed, and not skipped by a decorator."""
    if getattr(cls, "__unittest_skip__", False):
        return False
    suite = _suite_run()
    if suite is None:
        names = list(unittest.TestLoader().getTestCaseNames(cls))
    else:
        names = [test._testMethodName for test in suite["self"] if type(test) is cls]
    return any(not getattr(getattr(cls, name, None), "__unittest_skip__", False) for name in names)


def class_to_be_run() -> type[unittest.TestCase] | None:
    """The class of the test that the suite which is being executed has come to."""
    run = registry.innermost_run()
    if run is not None and (host := run.host) is not None:
        return host.cls if host.cls is not None and issubclass(host.cls, unittest.TestCase) else None
    test = (_suite_run() or {}).get("test")
    return type(test) if isinstance(test, unittest.TestCase) else None
