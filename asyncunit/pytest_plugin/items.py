"""The items of pytest while they run: in which scopes each stands, and where its fixtures and the test itself run.

``request.instance``, ``definition.func`` and ``definition.finish`` are what pytest has of a fixture that is being set
up; nothing else tells which function is to be called, and how it is torn down. Of its private names, this uses
``item._request``, the only request there is of a test that names none, and ``item._excinfo``: pytest takes an item for
the result of its test case, and notes there all errors that this is told of. With each of its reports it shows one of
them: the second in the place of what the tear-down has raised, the third never.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from asyncunit.checks.findings import warn_of
from asyncunit.config import ASYNCIO_MARKER, MARKER
from asyncunit.config.settings import Config
from asyncunit.errors import AsyncUnitError, FixtureNotSetUpError, RunningLoopError, raise_all
from asyncunit.introspection.functions import (
    inner_test,
    is_async_def,
    is_async_function,
    is_example_test,
    judge_value,
    substitute,
)
from asyncunit.introspection.tracebacks import print_all
from asyncunit.lifecycle.async_scope import async_scope_of
from asyncunit.loops.interrupts import Interrupt
from asyncunit.loops.loop import LoopRunner, current_loop, loop_is_running
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.pytest_plugin import function_plans
from asyncunit.pytest_plugin.asyncio_compat import POLICY, Policies, unwrapped
from asyncunit.pytest_plugin.detection import is_case
from asyncunit.pytest_plugin.fixture_plans import PytestFixture, declared, depth_of_fixture, is_set_up_by_case
from asyncunit.pytest_plugin.function_plans import Collected, FunctionPlan
from asyncunit.pytest_plugin.nodes import ScopeNode, depth_of, outermost_folder_of, path_of
from asyncunit.pytest_plugin.run import FunctionTest, Position, PytestRun, wide_scope_task
from asyncunit.scope import Scope
from asyncunit.scopes import registry
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

if TYPE_CHECKING:
    from asyncunit.loops.attempts import Attempt
    from asyncunit.plans.fixtures import Fixture, Node
    from asyncunit.plans.loop_choice import LoopChoice
    from asyncunit.pytest_plugin.fixtures import OpenPytestFixture


@functools.cache
def _fixtures() -> Any:
    """What sets fixtures up; imported when there is one for it: before tests run, unless only they ask for it."""
    from asyncunit.pytest_plugin import fixtures

    return fixtures


def raise_others(item: Any) -> None:
    """Have all but the first be raised as pytest tears down the item, where it tells of all that is raised."""
    if "addError" not in vars(item):  # else it is run once more
        others: list[BaseException] = []
        item.addError = functools.partial(_add, item, item.addError, others)
        item.addFailure = functools.partial(_add, item, item.addFailure, others)


def forget_others(item: Any) -> None:
    """Put back what `raise_others` has replaced: pytest keeps all items, and each of them would be more to collect."""
    own = vars(item)
    own.pop("addError", None)
    own.pop("addFailure", None)


def _add(item: Any, add: Callable[..., object], others: list[BaseException], case: object, exc_info: Any) -> None:
    error = exc_info[1]
    if isinstance(error, pytest.exit.Exception):
        others.clear()  # the run ends here, and nobody reports more of it
    elif getattr(item, "_excinfo", None):
        # pytest calls the last of these first, and tells of what they raise in their order.
        others.append(error)
        item.addfinalizer(functools.partial(_raise, error, others))
        return
    add(case, exc_info)


def _raise(error: BaseException, others: list[BaseException]) -> None:
    if any(each is error for each in others):
        others[:] = [each for each in others if each is not error]
        raise error


# What --pdb and --trace need.


def postpone(item: Any) -> None:
    """Have what is left after a test case run when pytest leaves it: in the debugger all is as the test left it.

    pytest sees to that itself, but with the tearDown of sync tests alone, and later than what that needs.
    """
    case = item.instance
    written, case.tearDown = case.tearDown, lambda: None
    case._asyncunit_is_postponed = True

    def finish() -> None:
        case.tearDown = written
        raise_all(case._asyncunit_finish(), f"tearing down {item.nodeid}")

    item.addfinalizer(finish)


def stopping(function: Any, stop: Callable[[], object]) -> Any:
    """What stops in the debugger when an async test begins; a sync one is called as pytest has it called.

    pytest calls the test itself in the debugger, and drops the coroutine that an async one returns.
    """
    written = getattr(function, "__wrapped__", function)
    if not is_async_function(written):
        return function

    async def stop_and_call(**arguments: Any) -> Any:
        test = written(**arguments)
        stop()
        return await test  # step into it with s

    return stop_and_call


# The items.


class ItemRunner:
    """Runs the items of pytest, one after the other, in the open scopes of its run.

    ``stop`` enters the debugger as a test begins; None where it is not to.
    """

    def __init__(self, collected: Collected, stop: Callable[[], object] | None = None) -> None:
        self._collected = collected
        self._stop = stop
        if collected.fixtures.has_any:
            _fixtures()
        self._run = PytestRun(collected.ownership.config, self._tear_down_with_node)
        # The item that pytest has come to, and its parent; None until the first.
        self._item: Any = None
        self._parent: Any = None
        # Whether it is one of asyncunit's test cases.
        self._is_case = False
        # The fixture by which a suite gives the policy for it, if it does.
        self._policy: Any = None
        self._policies = Policies()
        self._positions: dict[Any, Position] = {}
        # Of test cases: their loop, and the configuration of those tests that have one of their own.
        self._choices: dict[type, tuple[LoopChoice, dict[str, Config]] | None] = {}
        # Puts back the thread's current loop as the item is left; None while that is nobody's of asyncunit.
        self._put_loop_back: Callable[[], object] | None = None
        # The test function that pytest has come to, while its scope is open.
        self._test: FunctionTest | None = None
        # By its definition: the fixture whose value pytest has, and what has pytest let go of it.
        self._given: dict[Any, tuple[OpenPytestFixture, Callable[[], None]]] = {}
        # The definition whose fixture has failed in a way that is not to be told to the next who asks for it.
        self._to_forget: Any = None
        # Those whose set-up was cancelled, which the next test is to try again.
        self._cut: list[tuple[Any, OpenPytestFixture]] = []

    def _tear_down_with_node(self, open_scope: OpenScope, tear_down: Callable[[], object]) -> None:
        """Have that called as pytest leaves the node of a scope."""
        for scope_node in reversed(self._scope_nodes_of(self._item)):
            if scope_node.scope is open_scope.scope and scope_node.key == open_scope.key:
                # What is in no package is in a folder, which pytest leaves before the session.
                node = scope_node.node or outermost_folder_of(self._item)
                if node is not None:
                    node.addfinalizer(tear_down)
                return

    def _scope_nodes_of(self, item: Any) -> tuple[ScopeNode, ...]:
        """The scopes that an item stands in."""
        return self._collected.surroundings(item).scope_nodes

    # From one item to the next.

    def come_to(self, item: Any) -> None:
        """The item is going to be set up: tear down what it uses and what lives on another loop than its own."""
        run = self._run
        if item is self._item:  # it is run once more, as by pytest-rerunfailures
            for open_scope in run.chain:
                if open_scope.fixtures is not None:
                    _fixtures().forget_errors(open_scope)
        if self._cut:
            self._forget_cut(item)
        self._item = item
        run.result = item
        if item.parent is not self._parent:
            self._parent = item.parent
            cls: Any = getattr(item, "cls", None)
            run.cls = cls
            self._is_case = is_case(cls)
            path = tuple(each for each in path_of(self._scope_nodes_of(item)) if each[0] is not Scope.CLASS)
            if len(path) > 1:
                run.paths[str(path[-1][1])] = path
                if self._is_case and _stands_where_found(cls, str(path[-1][1])):
                    run.paths[cls.__module__] = path
            self._policy = self._collected.surroundings(item).policy
        if self._policy is not None or self._policies.is_one_in_force:
            self._policies.come_to(item, self._policy)
        if self._is_case:
            raise_others(item)
            if self._given:
                self._leave_other_loops_of_case(item)
        elif (plan := self._collected.plan_of(item)) is not None and plan.fixtures:
            self._leave_other_loops(item, plan)

    def _forget_cut(self, item: Any) -> None:
        """Have what was cancelled as it was set up be tried again, unless this is but another variant of the same test.

        Under unittest, the variants of a test function are a class, for which it is set up once. Where it has fixtures
        of a class's scope, each variant is in a class of its own.
        """
        is_other = item is not self._item and not _has_scope_of_class(item)
        if is_other and _variants_of(item) == _variants_of(self._item):
            return
        cut, self._cut = self._cut, []
        for definition, opened in cut:
            last, finish = self._given[definition]
            if last is opened:
                finish()

    def _leave_other_loops(self, item: Any, plan: FunctionPlan) -> None:
        """Have pytest let go of those of its fixtures that live on another loop: it keeps one value at a time."""
        for found in plan.fixtures:
            if self._home_of(found) is not None:
                depth = self._collected.loop_depth(found, plan, plan.scope_nodes)
                self._let_go_unless_on(found, depth, self._factory_of(item, plan))

    def _leave_other_loops_of_case(self, item: Any) -> None:
        """The same for what pytest sets up for a test case."""
        definitions = item._fixtureinfo.name2fixturedefs
        used = [definitions[name][-1] for name in item.fixturenames if name in definitions]
        found = [self._collected.fixtures.find_for(each, is_case=True) for each in used if each in self._given]
        at_home = [each for each in found if each is not None and self._home_of(each) is not None]
        if not at_home:
            return
        with contextlib.suppress(AsyncUnitError):  # it is raised again, to be reported, as the class opens
            position = self._position_of_case(item)
            for each in at_home:
                depth = depth_of_fixture(each, self._scope_nodes_of(item))
                self._let_go_unless_on(each, min(position.depth, depth), position.factory)

    def _home_of(self, found: PytestFixture) -> LoopRunner | None:
        """The loop on which a fixture is whose value pytest has; None where it has none, or one that is on no loop."""
        opened, _ = self._given.get(found.definition, (None, None))
        open_fixture = None if opened is None else opened.open_fixture
        if open_fixture is None or open_fixture.async_scope is None:
            return None
        return open_fixture.async_scope.scope_task.loop_runner

    def _let_go_unless_on(self, found: PytestFixture, depth: int, factory: Any) -> None:
        """Have pytest let go of a value unless it is on the loop that the scope of this depth owns."""
        chain = self._run.chain
        owner = chain[depth - 1] if depth <= len(chain) else None
        home = self._home_of(found)
        if home is not None and (home.owner is not owner or home.factory is not factory):
            _, finish = self._given[found.definition]
            self._run.is_moving = True
            try:
                finish()
            finally:
                self._run.is_moving = False

    def leave(self, item: Any, nextitem: Any) -> None:
        """Leave what the next item does not stand in, and raise what has not been reported."""
        run = self._run
        if self._is_case:
            forget_others(item)
        if self._put_loop_back is not None:
            self._put_loop_back()
            self._put_loop_back = None
        if nextitem is not None and nextitem.parent is not item.parent:
            run.leave_all_but(path_of(self._scope_nodes_of(nextitem)))
        if run.pending:
            raise_all(run.take_pending(), f"after {item.nodeid}")
        if (installed := Interrupt.installed) is not None and installed.is_deferred:
            Interrupt.raise_left()

    def end(self) -> None:
        """The run is over; nobody reports what is raised from now on, so it goes to stderr."""
        registry.end(self._run)
        self._policies.put_back()
        print_all("session", self._run.take_pending())

    def raise_interrupt(self) -> None:
        """Raise KeyboardInterrupt if Ctrl-C came while asyncunit's own code ran, which is not left in the middle."""
        Interrupt.raise_left()

    # Fixtures.

    def in_place_of(self, definition: Any, request: Any) -> Callable[..., Any] | None:
        """What pytest is to call in the place of a fixture's function; None where that is not asyncunit's to run."""
        found = self._collected.fixtures.find_for(definition, is_case=self._is_case)
        if self._is_case and is_set_up_by_case(definition, self._item, widest=Scope.CLASS):
            return functools.partial(_refuse, declared(definition), request)
        if found is None:
            return None
        return functools.partial(self._set_up, found, request, _bound(definition.func, request.instance))

    def _set_up(self, found: PytestFixture, request: Any, function: Callable[..., Any], /, **arguments: Any) -> Any:
        definition = found.definition
        if not self._is_case and (failure := self._run.failure_of_module(path_of(self._scope_nodes_of(self._item)))):
            self._to_forget = definition  # nothing is set up in a module whose own set-up has failed
            raise failure
        node = self._collected.fixtures.node_of(found, self._item)
        opened = _fixtures().OpenPytestFixture(self._run, node, is_declared=found.is_declared)
        finish = functools.partial(definition.finish, request)
        call = functools.partial(function, **arguments)
        request.addfinalizer(opened.tear_down)
        self._given[definition] = opened, finish
        try:
            return self._set_up_opened(found, node, opened, request, call, finish)
        except BaseException:
            if opened.was_cut:
                self._cut.append((definition, opened))
            elif not opened.has_begun:
                self._to_forget = definition
            if not self._is_case and found.fixture.scope >= Scope.MODULE:
                self._set_up_module()
            raise

    def _set_up_module(self) -> None:
        """Have the sync hooks of the item's module be called although a fixture has failed that comes before them."""
        from asyncunit.pytest_plugin.module_hooks import sync_hooks_of

        hooks = sync_hooks_of(self._item)
        if hooks is not None:
            try:
                self._item._request.getfixturevalue(hooks)
            except Exception as error:
                self._run.pending.append(error)

    def _set_up_opened(
        self,
        found: PytestFixture,
        node: Node,
        opened: OpenPytestFixture,
        request: Any,
        call: Callable[[], Any],
        finish: Callable[[], None],
    ) -> Any:
        definition = found.definition
        if not found.fixture.is_async and not found.is_asyncio:
            return self._set_up_sync(found, node, opened, request, call)
        if loop_is_running():
            raise RunningLoopError(
                f"the {found.fixture} is asked for by getfixturevalue() while the loop runs that it is to be set up "
                f"on. Name it as a parameter, or by @pytest.mark.usefixtures({definition.argname!r})."
            )
        scope_task, context = self._scope_task_for(found, request, finish)
        if not found.fixture.is_async:
            return opened.set_up_beside(call, scope_task.loop_runner.loop)
        if open_fixture := _fixtures().value_in(scope_task.scope, node, scope_task.loop_runner):
            return opened.take(open_fixture, finish)
        return opened.set_up(call, scope_task, finish, context)

    def _set_up_sync(
        self, found: PytestFixture, node: Node, opened: OpenPytestFixture, request: Any, call: Callable[[], Any]
    ) -> Any:
        finish = functools.partial(found.definition.finish, request)
        if not node.needs_loop:
            scope, loop_runner, async_scope = self._scope_for(found), None, None
        else:
            scope_task, _ = self._scope_task_for(found, request, finish)
            scope, loop_runner = scope_task.scope, scope_task.loop_runner
            async_scope = async_scope_of(scope, loop_runner)
        if open_fixture := _fixtures().value_in(scope, node, loop_runner):
            return opened.take(open_fixture, finish)
        loop = None if loop_runner is None else loop_runner.loop
        return opened.share(scope, async_scope, functools.partial(opened.set_up_beside, call, loop), finish)

    def is_to_be_tried_again(self, definition: Any) -> bool:
        """Whether pytest is not to keep what a fixture has just raised, once."""
        is_it, self._to_forget = self._to_forget is definition, None
        return is_it

    def _scope_for(self, found: PytestFixture) -> OpenScope:
        """The open scope in which a fixture lives that is wider than a test."""
        position = self._position_of(self._item, self._collected.plan_for_fixtures(self._item))
        return position.enter(self._run, depth_of_fixture(found, self._scope_nodes_of(self._item)))

    def _scope_task_for(
        self, found: PytestFixture, request: Any, finish: Callable[[], None]
    ) -> tuple[ScopeTask, contextvars.Context | None]:
        """The task in which an async fixture runs, and the context, if that is the test's own."""
        run, item, scope_nodes = self._run, self._item, self._scope_nodes_of(self._item)
        depth = depth_of_fixture(found, scope_nodes)
        is_of_test = depth > len(scope_nodes)
        if self._is_case:
            if is_of_test:
                return self._scope_task_of_case(item, request.instance, finish)
            position = self._position_of_case(item)
            return wide_scope_task(run, position, depth, min(position.depth, depth)), None
        plan = self._collected.plan_for_fixtures(item)
        if self._collected.policy_of(item) is not None:
            request.getfixturevalue(POLICY)
        loop_depth = self._collected.loop_depth(found, plan, scope_nodes)
        if is_of_test:
            test = self._open_around(item, plan, finish)
            return test.scope_task_on(loop_depth), None
        scope_task = wide_scope_task(run, self._position_of(item, plan), depth, min(loop_depth, depth))
        if self._test is None:
            self._use_loop(scope_task.loop_runner.loop)
        return scope_task, None

    def _position_of_case(self, item: Any) -> Position:
        """Where a test case stands."""
        from asyncunit.plans import loop_choice  # test cases have imported it

        choice, scope_nodes = loop_choice.choose(item.cls, self._run.config), self._scope_nodes_of(item)
        configs = [choice.config_at(scope_node.scope) for scope_node in scope_nodes]
        depth = depth_of(choice.scope, scope_nodes)
        return Position(path_of(scope_nodes), depth, choice.factory, choice.configs[0], configs)

    def _scope_task_of_case(
        self, item: Any, case: Any, finish: Callable[[], None]
    ) -> tuple[ScopeTask, contextvars.Context]:
        """The task of a test case, which is closed after the fixtures of pytest's that stand around it."""
        test, scope_task = case._asyncunit_open()
        if test.outer is None:
            test.outer = []
            item.addfinalizer(lambda: raise_all(case._asyncunit_close(), f"closing {item.nodeid}"))
        self._run.catch_up(scope_task.scope)
        test.outer.append(finish)
        return scope_task, scope_task.scope.context

    # What sync code finds to be the thread's current loop.

    def before_sync_fixture(self, definition: Any) -> None:
        """A sync fixture of the item is going to be set up; it finds the item's loop to be the current one."""
        item = self._item
        module = str(getattr(definition.func, "__module__", ""))
        if self._is_case or self._test is not None or module.startswith("_pytest."):
            return
        plan = self._collected.plan_of(item)
        if plan is None:
            self.before_sync_test(item)
        elif definition.scope == "function" and not plan.is_asyncio:  # pytest-asyncio gives it none
            self._open_around(item, plan)

    def before_sync_test(self, item: Any) -> None:
        """A sync test is going to be called, or what is set up for it; it finds the loop of its async fixtures."""
        plan = self._collected.plan_for_fixtures(item)
        if self._test is None and self._put_loop_back is None and plan.fixtures and plan.depth <= len(plan.scope_nodes):
            position = self._position_of(item, plan)
            scope = position.enter(self._run, plan.depth)
            if loop_runner := scope.kept((LoopRunner, position.factory)):
                self._use_loop(loop_runner.loop)

    def _use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have it be the thread's current one until the item is left."""
        if self._put_loop_back is None:
            self._put_loop_back = functools.partial(asyncio.set_event_loop, current_loop())
        asyncio.set_event_loop(loop)

    def _open_around(self, item: Any, plan: FunctionPlan, *finish: Callable[[], None]) -> FunctionTest:
        """Open the scope of a test function for what is set up around it, and close it after that is torn down."""
        test = self._open_test(item, plan)
        if test.outer is None:
            test.outer = []
            item.addfinalizer(functools.partial(self._close, item))
            test.make_loop_current()
        test.outer += finish
        return test

    # Schedules.

    def attempts_for(self, item: Any) -> list[Attempt] | None:
        """The schedules to run an item under; None where it is run as ever."""
        found = self._config_and_scope(item)
        if found is None or not found[0].explores:
            return None
        config, scope = found
        if scope is Scope.FUNCTION:
            from asyncunit.loops.attempts import attempts_of

            return attempts_of(config)
        if config.schedules > 1 or config.schedule is not None:
            self._run.count_one_that_ran_once()
        return None

    def _config_and_scope(self, item: Any) -> tuple[Config, Scope] | None:
        """What is configured for an item, and which scope owns its loop; None where it has none, or that is wrong."""
        is_beside = item.parent is self._parent  # pytest goes up from an item to find its class, which takes time
        cls: Any = self._run.cls if is_beside else getattr(item, "cls", None)
        if not (self._is_case if is_beside else is_case(cls)):
            plan = self._collected.plan_of(item)
            return None if plan is None else (plan.config, plan.loop_scope)
        if cls not in self._choices:
            from asyncunit.plans import loop_choice  # test cases have imported it

            self._choices[cls] = None
            with contextlib.suppress(AsyncUnitError):  # it is raised again, to be reported, as the class opens
                choice = loop_choice.choose(cls, self._run.config)
                self._choices[cls] = choice, loop_choice.configs_of_tests(cls, choice.configs[0])
        found = self._choices[cls]
        if found is None:
            return None
        choice, configs = found
        return configs.get(item.name, choice.configs[0]), choice.scope

    def follow(self, attempt: Attempt | None) -> None:
        """The item is run under this schedule now; under none from None on."""
        self._run.attempt = attempt

    @property
    def ran_once(self) -> int:
        """How many tests were asked to follow schedules, and could not."""
        return self._run.ran_once

    # Test functions.

    def call(self, item: Any, plan: FunctionPlan) -> str | None:
        """Call a test function in its scope, and await what it returns if that can be.

        Returns what is to be warned of; raises what the test raised, and for what it should not have returned.
        """
        function = unwrapped(item.obj) if self._collected.ownership.is_asyncio_active else item.obj
        value = self._call(item, plan, function if self._stop is None else stopping(function, self._stop))
        if value is None:
            return None if is_async_def(function) else _sync_test(item, plan)
        if not plan.is_asyncio:
            judge_value(item.obj, value)
        return None

    def _call(self, item: Any, plan: FunctionPlan, function: Callable[..., Any]) -> Any:
        test = self._open_test(item, plan)
        arguments = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
        try:
            if is_example_test(function):
                test.is_called_often = True
                with substitute(function, lambda written, **example: test.call(written, example)):
                    value = function(**arguments)
            else:
                value = test.call(function, arguments)
        except BaseException:
            if test.outer is None:
                self._run.pending += self._closed(item)
            raise
        if test.outer is None:
            self._close(item)
        return value

    def given_policy(self, definition: Any, policy: Any) -> None:
        """A suite's fixture has given the policy by which the loops of the item are made."""
        self._policies.given(self._item, definition, policy)

    def _open_test(self, item: Any, plan: FunctionPlan) -> FunctionTest:
        if self._test is None:
            if self._collected.policy_of(item) is not None:
                item._request.getfixturevalue(POLICY)
            self._test = FunctionTest(self._run, self._position_of(item, plan), item.name, item.obj)
        return self._test

    def _position_of(self, item: Any, plan: FunctionPlan) -> Position:
        """Where a test function stands."""
        factory = self._factory_of(item, plan)
        position = self._positions.get((id(plan), factory))
        if position is None:
            position = Position(path_of(plan.scope_nodes), plan.depth, factory, plan.config, plan.configs)
            self._positions[id(plan), factory] = position
        return position

    def _factory_of(self, item: Any, plan: FunctionPlan) -> Any:
        """The loop factory that an item runs with."""
        factory = function_plans.factory_of(item, plan)
        policy = None if factory is not None else self._collected.surroundings(item).policy
        return plan.config.clocked(factory if policy is None else self._policies.factory_of(item, policy))

    def _close(self, item: Any) -> None:
        """Close the scope of a test function; raises what that raised."""
        if errors := self._closed(item):
            raise_all(errors, f"closing {item.nodeid}")

    def _closed(self, item: Any) -> list[BaseException]:
        """Close the scope of a test function, and return what that raised; pytest-asyncio only warns of some of it."""
        test, self._test = self._test, None
        if test is None:
            return []
        errors: list[BaseException] = [*test.close()]
        if errors and test.position.config.is_lenient:
            return [
                error for error in errors if not isinstance(error, AsyncUnitError) or not warn_of(error, item.nodeid)
            ]
        return errors


def _sync_test(item: Any, plan: FunctionPlan) -> str | None:
    """What is to be said of a test that is marked and that is no async function, in pytest-asyncio's words."""
    written = inner_test(item.obj)
    if is_async_function(getattr(written, "__wrapped__", written)):
        return None
    name = ASYNCIO_MARKER if plan.is_asyncio else MARKER
    return (
        f"The test {item} is marked with '@pytest.mark.{name}' but it is not an async function. Please remove the "
        f"{name} mark. If the test is not marked explicitly, check for global marks applied via 'pytestmark'."
    )


def _refuse(fixture: Fixture[Any] | None, request: Any, **_: object) -> None:
    """In the place of a fixture that a fixture of pytest's asks for before the test case has set it up."""
    raise FixtureNotSetUpError(
        f"the {fixture} is set up by the test case {request.cls.__qualname__} itself, after the fixtures of pytest's, "
        f"one of which asks for it. Declare that one with asyncunit.fixture, too."
    )


def _variants_of(item: Any) -> object:
    """The test function that an item is a variant of, for the loops that it runs on."""
    callspec = getattr(item, "callspec", None)
    factory = None if callspec is None else callspec.params.get(function_plans.PARAM)
    return item.parent, getattr(item, "originalname", item.name), factory


def _has_scope_of_class(item: Any) -> bool:
    """Whether an item that stands in no class has fixtures of a class's scope, which are its own then."""
    if getattr(item, "cls", None) is not None:
        return False
    found = (declared(each[-1]) for each in item._fixtureinfo.name2fixturedefs.values())
    return any(made is not None and made.scope is Scope.CLASS for made in found)


def _bound(function: Any, instance: object) -> Any:
    """The function of a fixture that stands in a class, for that instance."""
    if instance is not None and isinstance(instance, type(getattr(function, "__self__", None))):
        return function.__func__.__get__(instance)
    return function


def _stands_where_found(cls: type, module: str) -> bool:
    """Whether a test case stands in the module in which pytest has found it, which may have imported it.

    Only that module's hooks are called by pytest. Where there are none, those of the class's own can be run.
    """
    from asyncunit.cases.suite import has_module_hooks  # a run of functions alone has no use for it

    own, found_in = (has_module_hooks(sys.modules.get(name)) for name in (cls.__module__, module))
    return found_in or not own
