"""Tasks that a scope has left: found, told apart from what is another's, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from asyncunit.checks.findings import Finding
from asyncunit.config.settings import Check
from asyncunit.introspection.frames import describe_task, innermost_place, places_of_task
from asyncunit.loops.loop import QUIET, LoopRunner, late_refusal
from asyncunit.loops.task_factory import groups_of, is_background, parents_of
from asyncunit.scopes.open_scope import OpenScope, owner_of

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

Task = asyncio.Task[Any]

# Bound here, for a test may patch them.
_all_tasks, _sleep = asyncio.all_tasks, asyncio.sleep

# Turns of the loop that what is about to end has for it: a task that was cancelled and not awaited, say.
TURNS = 10


def end_tasks(owner: OpenScope, loop_runner: LoopRunner, own: Task | None) -> list[Finding]:
    """End the tasks that a scope has left, and return what was found.

    ``own`` is the task that the scope itself ran in.
    """
    findings: list[Finding] = []
    left = _Left(owner, loop_runner, own)
    loop_runner.run_aside(settle(left.find))
    described = {task: left.describe(task) for task in left.in_order(left.find())}
    if described:
        cancelled = left.in_order(loop_runner.end_tasks(left.find))
        findings += refusals(task for task in cancelled if task in loop_runner.stubborn)
        for task, text in described.items():
            if task not in loop_runner.stubborn:
                findings.append(Finding(Check.LEAKED_TASKS, text, owner.place_of(task)))
        findings += [item for task in cancelled for item in left.crashed(task)]
    return findings


def owners_of_tasks(loop_runner: LoopRunner) -> set[OpenScope | None]:
    """Whose the tasks are that are pending on a loop."""
    loop = loop_runner.loop
    return set() if loop.is_closed() else {owner_of(task) for task in _all_tasks(loop)}


def exits(loop_runner: LoopRunner, findings: Iterable[Finding]) -> list[Finding]:
    """What tasks have raised to end the process, and is not among the findings."""
    known = {id(finding.error) for finding in findings}
    exits, loop_runner.exits = loop_runner.exits, []
    return [
        Finding(Check.UNHANDLED_ERRORS, f"A task raised {error!r}", None, error)
        for error in exits
        if id(error) not in known
    ]


def refusals(tasks: Iterable[Task]) -> Iterator[Finding]:
    """The findings of tasks that refuse to end."""
    for task in tasks:
        yield Finding(None, late_refusal(task))


async def settle(find: Callable[[], set[Task]]) -> None:
    """Give what is about to end some turns of the loop to do so, and as many to what that starts as it ends.

    A loop closes generators that are inside each other one after the other, each in a task, with a turn in between.
    """
    found: set[Task] = set()
    same = quiet = 0
    for _ in range(TURNS * TURNS):
        before = found
        await _sleep(0)
        found = find()
        same = 0 if found - before else same + 1
        quiet = 0 if found else quiet + 1
        if same == TURNS or quiet == QUIET:
            return


class _Left:
    """The tasks that one scope has left on a loop."""

    def __init__(self, owner: OpenScope, loop_runner: LoopRunner, own: Task | None) -> None:
        self._owner = owner
        self._loop_runner = loop_runner
        self._own = own

    def find(self) -> set[Task]:
        """Those that are pending."""
        return {task for task in _all_tasks(self._loop_runner.loop) if self._is_left(task)}

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
