"""The stand-in for the package of pytest-asyncio, in the runs of pytest in which that is not installed.

Who imports ``pytest_asyncio`` gets it, and so does who asks pytest for the plugin ``asyncio``. A real one always wins.
Each run of pytest imports this, so it is short. What pytest-asyncio's words mean is in `asyncio_compat`.
"""

from __future__ import annotations

import enum
import functools
import importlib.machinery
import importlib.metadata
import os
import re
import sys
import types
from typing import Any

import pytest

__tracebackhide__ = True

# The names under which pytest-asyncio is a plugin: by its entry point, and where it is asked for by its module.
_ENTRY_POINT = "asyncio"
_PACKAGE, _PLUGIN = "pytest_asyncio", "pytest_asyncio.plugin"
# The release that the stand-in behaves like.
_VERSION = "1.5.0"


# What suites import from it.


class Mode(str, enum.Enum):  # noqa: UP042 - as pytest-asyncio has it
    """Whose the async functions are that bear no marker."""

    AUTO = "auto"
    STRICT = "strict"


class PytestAsyncioError(Exception):
    """The base of pytest-asyncio's own errors; nothing here raises it."""


def fixture(function: Any = None, *, loop_scope: str | None = None, **options: Any) -> Any:
    """The decorator of pytest-asyncio, for suites written for it: pytest's own, on a loop of ``loop_scope``."""
    if function is None:
        return functools.partial(fixture, loop_scope=loop_scope, **options)
    written = getattr(function, "__func__", function)
    written._force_asyncio_fixture, written._loop_scope = True, loop_scope
    return pytest.fixture(**options)(function)


def is_async_test(item: pytest.Item) -> bool:
    """As asyncunit.is_async_test()."""
    from asyncunit.pytest_plugin import function_plans

    return function_plans.is_async_test(item)


_NAMES: dict[str, Any] = {
    "Mode": Mode,
    "PytestAsyncioError": PytestAsyncioError,
    "PytestDeprecationWarning": pytest.PytestDeprecationWarning,
    "__version__": _VERSION,
    "fixture": fixture,
    "is_async_test": is_async_test,
}


class _Fixtures:
    """Its fixture that suites override; it comes before those of all conftest.py files, so that theirs are in force."""

    @pytest.fixture(scope="session")
    def event_loop_policy(self) -> Any:
        """The event loop policy that is in force."""
        from asyncunit.pytest_plugin.asyncio_compat import current_policy

        return current_policy()


class StandIn(types.ModuleType):
    """``pytest_asyncio``, or its module ``plugin``."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "What asyncunit gives for pytest-asyncio, which is not installed.")
        vars(self).update(_NAMES)


class _Finder:
    """Has Python import the stand-in, where no other finder of its knows of more than a folder without code.

    It comes before the finder of files, because that takes such a folder for a package, and asks all others first.
    """

    def find_spec(self, name: str, path: Any = None, *_: object) -> importlib.machinery.ModuleSpec | None:
        """The stand-in, under the two names that it has."""
        if name not in (_PACKAGE, _PLUGIN) or is_real(name, path):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=name == _PACKAGE)  # type: ignore[arg-type]

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> StandIn:
        """A new one."""
        return StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """It has all its names from the beginning."""


def is_real(name: str, path: Any = None) -> bool:
    """Whether there is code under that name."""
    finders = [each for each in sys.meta_path if type(each).__name__ != _Finder.__name__ and hasattr(each, "find_spec")]
    found = (each.find_spec(name, path) for each in finders)
    return any(spec is not None and (spec.loader is not None and spec.origin is not None) for spec in found)


def install(pluginmanager: pytest.PytestPluginManager) -> None:
    """Have it found by whoever imports pytest-asyncio in this run, or asks pytest for it."""
    pluginmanager.register(StandIn(_PLUGIN), _ENTRY_POINT)
    pluginmanager.register(_Fixtures(), "asyncunit-policy")
    if any(type(each).__name__ == _Finder.__name__ for each in sys.meta_path):
        return  # this is a run inside another
    files: Any = importlib.machinery.PathFinder
    at = sys.meta_path.index(files) if files in sys.meta_path else len(sys.meta_path)
    finder: Any = _Finder()
    sys.meta_path.insert(at, finder)
    config: Any = pluginmanager.get_plugin("pytestconfig")
    config.add_cleanup(functools.partial(_remove, finder))


def _remove(finder: _Finder) -> None:
    sys.meta_path[:] = [each for each in sys.meta_path if each is not finder]
    for name in (_PLUGIN, _PACKAGE):
        if isinstance(sys.modules.get(name), StandIn):
            del sys.modules[name]


# Is the real one there?


def is_active(pluginmanager: pytest.PytestPluginManager) -> bool:
    """Whether pytest-asyncio itself is a plugin of this run."""
    plugins = map(pluginmanager.get_plugin, (_ENTRY_POINT, _PLUGIN))
    # Under the name of its module there may be what asyncunit has for  pytest -p pytest_asyncio.plugin.
    asyncunits = ("asyncunit.pytest_entry", __name__)
    return any(plugin is not None and type(plugin).__module__ not in asyncunits for plugin in plugins)


def is_there(pluginmanager: pytest.PytestPluginManager) -> bool:
    """Whether pytest-asyncio is a plugin of this run, or will be: its options are its own then.

    That is to be known before options are added, and plugins are still being loaded.
    """
    if pluginmanager.is_blocked(_ENTRY_POINT):
        return False
    if is_active(pluginmanager):
        return True
    said = getattr(pluginmanager.get_plugin("pytestconfig"), "known_args_namespace", None)
    asked_for = {*getattr(said, "plugins", ()), *os.environ.get("PYTEST_PLUGINS", "").split(",")}
    if asked_for.intersection((_ENTRY_POINT, _PLUGIN)):
        return is_real(_PACKAGE)
    is_off = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") or getattr(said, "disable_plugin_autoload", False)
    return not is_off and _is_installed()


@functools.cache
def _is_installed() -> bool:
    try:
        importlib.metadata.distribution("pytest-asyncio")
    except importlib.metadata.PackageNotFoundError:
        return False
    return is_real(_PACKAGE)


def check_required(pluginmanager: pytest.PytestPluginManager) -> None:
    """Say how to go on where ``required_plugins`` names pytest-asyncio: pytest looks for what is installed."""
    config: Any = pluginmanager.get_plugin("pytestconfig")
    if not hasattr(config, "known_args_namespace"):  # nothing is read yet
        return
    for required in config.getini("required_plugins"):
        if re.fullmatch(r"pytest[-_.]asyncio(?![-_.\w]).*", required, re.IGNORECASE):
            raise pytest.UsageError(
                f"required_plugins names {required!r}, which is not active in this run. asyncunit runs suites that are "
                f"written for it: write  required_plugins = asyncunit  instead, or install pytest-asyncio."
            )
