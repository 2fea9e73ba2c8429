"""What a finished scope left behind: found, told apart from what is another's, and ended."""

from __future__ import annotations

import asyncio
import gc
import inspect
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from asyncunit.checks import python_warnings as warned
from asyncunit.checks.findings import Finding, judge
from asyncunit.checks.unclosed_resources import close, findings_of, left_open, note_sockets, note_transports
from asyncunit.checks.unhandled_errors import Unhandled, is_background
from asyncunit.config.parsing import Check
from asyncunit.introspection.frames import describe_task, innermost_place, places_of_task
from asyncunit.loops.loop import CLOSE_TIMEOUT, LoopRunner, refusal
from asyncunit.loops.task_factory import groups_of, parents_of
from asyncunit.scope import Scope
from asyncunit.scopes.contexts import owner_of
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Task = asyncio.Task[Any]

# Turns of the loop that what is about to end has for it: a task that was cancelled and not awaited, say.
TURNS = 10


def before(scope: OpenScope, loop_runner: LoopRunner) -> None:
    """Begin to look for what costs something, where the scope's ``fail_on`` says so."""
    costly = scope.config.costly
    is_test = scope.scope is Scope.FUNCTION
    for finding in warned.take():
        loop_runner.observer.aside.append(Unhandled(scope.within if is_test else scope, finding))
    warned.listen(costly)
    if Check.UNCLOSED_RESOURCES in costly:
        note_sockets()
        note_transports(loop_runner.loop)


def after_test(
    owner: OpenScope, loop_runner: LoopRunner, own: Task | None, case: object
) -> tuple[list[Exception], list[tuple[OpenScope, Finding]]]:
    """End what a test has left, and return what is to be reported for it, and what came up late of other tests.

    ``own`` is the task that the test ran in, and ``case`` its instance.
    """
    observer = loop_runner.observer
    findings = _contained(_end_tasks, owner, loop_runner, own, case) if owner.is_left else []
    if owner.config.costly:
        findings += _contained(_after_costly, owner, loop_runner, case)
    late = []
    for scope in observer.lingering:
        late += [(scope, finding) for finding in _contained(_end_tasks, scope, loop_runner, None)]
    observer.lingering = [scope for scope in (*observer.lingering, owner) if scope.is_left]
    for item in observer.take_since_test_began():
        if item.owner is None or item.owner is owner or not item.owner.is_over:
            findings.append(item.finding)
        else:
            late.append((item.owner, item.finding))
    return judge(owner, findings), late


def after_scope(owner: OpenScope, loop_runner: LoopRunner, own: Task | None) -> list[Exception]:
    """End what a scope that is wider than a test has left on a loop, and return what is to be reported for it."""
    findings = _contained(_end_tasks, owner, loop_runner, own)
    if owner.config.costly:
        findings += _contained(_after_costly, owner, loop_runner, None)
    for inner, finding in loop_runner.observer.take(owner):
        of_test = f"{finding.text} (left by {inner})" if inner is not None and inner.is_over else finding.text
        findings.append(finding._replace(text=of_test))
    return judge(owner, findings)


def _contained(find: Callable[..., list[Finding]], *args: Any) -> list[Finding]:
    """What was found; where an object of the user's does not bear being looked at, that is the finding."""
    try:
        return find(*args)
    except Exception as error:
        return [Finding(Check.UNHANDLED_ERRORS, "An error was raised as what was left was looked through", None, error)]


def _end_tasks(owner: OpenScope, loop_runner: LoopRunner, own: Task | None, case: object = None) -> list[Finding]:
    """End the tasks that a scope has left, and return what was found."""
    if loop_runner.loop.is_closed():
        return []
    findings: list[Finding] = []
    left = _Left(owner, loop_runner, own)
    loop_runner.run_aside(_settle(left.find))
    described = {task: left.describe(task) for task in left.in_order(left.find())}
    if described:
        cancelled = left.in_order(loop_runner.end_tasks(left.find))
        findings += _refusals(task for task in cancelled if task in loop_runner.stubborn)
        for task, text in described.items():
            if task not in loop_runner.stubborn:
                findings.append(Finding(Check.LEAKED_TASKS, text, owner.place_of(task)))
        findings += [item for task in cancelled for item in left.crashed(task)]
    findings += loop_runner.observer.unretrieved(loop_runner.loop, owner, case)
    return findings + _exits(loop_runner, findings)


def _exits(loop_runner: LoopRunner, findings: Iterable[Finding]) -> list[Finding]:
    """What tasks have raised to end the process, and is not among the findings."""
    known = {id(finding.error) for finding in findings}
    exits, loop_runner.exits = loop_runner.exits, []
    return [
        Finding(Check.UNHANDLED_ERRORS, f"A task raised {error!r}", None, error)
        for error in exits
        if id(error) not in known
    ]


def _refusals(tasks: Iterable[Task]) -> Iterator[Finding]:
    for task in tasks:
        yield Finding(None, f"{refusal(task)}; it was told to end {CLOSE_TIMEOUT:g} seconds before")


def _after_costly(owner: OpenScope, loop_runner: LoopRunner, case: object) -> list[Finding]:
    """What the checks find that cost something: what is open is closed, and what is garbage let go."""
    findings: list[Finding] = []
    if Check.UNAWAITED_COROUTINES in owner.config.costly and case is not None:
        findings += _unawaited(vars(case).values())
    if Check.UNCLOSED_RESOURCES in owner.config.costly:
        things = left_open(owner, case)
        findings += findings_of(owner, things)
        if things and not loop_runner.loop.is_closed():
            loop_runner.observer.forget_generators(things)
            findings += _close_all(loop_runner, things)
    # What is young, at the end of a test: a whole collection takes a hundred times as long.
    gc.collect(2 if case is None else 1 if Check.UNCLOSED_RESOURCES in owner.config.costly else 0)
    findings += warned.take()
    warned.listen(frozenset() if owner.within is None else owner.within.config.costly)
    return findings


def _close_all(loop_runner: LoopRunner, things: list[Any]) -> list[Finding]:
    """Close what was left open; what that raised, and what refused to be closed."""
    raised: list[Exception] = []
    before = asyncio.all_tasks(loop_runner.loop)
    loop_runner.run_aside(close(things, raised))
    left = {task for task in asyncio.all_tasks(loop_runner.loop) - before if not task.done()}
    loop_runner.stubborn |= left
    loop_runner.run_aside(_settle(set))
    text = "An error was raised as what was left open was closed"
    return [*_refusals(left), *(Finding(Check.UNHANDLED_ERRORS, text, None, error) for error in raised)]


def _unawaited(held: Iterable[object]) -> Iterator[Finding]:
    """Coroutines that a test's instance holds and that have not begun; Python warns of them when they are let go."""
    for thing in held:
        if isinstance(thing, types.CoroutineType) and inspect.getcoroutinestate(thing) == inspect.CORO_CREATED:
            yield warned.unawaited(thing)
            thing.close()


async def _settle(find: Callable[[], set[Task]]) -> None:
    """Give what is about to end some turns of the loop to do so."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
        if not find():
            return


class _Left:
    """The tasks that one scope has left on a loop."""

    def __init__(self, owner: OpenScope, loop_runner: LoopRunner, own: Task | None) -> None:
        self._owner = owner
        self._loop_runner = loop_runner
        self._own = own

    def find(self) -> set[Task]:
        """Those that are pending."""
        return {task for task in asyncio.all_tasks(self._loop_runner.loop) if self._is_left(task)}

    def in_order(self, tasks: Iterable[Task]) -> list[Task]:
        """The tasks in the order in which they were made; those of which that is not known last, by their names."""
        order = {id(thing): number for number, thing in enumerate(self._owner.things())}

        def key(task: Task) -> tuple[int, int, str]:
            name = str(task.get_name())  # which asyncio numbers
            return order.get(id(task), len(order)), len(name), name

        return sorted(tasks, key=key)

    def _is_left(self, task: Task) -> bool:
        return (
            task is not self._own
            and owner_of(task) is self._owner
            and task not in self._loop_runner.stubborn
            and not is_background(self._owner, task.get_coro())
            and not self._is_of_wider_group(task)
        )

    def _is_of_wider_group(self, task: Task) -> bool:
        """Whether a task group that another scope holds open waits for the task."""
        return any(owner_of(parent) is not self._owner for group in groups_of(task) for parent in parents_of(group))

    def describe(self, task: Task) -> str:
        """What the report says of a task that is pending."""
        waits = innermost_place(places_of_task(task))
        return f"a pending {describe_task(task, self._owner.place_of(task))}, waits at {waits}"

    def crashed(self, task: Task) -> Iterator[Finding]:
        """What a task raised when it was cancelled."""
        if task.done() and not task.cancelled() and (error := task.exception()) is not None:
            text = f"An error was raised as it was cancelled: {describe_task(task, self._owner.place_of(task))}"
            yield Finding(Check.UNHANDLED_ERRORS, text, self._owner.place_of(task), error)
