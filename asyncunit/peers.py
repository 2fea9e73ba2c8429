"""pytest-asyncio: what its options and ini keys say, and what it puts in front of a test where it is active."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncunit.config import Config
from asyncunit.errors import AsyncUnitWarning, ConfigurationError
from asyncunit.keys import MODES
from asyncunit.parsing import parse_boolean
from asyncunit.scopes import Scope
from asyncunit.taker import Taker

__all__ = ["check", "taker_beside", "taker_of", "unwrapped"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

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


def taker_beside(config: Config, mode: str) -> Taker:
    """What decides which functions are asyncunit's, where pytest-asyncio is active and runs its own."""
    return Taker(config, True, mode, config, Scope.FUNCTION, None)


def taker_of(config: Config, written: Mapping[str, Any]) -> tuple[Taker, list[AsyncUnitWarning]]:
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
    config_of_peers = config if debug is None else config.merged({"loop_debug": debug}, "asyncio_debug")
    taker = Taker(
        config,
        is_peer_active=False,
        peer_mode=mode or "strict",
        peer_config=config_of_peers.leniently(),
        test_scope=Scope.parse(test_scope or "function", name),
        fixture_scope=None if fixture_scope == "fixture-scope" else Scope.parse(fixture_scope, ""),
    )
    return taker, [warning for warning in (of_mode, of_debug, of_scope) if warning is not None]


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
