"""Tracebacks that begin at the user's line, and the printing of what has no report."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import traceback
import types
import unittest
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeGuard, TypeVar

from asyncunit.errors import AsyncUnitError
from asyncunit.introspection.frames import Place, is_ours, place_of_function

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Error = TypeVar("Error", bound=BaseException)

# Where an error says that it has been reported: it may come up again when its task is let go.
_REPORTED = "__asyncunit_is_reported__"


def trim(error: Error) -> Error:
    """Have the traceback begin at the first frame that is not asyncunit's, unittest's or contextlib's.

    So do those of the errors behind it, and of the members of a group.

    unittest does that for what it reports and the causes of that, but not for the members of a group.
    """
    for other in all_of(error):
        # Also of an error that lets nobody set an attribute.
        BaseException.with_traceback(other, _begin(attribute_of(other, "__traceback__")))
    return error


def is_error(error: object, kind: type[Error]) -> TypeGuard[Error]:
    """Whether an error is of that kind; isinstance() would ask the error itself, and some classes do not bear that."""
    return issubclass(type(error), kind)


def attribute_of(error: BaseException, name: str) -> Any:
    """What an error has under a name that each exception has; also where its class lets nobody ask for attributes."""
    return object.__getattribute__(error, name)


def is_reported(error: BaseException | None) -> bool:
    """Whether the error has been raised to where it is reported."""
    return error is not None and _REPORTED in attribute_of(error, "__dict__")


def mark_as_reported(error: BaseException) -> None:
    """Have the error not be found again: it has been raised to where it is reported."""
    attribute_of(error, "__dict__")[_REPORTED] = True


def all_of(error: BaseException) -> Iterator[BaseException]:
    """The error, those behind it, and the members of groups, each once."""
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        other = left.pop()
        if other is not None and id(other) not in seen:
            seen.add(id(other))
            yield other
            left += (attribute_of(other, "__cause__"), attribute_of(other, "__context__"))
            left += attribute_of(other, "exceptions") if issubclass(type(other), BaseExceptionGroup) else ()


class AtUsersLine:
    """A block whose errors of asyncunit's own have no line of asyncunit's: they come from the user's line that called.

    For what a user's module calls while it is imported: unittest's loader prints all lines of such an error. An error
    that goes on as it is gets no line of the function that it leaves, so it has none of the block's own either.
    """

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, AsyncUnitError):
            trim(error.with_traceback(None))


at_users_line = AtUsersLine()


def _begin(traceback: types.TracebackType | None) -> types.TracebackType | None:
    first = traceback
    while first is not None and (is_ours(first.tb_frame) or first.tb_frame.f_globals.get("__name__") == "contextlib"):
        first = first.tb_next
    return first or traceback


def users_lines(error: BaseException) -> traceback.StackSummary:
    """The lines that an error came through, but for asyncunit's, unittest's, and those of Python's import and start."""
    frames = traceback.walk_tb(error.__traceback__)
    shown = [(frame, line) for frame, line in frames if not is_ours(frame) and not _is_of_start(frame)]
    return traceback.StackSummary.extract(shown)


def _is_of_start(frame: types.FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith("<frozen ") or frame.f_globals.get("__name__") == "importlib"


def without_loader(text: str) -> str:
    """The text of a traceback that unittest's loader has made of an error of asyncunit's, without their own lines."""
    own = (unittest.__path__[0], *sys.modules["asyncunit"].__path__)
    # Each entry is the line that names it, and what is shown of it; a line that is not indented ends them.
    return re.sub(
        r"^  File \"([^\"]+)\".*\n(?:    .*\n)*",
        lambda found: "" if found[1].startswith(own) else found[0],
        text,
        flags=re.M,
    )


def stand_at(place: Place | None, error: Error) -> Error:
    """Give an error that was raised nowhere in a user's code a traceback of one line of it."""
    if place is None:
        return error
    # Code that raises, said to stand there: there is no other way to a frame of a file.
    tree = ast.parse("raise error")
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.expr):  # all of the line, so that no part of it is underlined
            node.col_offset, node.end_col_offset = 0, 1000
    code = compile(tree, place.filename, "exec")
    code = code.replace(co_firstlineno=place.line, co_name=place.function.rpartition(".")[2])
    try:
        exec(code, {"error": error, "__name__": place.function})
    except BaseException as raised:
        if raised is not error:
            raise
    return trim(error)


def stand_at_function(function: Any, error: Exception) -> None:
    """Give an error that came of calling a function, before any of its lines ran, a traceback of its first line."""
    begin = _begin(error.__traceback__)
    if begin is not None and is_ours(begin.tb_frame):
        stand_at(place_of_function(inspect.unwrap(function)), error.with_traceback(None))


def report_on_stderr(scope: object, error: BaseException) -> None:
    """Print an error of a scope for which there is no test result, or none any more."""
    with _uncaptured[-1]():
        sys.stderr.write(f"asyncunit: error while the scope '{scope}' closed:\n")
        traceback.print_exception(trim(error))


# Within what such an error is printed: a runner that captures what is printed, and shows it in a report, is to let this
# through, because there is no report. The last is in force.
_uncaptured: list[Callable[[], AbstractContextManager[object]]] = [nullcontext]


def print_within(uncaptured: Callable[[], AbstractContextManager[object]]) -> Callable[[], None]:
    """Have what has no report printed within such a context, until what is returned is called."""
    _uncaptured.append(uncaptured)
    return lambda: _uncaptured.remove(uncaptured)


class printing_at_interrupt:  # noqa: N801 - it stands for a function
    """Have the errors that were collected printed where Ctrl-C keeps them from being returned.

    This is not a generator, for which contextlib takes three times as long: each loop of a test's own is closed in two.
    """

    def __init__(self, scope: object, errors: Sequence[BaseException]) -> None:
        self._scope = scope
        self._errors = errors

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            print_all(self._scope, self._errors)


def print_all(scope: object, errors: Sequence[BaseException]) -> None:
    """Print errors of a scope for which there is no test result any more."""
    for error in errors:
        report_on_stderr(scope, error)
