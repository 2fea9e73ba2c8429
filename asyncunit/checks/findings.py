"""What was found at the end of a scope, told to the user: as one error, or as one warning."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

from asyncunit.config.parsing import Check
from asyncunit.errors import AsyncUnitError, AsyncUnitWarning, LeftBehindError, UnfinishedError
from asyncunit.introspection.frames import Place, place_of_function
from asyncunit.introspection.tracebacks import stand_at, trim
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# How many warnings are kept for the end of a run; the rest is counted.
_NOTICES = 1_000

# What to do about a finding of each check, and about what refuses to end.
_MENDS = {
    Check.UNHANDLED_ERRORS: (
        "Await the task, or handle the error where it comes up. A test that means it to come up writes:  "
        "with {expects}.expectUnhandledErrors({error}):"
    ),
    Check.LEAKED_TASKS: (
        "A task that was left is cancelled. Await it, or cancel and await it, before the {scope} ends; one that is to "
        "live as long as its loop is named by background_tasks."
    ),
    Check.UNAWAITED_COROUTINES: "Nothing of a coroutine runs before it is awaited. Write 'await' in front of the call.",
    Check.UNCLOSED_RESOURCES: (
        "Close what was opened before the {scope} ends, as 'async with' does; what a library keeps open on purpose is "
        "named by left_open."
    ),
    Check.LEFT_CALLBACKS: (
        "A callback that was left is taken off the loop, and a loop that was shut down is replaced. Cancel or remove "
        "what is left before the {scope} ends; what is to stay is named by left_open."
    ),
    Check.LEFT_THREADS: (
        "A thread goes on while other tests run. Have it end, and join it, before the {scope} ends; one that is to "
        "live longer is named by left_open."
    ),
    None: (
        "Its event loop is replaced, and what was set up there is set up anew for the next test. (A task that catches "
        "CancelledError must raise it again.)"
    ),
    Check.SLOW_CALLBACKS: "Nothing else on the loop runs meanwhile. Await, or give the work to asyncio.to_thread().",
}


class Finding(NamedTuple):
    """Something that was left behind: the check that found it, what it is, where it was made, what was raised.

    ``check`` is None of what refuses to end: that is always looked for, and fails.
    """

    check: Check | None
    text: str
    place: Place | None = None
    error: BaseException | None = None


def judge(owner: OpenScope, findings: Sequence[Finding]) -> list[Exception]:
    """The findings as one error where one of them is in the scope's ``fail_on``; else they are a warning.

    A filter may turn that warning into an error, too.
    """
    if not findings:
        return []
    if any(finding.check is None or finding.check in owner.config.fail_on for finding in findings):
        return [_error(owner, findings)]
    try:
        _warn(owner, findings)
    except AsyncUnitWarning as warning:
        return [warning]
    return []


def _error(owner: OpenScope, findings: Sequence[Finding]) -> AsyncUnitError:
    text = _text(owner, findings, lambda error: not _bears_a_traceback(error))
    is_unfinished = all(finding.check is None for finding in findings)
    made = UnfinishedError(text) if is_unfinished else LeftBehindError(text)
    stand_at(_place_of(owner), made)
    errors = {id(finding.error): finding.error for finding in findings if finding.error is not None}
    raised = [trim(error) for error in errors.values() if _bears_a_traceback(error)]
    if len(raised) > 1:
        made.__cause__ = BaseExceptionGroup("errors that nobody has handled", raised)
    elif raised:
        made.__cause__ = raised[0]
    return made


def _bears_a_traceback(error: BaseException) -> bool:
    """Whether unittest can report it as the cause of another: it sets the attribute, which some let nobody do."""
    try:
        error.__traceback__ = error.__traceback__
    except Exception:
        return False
    return True


def _text(owner: OpenScope, findings: Sequence[Finding], is_told: Callable[[BaseException], bool]) -> str:
    """What the user reads, with those errors in full that are to be told here."""
    lines = [f"{owner} left behind:"]
    for finding in findings:
        lines.append(f"  - {finding.text}".replace("\n", "\n    "))
        if finding.error is not None and is_told(finding.error):
            lines += ["    " + line for line in "".join(traceback.format_exception(trim(finding.error))).splitlines()]
    what = "test" if owner.scope is Scope.FUNCTION else str(owner.scope)
    raised = next((type(finding.error).__name__ for finding in findings if finding.error is not None), "Exception")
    checks = dict.fromkeys(finding.check for finding in findings)
    expects = "asyncunit" if owner.has_no_self else "self"
    return "\n".join(lines + [_MENDS[check].format(scope=what, error=raised, expects=expects) for check in checks])


def _warn(owner: OpenScope, findings: Sequence[Finding]) -> None:
    """Warn, now where that raises or nobody says when the run ends, else when it does: in the middle it goes under."""
    warning = AsyncUnitWarning(_text(owner, findings, lambda _: True))
    filename, line, _ = _place_of(owner) or findings[0].place or Place("asyncunit", 0, "")
    if owner.config.is_lenient and not _is_named_by_a_filter():
        _warn_whatever_makes_errors(warning, filename, line)
        return
    *_, widest = owner.outwards()
    if widest.notices is None:
        warnings.warn_explicit(warning, None, filename, line)
        return
    with warnings.catch_warnings(record=True) as shown:
        warnings.warn_explicit(warning, None, filename, line)
    widest.notices.add(shown)


class Notices:
    """The warnings of a run that are to be shown when all its scopes are closed: so many, and of the rest the number.

    What is shown is taken off, so that it is shown once.
    """

    def __init__(self) -> None:
        self._kept: list[warnings.WarningMessage] = []
        self._more = 0

    def add(self, found: Sequence[warnings.WarningMessage]) -> None:
        """Keep warnings that a filter has let through."""
        room = max(_NOTICES - len(self._kept), 0)
        self._kept += found[:room]
        self._more += len(found[room:])

    def show(self) -> None:
        """Show them, as the module ``warnings`` does. May be called twice."""
        while self._kept:
            notice = self._kept.pop(0)
            warnings.showwarning(notice.message, notice.category, notice.filename, notice.lineno)
        if self._more:
            sys.stderr.write(f"asyncunit: {self._more} more warnings of this kind\n")
            self._more = 0


def warn_of(error: AsyncUnitError, where: str) -> bool:
    """Warn of an error instead of raising it; False where a filter makes an error of that."""
    if _is_named_by_a_filter():
        return False
    _warn_whatever_makes_errors(AsyncUnitWarning(f"{where}: {error}"), "asyncunit", 0)
    return True


def _warn_whatever_makes_errors(warning: AsyncUnitWarning, filename: str, line: int) -> None:
    """Warn, also where a filter makes errors of all warnings; one that ignores all counts."""
    with warnings.catch_warnings():
        if _blanket_action() != "ignore":
            warnings.simplefilter("always", AsyncUnitWarning)
        warnings.warn_explicit(warning, None, filename, line)


def _blanket_action() -> str | None:
    """What the first filter for warnings of all kinds, from anywhere, has done with them."""
    for action, message, category, module, line in warnings.filters:
        if message is None and module is None and not line and issubclass(AsyncUnitWarning, category):
            return action
    return None


def _is_named_by_a_filter() -> bool:
    """Whether a filter speaks of asyncunit's warnings, and not of all there are."""
    categories = [category for _, _, category, _, _ in warnings.filters]
    return any(isinstance(category, type) and issubclass(category, AsyncUnitWarning) for category in categories)


def _place_of(owner: OpenScope) -> Place | None:
    """Where the test is written."""
    if owner.function is not None:
        return place_of_function(owner.function)
    cls = None if owner.within is None else owner.within.key
    return place_of_function(getattr(cls, str(owner.key), None))
