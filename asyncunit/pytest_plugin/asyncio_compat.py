"""All of pytest-asyncio: what its options and markers say, and whose a function is."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from asyncunit.config.keys import ASYNCIO_MARKER, MARKER, MODES
from asyncunit.config.parsing import parse_boolean
from asyncunit.config.settings import Config
from asyncunit.errors import AsyncUnitWarning, ConfigurationError, DefinitionError
from asyncunit.introspection.functions import inner_test, is_async_function
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The markers of other plugins that run async functions.
OTHERS = ("anyio", "trio")


class Ownership(NamedTuple):
    """What decides which functions are asyncunit's.

    ``config`` is that of the run. ``asyncio_mode`` is pytest-asyncio's mode, and ``is_asyncio_active`` whether that
    plugin runs its tests itself. Where it does not, ``asyncio_config`` is what its own options say, ``test_scope`` and
    ``fixture_scope`` its default loop scopes.
    """

    config: Config
    is_asyncio_active: bool
    asyncio_mode: str
    asyncio_config: Config
    test_scope: Scope
    fixture_scope: Scope | None

    def take(self, markers: Set[str], function: Any) -> str | None:
        """The marker by which a function is taken that has markers of these names; None where it is not.

        Raises DefinitionError where both plugins claim it.
        """
        marked = MARKER in markers
        marked_for_asyncio = ASYNCIO_MARKER in markers
        if marked and marked_for_asyncio and self.is_asyncio_active and self.asyncio_mode == "strict":
            raise DefinitionError(
                "it is marked both asyncunit and asyncio, and pytest-asyncio is active, so both are told to run it. "
                "Take one of the markers away, or switch pytest-asyncio off with  -p no:asyncio"
            )
        if marked:
            return MARKER
        if marked_for_asyncio:
            return None if self.is_asyncio_active else ASYNCIO_MARKER
        by_mode = self._by_mode()
        if by_mode is None or not markers.isdisjoint(OTHERS):
            return None
        return by_mode if is_async_function(inner_test(function)) else None

    def _by_mode(self) -> str | None:
        """The marker by which an async function is taken that bears none."""
        if self.asyncio_mode == "auto" and self.is_asyncio_active:
            return None
        if self.config.mode == "auto":
            return MARKER
        return ASYNCIO_MARKER if self.asyncio_mode == "auto" else None


_SCOPES = tuple(str(scope) for scope in Scope)

# What each of them may say, and what pytest-asyncio calls that.
_ALLOWED = {
    "asyncio_mode": (MODES, "modes: auto, strict"),
    "asyncio_default_test_loop_scope": (_SCOPES, f"scopes are: {', '.join(_SCOPES)}"),
    "asyncio_default_fixture_loop_scope": ((*_SCOPES, "fixture-scope"), f"scopes are: {', '.join(_SCOPES)}"),
}


def check(written: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for a value that pytest-asyncio does not know."""
    for name, (allowed, valid) in _ALLOWED.items():
        value = written.get(name)
        if value is not None and value not in allowed:
            raise ConfigurationError(f"{value!r} is not a valid {name}. Valid {valid}.")


def ownership_beside(config: Config, mode: str) -> Ownership:
    """What decides which functions are asyncunit's, where pytest-asyncio is active and runs its own."""
    return Ownership(config, True, mode, config, Scope.FUNCTION, None)


def ownership_of(config: Config, written: Mapping[str, Any]) -> tuple[Ownership, list[AsyncUnitWarning]]:
    """What decides which functions are asyncunit's, where pytest-asyncio is not active; and what is to be warned of.

    ``written`` are its options and ini keys as far as they are set. Raises ConfigurationError.
    """
    check(written)
    debug = parse_boolean(written.get("asyncio_debug"), "asyncio_debug")
    name = "asyncio_default_test_loop_scope"
    mode, of_mode = _agreed(config, "mode", "asyncio_mode", written.get("asyncio_mode"))
    debug, of_debug = _agreed(config, "loop_debug", "asyncio_debug", debug)
    test_scope, of_scope = _agreed(config, "loop_scope", name, written.get(name))
    fixture_scope = written.get("asyncio_default_fixture_loop_scope", "fixture-scope")
    asyncio_config = config if debug is None else config.merged({"loop_debug": debug}, "asyncio_debug")
    ownership = Ownership(
        config,
        is_asyncio_active=False,
        asyncio_mode=mode or "strict",
        asyncio_config=asyncio_config.leniently(),
        test_scope=Scope.parse(test_scope or "function", name),
        fixture_scope=None if fixture_scope == "fixture-scope" else Scope.parse(fixture_scope, ""),
    )
    return ownership, [warning for warning in (of_mode, of_debug, of_scope) if warning is not None]


def _agreed(config: Config, key: str, name: str, value: Any) -> tuple[Any, AsyncUnitWarning | None]:
    """What one of its keys says, or asyncunit's own where both are written; and a warning where these differ."""
    if value is None or key not in config.sources:
        return value, None
    own = getattr(config, key)
    if str(own) == str(value):
        return own, None
    return own, AsyncUnitWarning(
        f"{config.sources[key]} says {key} = {own!s}, and {name} says {value!s}: the former is in force. Take one of "
        f"the two out."
    )


def unwrapped(function: Any) -> Any:
    """The function itself, where pytest-asyncio has put one in front that runs it on a loop of its own."""
    inner = getattr(function, "__wrapped__", None)
    code = getattr(function, "__code__", None)
    is_runner = code is not None and code.co_qualname.startswith("_synchronize_")
    return inner if is_runner and inner is not None else function
