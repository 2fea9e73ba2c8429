"""Errors for which there is no test result, or none any more: printed."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from asyncunit.tracebacks import trim

__all__ = ["print_all", "printing_at_interrupt", "report_on_stderr"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


def report_on_stderr(scope: object, error: BaseException) -> None:
    """Print an error of a scope for which there is no test result, or none any more."""
    sys.stderr.write(f"asyncunit: error while the scope '{scope}' closed:\n")
    traceback.print_exception(trim(error))


@contextmanager
def printing_at_interrupt(scope: object, errors: Sequence[BaseException]) -> Iterator[None]:
    """Have the errors that were collected printed where Ctrl-C keeps them from being returned."""
    try:
        yield
    except KeyboardInterrupt:
        print_all(scope, errors)
        raise


def print_all(scope: object, errors: Sequence[BaseException]) -> None:
    """Print errors of a scope for which there is no test result any more."""
    for error in errors:
        report_on_stderr(scope, error)
