"""What was found at the end of a scope: what still keeps it, and how it is told, as one error or as one warning."""

from __future__ import annotations

import asyncio
import fnmatch
import gc
import inspect
import sys
import traceback
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

from asyncunit.config.settings import Check
from asyncunit.errors import AsyncUnitError, AsyncUnitWarning, LeftBehindError, UnfinishedError
from asyncunit.introspection.frames import Place, caller, place_of_function
from asyncunit.introspection.tracebacks import stand_at, trim
from asyncunit.records import Record
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope, current_owner

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# How many warnings are kept for the end of a run; the rest is counted.
_NOTICES = 1_000

# What to do about a finding of each check, and about what refuses to end.
_FIXES = {
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


class Finding(Record):
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
    return "\n".join(lines + [_FIXES[check].format(scope=what, error=raised, expects=expects) for check in checks])


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


# What still reaches a thing when the scope that made it ends: then it is not that scope's any more.


# How far to go from a thing to those that refer to it.
_STEPS = 20

# What refers to a thing without keeping it for anybody: the loop keeps all that it watches.
_IN_BETWEEN = (asyncio.AbstractEventLoop, asyncio.Handle, asyncio.Future, types.FrameType, types.TracebackType)


# Whose classes and modules keep things for nobody: the standard library has the processes that it waits for, say.
_KEEP_NOTHING = {"", "asyncunit", *sys.stdlib_module_names}


def outliving(
    things: Sequence[Any], owner: OpenScope, case: object | None = None, apart: Iterable[object] = ()
) -> list[Any]:
    """Those of the things that something wider than the scope reaches: a fixture, a class, a module.

    So a connection that a pool of the class opens for a test, and keeps, is not the test's. ``case`` is the instance of
    a test: what only that reaches is the test's. Nor counts what is reached by way of what is ``apart``.
    """
    own = [owner, owner.hooks, owner.fixtures, getattr(owner.hooks, "fixtures", None), owner.key, case, *apart]
    not_by = {id(things), id(own), id(getattr(case, "__dict__", None)), *map(id, own)}
    wider = {id(scope) for scope in owner.outwards() if scope is not owner}
    graph = _Graph(_held_elsewhere(things, own), not_by)
    for _ in range(_STEPS):
        if graph.is_done:
            break
        for other, is_new in graph.referrers():
            if is_new and (id(other) in wider or _stays(other, owner)):
                graph.keep(other)
    return [thing for thing in things if id(thing) in graph.kept]


def _held_elsewhere(things: Sequence[Any], known: Iterable[object]) -> list[Any]:
    """Those of the things that anything else than what is known refers to: for the others a search finds nothing."""
    containers = {id(container): container for container in known if container is not things}.values()
    counted = Counter(map(id, chain.from_iterable(map(gc.get_referents, containers))))
    (own,) = map(sys.getrefcount, [object()])  # as each of the things is counted: in a list, and as an argument
    counts = list(map(sys.getrefcount, things))
    return [thing for thing, count in zip(things, counts, strict=True) if count - own > counted[id(thing)]]


class _Graph:
    """What refers to some things, and to what refers to them, and so on; and what of all that something keeps."""

    def __init__(self, things: Sequence[Any], not_by: set[int]) -> None:
        self.kept: set[int] = set()
        self._things = set(map(id, things))
        self._nodes: dict[int, Any] = {id(thing): thing for thing in things}
        # Those of the nodes that a node refers to.
        self._children: dict[int, list[int]] = {}
        # The nodes whose referrers are not known yet.
        self._frontier: tuple[Any, ...] = tuple(self._nodes.values())
        self._not_by = not_by | {id(self._nodes), id(self._children)}

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to look for."""
        return not self._frontier or self._things <= self.kept

    def referrers(self) -> list[tuple[Any, bool]]:
        """What refers to what was found last, each with whether it is new."""
        # A tuple, for get_referrers() is called with that very object: a list would be copied, and the copy be found.
        self._not_by.add(id(self._frontier))
        found = [other for other in gc.get_referrers(*self._frontier) if id(other) not in self._not_by]
        found = [other for other in found if not issubclass(type(other), _IN_BETWEEN)]
        answer = [(other, id(other) not in self._nodes) for other in found]
        self._nodes.update((id(other), other) for other in found)
        # Not by way of a module: by way of sys, all is reached.
        self._frontier = tuple([other for other, is_new in answer if is_new and _module_of(other) is None])
        for other in found:
            self._children[id(other)] = [id(each) for each in gc.get_referents(other) if id(each) in self._nodes]
            if id(other) in self.kept:
                self._keep(self._children[id(other)])
        return answer

    def keep(self, node: Any) -> None:
        """Something keeps the node, and with it all that it leads to."""
        self._keep([id(node)])

    def _keep(self, nodes: list[int]) -> None:
        left = list(nodes)
        while left:
            node = left.pop()
            if node not in self.kept:
                self.kept.add(node)
                left += self._children.get(node, ())


def _stays(other: object, owner: OpenScope) -> bool:
    """Whether it is there after the scope: a class, the dictionary of a module, or what has the values of fixtures."""
    is_class, is_module = issubclass(type(other), type), type(other) is dict
    module = _module_of(other) or ""
    if is_class or is_module:
        return module.partition(".")[0] not in _KEEP_NOTHING and not _is_of(owner, module)
    if owner.scope is Scope.FUNCTION:
        return _is_asyncunits(other)
    return type(other).__module__.startswith("_pytest.")


def _is_of(owner: OpenScope, module: str) -> bool:
    """Whether the module ends with the scope."""
    if owner.scope is Scope.SESSION:
        return True
    if owner.scope is Scope.PACKAGE:
        return f"{module}.".startswith(f"{owner.key}.")
    return owner.scope is Scope.MODULE and module == owner.key


def _is_asyncunits(other: object) -> bool:
    return str(getattr(type(other), "__module__", None)).startswith("asyncunit.")


def _module_of(other: object) -> str | None:
    """The name of a module by its dictionary, that of a class's module; None for what is neither."""
    if type(other) is dict:
        name = other.get("__name__") if "__spec__" in other else None
    else:
        name = getattr(other, "__module__", None) if issubclass(type(other), type) else None
    return name if isinstance(name, str) else None


def is_exempt(owner: OpenScope, function: object) -> bool:
    """Whether the scope's ``left_open`` names the function."""
    return bool(owner.config.left_open) and _matches(owner, function_name(function))


def is_exempt_here(owner: OpenScope) -> bool:
    """Whether the scope's ``left_open`` names a function that is running: what is made now may be left."""
    return bool(owner.config.left_open) and frame_is_exempt(owner, inspect.currentframe())


def frame_is_exempt(owner: OpenScope, frame: types.FrameType | None) -> bool:
    """Whether the scope's ``left_open`` names the function of the frame, or one that has led to it."""
    while frame is not None:
        if _matches(owner, f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}"):
            return True
        frame = frame.f_back
    return False


def _matches(owner: OpenScope, name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in owner.config.left_open)


def function_name(function: Any) -> str:
    """The name of a callback with its module, as in ``package.module.Class.method``."""
    own = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or ("" if own is None else type(own).__module__)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{name}" if module and module != "builtins" else str(name)


def parts_of(thing: object) -> list[Any]:
    """The values of the attributes of a loop, a transport and the like, also of one that is not written in Python."""
    referents = gc.get_referents(thing)
    return referents + [part for other in referents if type(other) is dict for part in other.values()]


def note(check: Check, thing: object) -> None:
    """Have what is made now be known to the scope in whose context that happens, where that makes the check."""
    owner = current_owner()
    if owner is not None and check in owner.config.fail_on and not is_exempt_here(owner):
        owner.note(thing, caller())


# What is called with the first argument of an audit event, by the event's name.
_heard: dict[str, Callable[[Any], object]] = {}


def hear(events: Sequence[str], act: Callable[[Any], object]) -> None:
    """Have ``act`` called with what these audit events of the interpreter are about, for the rest of the process.

    There is one hook for all checks: it cannot be removed, and is called for each event of the process.
    """
    if events[0] in _heard:
        return
    if not _heard:
        sys.addaudithook(_hear)
    _heard.update(dict.fromkeys(events, act))


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _heard:
        _heard[event](arguments[0])
