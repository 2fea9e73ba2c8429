"""Under pytest: the same configuration as options, ini keys and markers. Here are the hooks of every run of pytest.

Each run imports this, so it is short, and imports the rest when that is needed. When something async is collected,
`AsyncRun` is registered, which has the hooks of a run in which something is async.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from asyncunit.pytest_plugin import asyncio_stand_in, options
from asyncunit.pytest_plugin.asyncio_stand_in import fixture, is_async_test

if TYPE_CHECKING:
    from asyncunit.pytest_plugin.async_run import AsyncRun
    from asyncunit.pytest_plugin.fixture_plans import Conftests
    from asyncunit.pytest_plugin.options import Written

__all__ = ["fixture", "is_async_test"]

__tracebackhide__ = True


# Options, markers and hooks.


class _Specs:
    """The hook by which a suite gives its loop factories."""

    @pytest.hookspec(firstresult=True)
    def pytest_asyncunit_loop_factories(
        self, config: pytest.Config, item: pytest.Item
    ) -> Mapping[str, Callable[[], Any]] | None:
        """Return loop factories by name: each async test function is run once with each. The first result counts."""


class _SpecsWithAsyncio(_Specs):
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
    is_asyncio_there = asyncio_stand_in.is_there(pluginmanager)
    pluginmanager.add_hookspecs(_Specs if is_asyncio_there else _SpecsWithAsyncio)
    if not is_asyncio_there:
        asyncio_stand_in.install(pluginmanager)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Each key is an option and an ini key; where pytest-asyncio is not active, so are its own."""
    is_asyncio_there = asyncio_stand_in.is_there(pluginmanager)
    options.add(parser, with_asyncio=not is_asyncio_there)
    if not is_asyncio_there:
        asyncio_stand_in.check_required(pluginmanager)


def pytest_configure(config: pytest.Config) -> None:
    """Explain the markers, and look at what is configured for pytest."""
    from asyncunit.config import SETTINGS

    written = config.stash[_WRITTEN] = options.Written(config)
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
    if not written.is_asyncio_active:
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
_CONFTESTS: pytest.StashKey[Conftests] = pytest.StashKey()


@pytest.hookimpl(tryfirst=True)
def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Give pytest the fixtures that a conftest.py, or another plugin, declares with ``asyncunit.fixture``."""
    if type(plugin) is not types.ModuleType or plugin.__name__.startswith("_pytest."):
        return
    _declare_fixtures(plugin, vars(plugin).items())
    if (
        Path(getattr(plugin, "__file__", None) or "").name == "conftest.py"
        and "asyncunit.plans.fixtures" in sys.modules
    ):
        _give_to_cases(plugin, cast("pytest.Config", manager.get_plugin("pytestconfig")))


def _give_to_cases(conftest: types.ModuleType, config: pytest.Config) -> None:
    """Have test cases know the fixtures of a conftest.py."""
    from asyncunit.pytest_plugin.fixture_plans import Conftests

    if _CONFTESTS not in config.stash:
        conftests = config.stash[_CONFTESTS] = Conftests()
        conftests.begin()
        config.add_cleanup(conftests.end)
    config.stash[_CONFTESTS].add(conftest)


def _declare_fixtures(holder: Any, members: Iterable[tuple[str, Any]]) -> None:
    if "asyncunit.plans.fixtures" in sys.modules:  # else there are none
        from asyncunit.pytest_plugin.fixture_plans import declare_fixtures

        declare_fixtures(holder, members)


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
        _declare_fixtures(collector.obj, members)
        classes = [member for _, member in members if is_class(member)]
        if any(map(has_async_tests, classes)):
            run.expect_cases()
        if isinstance(collector, pytest.Module):
            run.prepare_cases(collector.obj, list(filter(is_case, classes)))
    except AsyncUnitError as error:
        raise collector.CollectError(str(error)) from error


# What is run.


def _activate(config: pytest.Config) -> AsyncRun | None:
    """The part of the plugin that runs what is async, registered when it is first asked for.

    None where what is configured in a file is wrong, with which the run ends when all is collected.
    """
    from asyncunit.errors import ConfigurationError
    from asyncunit.pytest_plugin.async_run import AsyncRun
    from asyncunit.pytest_plugin.function_plans import RUN, Collected

    run: AsyncRun | _Misconfigured | None = config.pluginmanager.get_plugin(RUN)
    if run is None:
        try:
            run = AsyncRun(config, Collected(config.stash[_WRITTEN].ownership()))
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


class _Plan:
    """The hook that there is under --asyncunit-plan."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> object:
        """Draw what would be run, and run nothing."""
        if run := _activate(session.config):
            run.draw_plan(session)
        return True


_HOOKS = [name for name in globals() if name.startswith(("pytest_", "unused_"))]


def __dir__() -> list[str]:
    """What users call, and what pytest looks for: it takes its time at each name."""
    return [*__all__, *_HOOKS]
