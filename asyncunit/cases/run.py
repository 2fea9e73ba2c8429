"""What unittest is executing in this thread, read from its frames.

unittest's suite tells class and module hooks nothing of the run that they are part of: neither the result, nor which
tests of theirs are selected. ``__unittest_skip__`` is what its decorators set.
"""

from __future__ import annotations

import functools
import inspect
import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar
from unittest.case import _module_cleanups  # type: ignore[attr-defined]
from unittest.suite import _ErrorHolder  # type: ignore[attr-defined]

from asyncunit.checks.findings import Notices
from asyncunit.errors import AsyncUnitWarning
from asyncunit.introspection.functions import written_of
from asyncunit.introspection.tracebacks import report_on_stderr
from asyncunit.lifecycle.async_scope import let_go_of_process
from asyncunit.lifecycle.cleanups import Cleanup
from asyncunit.loops.interrupts import Interrupt
from asyncunit.scope import Scope
from asyncunit.scopes import registry
from asyncunit.scopes.open_scope import OpenScope
from asyncunit.scopes.registry import Run

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

P = ParamSpec("P")
T = TypeVar("T")

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


def _outermost_suite() -> unittest.TestSuite | None:
    """The suite that a runner has called in this thread."""
    suites = [frame.f_locals["self"] for frame in _frames() if frame.f_code is _SUITE_RUN]
    return suites[-1] if suites else None


def results() -> Iterator[Any]:
    """The results that unittest reports to in this thread, innermost first."""
    found = (frame.f_locals.get("result") for frame in _frames())
    return (result.behind if type(result) is HeldResult else result for result in found if result is not None)


class HeldResult:
    """In the place of a result while a test is run under one schedule: what is to be reported is held.

    ``behind`` is the result. ``has_passed`` is false once anything but a success was reported.
    """

    def __init__(self, behind: Any) -> None:
        self.behind = behind
        self.has_passed = True
        self._held: list[tuple[Callable[..., object], tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.behind, name)
        return functools.partial(self._hold, name, found) if name.startswith("add") else found

    def startTest(self, test: object) -> None:
        """The result knows of the test already."""

    def stopTest(self, test: object) -> None:
        """The result is told when all is over."""

    def _hold(self, name: str, report: Callable[..., object], *args: Any) -> None:
        is_good = name in ("addSuccess", "addDuration") or (name == "addSubTest" and args[-1] is None)
        self.has_passed = self.has_passed and is_good
        self._held.append((report, args))

    def add_note(self, note: str) -> None:
        """Have each error that is held bear a note."""
        errors = [each[1] for _, args in self._held for each in args if type(each) is tuple and len(each) == 3]
        for error in errors:
            if isinstance(error, BaseException) and not isinstance(error, unittest.SkipTest):
                error.add_note(note)

    def report(self) -> None:
        """Report what is held."""
        for report, args in self._held:
            report(*args)


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


class UnittestRun(Run):
    """A run of unittest's: a runner's, or that of a suite or a test that somebody calls.

    ``result`` is None for debug(). One inside the test of another is a run of its own.
    """

    def __init__(self, result: Any) -> None:
        Interrupt.of_this_thread()  # from now on, asyncunit's own code is not left in the middle
        super().__init__(result, self._report_closing)
        _warn_where_pytest_says_nothing()
        self.at_end(let_go_of_process)
        if (outermost := _outermost_suite()) is not None:
            outermost.addTest(_EndOfRun(self))  # type: ignore[arg-type]  # which need only be callable
        if callable(getattr(result, "stopTestRun", None)):
            self._end_with(result)
            self.notices = Notices()
            self.at_end(self.notices.show)
        registry.begin(self)

    def is_executed(self) -> bool:  # noqa: D102 - see the base
        return next(results(), None) is not None

    def class_to_be_run(self) -> type | None:  # noqa: D102 - see the base
        test = (_suite_run() or {}).get("test")
        return type(test) if isinstance(test, unittest.TestCase) else None

    def fail_module(self) -> bool:  # noqa: D102 - see the base
        result: Any = self.result
        if not hasattr(result, "addError") or not hasattr(result, "_moduleSetUpFailed"):
            return False
        result._moduleSetUpFailed = True
        return True

    def report_all(self, errors: list[Exception], name: str) -> None:  # noqa: D102 - see the base
        super().report_all([error for error in errors if not report(self.result, error, name)], name)

    def count_one_that_ran_once(self) -> None:  # noqa: D102 - see the base
        super().count_one_that_ran_once()
        if self.ran_once == 1:
            from asyncunit.loops.attempts import ran_once

            self.at_end(lambda: sys.stderr.write(ran_once(self.ran_once) + "\n"))

    def _end_with(self, result: Any) -> None:
        """Have the run end when its runner says so, in time for what that raises to be in the report."""
        stop = result.stopTestRun

        @interruptible
        def end() -> None:
            registry.end(self)

        def stopTestRun() -> None:
            try:
                end()
            finally:
                stop()

        def restore() -> None:
            result.stopTestRun = stop

        result.stopTestRun = stopTestRun
        self.at_end(restore)

    def _report_closing(self, open_scope: OpenScope, error: Exception) -> None:
        # After Ctrl-C unittest prints no report.
        is_interrupted = isinstance(sys.exc_info()[1], KeyboardInterrupt)
        if is_interrupted or not report(self.result, error, f"closing ({open_scope})"):
            report_on_stderr(open_scope, error)


def current_run(*, in_hook: bool = False) -> Run:
    """The run that is being executed in this thread, begun if it is new.

    ``in_hook`` is true where a hook of a class or a module is called: pytest does so without a result.
    """
    result = next(results(), None)
    return _known_run(result, in_hook=in_hook) or UnittestRun(result)


def end_forgotten() -> None:
    """End each run of this thread that is no longer being executed, and whose runner never said so."""
    _known_run(next(results(), None))


def _known_run(result: Any, *, in_hook: bool = False) -> Run | None:
    """The run that is being executed, None if it is new; those that are no longer being executed end here."""
    while (innermost := registry.innermost_run()) is not None:
        if _in_a_test(innermost) or innermost.is_closing:
            break
        if innermost.result is result or (result is None and in_hook and innermost.says_when_it_ends):
            return innermost
        if innermost.says_when_it_ends or any(outer is innermost.result for outer in results()):
            break
        innermost.report = report_on_stderr  # its report has been read
        registry.end(innermost)
    return None


def is_called_by_user() -> bool:
    """Whether a hook or a test is running, and no suite inside it: what is called then is a function like any other."""
    run = registry.innermost_run()
    innermost = None if run is None else run.innermost_scope
    if run is None or innermost is None:
        return False
    if innermost.scope is not Scope.FUNCTION and not (innermost.hooks is not None and innermost.hooks.in_hook):
        return False
    result = next(results(), None)
    return result is None or result is run.result


def _in_a_test(run: Run) -> bool:
    return run.innermost_scope is not None and run.innermost_scope.scope is Scope.FUNCTION


class _EndOfRun:
    """What is last in the outermost suite of a run: it closes the scopes that are still open, while errors can be told.

    Not every runner says when a run is over. When the suite has come here, it has torn down all classes and modules.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def __call__(self, _result: object) -> None:
        interruptible(registry.end)(self._run)

    def debug(self) -> None:
        """The same, where the suite has no result."""
        interruptible(registry.end)(self._run)

    def countTestCases(self) -> int:
        """None; for whoever counts tests."""
        return 0


def _warn_where_pytest_says_nothing() -> None:
    """Say what is missing where pytest calls the test cases, and asyncunit's plugin is not there to tell of the run."""
    if "_pytest.unittest" not in sys.modules:
        return
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") != "_pytest.unittest":
        frame = frame.f_back
    if frame is not None:
        warnings.warn(
            AsyncUnitWarning(
                "pytest runs asyncunit's test cases without asyncunit's plugin, so module, package and session scopes "
                "close when the process ends, and async fixtures of pytest's do not run. Take out  -p no:asyncunit  or "
                "load the plugin:  -p asyncunit"
            ),
            stacklevel=2,
        )


def report(result: Any, error: Exception, name: str) -> bool:
    """Report an error of something other than a test, as unittest's suite does; False where that cannot be done."""
    if not hasattr(result, "addError"):
        return False
    holder = _ErrorHolder(name)
    with _buffering(result):
        if isinstance(error, unittest.SkipTest) and hasattr(result, "addSkip"):
            result.addSkip(holder, str(error))
        else:
            result.addError(holder, (type(error), error, error.__traceback__))
    return True


@contextmanager
def _buffering(result: Any) -> Iterator[None]:
    """Have a result that buffers output find its buffers, which are there as long as unittest's suite runs."""
    if not getattr(result, "buffer", False) or hasattr(sys.stdout, "getvalue"):
        yield
        return
    result._setupStdout()
    try:
        yield
    finally:
        result._restoreStdout()


def module_cleanups() -> list[Cleanup]:
    """unittest's module cleanups, first registered first, taken off its list."""
    found: list[Cleanup] = _module_cleanups[:]
    del _module_cleanups[: len(found)]
    return found


def expects_failure(case: unittest.TestCase, method: object) -> bool:
    """Whether the test, ``method``, is marked by unittest.expectedFailure(), itself or by its class."""
    name = "__unittest_expecting_failure__"
    # Of the function, because a bound method makes an error for what it does not have.
    return bool(getattr(case, name, False) or getattr(written_of(method), name, False))


def interruptible(function: Callable[P, T]) -> Callable[P, T]:
    """Have all scopes of the run closed when Ctrl-C ends it."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            value = function(*args, **kwargs)
            Interrupt.raise_left()
            return value
        except KeyboardInterrupt as error:
            interrupt = error
        stop()
        raise interrupt

    return wrapper


def stop(finish: Callable[[], object] | None = None) -> None:
    """Finish the running test, if there is one, and close all scopes of its run: unittest does neither after Ctrl-C.

    Nor does it print a report, so errors go to stderr. After another Ctrl-C nothing more is waited for. pytest
    closes the scopes itself.
    """
    run = registry.innermost_run()
    if run is None:
        return
    if run.says_when_it_ends and not Interrupt.nothing_more_is_waited_for():
        if finish is not None:
            finish()
        return
    run.report = report_on_stderr
    try:
        if finish is not None and not Interrupt.nothing_more_is_waited_for():
            finish()
    except BaseException:
        run.abandon()
        raise
    finally:
        if Interrupt.nothing_more_is_waited_for():
            run.abandon()
        registry.end(run)
