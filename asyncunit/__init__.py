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
    from asyncunit.case import (
        AsyncTestCase,
        ClassLoopTestCase,
        ModuleLoopTestCase,
        PackageLoopTestCase,
        SessionLoopTestCase,
    )
    from asyncunit.config import settings
    from asyncunit.errors import (
        AsyncUnitError,
        ConfigurationError,
        CutShortError,
        DefinitionError,
        LoopClosedError,
        LoopScopeError,
        RunningLoopError,
        UnfinishedError,
    )
    from asyncunit.scopes import Scope
    from asyncunit.suite import addAsyncModuleCleanup, enterAsyncModuleContext

# Each public name, and the module that it is handed on from when it is first asked for (PEP 562).
_HOMES = {
    "AsyncTestCase": "case",
    "AsyncUnitError": "errors",
    "ClassLoopTestCase": "case",
    "ConfigurationError": "errors",
    "CutShortError": "errors",
    "DefinitionError": "errors",
    "LoopClosedError": "errors",
    "LoopScopeError": "errors",
    "ModuleLoopTestCase": "case",
    "PackageLoopTestCase": "case",
    "RunningLoopError": "errors",
    "Scope": "scopes",
    "SessionLoopTestCase": "case",
    "UnfinishedError": "errors",
    "addAsyncModuleCleanup": "suite",
    "enterAsyncModuleContext": "suite",
    "settings": "config",
}

__all__ = [
    "AsyncTestCase",
    "AsyncUnitError",
    "ClassLoopTestCase",
    "ConfigurationError",
    "CutShortError",
    "DefinitionError",
    "LoopClosedError",
    "LoopScopeError",
    "ModuleLoopTestCase",
    "PackageLoopTestCase",
    "RunningLoopError",
    "Scope",
    "SessionLoopTestCase",
    "UnfinishedError",
    "addAsyncModuleCleanup",
    "enterAsyncModuleContext",
    "settings",
]


if not TYPE_CHECKING:  # type checkers are not to take any name for one of these

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(f"asyncunit.{_HOMES[name]}"), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
