"""Which checks are made while a step runs, and at the end of a scope, and in which order."""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import types
import unittest
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from asyncunit.checks import python_warnings
from asyncunit.checks.findings import Finding, judge
from asyncunit.checks.leaked_tasks import end_tasks, exits, owners_of_tasks, refusals, settle
from asyncunit.checks.unhandled_errors import Observer, Unhandled, observer_on
from asyncunit.config.settings import Check, Config
from asyncunit.loops.loop import LoopRunner
from asyncunit.scope import Scope
from asyncunit.scopes.open_scope import OpenScope

if TYPE_CHECKING:
    from asyncunit.checks.slow_callbacks import SlowSteps

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")
Task = asyncio.Task[Any]

_all_tasks = asyncio.all_tasks  # bound here, for a test may patch it

# Asked for each test, and slow to find on an enum up to Python 3.11.
_RESOURCES: Final = Check.UNCLOSED_RESOURCES
_COROUTINES: Final = Check.UNAWAITED_COROUTINES
_THREADS: Final = Check.LEFT_THREADS
_SLOW: Final = Check.SLOW_CALLBACKS


# Imported when a scope opens that makes the check, or when a loop is made on which it is made, for not all suites do.


@functools.cache
def _resources() -> Any:
    from asyncunit.checks import unclosed_resources

    return unclosed_resources


@functools.cache
def _callbacks() -> Any:
    from asyncunit.checks import left_callbacks

    return left_callbacks


@functools.cache
def _threads() -> Any:
    from asyncunit.checks import left_threads

    return left_threads


class Watch(Observer):
    """What is seen of one loop, and what the costly checks look for while a step runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, loop_owner: OpenScope | None = None) -> None:
        super().__init__(loop, loop_owner)
        if self.is_shared:  # a test may leave something on it
            _callbacks()
        # The costly checks for which the loop tells already what is made on it.
        self.told: frozenset[Check] = frozenset()
        # While a step is run for which slow callbacks are to be looked for.
        self._slow_steps: SlowSteps | None = None

    def tell(self, loop: asyncio.AbstractEventLoop, costly: frozenset[Check]) -> None:
        """Have what is made on the loop from now on be known to the scope in whose context that happens."""
        self.told = costly
        if _RESOURCES in costly:
            resources = _resources()
            resources.note_sockets()
            resources.note_transports(loop)
        if _THREADS in costly:
            threads = _threads()
            threads.note_starts()
            threads.note_calls(loop)

    def in_loop(self, config: Config) -> Callable[[], object] | None:  # noqa: D102 - see the base
        note: Callable[[], object] | None = _resources().note_generators if _RESOURCES in config.costly else None
        return note

    def step_begins(self, loop: asyncio.AbstractEventLoop, config: Config) -> None:  # noqa: D102 - see the base
        if _SLOW in config.costly:
            from asyncunit.checks.slow_callbacks import SlowSteps

            self._slow_steps = SlowSteps(loop, self.add)

    def step_ends(self) -> None:  # noqa: D102 - see the base
        if self._slow_steps is not None:
            self._slow_steps.stop()
            self._slow_steps = None


def before(scope: OpenScope, loop_runner: LoopRunner) -> None:
    """Begin to look for what costs something, where the scope's ``fail_on`` says so."""
    costly = scope.config.costly
    for finding in python_warnings.take():
        owner = scope.within if scope.scope is Scope.FUNCTION else scope
        observer_on(loop_runner).aside.append(Unhandled(owner, finding))
    python_warnings.listen(costly)
    watch: Watch = loop_runner.instrument
    if watch.told is not costly:
        watch.tell(loop_runner.loop, costly)
    if _THREADS in costly:
        _threads().note_threads(scope)


def after_test(
    owner: OpenScope, loop_runner: LoopRunner, own: Task | None, case: object
) -> tuple[list[Exception], list[tuple[OpenScope, Finding]]]:
    """End what a test has left, and return what is to be reported for it, and what came up late of other tests.

    ``own`` is the task that the test ran in, and ``case`` its instance.
    """
    observer = observer_on(loop_runner)
    findings = _contained(_end_what_is_left, owner, loop_runner, own, case) if owner.is_left else []
    if owner.config.costly:
        findings += _contained(_after_costly, owner, loop_runner, case)
    late = _left_late(loop_runner) if observer.lingering else []
    if owner.is_left:
        observer.lingering.append(owner)
    for item in observer.take_since_test_began() if observer.unhandled or observer.aside else ():
        if item.owner is None or item.owner is owner or not item.owner.is_over:
            findings.append(item.finding)
        else:
            late.append((item.owner, item.finding))
    return judge(owner, findings), late


def after_scope(owner: OpenScope, loop_runner: LoopRunner, own: Task | None) -> list[Exception]:
    """End what a scope that is wider than a test has left on a loop, and return what is to be reported for it."""
    findings = _contained(_end_what_is_left, owner, loop_runner, own)
    if owner.config.costly:
        findings += _contained(_after_costly, owner, loop_runner, None)
    for item in observer_on(loop_runner).take(owner):
        finding, inner = item.finding, item.owner
        of_test = f"{finding.text} (left by {inner})" if inner is not None and inner.is_over else finding.text
        findings.append(finding.replace(text=of_test))
    return judge(owner, findings)


def _end_what_is_left(
    owner: OpenScope, loop_runner: LoopRunner, own: Task | None, case: object = None
) -> list[Finding]:
    """End the tasks first: what they wait for is then no callback that was left."""
    if loop_runner.loop.is_closed():
        return []
    findings = end_tasks(owner, loop_runner, own)
    findings += observer_on(loop_runner).unretrieved(loop_runner.loop, owner, case)
    findings += exits(loop_runner, findings)
    if loop_runner.owner is not owner:  # else its callbacks end with it
        findings += _callbacks().end_callbacks(owner, loop_runner, case)
    return findings


def _left_late(loop_runner: LoopRunner) -> list[tuple[OpenScope, Finding]]:
    """What has come up of tests that are over, and of which something was left."""
    observer = observer_on(loop_runner)
    late = []
    owners = owners_of_tasks(loop_runner) | _callbacks().owners_of_callbacks(loop_runner.loop)
    for scope in observer.lingering:
        if scope in owners:
            late += [(scope, finding) for finding in _contained(_end_what_is_left, scope, loop_runner, None)]
        elif scope.made:
            found = observer.unretrieved(loop_runner.loop, scope)
            late += [(scope, finding) for finding in found]
    observer.lingering = [scope for scope in observer.lingering if scope.is_left]
    return late


def _contained(find: Callable[..., list[Finding]], *args: Any) -> list[Finding]:
    """What was found; where an object of the user's does not bear being looked at, that is the finding."""
    try:
        return find(*args)
    except Exception as error:
        return [Finding(Check.UNHANDLED_ERRORS, "An error was raised as what was left was looked through", None, error)]


def _after_costly(owner: OpenScope, loop_runner: LoopRunner, case: object) -> list[Finding]:
    """What the checks find that cost something: what is open is closed, and what is garbage let go."""
    findings: list[Finding] = []
    costly = owner.config.costly
    looks_for_resources = _RESOURCES in costly
    looks_for_coroutines = _COROUTINES in costly
    held = [] if case is None else _attributes_of(case)
    if held and looks_for_coroutines:
        findings += _unawaited(held)
    if looks_for_resources:
        resources = _resources()
        things = resources.left_open(owner, case, held, loop_runner.loop if loop_runner.owner is owner else None)
        if things:
            findings += resources.findings_of(owner, things)
            if not loop_runner.loop.is_closed():
                observer_on(loop_runner).forget_generators(things)
                findings += _close_all(loop_runner, things)
    if _THREADS in costly:
        findings += _threads().left_threads(owner, loop_runner, case)
    if looks_for_resources or looks_for_coroutines:
        # What is young, at the end of a test: a whole collection takes a hundred times as long.
        gc.collect(2 if case is None else 1 if looks_for_resources else 0)
    findings += python_warnings.take()
    wider = frozenset() if owner.within is None else owner.within.config.costly
    if wider is not costly:
        python_warnings.listen(wider)
    return findings


def _close_all(loop_runner: LoopRunner, things: list[Any]) -> list[Finding]:
    """Close what was left open; what that raised, and what refused to be closed."""
    raised: list[Exception] = []
    before = _all_tasks(loop_runner.loop)
    loop_runner.run_aside(_resources().close(things, raised))
    left = {task for task in _all_tasks(loop_runner.loop) - before if not task.done()}
    loop_runner.stubborn |= left
    loop_runner.run_aside(settle(set))
    text = "An error was raised as what was left open was closed"
    return [*refusals(left), *(Finding(Check.UNHANDLED_ERRORS, text, None, error) for error in raised)]


def _unawaited(held: Iterable[object]) -> Iterator[Finding]:
    """Coroutines that a test's instance holds and that have not begun; Python warns of them when they are let go."""
    for thing in held:
        if type(thing) is types.CoroutineType and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            yield python_warnings.unawaited(thing)
            thing.close()


# The names of the attributes that each test case has, for what unittest and asyncunit keep: those are found one by one.
_OF_EACH = set(vars(unittest.TestCase()))


def _attributes_of(case: object) -> list[object]:
    """The values of the attributes of a test, but for those that each test case has."""
    attributes = vars(case)
    if attributes.keys() <= _OF_EACH:  # few tests have others
        return []
    _OF_EACH.update(name for name in attributes if name.startswith("_asyncunit_"))
    return [value for name, value in attributes.items() if name not in _OF_EACH]
