"""The run under pytest, one function that it runs as a test, and an item under several schedules.

An item is set up, called and torn down for each schedule, with one verdict. call_and_report() of ``_pytest.runner`` is
what pytest runs the phases of an item by. ``_initrequest()``, ``_request`` and ``funcargs`` are what it does around
them, and the session's ``_setupstate`` tears down: no public way runs an item again. ``_report_sections`` is what the
item has printed, and ``addSubTest`` what unittest tells it of a subtest. ``tests/promises/test_schedules.py`` tells
when they change.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import types
import unittest
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.runner import call_and_report

from asyncunit.config.settings import Config, LoopFactory
from asyncunit.errors import raise_all
from asyncunit.introspection.functions import as_coroutine, is_async_def, is_awaitable
from asyncunit.lifecycle.async_scope import OpenTest, async_scope_of, let_go_of_process, loop_in
from asyncunit.loops.interrupts import Interrupt
from asyncunit.loops.loop import current_loop
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import END_TASK, KEEP_TASK, After, Step
from asyncunit.records import Record
from asyncunit.scope import Scope, ScopePath
from asyncunit.scopes import registry
from asyncunit.scopes.open_scope import OpenScope, Within, changes, given_to, values_around, values_of
from asyncunit.scopes.registry import Run

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt


class Position(Record):
    """Where a test function stands: the scopes around it, the loop that it runs on, and what is configured for it.

    ``depth`` is how many of the scopes in ``path`` last as long as the loop: one that has all of them around it is the
    test's own. ``configs`` are those of the scopes in the path.
    """

    path: ScopePath
    depth: int
    factory: LoopFactory | None
    config: Config
    configs: Sequence[Config]

    @property
    def has_own_loop(self) -> bool:
        """Whether the loop is the test's own."""
        return self.depth > len(self.path)

    def enter(self, run: PytestRun, depth: int) -> OpenScope:
        """Open the scopes of the path, so many of them at least, and return the innermost of these."""
        chain = run.chain
        if len(chain) < depth or any(
            each.scope is not scope or each.key != key
            for each, (scope, key) in zip(chain, self.path[:depth], strict=False)
        ):
            run.enter(self.path[:depth])
        for open_scope, config in zip(chain, self.configs, strict=False):
            open_scope.config = config
        return chain[depth - 1]


class FunctionTest(OpenTest):
    """One test function while it runs.

    ``is_called_often`` is true where it is called more than once, as by hypothesis.
    """

    is_called_often = False

    def __init__(self, run: PytestRun, position: Position, name: str, function: Any = None) -> None:
        super().__init__()
        self.run = run
        self._function = function
        self.position = position
        self.name = name
        self._case = types.SimpleNamespace()
        # Those on loops that are not the test's.
        self._others: list[ScopeTask] = []

    def open(self) -> ScopeTask:
        """Open the scope of the test, on its loop."""
        run, position = self.run, self.position
        position.enter(run, len(position.path))
        open_scope = run.open(Scope.FUNCTION, self.name)
        open_scope.config = position.config
        open_scope.function = self._function
        try:
            loop_runner = loop_in(
                run,
                open_scope if position.has_own_loop else run.chain[position.depth - 1],
                position.factory,
                run.attempt if position.has_own_loop else None,
            )
        except BaseException:  # of the user's factory
            run.leave(open_scope)
            raise
        return self.begin(run, ScopeTask(loop_runner, open_scope))

    def make_loop_current(self) -> None:
        """Have sync code find the test's loop to be the thread's current one, until the scope of the test closes."""
        scope_task = self.scope_task or self.open()
        scope_task.scope.keep(current_loop, current_loop, asyncio.set_event_loop)
        asyncio.set_event_loop(scope_task.loop_runner.loop)

    def scope_task_on(self, depth: int) -> ScopeTask:
        """The test's task on the loop of one of the scopes around it."""
        scope_task = self.scope_task or self.open()
        loop_runner = loop_in(self.run, self.run.chain[depth - 1], self.position.factory)
        if loop_runner is scope_task.loop_runner:
            return scope_task
        for other in self._others:
            if other.loop_runner is loop_runner:
                return other
        self._others.append(ScopeTask(loop_runner, scope_task.scope))
        return self._others[-1]

    def call(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """Call the test, and await what it returns if that can be; raises what ended it."""
        is_fresh = self.scope_task is None
        scope_task = self.scope_task or self.open()
        context = None if is_fresh else given_to(scope_task.scope)
        cut = None
        try:
            if is_async_def(function):
                value = function(**arguments)
            elif context is None:
                value = scope_task.call_sync(function, **arguments)
            else:
                value = scope_task.call_sync(context.run, function, **arguments)
            if not is_awaitable(value):
                return value
            if context is not None:
                value = Within(context, as_coroutine(value))
            return scope_task.run(value, self)
        except asyncio.CancelledError as error:
            cut = error
        raise self.cut_short(cut)

    def next_step(self, step: Step, *, is_broken: bool) -> After:  # noqa: ARG002 - see the protocol
        """The task ends with the test where nothing is left to be run in it, in the same run of the loop."""
        return KEEP_TASK if is_broken or self.outer is not None or self.is_called_often else END_TASK

    def step_failed(self, error: BaseException) -> None:
        """There is no step that could fail."""
        raise error

    def close(self) -> list[Exception]:  # noqa: D102 - see the base
        errors = [] if self.scope_task is None else self.scope_task.scope.take_untold()
        for other in self._others:
            if other.end() is not None and not other.loop_runner.loop.is_closed():
                other.loop_runner.turn()
                other.end()
        errors += super().close()
        self.scope_task = None
        return errors


def wide_scope_task(run: PytestRun, position: Position, depth: int, loop_depth: int) -> ScopeTask:
    """The task of a scope around a test, on the loop of that scope or of a wider one."""
    open_scope = position.enter(run, depth)
    return async_scope_of(open_scope, loop_in(run, run.chain[loop_depth - 1], position.factory)).scope_task


class PytestRun(Run):
    """The open scopes of a run of pytest, and what pytest is to say of it.

    ``result`` and ``cls`` are those of the test that pytest has come to, and ``paths`` the scopes around the
    modules that it knows of, by name. ``tear_down_with_node`` has pytest call something as it leaves what lasts as
    long as a scope, the last first. ``pending`` are errors that could not be raised where they came up, and that pytest
    is still to report. ``is_moving`` is true while pytest lets go of values that stay, because the next test is on
    another loop.
    """

    is_moving = False
    says_when_it_ends = sees_to_schedules = takes_errors_of_class_at_once = True

    def __init__(self, config: Config, tear_down_with: Callable[[OpenScope, Callable[[], object]], object]) -> None:
        Interrupt.of_this_thread()  # from now on, asyncunit's own code is not left in the middle
        super().__init__(None, lambda _, error: self.pending.append(error))
        self.config = config
        self.cls: type | None = None
        self.paths: dict[str, ScopePath] = {}
        self.pending: list[BaseException] = []
        self._around = values_around()
        self.tear_down_with_node = tear_down_with
        self.at_end(let_go_of_process)
        registry.begin(self)

    def class_to_be_run(self) -> type | None:  # noqa: D102 - see the base
        return self.cls if self.cls is not None and issubclass(self.cls, unittest.TestCase) else None

    def path_of_module(self, name: str) -> ScopePath:  # noqa: D102 - see the base
        return self.paths.get(name) or super().path_of_module(name)

    def open(self, scope: Scope, key: Hashable) -> OpenScope:  # noqa: D102 - see the base
        opened = super().open(scope, key)
        opened.around = self._around
        if scope is not Scope.FUNCTION:
            if scope is Scope.SESSION:
                opened.keep(Config, lambda: self.config, lambda _: None)
                opened.config = self.config
            self.tear_down_with_node(opened, functools.partial(self.close_scope, opened))
        return opened

    def tear_down_with(self, open_scope: OpenScope, tear_down: Callable[[], object]) -> None:
        """pytest does so, in turn with what it has set up itself; a module and a class have hooks, which come first."""
        if open_scope.scope > Scope.MODULE:
            self.tear_down_with_node(open_scope, tear_down)

    def context_within(self, within: OpenScope | None) -> contextvars.Context:
        """What is set around the run now, and in front of it what was set in the scope since that opened."""
        context = contextvars.copy_context()
        self._around = values_of(context, self._around)
        if within is not None:
            if within.around is self._around:  # nothing has changed around it
                return within.context.copy()
            changed_around = changes(within.around, self._around)
            for variable, value in changes(within.around, within.context).items():
                if variable not in changed_around:
                    context.run(variable.set, value)
        return context

    def catch_up(self, open_scope: OpenScope) -> None:
        """Have a scope see what was set around the run since it opened."""
        around = values_of(contextvars.copy_context(), open_scope.around)
        for variable, value in changes(open_scope.around, around).items():
            open_scope.context.run(variable.set, value)
        open_scope.around = around

    def failure_of_module(self, path: ScopePath) -> Exception | None:
        """What the set-up of the module in a path has raised; None where it has not failed."""
        modules = [each for each in self.chain if each.scope is Scope.MODULE and (each.scope, each.key) in path]
        failure: Exception | None = modules[0].hooks.failure if modules and modules[0].hooks is not None else None
        return failure

    def close_scope(self, open_scope: OpenScope) -> None:
        """Close a scope, and those inside it; raises what that raised."""
        raise_all(self.leave(open_scope), f"closing {open_scope}")

    def take_pending(self) -> list[BaseException]:
        """The errors that are still to be reported, once."""
        pending, self.pending = self.pending, []
        return pending


# An item under several schedules.


class Schedules:
    """Runs items under schedules. ``follow`` is told of the one that an item follows from now on; None is none."""

    def __init__(self, follow: Callable[[Attempt | None], object]) -> None:
        self._follow = follow

    def run(self, item: pytest.Item, nextitem: pytest.Item | None, attempts: Sequence[Attempt]) -> None:
        """Run an item under each schedule until it does not pass; report that, or the first."""
        hooks = item.ihook
        hooks.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports: list[pytest.TestReport] = []
        for attempt in attempts:
            is_last = attempt is attempts[-1]
            found = self._run_once(item, nextitem, attempt, is_last=is_last)
            if not reports or not _has_passed(found):
                reports = found
            if not _has_passed(found):
                if attempt.number or attempt.is_alone:
                    _explain(found, attempt, attempt.note("python -m pytest", item.nodeid))
                break
        for report in reports:
            hooks.pytest_runtest_logreport(report=report)
        hooks.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _run_once(
        self, item: Any, nextitem: pytest.Item | None, attempt: Attempt, *, is_last: bool
    ) -> list[pytest.TestReport]:
        self._follow(attempt)
        sections = getattr(item, "_report_sections", None)
        if sections is not None:  # what was printed under another schedule
            sections.clear()
        if attempt.number and not attempt.is_alone and hasattr(item, "addSubTest"):
            item.addSubTest = functools.partial(_add_failed_subtest, item.addSubTest)
        try:
            return self._phases(item, nextitem, is_last=is_last)
        finally:
            vars(item).pop("addSubTest", None)
            self._follow(None)
            attempt.write_timeline()

    def _phases(self, item: Any, nextitem: pytest.Item | None, *, is_last: bool) -> list[pytest.TestReport]:
        """What runtestprotocol() does; but what is wider than the item stays until its last schedule is over."""
        if getattr(item, "_request", None) is False:
            item._initrequest()
        reports = [call_and_report(item, "setup", log=False)]
        if reports[0].passed and not item.config.getoption("setuponly", False):
            reports.append(call_and_report(item, "call", log=False))
        is_stopping = bool(item.session.shouldfail or item.session.shouldstop)
        is_last = is_last or is_stopping or not _has_passed(reports)
        # The next item to run is one that is beside this one, or the next indeed.
        following = None if is_stopping else nextitem if is_last else copy.copy(item)
        reports.append(call_and_report(item, "teardown", log=False, nextitem=following))
        if not is_last and not _has_passed(reports):
            reports += _leave_wider(item, nextitem)
        if hasattr(item, "_request"):
            item._request = False
            item.funcargs = None
        return reports


def _explain(reports: list[pytest.TestReport], attempt: Attempt, note: str) -> None:
    """Have a report say under which schedule its test has failed."""
    for report in reports:
        if report.outcome == "failed":
            longrepr: Any = report.longrepr
            if hasattr(longrepr, "addsection"):
                longrepr.addsection(f"schedule {attempt.number}", note)
            else:
                report.sections.append((f"schedule {attempt.number}", note))


def _add_failed_subtest(add: Callable[..., object], test_case: Any, test: Any, exc_info: Any) -> None:
    """Tell of a subtest that has failed; those that passed are told of once, under the first schedule."""
    if exc_info is not None:
        add(test_case, test, exc_info)


def _leave_wider(item: Any, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Tear down what the next item does not need, after an item whose own tear-down has failed."""
    call = pytest.CallInfo.from_call(lambda: item.session._setupstate.teardown_exact(nextitem), when="teardown")
    report = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return [] if report.passed else [report]


def _has_passed(reports: list[pytest.TestReport]) -> bool:
    return all(report.outcome == "passed" and not hasattr(report, "wasxfail") for report in reports)
