"""Which scopes are open: a chain for each thread and run; entering a path closes what it leaves.

Nothing here knows of event loops: a scope keeps whatever it is given, and closes it when it is left.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from asyncunit.scopes import Path, Scope

__all__ = ["OpenScope", "Registry", "all_runs", "begin", "close_all", "end", "end_inside", "report_on_stderr", "runs"]

__unittest = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")


class OpenScope:
    """A scope that is open: its context, and what closes with it.

    ``context`` is a copy of the wider scope's, taken when this one opened. ``hooks`` is what runs the scope's hooks,
    and ``fixtures`` what has set up its fixtures, if it has any: closed in this order, and before all that is kept.
    """

    __slots__ = ("_closers", "_kept", "_spread", "context", "fixtures", "hooks", "key", "scope")

    def __init__(self, scope: Scope, key: Hashable, context: contextvars.Context) -> None:
        self.scope = scope
        self.key = key
        self.context = context
        self.hooks: Any = None
        self.fixtures: Any = None
        # None until something is kept: a scope is opened for each test, and few of those keep anything.
        self._kept: dict[Hashable, Any] | None = None
        self._closers: list[Callable[[], Sequence[Exception] | None]] | None = None
        # What has come into the context from wider scopes after it was copied.
        self._spread: dict[contextvars.ContextVar[Any], Any] | None = None

    def __str__(self) -> str:
        if isinstance(self.key, type):
            return f"{self.scope} {self.key.__module__}.{self.key.__qualname__}"
        return f"{self.scope} {self.key}" if self.key else str(self.scope)

    def keep(self, key: Hashable, make: Callable[[], T], close: Callable[[T], Sequence[Exception] | None]) -> T:
        """What is kept under ``key``: made on the first call, and closed with the scope, the last made first."""
        if self._kept is None or self._closers is None:
            self._kept, self._closers = {}, []
        if key in self._kept:
            kept: T = self._kept[key]
            return kept
        value = self._kept[key] = make()
        self._closers.append(lambda: close(value))
        return value

    def kept(self, key: Hashable) -> Any | None:
        """What is kept under ``key``, or None."""
        return None if self._kept is None else self._kept.get(key)

    def take_over(self, before: Mapping[Any, Any], after: Mapping[Any, Any]) -> None:
        """Have the context see what has changed in that of a wider scope, where nothing narrower says otherwise."""
        spread = self._spread = {} if self._spread is None else self._spread
        nothing = object()
        for variable, value in after.items():
            if before.get(variable, nothing) is value:
                continue
            own = self.context.get(variable, nothing)
            if own is before.get(variable, nothing) or own is spread.get(variable, self):
                self.context.run(variable.set, value)
                spread[variable] = value

    def close(self) -> list[Exception]:
        """Close the hooks, the fixtures and what is kept, and return what that raised.

        May be called twice, also to go on where Ctrl-C interrupted it.
        """
        errors: list[Exception] = []
        with printing_at_interrupt(self, errors):
            if self.hooks is not None:
                errors += self.hooks.close()
            if self.fixtures is not None:
                errors += self.fixtures.close()
                if self.hooks is not None:
                    errors += self.hooks.clean_up()
            while self._closers:
                try:
                    errors += self._closers.pop()() or ()
                except Exception as error:
                    errors.append(error)
        return errors


class Registry:
    """The open scopes of one run in one thread.

    ``run`` tells it from other runs: the result that unittest reports to, mostly. ``chain`` is what is open, widest
    first. ``report`` takes what was raised by a scope that closed because the run went elsewhere.
    """

    def __init__(self, run: object, report: Callable[[OpenScope, Exception], None]) -> None:
        self.run = run
        self.chain: list[OpenScope] = []
        self.report = report
        self.thread = threading.current_thread()
        # True once the run is over: what is still begun in this thread is another one.
        self.is_closing = False
        self._at_end: list[Callable[[], object]] = []

    def enter(self, path: Path) -> OpenScope:
        """Close the open scopes that are not on ``path``, innermost first, and open the rest of it."""
        depth = 0
        for open_scope, (scope, key) in zip(self.chain, path, strict=False):
            if open_scope.scope is not scope or open_scope.key != key:
                break
            depth += 1
        self._close_to(depth)
        for scope, key in path[depth:]:
            self.open(scope, key)
        return self.chain[-1]

    def open(self, scope: Scope, key: Hashable) -> OpenScope:
        """Open one scope inside the innermost."""
        context = self.chain[-1].context.copy() if self.chain else contextvars.copy_context()
        open_scope = OpenScope(scope, key, context)
        self.chain.append(open_scope)
        return open_scope

    @contextmanager
    def spreading(self, open_scope: OpenScope) -> Iterator[None]:
        """Have the open scopes inside this one see what is set in its context meanwhile."""
        before = dict(open_scope.context)
        try:
            yield
        finally:
            after = dict(open_scope.context)
            for inner in self.chain[self.chain.index(open_scope) + 1 :]:
                inner.take_over(before, after)

    def leave(self, open_scope: OpenScope) -> list[Exception]:
        """Close a scope, after those inside it, and return what that raised. May be called twice."""
        errors: list[Exception] = []
        chain = self.chain
        has_any = open_scope._kept or open_scope.hooks or open_scope.fixtures
        if not has_any and chain and chain[-1] is open_scope:
            chain.pop()  # the short way, which most tests go
            return errors
        with printing_at_interrupt(open_scope, errors):
            while open_scope in chain:
                innermost = chain[-1]
                errors += innermost.close()
                if innermost is chain[-1]:
                    chain.pop()
        return errors

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when all scopes of the run are closed."""
        self._at_end.append(callback)

    def close(self) -> None:
        """Close all that is open, innermost first. May be called twice, also to go on where Ctrl-C interrupted it."""
        self.is_closing = True
        self._close_to(0)
        while self._at_end:
            self._at_end.pop()()

    def _close_to(self, depth: int) -> None:
        while len(self.chain) > depth:
            open_scope = self.chain[-1]
            for error in self.leave(open_scope):
                self.report(open_scope, error)


class _Thread(threading.local):
    """The runs of one thread, outermost first: a test may run a suite of its own."""

    def __init__(self) -> None:
        self.runs: list[Registry] = []


_thread = _Thread()
# Every run that has not ended, of all threads, so that the end of the process can close them.
_open: list[Registry] = []
# What a forked child must neither use nor let go: closing it would act on the parent's files.
_inherited: list[object] = []


def runs() -> list[Registry]:
    """The runs of this thread that have not ended, outermost first."""
    return _thread.runs


def all_runs() -> list[Registry]:
    """The runs of all threads that have not ended, in the order in which they began."""
    return _open


def begin(registry: Registry) -> Registry:
    """Make a run the innermost of this thread."""
    if not _open:
        _close_at_exit()
    registry.thread = threading.current_thread()
    _thread.runs.append(registry)
    _open.append(registry)
    return registry


def end(registry: Registry) -> None:
    """Close the scopes of a run, and of those that began inside it."""
    own = _thread.runs if registry in _thread.runs else [registry]
    while registry in own:
        innermost = own[-1]
        innermost.close()
        own.remove(innermost)
        if innermost in _open:
            _open.remove(innermost)


def end_inside(registry: Registry) -> None:
    """End the runs of this thread that began inside a run."""
    own = _thread.runs
    while own[-1] is not registry and registry in own:
        end(own[-1])


def close_all() -> None:
    """Close what is still open as the process ends, errors on stderr, but for threads that still run."""
    for registry in reversed(_open.copy()):
        if registry.thread is threading.current_thread() or not registry.thread.is_alive():
            registry.report = report_on_stderr
            end(registry)


def report_on_stderr(open_scope: OpenScope, error: BaseException) -> None:
    """Print an error of a scope for which there is no test result, or none any more."""
    sys.stderr.write(f"asyncunit: error while the scope '{open_scope}' closed:\n")
    begin = error.__traceback__
    while begin is not None and "__unittest" in begin.tb_frame.f_globals:
        begin = begin.tb_next
    traceback.print_exception(error.with_traceback(begin))


@contextmanager
def printing_at_interrupt(open_scope: OpenScope, errors: Sequence[BaseException]) -> Iterator[None]:
    """Have the errors that were collected printed where Ctrl-C keeps them from being returned."""
    try:
        yield
    except KeyboardInterrupt:
        print_all(open_scope, errors)
        raise


def print_all(open_scope: OpenScope, errors: Sequence[BaseException]) -> None:
    """Print errors of a scope for which there is no test result any more."""
    for error in errors:
        report_on_stderr(open_scope, error)


def _close_at_exit() -> None:
    # A worker of multiprocessing runs its finalizers, and before Python 3.13 no atexit callbacks.
    if multiprocessing_util := sys.modules.get("multiprocessing.util"):
        multiprocessing_util.Finalize(None, close_all, exitpriority=100)
    else:
        atexit.unregister(close_all)
        atexit.register(close_all)


def _after_fork() -> None:
    _inherited.append((_open.copy(), _thread.runs))
    _open.clear()
    _thread.runs = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
