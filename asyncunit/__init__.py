"""unittest for asyncio code: tests that share event loops, at the scope you choose.

Change the base class, and your async tests can share an event loop with the isolation of a fresh one::

    class TestAccounts(asyncunit.ModuleLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.pool = await cls.enterAsyncClassContext(create_pool())

        async def test_deposit(self):
            ...
"""

__version__ = "0.1.0"

TYPE_CHECKING = False  # not typing's: whoever imports asyncunit need not have imported that

if TYPE_CHECKING:
    from asyncunit import mixins as mixins
    from asyncunit.cases.case import (
        AsyncTestCase,
        ClassLoopTestCase,
        ModuleLoopTestCase,
        PackageLoopTestCase,
        SessionLoopTestCase,
        addAsyncModuleCleanup,
        enterAsyncModuleContext,
        expectUnhandledErrors,
    )
    from asyncunit.cases.loader import AsyncTestLoader, load_tests
    from asyncunit.cases.program import main
    from asyncunit.config.settings import settings
    from asyncunit.errors import (
        AsyncUnitError,
        AsyncUnitWarning,
        ConfigurationError,
        CutShortError,
        DeadlockError,
        DefinitionError,
        FixtureNotSetUpError,
        LeftBehindError,
        LoopClosedError,
        LoopScopeError,
        RunningLoopError,
        TestTimeoutError,
        UnfinishedError,
    )
    from asyncunit.loops.virtual_clock import hold_clock
    from asyncunit.plans.fixtures import Fixture, Request, fixture
    from asyncunit.plans.variants import param, parametrize
    from asyncunit.pytest_plugin.function_plans import is_async_test
    from asyncunit.scope import Scope

# What  pytest -p asyncunit  loads where asyncunit is not installed, and its entry point is not there.
pytest_plugins = ("asyncunit.pytest_entry",)

# Each public name, and the module that it is handed on from when it is first asked for (PEP 562).
_HOMES = {
    "AsyncTestCase": "cases.case",
    "AsyncTestLoader": "cases.loader",
    "AsyncUnitError": "errors",
    "AsyncUnitWarning": "errors",
    "ClassLoopTestCase": "cases.case",
    "ConfigurationError": "errors",
    "CutShortError": "errors",
    "DeadlockError": "errors",
    "DefinitionError": "errors",
    "Fixture": "plans.fixtures",
    "FixtureNotSetUpError": "errors",
    "LeftBehindError": "errors",
    "LoopClosedError": "errors",
    "LoopScopeError": "errors",
    "ModuleLoopTestCase": "cases.case",
    "PackageLoopTestCase": "cases.case",
    "Request": "plans.fixtures",
    "RunningLoopError": "errors",
    "Scope": "scope",
    "SessionLoopTestCase": "cases.case",
    "TestTimeoutError": "errors",
    "UnfinishedError": "errors",
    "addAsyncModuleCleanup": "cases.case",
    "enterAsyncModuleContext": "cases.case",
    "expectUnhandledErrors": "cases.case",
    "fixture": "plans.fixtures",
    "hold_clock": "loops.virtual_clock",
    "is_async_test": "pytest_plugin.function_plans",
    "load_tests": "cases.loader",
    "main": "cases.program",
    "param": "plans.variants",
    "parametrize": "plans.variants",
    "settings": "config.settings",
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
    "DeadlockError",
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
    "expectUnhandledErrors",
    "fixture",
    "hold_clock",
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
