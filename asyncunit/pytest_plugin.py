"""The plugin of pytest: its hooks, given to what runs unittest's tests, too. The only module that imports pytest.

What stands in front costs nothing in a run without async tests. When something async is collected, `AsyncRun` is
registered, and the lower half of the house is imported when the first of it runs.

Names of pytest that it does not document, each with its reason: ``item._fixtureinfo`` is the only place that tells
which fixtures a function asks for; ``request.session`` aside, nothing tells a fixture's hook which item is being set
up but the hook before it.
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

from asyncunit.errors import AsyncUnitError, ConfigurationError
from asyncunit.keys import KEYS, MEANINGS

if TYPE_CHECKING:
    from asyncunit.collected import Collected, Plan
    from asyncunit.config import Config
    from asyncunit.items import Items
    from asyncunit.taker import Taker

__all__ = ["fixture", "is_async_test"]

__tracebackhide__ = True

PEER = "asyncio"  # pytest-asyncio, as its plugin is named
FACTORY = "_asyncunit_loop_factory"
FACTORY_HOOKS = ("pytest_asyncunit_loop_factories", "pytest_asyncio_loop_factories")
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
    keys = ", ".join(f"{key}=..." for key in KEYS if key != "mode")
    config.addinivalue_line(
        "markers",
        f"asyncunit({keys}): run the async test on an event loop that is shared at loop_scope, with these settings; "
        f"all keywords are optional, and mean what they mean in asyncunit.settings().",
    )
    state = config.stash[_STATE] = _State(config)
    if not state.is_peer_active:
        config.addinivalue_line(
            "markers", "asyncio(loop_scope=..., loop_factories=...): run the async test, as pytest-asyncio does."
        )
    state.check()
    if not state.is_peer_active:
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

    drawn = _activate(session.config).outline(session.items)
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
    prepare: Callable[[Any], None]
    node: Any = collector
    if isinstance(collector, pytest.Module) and type(collector).__module__ != "_pytest.doctest":
        prepare = _prepare_module
    elif isinstance(collector, pytest.Class):
        prepare = _prepare_class
    else:
        return
    collect = collector.collect

    def prepare_and_collect() -> Iterable[pytest.Item | pytest.Collector]:
        try:
            prepare(node)
        except AsyncUnitError as error:
            raise collector.CollectError(str(error)) from error
        return collect()

    # On the instance, for the class may be that of another plugin.
    collector.collect = prepare_and_collect  # type: ignore[method-assign]


def _prepare_module(collector: pytest.Module) -> None:
    members = [(name, member) for name, member in vars(collector.obj).items() if not _is_plain(member)]
    if any(_is_async(member) or _has_async_tests(member) for _, member in members):
        _activate(collector.config)
    _convert(collector.obj, members)
    if cases := [member for _, member in members if isinstance(member, type) and _is_case(member)]:
        from asyncunit import markers, suite

        _activate(collector.config)
        markers.adopt_markers(collector.obj, cases)
        # pytest looks through a module's hooks for each of its tests.
        if suite.has_module_hooks(collector.obj) and any(case.__module__ == collector.obj.__name__ for case in cases):
            suite.adopt_module(collector.obj.__name__)


def _prepare_class(collector: pytest.Class) -> None:
    cls = collector.obj
    if _is_case(cls):
        return
    members = {name: member for base in reversed(cls.__mro__) for name, member in vars(base).items()}
    if any(not _is_plain(member) and _is_async(member) for member in members.values()):
        _activate(collector.config)
    _convert(cls, list(members.items()))


def _is_case(member: object) -> bool:
    """Whether it is one of asyncunit's test classes."""
    case = sys.modules.get("asyncunit.case")
    return case is not None and isinstance(member, type) and issubclass(member, case.AsyncTestCase)


def _has_async_tests(member: object) -> bool:
    """Whether it is a test case of unittest's with something async in it."""
    case = sys.modules.get("unittest.case")
    if case is None or not isinstance(member, type) or not issubclass(member, case.TestCase):
        return False
    return any(_is_async(each) for base in member.__mro__ for each in vars(base).values())


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
    fixtures = sys.modules.get("asyncunit.fixtures")
    if fixtures is None:
        return
    found = [(name, member) for name, member in members if type(member) is fixtures.Fixture]
    if not found:
        return
    from asyncunit.collected import mark_fixture

    for name, member in found:
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


class _State:
    """What is known of asyncunit in one run of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.is_peer_active = config.pluginmanager.hasplugin(PEER)

    def _written(self) -> tuple[dict[str, object], dict[str, object]]:
        """What pytest's ini file and its command line say."""
        ini = {key: self.config.getini(f"asyncunit_{key}") for key in KEYS}
        options = {key: self.config.getoption(f"asyncunit_{key}") for key in KEYS}
        return (
            {key: value for key, value in ini.items() if value is not None},
            {key: value for key, value in options.items() if value is not None},
        )

    def _written_for_peer(self) -> dict[str, Any]:
        """What the options and ini keys of pytest-asyncio say, where that is not active."""
        if self.is_peer_active:
            return {}
        said = {name: self.config.getoption(name, None) for name in PEER_KEYS}
        said = {name: self.config.getini(name) if value is None else value for name, value in said.items()}
        return {name: value for name, value in said.items() if value not in (None, "")}

    def check(self) -> None:
        """Raise pytest.UsageError for a bad value on the command line, in pytest's ini file or in the environment."""
        ini, options = self._written()
        said = self._written_for_peer()
        try:
            if said:
                from asyncunit.peers import check

                check(said)
            if ini or options or any(name.startswith("ASYNCUNIT_") for name in os.environ):
                self.load()
        except ConfigurationError as error:
            raise pytest.UsageError(str(error)) from error

    def load(self) -> Config:
        """The configuration of the run; raises ConfigurationError."""
        from asyncunit.config import load

        ini, options = self._written()
        return load(self.config.rootpath, ini=ini, options=options)

    def taker(self) -> Taker:
        """What decides which functions are asyncunit's; raises ConfigurationError."""
        config = self.load()
        if self.is_peer_active:
            from asyncunit.scopes import Scope
            from asyncunit.taker import Taker

            mode = self.config.getoption("asyncio_mode") or self.config.getini("asyncio_mode")
            return Taker(config, True, mode, config, Scope.FUNCTION, None)
        from asyncunit.peers import taker_of

        taker, warned = taker_of(config, self._written_for_peer())
        for warning in warned:
            self.config.issue_config_time_warning(warning, stacklevel=2)
        return taker


_STATE = pytest.StashKey[_State]()


class _NoHook:
    """Stands for a hook that nobody has declared."""

    def get_hookimpls(self) -> tuple[()]:
        return ()


_NO_HOOK = _NoHook()


def _activate(config: pytest.Config) -> AsyncRun:
    """The part of the plugin that runs what is async, registered when it is first asked for."""
    from asyncunit.collected import RUN, Collected

    run: AsyncRun | None = config.pluginmanager.get_plugin(RUN)
    if run is None:
        run = AsyncRun(config, Collected(config.stash[_STATE].taker()))
        config.pluginmanager.register(run, RUN)
    return run


# What is run.


class AsyncRun:
    """The hooks that there are where something async was collected."""

    def __init__(self, config: pytest.Config, collected: Collected) -> None:
        from asyncunit.params import param_sets_of

        self.config = config
        self.collected = collected
        self._param_sets_of = param_sets_of
        # None until the first of them is set up.
        self._items: Items | None = None
        # The names of the classes that are being collected in the place of one.
        self._made: set[str] = set()
        self._factory_hooks: list[Any] = [getattr(config.hook, name, _NO_HOOK) for name in FACTORY_HOOKS]
        self._is_traced: bool = config.getoption("trace", False)
        if config.getoption("usepdb", False):
            config.pluginmanager.register(_Debugging(), "asyncunit-debugging")
        if self._is_traced:
            config.pluginmanager.register(_Tracing(), "asyncunit-tracing")

    @pytest.fixture(scope="session", name=FACTORY)
    def _loop_factory(self, request: pytest.FixtureRequest) -> Any:
        """The loop factory that the test is run with."""
        return request.param

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

    def outline(self, items: Iterable[Any]) -> Any:
        """What would be run, as a tree."""
        from asyncunit import outline

        session = outline.Outline("session", "")
        for item in items:
            cls = getattr(item, "cls", None)
            if _is_case(cls):
                outline.add_case(session, cast("Any", cls), item.name, self.collected.taker.config)
            elif hasattr(item, "module"):
                classes = [] if cls is None else [cls]
                outline.add_function(session, item.module.__name__, classes, item.name, self.collected.plan_of(item))
            else:
                session.child("test", item.nodeid)
        return session

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Plan an async test function, and run it once with each of its loop factories."""
        node = metafunc.definition
        text = None
        try:
            plan = self.collected.plan(node)
            if plan is not None and plan.is_peers and plan.marker is not None and "scope" in plan.marker.kwargs:
                node.warn(
                    pytest.PytestDeprecationWarning("mark.asyncio(scope=...) is deprecated; write loop_scope=...")
                )
            factories = None if plan is None else self._factories(node, plan)
            for each in self._param_sets_of(metafunc.function):
                values = [_param(param) for param in each.params]
                metafunc.parametrize(each.names, values)
        except AsyncUnitError as error:
            text = str(error)
        if text is not None:
            pytest.fail(text if text.startswith(node.nodeid) else f"{node.nodeid}: {text}", pytrace=False)
        if plan is None or not factories:
            return
        if len(factories) == 1:
            ids: Any = (pytest.HIDDEN_PARAM,)
        else:
            ids = list(factories)
        values = [
            pytest.param(None, marks=pytest.mark.skip(reason=str(factory))) if isinstance(factory, str) else factory
            for factory in factories.values()
        ]
        metafunc.fixturenames.append(FACTORY)
        scope: Any = str(plan.loop_scope)
        metafunc.parametrize(FACTORY, values, ids=ids, indirect=True, scope=scope)

    def _factories(self, node: Any, plan: Plan) -> Mapping[str, Any] | None:
        """The loop factories that a test is run with, by name; None where there is but the configured one."""
        if not plan.config.loop_factories and not any(hook.get_hookimpls() for hook in self._factory_hooks):
            return None
        from asyncunit.keys import Unavailable

        hook: Any
        chosen = None if plan.marker is None else plan.marker.kwargs.get("loop_factories")
        names = chosen if isinstance(chosen, list | tuple) else None
        for name in FACTORY_HOOKS:
            hook = getattr(node.ihook, name, _NO_HOOK)
            if not hook.get_hookimpls() or (self.collected.taker.is_peer_active and PEER in name):
                continue
            given = hook(config=self.config, item=node)
            if (
                not isinstance(given, Mapping)
                or not given
                or not all(isinstance(key, str) and key and callable(factory) for key, factory in given.items())
            ):
                raise ConfigurationError(
                    f"{name} must return a non-empty mapping of factory names to callables; it returned {given!r}."
                )
            if names is None:
                return dict(given)
            missing = f"is not available. Available factories: {', '.join(given)}."
            return {str(key): given.get(key, Unavailable(f"Loop factory {key!r} {missing}")) for key in names}
        if plan.is_peers and names is not None:
            raise ConfigurationError(
                "mark.asyncio 'loop_factories' requires at least one pytest_asyncio_loop_factories hook implementation."
            )
        configured = plan.config.loop_factories
        return configured if isinstance(configured, Mapping) else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Have each item say what is in force for it, in its marker."""
        from asyncunit.markers import effective

        made: dict[int, pytest.MarkDecorator] = {}
        cases: dict[Any, list[Any]] = {}
        for item in items:
            plan = self.collected.plan_of(item)
            if plan is not None:
                key = id(plan)
                if key not in made:
                    made[key] = pytest.mark.asyncunit(**effective(plan.config, plan.loop_scope))
                if plan.is_peers:
                    self._mark_as_peer(item, plan)
                self.collected.mark(item, made[key])
            elif _is_case(getattr(item.parent, "obj", None)):
                cases.setdefault(item.parent, []).append(item)
        self._mark_cases(cases)
        if self.config.getoption("loadgroup", False) or self.config.getoption("dist", None) == "loadgroup":
            self._group(items)

    def _mark_as_peer(self, item: Any, plan: Plan) -> None:
        if plan.marker is None:
            item.add_marker(PEER)
        if _is_async_generator(item.obj):
            reason = f"Tests based on asynchronous generators are not supported. {item.name} will be ignored."
            item.warn(pytest.PytestCollectionWarning(reason))
            item.add_marker(pytest.mark.xfail(run=False, reason=reason))

    def _mark_cases(self, cases: Mapping[Any, list[Any]]) -> None:
        """Have the classes of test cases say what is in force for them, and what pytest's fixtures ask for."""
        from asyncunit import loops
        from asyncunit.markers import effective

        for node, own in cases.items():
            cls = node.obj
            self.collected.surroundings(own[0])  # what the user's markers say, before ours is among them
            for item in {tuple(item._fixtureinfo.names_closure): item for item in own}.values():
                self._demand(item)
            try:
                choice = loops.choose(cls, self.collected.taker.config)
                configs = loops.configs_of_tests(cls, choice.configs[0])
            except AsyncUnitError:  # it is the error of the class when that is set up, as under unittest
                continue
            node.add_marker(pytest.mark.asyncunit(**effective(choice.configs[0], choice.scope)), append=False)
            for item in own:
                if item.name in configs:
                    values = effective(configs[item.name], choice.scope)
                    item.add_marker(pytest.mark.asyncunit(**values), append=False)

    def _demand(self, item: Any) -> None:
        """Have the loop of a class last as long as the async fixtures of pytest's need that it uses."""
        from asyncunit import loops
        from asyncunit.plans import Demand
        from asyncunit.scopes import Scope

        for definitions in item._fixtureinfo.name2fixturedefs.values():
            found = self.collected.async_fixture_for(definitions[-1], is_case=True)
            if found is None:
                continue
            scope = max(found.fixture.scope, found.fixture.loop_scope or Scope.FUNCTION)
            known = loops.asked_by_host.get(item.cls)
            if scope > (Scope.FUNCTION if known is None else known.scope):
                loops.asked_by_host[item.cls] = Demand(scope, found.fixture, item.name)

    def _group(self, items: Iterable[Any]) -> None:
        """Have pytest-xdist run in one worker what shares a loop, where nobody has grouped it."""
        for item in items:
            marker = item.get_closest_marker("asyncunit")
            scope = None if marker is None else marker.kwargs.get("loop_scope")
            if scope in ("class", "module", "package") and item.get_closest_marker("xdist_group") is None:
                place = next(
                    each for each in reversed(self.collected.surroundings(item).places) if str(each.scope) == scope
                )
                key = place.node.nodeid if place.node is not None else str(place.key)
                item.add_marker(pytest.mark.xdist_group(name=f"asyncunit {key}"))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Plan anew what has got another marker meanwhile."""
        from asyncunit.markers import effective

        for item in session.items:
            try:
                if self.collected.plan_again(item) and (plan := self.collected.plan_of(item)):
                    self.collected.mark(item, pytest.mark.asyncunit(**effective(plan.config, plan.loop_scope)))
            except AsyncUnitError as error:
                raise pytest.UsageError(f"{item.nodeid}: {error}") from error

    # One item.

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Say which test the run has come to."""
        if self._items is None:
            from asyncunit.items import Items

            self._items = Items(self.collected, FACTORY)
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
        function: Any = pyfuncitem.obj
        if self.collected.taker.is_peer_active:
            function = _unwrapped(function)
        value = self._items.call(pyfuncitem, plan, _stopping(function) if self._is_traced else function)
        code = getattr(function, "__code__", None)
        if value is not None or code is None or not code.co_flags & _ASYNC:
            _judge(pyfuncitem, plan, value)
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


def _unwrapped(function: Any) -> Any:
    """The function itself, where pytest-asyncio has put one in front that runs it on a loop of its own."""
    inner = getattr(function, "__wrapped__", None)
    is_runner = getattr(function, "__code__", None) is not None and function.__code__.co_qualname.startswith(
        "_synchronize_"
    )
    return inner if is_runner and inner is not None else function


def _is_async_generator(function: Any) -> bool:
    """Whether a function is written as one."""
    import inspect

    return inspect.isasyncgenfunction(getattr(function, "__func__", function))


class _Debugging:
    """What --pdb needs: in the debugger all is to be as the test left it.

    pytest sees to that itself, but with the tearDown of sync tests alone, and later than what that needs.
    """

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: Any) -> None:
        """Have what is left after a test case run when pytest leaves it."""
        if not _is_case(getattr(item, "cls", None)):
            return
        from asyncunit.hosted import raise_all

        case = item.instance
        written, case.tearDown = case.tearDown, lambda: None
        case._asyncunit_is_postponed = True

        def finish() -> None:
            case.tearDown = written
            raise_all(case._asyncunit_finish(), f"tearing down {item.nodeid}")

        item.addfinalizer(finish)


class _Tracing:
    """What --trace needs: pytest calls an async test in the debugger, and drops the coroutine which that returns."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: Any) -> None:
        """Have a test case stop in the debugger when its test begins."""
        if _is_case(getattr(item, "cls", None)):
            item.instance._asyncunit_substitute_of = _stopping


def _stopping(function: Any) -> Any:
    """What stops in the debugger when an async test begins; a sync one is called as pytest has it called."""
    from asyncunit.taker import is_async_function

    written = getattr(function, "__wrapped__", function)
    if not is_async_function(written):
        return function

    async def stop_and_call(**arguments: Any) -> Any:
        test = written(**arguments)
        pytest.set_trace()
        return await test  # step into it with s

    return stop_and_call


def _judge(item: Any, plan: Plan, value: Any) -> None:
    """Say what is to be said of a test that is no async function, or that returned something."""
    from asyncunit.examples import inner_test
    from asyncunit.taker import is_async_function

    written = inner_test(item.obj)
    if value is None and not is_async_function(getattr(written, "__wrapped__", written)):
        name = PEER if plan.is_peers else "asyncunit"
        item.warn(
            pytest.PytestWarning(
                f"The test {item} is marked with '@pytest.mark.{name}' but it is not an async function. Please remove "
                f"the {name} mark. If the test is not marked explicitly, check for global marks applied via "
                f"'pytestmark'."
            )
        )
    if value is not None and not plan.is_peers:
        from asyncunit.case import judge_value

        judge_value(item.obj, value)
