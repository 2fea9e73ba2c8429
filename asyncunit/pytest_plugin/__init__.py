"""The plugin of pytest: its hooks, given to what runs unittest's tests, too. The only module that imports pytest.

Each run of pytest imports this, so it is short, and what it does at length stands in other rooms. When something async
is collected, `AsyncRun` is registered, and what that needs is imported.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from asyncunit.config.settings import Config
    from asyncunit.pytest_plugin.function_plans import Collected
    from asyncunit.pytest_plugin.items import ItemRunner
    from asyncunit.pytest_plugin.options import Written

__all__ = ["fixture", "is_async_test"]

__tracebackhide__ = True

# Before the names under which pytest finds the fixtures that are declared with ``asyncunit.fixture``.
PREFIX = "_asyncunit_fixture_"


def __dir__() -> list[str]:
    """What users call, and what pytest looks for: it takes its time at each name."""
    return [*__all__, *(name for name in globals() if name.startswith(("pytest_", "unused_")))]


# Options, markers and hooks.


class _Specs:
    """The hook by which a suite gives its loop factories."""

    @pytest.hookspec(firstresult=True)
    def pytest_asyncunit_loop_factories(
        self, config: pytest.Config, item: pytest.Item
    ) -> Mapping[str, Callable[[], Any]] | None:
        """Return loop factories by name: each async test function is run once with each. The first result counts."""


class _SpecsWithPeers(_Specs):
    """And that of pytest-asyncio."""

    @pytest.hookspec(firstresult=True)
    def pytest_asyncio_loop_factories(
        self, config: pytest.Config, item: pytest.Item
    ) -> Mapping[str, Callable[[], Any]] | None:
        """As pytest_asyncunit_loop_factories."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks for loop factories. pytest calls this first."""
    for name, module in _house.items():
        sys.modules.setdefault(name, module)
    from asyncunit.pytest_plugin import options

    pluginmanager.add_hookspecs(_Specs if options.is_peer_there(pluginmanager) else _SpecsWithPeers)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Each key is an option and an ini key; where pytest-asyncio is not active, so are its own."""
    from asyncunit.pytest_plugin import options

    options.add(parser, with_peer=not options.is_peer_there(pluginmanager))


def pytest_configure(config: pytest.Config) -> None:
    """Explain the markers, and look at what is configured for pytest."""
    from asyncunit.config.keys import SETTINGS
    from asyncunit.pytest_plugin.options import Written

    written = config.stash[_WRITTEN] = Written(config)
    if written.says_anything:
        from asyncunit.errors import ConfigurationError

        try:
            written.check()
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error
    keys = ", ".join(f"{key}=..." for key in SETTINGS)
    config.addinivalue_line(
        "markers",
        f"asyncunit({keys}): run the async test on an event loop that is shared at loop_scope, with these settings; "
        f"all keywords are optional, and mean what they mean in asyncunit.settings().",
    )
    if not written.is_peer_active:
        config.addinivalue_line(
            "markers", "asyncio(loop_scope=..., loop_factories=...): run the async test, as pytest-asyncio does."
        )
    config.add_cleanup(_remember_house)
    if config.getoption("asyncunit_plan"):
        config.pluginmanager.register(_Plan(), "asyncunit-plan")


def _remember_house() -> None:
    """Note the modules of the house, for pytester forgets those that were imported in a run inside a test.

    Another copy of them would know nothing of the scopes that are open in this one; another asyncio, nothing of loops.
    """
    if "asyncunit.config.settings" in sys.modules:
        house = ("asyncunit", "asyncio", "_asyncio")
        _house.update({name: found for name, found in sys.modules.items() if name.partition(".")[0] in house})


_house: dict[str, types.ModuleType] = {}
_WRITTEN: pytest.StashKey[Written] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin: object) -> None:
    """Give pytest the fixtures that a conftest.py, or another plugin, declares with ``asyncunit.fixture``."""
    if type(plugin) is types.ModuleType and not plugin.__name__.startswith("_pytest."):
        _convert(plugin, vars(plugin).items())


@pytest.fixture(scope="session")
def unused_tcp_port_factory() -> Callable[[], int]:
    """A function that returns an unused TCP port at each call."""
    return functools.partial(_unused_port, "SOCK_STREAM")


@pytest.fixture(scope="session")
def unused_udp_port_factory() -> Callable[[], int]:
    """A function that returns an unused UDP port at each call."""
    return functools.partial(_unused_port, "SOCK_DGRAM")


@pytest.fixture
def unused_tcp_port(unused_tcp_port_factory: Callable[[], int]) -> int:
    """An unused TCP port, another one for each test."""
    return unused_tcp_port_factory()


@pytest.fixture
def unused_udp_port(unused_udp_port_factory: Callable[[], int]) -> int:
    """An unused UDP port, another one for each test."""
    return unused_udp_port_factory()


def _unused_port(kind: str) -> int:
    import socket

    from asyncunit.mixins import unused_port

    return unused_port(socket.SocketKind[kind])


def fixture(function: Any = None, *, loop_scope: str | None = None, **options: Any) -> Any:
    """The decorator of pytest-asyncio, for suites that are written for it: pytest's own, on a loop of ``loop_scope``.

    For such a suite, this module takes the place of the package: ``from asyncunit import pytest_plugin as
    pytest_asyncio``.
    """
    if function is None:
        return functools.partial(fixture, loop_scope=loop_scope, **options)
    written = getattr(function, "__func__", function)
    written._force_asyncio_fixture, written._loop_scope = True, loop_scope
    return pytest.fixture(**options)(function)


def is_async_test(item: pytest.Item) -> bool:
    """As asyncunit.is_async_test()."""
    from asyncunit.pytest_plugin import function_plans as collected

    return collected.is_async_test(item)


# What is collected.


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Look at a module or a class for what is async, before pytest does."""
    if isinstance(collector, pytest.Module):
        if type(collector).__module__ == "_pytest.doctest":
            return
    elif not isinstance(collector, pytest.Class):
        return
    node: Any = collector
    collect = collector.collect

    def prepare_and_collect() -> Iterable[pytest.Item | pytest.Collector]:
        from asyncunit.pytest_plugin.detection import is_case, members_to_look_at

        if not is_case(node.obj) and (members := members_to_look_at(node.obj)):
            _prepare(node, members)
        return collect()

    # On the instance, for the class may be that of another plugin.
    collector.collect = prepare_and_collect  # type: ignore[method-assign]


def _prepare(collector: Any, members: Iterable[tuple[str, Any]]) -> None:
    """Have the fixtures and the test cases of a module or a class ready when pytest looks at them."""
    from asyncunit.errors import AsyncUnitError
    from asyncunit.pytest_plugin.detection import has_async_tests, is_case, is_class

    try:
        run = _activate(collector.config)
        if run is None:
            return
        _convert(collector.obj, members)
        classes = [member for _, member in members if is_class(member)]
        if any(map(has_async_tests, classes)):
            run.expect_cases()
        if isinstance(collector, pytest.Module):
            run.adopt(collector.obj, list(filter(is_case, classes)))
    except AsyncUnitError as error:
        raise collector.CollectError(str(error)) from error


def _convert(holder: Any, members: Iterable[tuple[str, Any]]) -> None:
    """Have pytest find the fixtures that are declared with ``asyncunit.fixture`` in a module or a class."""
    if "asyncunit.plans.fixtures" not in sys.modules:
        return
    from asyncunit.plans.fixtures import Fixture
    from asyncunit.pytest_plugin.fixtures import mark_fixture
    from asyncunit.scope import Scope

    for name, member in list(members):
        if type(member) is not Fixture:
            continue
        function: Any = mark_fixture(member)
        if isinstance(holder, type) and member.scope >= Scope.CLASS:
            function = classmethod(function)
        scope: Any = str(member.scope)
        made = pytest.fixture(
            scope=scope,
            params=None if member.param_set is None else [_param(each) for each in member.param_set.params],
            autouse=bool(member.autouse),
            name=member.given_name or name,
        )(function)
        setattr(holder, f"{PREFIX}{name}", made)


def _param(param: Any) -> Any:
    """One of the params of a fixture, or of a test, as pytest writes it."""
    marks: list[Any] = [] if param.skip is None else [pytest.mark.skip(reason=param.skip)]
    if param.expected_failure:
        marks.append(pytest.mark.xfail(strict=True))
    return pytest.param(*param.values, id=param.id, marks=marks)


# What is run.


def _activate(config: pytest.Config) -> AsyncRun | None:
    """The part of the plugin that runs what is async, registered when it is first asked for.

    None where what is configured in a file is wrong, with which the run ends when all is collected.
    """
    from asyncunit.errors import ConfigurationError
    from asyncunit.pytest_plugin.function_plans import RUN, Collected

    run: AsyncRun | _Misconfigured | None = config.pluginmanager.get_plugin(RUN)
    if run is None:
        try:
            run = AsyncRun(config, Collected(config.stash[_WRITTEN].taker()))
        except ConfigurationError as error:
            run = _Misconfigured(error)
        config.pluginmanager.register(run, RUN)
    return run if isinstance(run, AsyncRun) else None


class _Misconfigured:
    """In the place of `AsyncRun`, where that would not know how to run anything."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def pytest_collection_modifyitems(self) -> None:
        """Say once what is wrong."""
        raise pytest.UsageError(str(self._error)) from self._error


class AsyncRun:
    """The hooks that there are where something async was collected."""

    def __init__(self, config: pytest.Config, collected: Collected) -> None:
        from asyncunit.errors import AsyncUnitError, RunningLoopError
        from asyncunit.plans import params
        from asyncunit.pytest_plugin import loop_factories as factories
        from asyncunit.pytest_plugin.effective_markers import Marking

        self.config = config
        self.collected = collected
        self._error, self._busy_error = AsyncUnitError, RunningLoopError
        self._factories = factories.LoopFactories(config, is_peer_active=collected.taker.is_peer_active)
        self._param_sets_of = params.param_sets_of
        self._marking = Marking(collected, pytest.mark)
        # None until the first of them is set up.
        self._items: ItemRunner | None = None
        self._ran_once = 0
        # None until there is a test case.
        self._cases: _CaseCollection | None = None
        if config.getoption("usepdb", False) or config.getoption("trace", False):
            config.pluginmanager.register(_Debugging(config), "asyncunit-debugging")

    def expect_cases(self) -> None:
        """There is a test case among what is collected now."""
        if self._cases is None:
            self._cases = _CaseCollection(self.collected.taker.config)
            self.config.pluginmanager.register(self._cases, "asyncunit-cases")

    def adopt(self, module: Any, cases: list[type]) -> None:
        """Have the test cases of a module know what markers say of them, and its async hooks be called."""
        if not cases:
            return
        from asyncunit.cases import suite
        from asyncunit.pytest_plugin import markers

        markers.adopt_markers(module, cases)
        # pytest looks through a module's hooks for each of its tests.
        if suite.has_module_hooks(module) and any(not case.__module__.startswith("asyncunit.") for case in cases):
            suite.adopt_module(module.__name__)

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Plan an async test function, and run it once with each of its loop factories."""
        node = metafunc.definition
        wrong = None
        try:
            plan = self.collected.plan(node)
            factories = None if plan is None else self._factories.of(node, plan)
            param_sets = self._param_sets_of(metafunc.function)
        except self._error as error:
            wrong = str(error)
        if wrong is not None:  # not above, for pytest would show both
            pytest.fail(wrong if wrong.startswith(node.nodeid) else f"{node.nodeid}: {wrong}", pytrace=False)
        for each in param_sets:
            metafunc.parametrize(each.names, [_param(param) for param in each.params])
        if plan is not None and factories is not None:
            _parametrize_factories(metafunc, factories, plan.loop_scope)
        if plan is not None and plan.is_peers and plan.marker is not None and "scope" in plan.marker.kwargs:
            node.warn(pytest.PytestDeprecationWarning("mark.asyncio(scope=...) is deprecated; write loop_scope=..."))

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Have each item say what is in force for it, in its marker."""
        for item in self._marking.mark(items):
            reason = f"Tests based on asynchronous generators are not supported. {item.name} will be ignored."
            item.warn(pytest.PytestCollectionWarning(reason))
            item.add_marker(pytest.mark.xfail(run=False, reason=reason))
        if self.config.getoption("loadgroup", False) or self.config.getoption("dist", None) == "loadgroup":
            self._marking.group(items)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan anew what has got another marker meanwhile."""
        for item, error in self._marking.mark_again(session.items):
            raise pytest.UsageError(f"{item.nodeid}: {error}") from error

    # One item.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> object | None:
        """Run a test under its schedules, where it has any."""
        attempts = self._runner().attempts_for(item)
        if attempts is None:
            return None
        from asyncunit.pytest_plugin import under_schedules

        under_schedules.Schedules(self._runner().follow).run(item, nextitem, attempts)
        return True

    def _runner(self) -> ItemRunner:
        if self._items is None:
            from asyncunit.pytest_plugin.items import ItemRunner

            self._items = ItemRunner(
                self.collected, pytest.set_trace if self.config.getoption("trace", False) else None
            )
        return self._items

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say which test the run has come to."""
        self._runner().come_to(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Run an async fixture in the task of its scope; know that a test takes the log."""
        if fixturedef.argname == "caplog":
            from asyncunit.checks.unhandled_errors import take_the_log

            fixturedef.addfinalizer(take_the_log())
        other = None if self._items is None else self._items.in_place_of(fixturedef, request)
        if other is None:
            return (yield)
        definition: Any = fixturedef
        written, definition.func = definition.func, other
        try:
            return (yield)
        except self._busy_error:
            definition.finish(request)  # or all who ask for the fixture get this error
            raise
        finally:
            definition.func = written

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> object | None:
        """Run an async test function."""
        plan = self.collected.plan_of(pyfuncitem)
        if plan is None or self._items is None:
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

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """The run is over."""
        items, self._items = self._items, None
        if items is not None:
            items.end()
            self._ran_once = items.ran_once

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell of the tests that could not follow schedules."""
        if self._ran_once:
            from asyncunit.loops.attempts import ran_once

            terminalreporter.write_line(ran_once(self._ran_once))


class _CaseCollection:
    """The hook that there is where test cases are among what was collected: pytest calls it for each function, too."""

    def __init__(self, config: Config) -> None:
        from asyncunit.pytest_plugin import detection

        self._config = config
        self._has_async_tests = detection.has_async_tests
        # The name of the class that is being collected in the place of one.
        self._made: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: Any, name: str, obj: object) -> object | None:
        """Collect a test case once for each of its loop factories, and a plain one such that its tests are awaited."""
        if name == self._made or not self._has_async_tests(obj):
            return None
        from asyncunit.cases.generated import cases_of

        cases = cases_of(cast("Any", obj), self._config, takes_all=self._config.mode == "auto")
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
    from asyncunit.pytest_plugin.loop_factories import PARAM

    values = [
        pytest.param(None, marks=pytest.mark.skip(reason=str(factory))) if isinstance(factory, str) else factory
        for factory in factories.values()
    ]
    ids: Any = list(factories) if len(factories) > 1 else (pytest.HIDDEN_PARAM,)
    scope: Any = str(loop_scope)
    metafunc.fixturenames.append(PARAM)
    metafunc.parametrize(PARAM, values, ids=ids, indirect=True, scope=scope)


class _Plan:
    """The hook that there is under --asyncunit-plan."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        """Draw what would be run, and run nothing."""
        if run := _activate(session.config):
            from asyncunit.cases import plan_tree as outline

            drawn = outline.of_items(session.items, run.collected)
            sys.stdout.write("\n")
            outline.write(drawn, sys.stdout)
            session.testsfailed += drawn.has_errors
        return True


class _Debugging:
    """What --pdb and --trace need of asyncunit's test cases."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_traced = config.getoption("trace", False)
        self._is_pdb_used = config.getoption("usepdb", False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: Any) -> None:
        """Have a test case stop in the debugger when its test begins, and be torn down when pytest leaves it."""
        from asyncunit.pytest_plugin import debugging, detection

        if not detection.is_case(getattr(item, "cls", None)):
            return
        if self._is_pdb_used:
            debugging.postpone(item)
        if self._is_traced:
            item.instance._asyncunit_substitute_of = functools.partial(debugging.stopping, stop=pytest.set_trace)
