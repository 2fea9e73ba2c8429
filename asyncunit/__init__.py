"""unittest for asyncio code: tests that share event loops, at the scope you choose.

Change the base class, and your async tests can share an event loop with the isolation of a fresh one::

    class TestAccounts(asyncunit.ModuleLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.pool = await cls.enterAsyncClassContext(create_pool())

        async def test_deposit(self):
            ...
"""

TYPE_CHECKING = False  # not typing's: whoever imports asyncunit need not have imported that

if TYPE_CHECKING:
    from asyncunit import mixins as mixins
    from asyncunit.case import (
        AsyncTestCase,
        ClassLoopTestCase,
        ModuleLoopTestCase,
        PackageLoopTestCase,
        SessionLoopTestCase,
    )
    from asyncunit.collected import is_async_test
    from asyncunit.config import settings
    from asyncunit.errors import (
        AsyncUnitError,
        AsyncUnitWarning,
        ConfigurationError,
        CutShortError,
        DefinitionError,
        FixtureNotSetUpError,
        LeftBehindError,
        LoopClosedError,
        LoopScopeError,
        RunningLoopError,
        TestTimeoutError,
        UnfinishedError,
    )
    from asyncunit.fixtures import Fixture, Request, fixture
    from asyncunit.loader import AsyncTestLoader, load_tests
    from asyncunit.main import main
    from asyncunit.params import param, parametrize
    from asyncunit.registering import addAsyncModuleCleanup, enterAsyncModuleContext
    from asyncunit.scopes import Scope

# What  pytest -p asyncunit  loads where asyncunit is not installed, and its entry point is not there.
pytest_plugins = ("asyncunit.pytest_entry",)

# Each public name, and the module that it is handed on from when it is first asked for (PEP 562).
_HOMES = {
    "AsyncTestCase": "case",
    "AsyncTestLoader": "loader",
    "AsyncUnitError": "errors",
    "AsyncUnitWarning": "errors",
    "ClassLoopTestCase": "case",
    "ConfigurationError": "errors",
    "CutShortError": "errors",
    "DefinitionError": "errors",
    "Fixture": "fixtures",
    "FixtureNotSetUpError": "errors",
    "LeftBehindError": "errors",
    "LoopClosedError": "errors",
    "LoopScopeError": "errors",
    "ModuleLoopTestCase": "case",
    "PackageLoopTestCase": "case",
    "Request": "fixtures",
    "RunningLoopError": "errors",
    "Scope": "scopes",
    "SessionLoopTestCase": "case",
    "TestTimeoutError": "errors",
    "UnfinishedError": "errors",
    "addAsyncModuleCleanup": "registering",
    "enterAsyncModuleContext": "registering",
    "fixture": "fixtures",
    "is_async_test": "collected",
    "load_tests": "loader",
    "main": "main",
    "param": "params",
    "parametrize": "params",
    "settings": "config",
}

# Public modules, imported when they are first asked for.
_MODULES = ("mixins",)

__all__ = [
    "AsyncTestCase",
    "AsyncTestLoader",
    "AsyncUnitError",
    "AsyncUnitWarning",
    "ClassLoopTestCase",
    "ConfigurationError",
    "CutShortError",
    "DefinitionError",
    "Fixture",
    "FixtureNotSetUpError",
    "LeftBehindError",
    "LoopClosedError",
    "LoopScopeError",
    "ModuleLoopTestCase",
    "PackageLoopTestCase",
    "Request",
    "RunningLoopError",
    "Scope",
    "SessionLoopTestCase",
    "TestTimeoutError",
    "UnfinishedError",
    "addAsyncModuleCleanup",
    "enterAsyncModuleContext",
    "fixture",
    "is_async_test",
    "load_tests",
    "main",
    "param",
    "parametrize",
    "settings",
]


if not TYPE_CHECKING:  # type checkers are not to take any name for one of these

    def __getattr__(name):
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"asyncunit.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"asyncunit.{_HOMES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})
