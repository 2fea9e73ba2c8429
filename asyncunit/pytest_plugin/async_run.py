"""The hooks of a run of pytest in which something is async; what it has collected, drawn as a plan."""

from __future__ import annotations

import contextlib
import functools
import sys
import unittest
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncunit.errors import AsyncUnitError
from asyncunit.introspection.functions import module_hook
from asyncunit.introspection.tracebacks import print_all, print_within
from asyncunit.pytest_plugin.asyncio_compat import DEPRECATED, POLICY, ask_for_policy, is_default
from asyncunit.pytest_plugin.detection import has_async_tests, is_case
from asyncunit.pytest_plugin.effective_markers import EffectiveMarkers
from asyncunit.pytest_plugin.fixture_plans import order_fixtures, param_of
from asyncunit.pytest_plugin.function_plans import PARAM, LoopFactories
from asyncunit.scope import Scope

if TYPE_CHECKING:
    from asyncunit.cases.program import Outline
    from asyncunit.plans.variants import ParamSet
    from asyncunit.pytest_plugin.asyncio_compat import Ownership
    from asyncunit.pytest_plugin.function_plans import Collected, FunctionPlan
    from asyncunit.pytest_plugin.items import ItemRunner

__tracebackhide__ = True


class AsyncRun:
    """The hooks that there are where something async was collected."""

    def __init__(self, config: pytest.Config, collected: Collected) -> None:
        self.config = config
        self.collected = collected
        self._factories = LoopFactories(config, is_asyncio_active=collected.ownership.is_asyncio_active)
        self._effective_markers = EffectiveMarkers(collected, pytest.mark)
        # None until the first of them is set up.
        self._items: ItemRunner | None = None
        self._ran_once = 0
        # Has what has no report go where all goes again; from the first item on it is not captured.
        self._capture_again: Callable[[], object] = lambda: None
        # None until there is a test case.
        self._cases: _CaseCollection | None = None
        if config.getoption("usepdb", False) or config.getoption("trace", False):
            config.pluginmanager.register(_Debugging(config), "asyncunit-debugging")

    def draw_plan(self, session: pytest.Session) -> None:
        """Draw what was collected, as ``python -m asyncunit plan`` draws suites; an error in it fails the run."""
        from asyncunit.cases.program import write

        drawn = _plan_of(session.items, self.collected)
        sys.stdout.write("\n")
        write(drawn, sys.stdout)
        session.testsfailed += drawn.has_errors

    def expect_cases(self) -> None:
        """There is a test case among what is collected now."""
        if self._cases is None:
            self._cases = _CaseCollection(self.collected.ownership)
            self.config.pluginmanager.register(self._cases, "asyncunit-cases")

    def prepare_cases(self, module: Any, cases: list[type]) -> None:
        """Have the test cases of a module know what markers say of them, and its async hooks be called."""
        has_hook = module_hook(module.__name__) is not None
        if not cases and not has_hook:
            return
        from asyncunit.cases import suite
        from asyncunit.pytest_plugin import nodes

        nodes.read_markers(module, cases)
        # pytest looks through a module's hooks for each of its tests.
        if has_hook or (
            suite.has_module_hooks(module) and any(not case.__module__.startswith("asyncunit.") for case in cases)
        ):
            suite.front_hooks_of_module(module.__name__)
        if has_hook:
            from asyncunit.pytest_plugin.module_hooks import declare_hooks

            declare_hooks(module, self.collected)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> Generator[None, Any, Any]:
        """Plan an async test function, and run it once with each of its loop factories.

        Its variants have the names and the order that they have under unittest: loops, then fixtures, then its own.
        """
        node = metafunc.definition
        wrong = None
        try:
            plan = self.collected.plan(node)
            factories = self._one_factory(node) if plan is None else self._factories.of(node, plan)
            param_sets = _param_sets_of(metafunc.function)
        except AsyncUnitError as error:
            wrong = str(error)
        if wrong is not None:  # not above, for pytest would show both
            path, line, _ = node.location
            named = wrong if wrong.startswith(node.nodeid) else f"{node.nodeid}: {wrong}"
            pytest.fail(f"{path}:{(line or 0) + 1}: {named}", pytrace=False)
        if self.collected.policy_of(node) is not None:
            ask_for_policy(node)
        if factories is not None:
            _parametrize_factories(metafunc, factories, "function" if plan is None else plan.loop_scope)
        order_fixtures(node)
        result = yield
        for each in param_sets:
            metafunc.parametrize(each.names, [param_of(param) for param in each.params])
        if plan is not None and plan.is_asyncio and plan.marker is not None and "scope" in plan.marker.kwargs:
            node.warn(pytest.PytestDeprecationWarning("mark.asyncio(scope=...) is deprecated; write loop_scope=..."))
        return result

    def _one_factory(self, node: Any) -> Mapping[str, Any] | None:
        """The loop factory of a sync test's async fixtures: the one that there is, for it is not run several times."""
        plan = self.collected.plan_for_fixtures(node)
        factories = self._factories.of(node, plan) if plan.fixtures else None
        is_one = factories is not None and len(factories) == 1 and all(map(callable, factories.values()))
        return factories if is_one else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Have each item say what is in force for it, in its marker."""
        for item in self._effective_markers.mark(items):
            reason = f"Tests based on asynchronous generators are not supported. {item.name} will be ignored."
            item.warn(pytest.PytestCollectionWarning(reason))
            item.add_marker(pytest.mark.xfail(run=False, reason=reason))
        if self.config.getoption("loadgroup", False) or self.config.getoption("dist", None) == "loadgroup":
            self._effective_markers.group(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan anew what has got another marker meanwhile."""
        for item, error in self._effective_markers.mark_again(session.items):
            raise pytest.UsageError(f"{item.nodeid}: {error}") from error
        if self._effective_markers.explores and not self.config.pluginmanager.has_plugin(_SCHEDULES):
            self.config.pluginmanager.register(_Exploration(self._item_runner), _SCHEDULES)

    # One item.

    def _item_runner(self) -> ItemRunner:
        if self._items is None:
            from asyncunit.pytest_plugin.items import ItemRunner

            self._items = ItemRunner(
                self.collected, pytest.set_trace if self.config.getoption("trace", False) else None
            )
            capture: Any = self.config.pluginmanager.getplugin("capturemanager")
            if capture is not None:
                self._capture_again = print_within(capture.global_and_fixture_disabled)
        return self._items

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say which test the run has come to."""
        (self._items or self._item_runner()).come_to(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Run an async fixture in the task of its scope; know that a test takes the log."""
        if fixturedef.argname == "caplog":
            from asyncunit.checks.unhandled_errors import take_the_log

            fixturedef.addfinalizer(take_the_log())
        if self._items is None:
            return (yield)
        if fixturedef.argname == POLICY:
            policy = yield
            if not self.collected.ownership.is_asyncio_active and not is_default(fixturedef):
                self._items.given_policy(fixturedef, policy)
                warnings.warn(pytest.PytestDeprecationWarning(DEPRECATED), stacklevel=1)
            return policy
        other = self._items.in_place_of(fixturedef, request)
        if other is None:
            self._items.before_sync_fixture(fixturedef)
            return (yield)
        definition: Any = fixturedef
        written, definition.func = definition.func, other
        try:
            return (yield)
        except BaseException:
            if self._items.is_to_be_tried_again(definition):
                definition.finish(request)  # or all who ask for the fixture get this error
            raise
        finally:
            definition.func = written

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object | None:
        """Run an async test function."""
        plan = self.collected.plan_of(pyfuncitem)
        if self._items is None:
            return None
        if plan is None:
            self._items.before_sync_test(pyfuncitem)
            return None
        warning = self._items.call(pyfuncitem, plan)
        if warning is not None:
            pyfuncitem.warn(pytest.PytestWarning(warning))
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        """Leave what the next test does not stand in, and report what has not been."""
        if self._items is not None:
            self._items.leave(item, nextitem)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """The run is over, and what is still open is torn down."""
        items, self._items = self._items, None
        if items is None:
            return (yield)
        result = None
        try:
            with _leaving_the_summary(session):
                result = yield
        finally:
            try:
                with _leaving_the_summary(session):
                    items.end()
                    items.raise_interrupt()
            finally:
                self._ran_once = items.ran_once
                self._capture_again()
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell of the tests that could not follow schedules."""
        if self._ran_once:
            from asyncunit.loops.attempts import ran_once

            terminalreporter.write_line(ran_once(self._ran_once))


def _param_sets_of(function: Any) -> tuple[ParamSet, ...]:
    """What `asyncunit.parametrize` says of a function."""
    if "asyncunit.plans.variants" not in sys.modules:  # then it says nothing of any
        return ()
    from asyncunit.plans.variants import param_sets_of

    return param_sets_of(function)


@contextlib.contextmanager
def _leaving_the_summary(session: pytest.Session) -> Iterator[None]:
    """Have what ends a run that Ctrl-C ends, and what its tear-down raises, not keep pytest from its summary."""
    __tracebackhide__ = False  # pytest needs one line that is shown
    try:
        yield
    except KeyboardInterrupt:
        session.exitstatus = pytest.ExitCode.INTERRUPTED
        session.config.hook.pytest_keyboard_interrupt(excinfo=pytest.ExceptionInfo.from_current())
    except Exception as error:
        if session.exitstatus != pytest.ExitCode.INTERRUPTED:
            raise
        print_all("session", [error])


# The name of that plugin.
_SCHEDULES = "asyncunit-schedules"


class _Exploration:
    """The hook that there is where a test is to follow schedules: it would be one more call for each test."""

    def __init__(self, item_runner: Callable[[], ItemRunner]) -> None:
        self._item_runner = item_runner

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> object | None:
        """Run a test under its schedules, where it has any."""
        attempts = self._item_runner().attempts_for(item)
        if attempts is None:
            return None
        from asyncunit.pytest_plugin import run

        run.Schedules(self._item_runner().follow).run(item, nextitem, attempts)
        return True


class _CaseCollection:
    """The hook that there is where test cases are among what was collected: pytest calls it for each function, too."""

    def __init__(self, ownership: Ownership) -> None:
        self._config = ownership.config
        is_asyncio_auto = ownership.asyncio_mode == "auto" and not ownership.is_asyncio_active
        self._fix = (
            "write asyncunit_mode = auto in pytest's configuration (asyncio_mode = auto is for test functions)"
            if is_asyncio_auto
            else "configure mode = auto"
        )
        # The name of the class that is being collected in the place of one.
        self._made: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: Any, name: str, obj: object) -> object | None:
        """Collect a test case once for each of its loop factories, and a plain one such that its tests are awaited."""
        if name == self._made or not has_async_tests(obj):
            return None
        from asyncunit.cases.loader import cases_of

        cases = cases_of(cast("Any", obj), self._config, takes_all=self._config.mode == "auto", fix=self._fix)
        if cases == [obj]:
            return None
        return [node for case in cases if (node := self._collect_in_place(collector, case)) is not None]

    def _collect_in_place(self, collector: Any, case: type) -> Any:
        """Collect a class that stands in the place of one of the module; None where pytest leaves it alone."""
        self._made = case.__name__
        try:
            node: Any = collector.ihook.pytest_pycollect_makeitem(collector=collector, name=case.__name__, obj=case)
        finally:
            self._made = None
        if node is not None:
            node.obj = case
        return node


def _parametrize_factories(metafunc: pytest.Metafunc, factories: Mapping[str, Any], loop_scope: object) -> None:
    """Run the test once with each; the items have theirs among their params, and nobody asks for it as a fixture."""
    values = [
        pytest.param(None, marks=pytest.mark.skip(reason=str(factory))) if isinstance(factory, str) else factory
        for factory in factories.values()
    ]
    ids: Any = list(factories) if len(factories) > 1 else (pytest.HIDDEN_PARAM,)
    scope: Any = str(loop_scope)
    metafunc.fixturenames.append(PARAM)
    metafunc.parametrize(PARAM, values, ids=ids, indirect=True, scope=scope)


class _Debugging:
    """What --pdb and --trace need of asyncunit's test cases."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_traced = config.getoption("trace", False)
        self._is_pdb_used = config.getoption("usepdb", False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: Any) -> None:
        """Have a test case stop in the debugger when its test begins, and be torn down when pytest leaves it."""
        if not is_case(getattr(item, "cls", None)):
            return
        from asyncunit.pytest_plugin import items

        if self._is_pdb_used:
            items.postpone(item)
        if self._is_traced:
            item.instance._asyncunit_substitute_of = functools.partial(items.stopping, stop=pytest.set_trace)


# The plan.


def _plan_of(items: Iterable[Any], collected: Collected) -> Outline:
    """The tree of what pytest has collected."""
    from asyncunit.cases.program import Outline, add_case

    session = Outline("session", "")
    for item in items:
        cls = getattr(item, "cls", None)
        if cls is not None and issubclass(cls, unittest.TestCase):
            add_case(session, cls, item.name, collected.ownership.config)
        elif hasattr(item, "module"):
            _add_function(session, item.module.__name__, cls, item.name, collected.plan_of(item))
        else:
            session.child("test", item.nodeid)
    return session


def _add_function(session: Outline, module: str, cls: type | None, name: str, plan: FunctionPlan | None) -> None:
    """Add a test function as pytest has collected it; ``plan`` is None where it is not asyncunit's."""
    from asyncunit.cases.program import module_of, relative

    package, around = module_of(session, module)
    at = {Scope.SESSION: session, Scope.PACKAGE: package, Scope.MODULE: around}
    if cls is not None:
        around = around.child("class", cls.__qualname__)
        at[Scope.CLASS] = around
    test = around.child("test", name)
    if plan is None:
        return
    test.loop, test.why = str(plan.loop_scope), relative(plan.reason)
    for found in plan.fixtures:
        at.get(found.fixture.scope, test).set_up([found.fixture.name])
