"""What Python only warns of: coroutines that nobody has awaited, and resources that nobody has closed.

``warnings._warn_unawaited_coroutine`` is private: it is what the interpreter calls for a coroutine that it lets go. The
filters behind it cannot be relied on, for a test that catches warnings of its own replaces them.
"""

from __future__ import annotations

import inspect
import sys
import threading
import types
import warnings
from typing import Any, Final

from asyncunit.checks.findings import Finding
from asyncunit.config.settings import Check
from asyncunit.introspection.frames import Place

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# A pattern that is nobody else's, for a filter takes the place of one that is equal to it.
_EVERY_TEXT = "(?#asyncunit)"

# Asked for each test, and slow to find on an enum up to Python 3.11.
_RESOURCES: Final = Check.UNCLOSED_RESOURCES
_COROUTINES: Final = Check.UNAWAITED_COROUTINES

# The lines that a coroutine remembers of where it was called.
_ORIGIN_DEPTH = 1


class _Thread(threading.local):
    """What the scope that runs in a thread looks for, and what was found for it."""

    def __init__(self) -> None:
        self.wanted: frozenset[Check] = frozenset()
        self.found: list[Finding] = []
        # How many lines coroutines remembered before; None while asyncunit has not asked for more.
        self.depth: int | None = None
        # The filters that are in force but where a test catches warnings.
        self.filters: Any = None


class _Listener:
    """Stands in front of what the module ``warnings`` does, from the first scope that looks for what comes there."""

    def __init__(self) -> None:
        self._filter: Any = None
        self._show_behind: Any = None
        self._warn_behind: Any = None
        self._shown, self._warned = self._show, self._warn

    def listen(self, wanted: frozenset[Check]) -> None:
        """Take what these checks look for, in this thread. A runner or a test may have put others in front by now."""
        _thread.wanted = wanted
        if _RESOURCES in wanted:
            if not warnings.filters or warnings.filters[0] is not self._filter:
                warnings.filterwarnings("always", _EVERY_TEXT, ResourceWarning)
                self._filter = warnings.filters[0]
            if warnings.showwarning is not self._shown:
                self._show_behind, warnings.showwarning = warnings.showwarning, self._shown
        if _COROUTINES in wanted:
            module: Any = warnings
            if module._warn_unawaited_coroutine is not self._warned:
                self._warn_behind, module._warn_unawaited_coroutine = module._warn_unawaited_coroutine, self._warned
            if _thread.depth is None:
                _thread.depth = sys.get_coroutine_origin_tracking_depth()
                sys.set_coroutine_origin_tracking_depth(max(_thread.depth, _ORIGIN_DEPTH))
        elif _thread.depth is not None:
            sys.set_coroutine_origin_tracking_depth(_thread.depth)
            _thread.depth = None
        _thread.filters = warnings.filters

    def stop(self) -> None:
        """Put back what was there before."""
        self.listen(frozenset())
        if warnings.showwarning is self._shown:
            warnings.showwarning = self._show_behind
        module: Any = warnings
        if module._warn_unawaited_coroutine is self._warned:
            module._warn_unawaited_coroutine = self._warn_behind
        if self._filter in warnings.filters:
            module.filters.remove(self._filter)
        self._filter = None
        _thread.found = []

    def _warn(self, coroutine: types.CoroutineType[Any, Any, Any]) -> None:
        is_wanted = Check.UNAWAITED_COROUTINES in _thread.wanted
        if is_wanted:
            _thread.found.append(unawaited(coroutine))
        if not is_wanted or warnings.filters is not _thread.filters:  # the test catches warnings: perhaps it means this
            self._warn_behind(coroutine)

    def _show(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, ResourceWarning) and Check.UNCLOSED_RESOURCES in _thread.wanted:
            _thread.found.append(Finding(Check.UNCLOSED_RESOURCES, f"{message}{_made_at()}"))
        else:
            self._show_behind(message, category, filename, lineno, file, line)


def unawaited(coroutine: types.CoroutineType[Any, Any, Any]) -> Finding:
    """The finding of a coroutine that was never awaited."""
    origin = coroutine.cr_origin
    place = Place(*origin[0]) if origin else None
    made = f", made at {place}" if place is not None else ""
    return Finding(Check.UNAWAITED_COROUTINES, f"coroutine {coroutine.__qualname__!r} was never awaited{made}", place)


def _made_at() -> str:
    """Where the object was made that is warned of, as far as tracemalloc knows.

    The function is not told of the object, but its caller, in the module ``warnings``, is.
    """
    import tracemalloc

    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    source = getattr(caller.f_locals.get("msg"), "source", None) if caller is not None else None
    made = tracemalloc.get_object_traceback(source) if source is not None else None
    if made is None:
        return "" if tracemalloc.is_tracing() else " (run python -X tracemalloc=10 to see where it was made)"
    return ", made at:\n" + "\n".join(made.format())


_thread = _Thread()
_listener = _Listener()
listen, stop = _listener.listen, _listener.stop


def take() -> list[Finding]:
    """What was found in this thread since it was asked for last."""
    if not _thread.found:
        return []
    found, _thread.found = _thread.found, []
    return found
