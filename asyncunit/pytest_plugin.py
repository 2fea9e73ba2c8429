"""The plugin of pytest: its hooks, given to what runs unittest's tests, too. The only module that imports pytest.

Each run of pytest imports this, so it is short, and what it does at length stands in other rooms. When something async
is collected, `AsyncRun` is registered, and what that needs is imported.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
import types
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncunit.keys import KEYS, MEANINGS, SETTINGS

if TYPE_CHECKING:
    from asyncunit.collected import Collected
    from asyncunit.config import Config
    from asyncunit.items import Items
    from asyncunit.taker import Taker

__all__ = ["fixture", "is_async_test"]

__tracebackhide__ = True

PEER = "asyncio"  # pytest-asyncio, as its plugin is named
PEER_KEYS = (
    "asyncio_mode",
    "asyncio_debug",
    "asyncio_default_test_loop_scope",
    "asyncio_default_fixture_loop_scope",
)
PREFIX = "_asyncunit_fixture_"

_ASYNC = 0x80 | 0x200  # inspect.CO_COROUTINE, CO_ASYNC_GENERATOR


# Options, markers and hooks.


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Each key is an option and an ini key; where pytest-asyncio is not active, so are its own."""
    _leave_unwritten(pluginmanager)
    for name, module in _house.items():
        sys.modules.setdefault(name, module)
    group = parser.getgroup("asyncunit", "asyncunit: async tests that share event loops")
    for key, meaning in MEANINGS.items():
        option = f"--asyncunit-{key.replace('_', '-')}"
        group.addoption(option, dest=f"asyncunit_{key}", default=None, metavar=key.upper(), help=meaning)
        parser.addini(f"asyncunit_{key}", meaning, type="string", default=None)
    group.addoption(
        "--asyncunit-plan",
        action="store_true",
        help="run nothing; draw which tests share which event loop, and why, and where fixtures are set up",
    )
    if _is_peer_there(pluginmanager):
        return
    text = "as pytest-asyncio's; see --asyncunit-"
    group.addoption("--asyncio-mode", dest="asyncio_mode", default=None, metavar="MODE", help=f"{text}mode")
    group.addoption(
        "--asyncio-debug", dest="asyncio_debug", action="store_true", default=None, help=f"{text}loop-debug"
    )
    parser.addini("asyncio_mode", f"{text}mode", type="string", default=None)
    parser.addini("asyncio_debug", f"{text}loop-debug", type="string", default=None)
    parser.addini("asyncio_default_test_loop_scope", f"{text}loop-scope", type="string", default=None)
    parser.addini("asyncio_default_fixture_loop_scope", "as pytest-asyncio's", type="string", default=None)


def _leave_unwritten(pluginmanager: Any) -> None:
    """Have Python import the other rooms of the house, and not pytest, which does so for what plugins are made of.

    It does that to rewrite their assert statements, of which there are none here. A module takes it ten times as long,
    and is parsed anew in each run where nothing can be written beside it. There is no public way to say so.
    """
    getattr(pluginmanager.rewrite_hook, "_must_rewrite", set()).discard("asyncunit")


def _is_peer_there(pluginmanager: pytest.PytestPluginManager) -> bool:
    """Whether pytest-asyncio is a plugin of this run, or will be: its options are its own then."""
    if pluginmanager.is_blocked(PEER):
        return False
    if pluginmanager.hasplugin(PEER):
        return True
    return not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") and _is_peer_installed()


@functools.cache
def _is_peer_installed() -> bool:
    try:
        importlib.metadata.distribution("pytest-asyncio")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class _Specs:
    """The hook by which a suite gives its loop factories."""

    @pytest.hookspec(firstresult=True)
    def pytest_asyncunit_loop_factories(
        self, config: pytest.Config, item: pytest.Item
    ) -> Mapping[str, Callable[[], Any]] | None:
        """Return loop factories by name: each async test is run once with each. The first result counts."""


class _SpecsWithPeers(_Specs):
    """And that of pytest-asyncio."""

    @pytest.hookspec(firstresult=True)
    def pytest_asyncio_loop_factories(
        self, config: pytest.Config, item: pytest.Item
    ) -> Mapping[str, Callable[[], Any]] | None:
        """As pytest_asyncunit_loop_factories."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks for loop factories."""
    pluginmanager.add_hookspecs(_Specs if _is_peer_there(pluginmanager) else _SpecsWithPeers)


def pytest_configure(config: pytest.Config) -> None:
    """Explain the markers, and look at what is configured for pytest."""
    keys = ", ".join(f"{key}=..." for key in SETTINGS)
    config.addinivalue_line(
        "markers",
        f"asyncunit({keys}): run the async test on an event loop that is shared at loop_scope, with these settings; "
        f"all keywords are optional, and mean what they mean in asyncunit.settings().",
    )
    written = config.stash[_WRITTEN] = _Written(config)
    written.check()
    if not written.is_peer_active:
        config.addinivalue_line(
            "markers", "asyncio(loop_scope=..., loop_factories=...): run the async test, as pytest-asyncio does."
        )
        config.pluginmanager.register(_Ports(), "asyncunit-ports")


def pytest_unconfigure() -> None:
    """Remember the modules of the house: pytester forgets those that were imported in a run inside a test.

    Another copy of them would know nothing of the scopes that are open in this one.
    """
    if "asyncunit.config" in sys.modules:
        _house.update({name: module for name, module in sys.modules.items() if name.startswith("asyncunit.")})


_house: dict[str, types.ModuleType] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin: object) -> None:
    """Give pytest the fixtures that a conftest.py, or another plugin, declares with ``asyncunit.fixture``."""
    if type(plugin) is types.ModuleType and not plugin.__name__.startswith("_pytest."):
        _convert(plugin, vars(plugin).items())


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> object | None:
    """Under --asyncunit-plan, draw what would be run, and run nothing."""
    if not session.config.getoption("asyncunit_plan"):
        return None
    from asyncunit import outline

    drawn = outline.of_items(session.items, _activate(session.config).collected)
    sys.stdout.write("\n" + outline.as_text(drawn, color=outline.takes_color(sys.stdout)) + "\n")
    return True


class _Ports:
    """The fixtures for unused ports, by the names of pytest-asyncio."""

    @pytest.fixture(scope="session")
    def unused_tcp_port_factory(self) -> Callable[[], int]:
        """A function that returns an unused TCP port at each call."""
        return functools.partial(self._unused_port, "SOCK_STREAM")

    @pytest.fixture(scope="session")
    def unused_udp_port_factory(self) -> Callable[[], int]:
        """A function that returns an unused UDP port at each call."""
        return functools.partial(self._unused_port, "SOCK_DGRAM")

    @pytest.fixture
    def unused_tcp_port(self, unused_tcp_port_factory: Callable[[], int]) -> int:
        """An unused TCP port, another one for each test."""
        return unused_tcp_port_factory()

    @pytest.fixture
    def unused_udp_port(self, unused_udp_port_factory: Callable[[], int]) -> int:
        """An unused UDP port, another one for each test."""
        return unused_udp_port_factory()

    def _unused_port(self, kind: str) -> int:
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
    from asyncunit import collected

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
        holder = node.obj
        if not _is_case(holder):
            members = [(name, member) for name, member in _members(holder).items() if not _is_plain(member)]
            if any(_is_async(member) or _has_async_tests(member) for _, member in members):
                _prepare(node, members)
        return collect()

    # On the instance, for the class may be that of another plugin.
    collector.collect = prepare_and_collect  # type: ignore[method-assign]


def _members(holder: Any) -> Mapping[str, Any]:
    """What stands in a module, or in a class and its bases."""
    if not isinstance(holder, type):
        of_module: Mapping[str, Any] = vars(holder)
        return of_module
    return {name: member for base in reversed(holder.__mro__) for name, member in vars(base).items()}


def _prepare(collector: Any, members: Iterable[tuple[str, Any]]) -> None:
    """Have the fixtures and the test cases of a module or a class ready when pytest looks at them."""
    from asyncunit.errors import AsyncUnitError

    try:
        run = _activate(collector.config)
        _convert(collector.obj, members)
        if isinstance(collector, pytest.Module):
            run.adopt(collector.obj, [member for _, member in members if _is_case(member)])
    except AsyncUnitError as error:
        raise collector.CollectError(str(error)) from error


def _is_case(member: object) -> bool:
    """Whether it is one of asyncunit's test classes."""
    case = sys.modules.get("asyncunit.case")
    return case is not None and isinstance(member, type) and issubclass(member, case.AsyncTestCase)


def _has_async_tests(member: object) -> bool:
    """Whether it is a test case, asyncunit's or one with something async in it."""
    case = sys.modules.get("unittest.case")
    if case is None or not isinstance(member, type) or not issubclass(member, case.TestCase):
        return False
    return _is_case(member) or any(_is_async(each) for base in member.__mro__ for each in vars(base).values())


def _is_plain(member: object) -> bool:
    """Whether it is a sync function that nothing has been written on, as most members of a module are."""
    return type(member) is types.FunctionType and not (member.__code__.co_flags & _ASYNC or member.__dict__)


def _is_async(member: Any) -> bool:
    """Whether what stands in a module or a class is for asyncunit to look at."""
    member = getattr(member, "__func__", member) if type(member) in (staticmethod, classmethod) else member
    if type(member) is _FIXTURE:
        member = getattr(member, "__wrapped__", member)
    if type(member) is not types.FunctionType:
        return type(member).__module__ == "asyncunit.fixtures" or _names_marker(member)
    code = member.__code__
    marks = vars(member).get("pytestmark", ())
    inner = getattr(getattr(member, "hypothesis", None), "inner_test", member)
    return bool((code.co_flags | inner.__code__.co_flags) & _ASYNC) or _names_marker(marks)


def _names_marker(marks: Any) -> bool:
    """Whether one of these is a marker of asyncunit's, or of pytest-asyncio's."""
    return type(marks) in (list, tuple, pytest.MarkDecorator) and any(
        getattr(mark, "name", None) in ("asyncunit", PEER)
        for mark in (marks if type(marks) in (list, tuple) else [marks])
    )


# What pytest makes of a function of a fixture; it has no public name.
_FIXTURE = type(pytest.fixture(lambda: None))


def _convert(holder: Any, members: Iterable[tuple[str, Any]]) -> None:
    """Have pytest find the fixtures that are declared with ``asyncunit.fixture`` in a module or a class."""
    fixtures: Any = sys.modules.get("asyncunit.fixtures")
    for name, member in [] if fixtures is None else list(members):
        if type(member) is not fixtures.Fixture:
            continue
        from asyncunit.adopted import mark_fixture

        scope: Any = str(member.scope)
        made = pytest.fixture(
            scope=scope,
            params=None if member.param_set is None else [_param(each) for each in member.param_set.params],
            autouse=bool(member.autouse),
            name=member.given_name or name,
        )(mark_fixture(member))
        setattr(holder, f"{PREFIX}{name}", made)


def _param(param: Any) -> Any:
    """One of the params of a fixture, or of a test, as pytest writes it."""
    marks: list[Any] = [] if param.skip is None else [pytest.mark.skip(reason=param.skip)]
    if param.expected_failure:
        marks.append(pytest.mark.xfail(strict=True))
    return pytest.param(*param.values, id=param.id, marks=marks)


# What is configured.


class _Written:
    """What is written for asyncunit on the command line of pytest and in its ini file."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.is_peer_active = config.pluginmanager.hasplugin(PEER)
        ini = {key: config.getini(f"asyncunit_{key}") for key in KEYS}
        options = {key: config.getoption(f"asyncunit_{key}") for key in KEYS}
        self._ini = {key: value for key, value in ini.items() if value is not None}
        self._options = {key: value for key, value in options.items() if value is not None}
        # By the options and ini keys of pytest-asyncio, where that is not active.
        self._for_peer: dict[str, Any] = {}
        if not self.is_peer_active:
            said = {name: config.getoption(name, None) or config.getini(name) for name in PEER_KEYS}
            self._for_peer = {name: value for name, value in said.items() if value not in (None, "")}

    def check(self) -> None:
        """Raise pytest.UsageError for a bad value there, or in the environment."""
        if not (self._for_peer or self._ini or self._options or any(map(_is_ours, os.environ))):
            return
        from asyncunit import peers
        from asyncunit.errors import ConfigurationError

        try:
            peers.check(self._for_peer)
            self._load()
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error

    def _load(self) -> Config:
        from asyncunit.config import load

        return load(self.config.rootpath, ini=self._ini, options=self._options)

    def taker(self) -> Taker:
        """What decides which functions are asyncunit's; raises ConfigurationError."""
        from asyncunit import peers

        config = self._load()
        if self.is_peer_active:
            mode = self.config.getoption("asyncio_mode") or self.config.getini("asyncio_mode")
            return peers.taker_beside(config, mode)
        taker, warned = peers.taker_of(config, self._for_peer)
        for warning in warned:
            self.config.issue_config_time_warning(warning, stacklevel=2)
        return taker


def _is_ours(variable: str) -> bool:
    """Whether that is the name of a variable of the environment that configures asyncunit."""
    return variable.startswith("ASYNCUNIT_")


_WRITTEN = pytest.StashKey[_Written]()


def _activate(config: pytest.Config) -> AsyncRun:
    """The part of the plugin that runs what is async, registered when it is first asked for."""
    from asyncunit.collected import RUN, Collected

    run: AsyncRun | None = config.pluginmanager.get_plugin(RUN)
    if run is None:
        run = AsyncRun(config, Collected(config.stash[_WRITTEN].taker()))
        config.pluginmanager.register(run, RUN)
    return run


# What is run.


class AsyncRun:
    """The hooks that there are where something async was collected."""

    def __init__(self, config: pytest.Config, collected: Collected) -> None:
        from asyncunit import factories, params
        from asyncunit.errors import AsyncUnitError
        from asyncunit.marking import Marking

        self.config = config
        self.collected = collected
        self._error = AsyncUnitError
        self._factories = factories.LoopFactories(config, is_peer_active=collected.taker.is_peer_active)
        self._factory = pytest.fixture(scope="session", name=factories.PARAM)(_chosen_factory)
        self._param_sets_of = params.param_sets_of
        self._marking = Marking(collected, pytest.mark)
        # None until the first of them is set up.
        self._items: Items | None = None
        # The names of the classes that are being collected in the place of one.
        self._made: set[str] = set()
        if config.getoption("usepdb", False) or config.getoption("trace", False):
            config.pluginmanager.register(_Debugging(config), "asyncunit-debugging")

    def adopt(self, module: Any, cases: list[type]) -> None:
        """Have the test cases of a module know what markers say of them, and its async hooks be called."""
        if not cases:
            return
        from asyncunit import markers, suite

        markers.adopt_markers(module, cases)
        # pytest looks through a module's hooks for each of its tests.
        if suite.has_module_hooks(module) and any(case.__module__ == module.__name__ for case in cases):
            suite.adopt_module(module.__name__)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: Any, name: str, obj: object) -> object | None:
        """Collect a test case once for each of its loop factories, and a plain one such that its tests are awaited."""
        if not isinstance(obj, type) or name in self._made or not _has_async_tests(obj):
            return None
        from asyncunit.loader import AsyncTestLoader, cases_of

        cases = cases_of(AsyncTestLoader(self.collected.taker.config.mode), cast("Any", obj))
        if cases == [obj]:
            return None
        self._made |= {case.__name__ for case in cases}
        nodes = []
        for case in cases:
            node = collector.ihook.pytest_pycollect_makeitem(collector=collector, name=case.__name__, obj=case)
            node.obj = case
            nodes.append(node)
        self._made.clear()
        return nodes

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
        self._marking.mark(items)
        for item in self._marking.generators_of_peers(items):
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
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say which test the run has come to."""
        if self._items is None:
            from asyncunit.items import Items

            self._items = Items(self.collected, pytest.set_trace if self.config.getoption("trace", False) else None)
        self._items.come_to(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        """Run an async fixture in the task of its scope."""
        other = None if self._items is None else self._items.in_place_of(fixturedef, request)
        if other is None:
            return (yield)
        definition: Any = fixturedef
        written, definition.func = definition.func, other
        try:
            return (yield)
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


def _chosen_factory(request: pytest.FixtureRequest) -> Any:
    """The loop factory that a test is run with."""
    return request.param


def _parametrize_factories(metafunc: pytest.Metafunc, factories: Mapping[str, Any], loop_scope: object) -> None:
    from asyncunit.factories import PARAM

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
        if not _is_case(getattr(item, "cls", None)):
            return
        from asyncunit import debugging

        if self._is_pdb_used:
            debugging.postpone(item)
        if self._is_traced:
            item.instance._asyncunit_substitute_of = functools.partial(debugging.stopping, stop=pytest.set_trace)
