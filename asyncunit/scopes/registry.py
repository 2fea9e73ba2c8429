"""Which scopes are open: a chain for each thread and run; entering a path closes what it leaves.

Nothing here knows of event loops.
"""

from __future__ import annotations

import atexit
import contextvars
import os
import sys
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from asyncunit.errors import raise_all
from asyncunit.introspection.tracebacks import print_all, printing_at_interrupt, report_on_stderr
from asyncunit.scope import Scope, ScopePath, path_of_module
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Run:
    """The open scopes of one run of tests in one thread; each runner of tests has a kind of its own.

    ``result`` is what the test that the run has come to reports to. ``chain`` is what is open, widest first. ``report``
    takes what was raised by a scope that closed because the run went elsewhere. ``notices`` are those of its scopes.
    ``attempt`` is the
    schedule that the test follows, where the runner sees to schedules, and ``ran_once`` counts tests that cannot follow
    any though they were asked to.
    """

    # Whether the runner says when the run is over, and closes its scopes then, also after Ctrl-C.
    says_when_it_ends = False
    # Whether the runner has a test follow schedules; else the test case does.
    sees_to_schedules = False
    # Whether the cleanups of a class are to return the errors of its tear-down, too: pytest shows only one of both.
    takes_errors_of_class_at_once = False

    def __init__(self, result: object, report: Callable[[OpenScope, Exception], None]) -> None:
        self.result = result
        self.notices: Any = None
        self.ran_once = 0
        # Whether another run has begun inside this one, since `end_inside`.
        self.has_inner = False
        self.attempt: Any = None
        self.chain: list[OpenScope] = []
        self.report = report
        self.thread = threading.current_thread()
        # True once the run is over: what is still begun in this thread is another one.
        self.is_closing = False
        self._at_end: list[Callable[[], object]] = []

    # What a runner of tests can tell.

    def is_executed(self) -> bool:
        """Whether the runner is executing tests in this thread, as far as it can tell."""
        return False

    def class_to_be_run(self) -> type | None:
        """The class of the test that the run has come to, if that is a test case."""
        return None

    def fail_module(self) -> bool:
        """Have the runner leave out the rest of the module that it is in; False where it cannot."""
        return False

    def report_all(self, errors: list[Exception], name: str) -> None:
        """Report errors of something other than a test, ``name``; where there is no report for them, raise them."""
        raise_all(errors, name)

    def tear_down_with(self, open_scope: OpenScope, tear_down: Callable[[], object]) -> None:
        """Something was set up in a scope that closes it anyway; the runner may call ``tear_down`` as that ends."""

    def count_one_that_ran_once(self) -> None:
        """Have the run tell of one more test that was to follow schedules and could not."""
        self.ran_once += 1

    # Scopes.

    def enter(self, path: ScopePath) -> OpenScope:
        """Close the open scopes that are not on ``path``, innermost first, and open the rest of it."""
        self.leave_all_but(path)
        for scope, key in path[len(self.chain) :]:
            self.open(scope, key)
        return self.chain[-1]

    def leave_all_but(self, path: ScopePath) -> None:
        """Close the open scopes that are not on ``path``, innermost first."""
        depth = 0
        for open_scope, (scope, key) in zip(self.chain, path, strict=False):
            if open_scope.scope is not scope or open_scope.key != key:
                break
            depth += 1
        self._close_to(depth)

    def path_of_module(self, name: str) -> ScopePath:
        """The scopes around the module of this name, and its own."""
        return path_of_module(name)

    def open(self, scope: Scope, key: Hashable) -> OpenScope:
        """Open one scope inside the innermost."""
        chain = self.chain
        within = chain[-1] if chain else None
        open_scope = OpenScope(scope, key, self.context_within(within), within)
        if within is None:
            open_scope.notices = self.notices
        chain.append(open_scope)
        return open_scope

    def context_within(self, within: OpenScope | None) -> contextvars.Context:
        """The context of a scope that opens inside another."""
        return contextvars.copy_context() if within is None else within.context.copy()

    @property
    def innermost_scope(self) -> OpenScope | None:
        """The narrowest scope that is open, if there is one."""
        return self.chain[-1] if self.chain else None

    def innermost(self, scope: Scope) -> OpenScope:
        """The open scope of that kind; of several packages, the one that stands inside the others."""
        for open_scope in reversed(self.chain):
            if open_scope.scope is scope:
                return open_scope
        raise LookupError(f"no scope of that kind is open: {scope}")

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
        if chain and chain[-1] is open_scope and not open_scope.has_anything_to_close():
            chain.pop()  # the short way
            return errors
        with printing_at_interrupt(open_scope, errors):
            while open_scope in chain:
                innermost = chain[-1]
                errors += innermost.close()
                if innermost is chain[-1]:
                    chain.pop()
        return errors

    def at_end(self, callback: Callable[[], object]) -> None:
        """Call ``callback`` when all scopes of the run are closed, and it has ended."""
        self._at_end.append(callback)

    def close(self) -> None:
        """Close all that is open, innermost first. May be called twice, also to go on where Ctrl-C interrupted it."""
        self.is_closing = True
        self._close_to(0)

    def abandon(self) -> None:
        """Close nothing any more; what is still to be reported goes to stderr."""
        for open_scope in self.chain:
            print_all(open_scope, open_scope.take_untold())
        self.chain.clear()

    def finish(self) -> None:
        """Call what is to be called at the end, the last first; the run is no more among those that have not ended."""
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
        self.runs: list[Run] = []


this_thread = _Thread()
# Every run that has not ended, of all threads, so that the end of the process can close them.
_open: list[Run] = []
# What multiprocessing is to call as this process ends; None until a run has begun while it was imported.
_finalizer: Any = None
# What a forked child must neither use nor let go: closing it would act on the parent's files.
_inherited: list[object] = []


def runs() -> list[Run]:
    """The runs of this thread that have not ended, outermost first."""
    return this_thread.runs


def innermost_run() -> Run | None:
    """The run of this thread that began last and has not ended, if there is one."""
    return this_thread.runs[-1] if this_thread.runs else None


def all_runs() -> list[Run]:
    """The runs of all threads that have not ended, in the order in which they began."""
    return _open


def begin(run: Run) -> Run:
    """Make a run the innermost of this thread."""
    if not _open:
        _close_at_exit()
    run.thread = threading.current_thread()
    if this_thread.runs:
        this_thread.runs[-1].has_inner = True
    this_thread.runs.append(run)
    _open.append(run)
    return run


def end(run: Run) -> None:
    """Close the scopes of a run, and of those that began inside it."""
    own = this_thread.runs if run in this_thread.runs else [run]
    while run in own:
        innermost = own[-1]
        innermost.close()
        own.remove(innermost)
        if innermost in _open:
            _open.remove(innermost)
        innermost.finish()


def end_inside(run: Run) -> None:
    """End the runs of this thread that began inside a run."""
    own, run.has_inner = this_thread.runs, False
    while own and own[-1] is not run and run in own:
        end(own[-1])


def close_all() -> None:
    """Close what is still open as the process ends, errors on stderr, but for threads that still run.

    A test may have the finalizers of multiprocessing called, as processes that end do: then nothing has ended.
    """
    if any(run.is_executed() for run in this_thread.runs):
        _close_at_exit()
        return
    for run in reversed(_open.copy()):
        if run.thread is threading.current_thread() or not run.thread.is_alive():
            run.report = report_on_stderr
            end(run)


def _close_at_exit() -> None:
    global _finalizer  # noqa: PLW0603 - there is one process, and one end of it
    # A worker of multiprocessing runs its finalizers, and before Python 3.13 no atexit callbacks.
    if multiprocessing_util := sys.modules.get("multiprocessing.util"):
        if _finalizer is None or not _finalizer.still_active():
            _finalizer = multiprocessing_util.Finalize(None, close_all, exitpriority=100)
    else:
        atexit.unregister(close_all)
        atexit.register(close_all)


def _after_fork() -> None:
    global _finalizer  # noqa: PLW0603 - that of the parent does nothing in the child
    _finalizer = None
    _inherited.append((_open.copy(), this_thread.runs))
    _open.clear()
    this_thread.runs = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
