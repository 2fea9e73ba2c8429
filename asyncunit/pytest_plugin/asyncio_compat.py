"""All of pytest-asyncio: what its options and markers say, whose a function is, and the policies that a suite gives.

By a fixture ``event_loop_policy``, a suite for pytest-asyncio gives the policy that makes the loops of its async tests,
and that is in force meanwhile; until Python 3.16 removes policies.
"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping, Set
from typing import Any

from asyncunit.config import ASYNCIO_MARKER, MARKER, MODES
from asyncunit.config.settings import Config, parse_boolean
from asyncunit.errors import AsyncUnitWarning, ConfigurationError, DefinitionError
from asyncunit.introspection.functions import inner_test, is_async_function
from asyncunit.records import Record
from asyncunit.scope import Scope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


# The name of the fixture by which a suite gives a policy.
POLICY = "event_loop_policy"
DEPRECATED = (
    'Overriding the "event_loop_policy" fixture is deprecated, because Python 3.16 removes event loop policies. Take '
    "it out, and say in a conftest.py which loops there are:\n"
    "  def pytest_asyncunit_loop_factories(config, item):\n"
    "      return {'mine': MyEventLoop}"
)


def overriding_policy(item: Any) -> Any:
    """The fixture definition by which a suite gives its policy to an item; None where it does not."""
    definitions = item.session._fixturemanager.getfixturedefs(POLICY, item)
    return definitions[-1] if definitions and not is_default(definitions[-1]) else None


def is_default(definition: Any) -> bool:
    """Whether it is the plugin's own."""
    return getattr(definition.func, "__module__", None) == "asyncunit.pytest_plugin.asyncio_stand_in"


def ask_for_policy(node: Any) -> None:
    """Have a function ask for the policy, which is so set up for it, once for each of its params."""
    info = node._fixtureinfo
    names = [POLICY]
    for name in names:
        definitions = node.session._fixturemanager.getfixturedefs(name, node)
        if definitions and name not in info.names_closure:
            info.names_closure.append(name)
            info.name2fixturedefs[name] = definitions
            names += definitions[-1].argnames


class PolicyFactory:
    """Makes loops by a policy; ``policy`` is None until the fixture has given it."""

    policy: Any = None

    def __call__(self) -> asyncio.AbstractEventLoop:
        """A new loop."""
        loop: asyncio.AbstractEventLoop = self.policy.new_event_loop()
        return loop


class Policies:
    """Those of one run of pytest."""

    def __init__(self) -> None:
        # By the definition of the fixture, and the index of its param.
        self._factories: dict[tuple[Any, int], PolicyFactory] = {}
        # The policy that was in force before a suite's own; None as long as it still is.
        self._before: Any = None

    def factory_of(self, item: Any, definition: Any) -> PolicyFactory:
        """What makes the loops of an item."""
        callspec = getattr(item, "callspec", None)
        index = 0 if callspec is None else callspec.indices.get(POLICY, 0)
        return self._factories.setdefault((definition, index), PolicyFactory())

    @property
    def is_one_in_force(self) -> bool:
        """Whether one of a suite's is in force."""
        return self._before is not None

    def come_to(self, item: Any, definition: Any) -> None:
        """An item is going to be set up for which a suite gives its policy by this definition, or by none."""
        policy = None if definition is None else self.factory_of(item, definition).policy
        if policy is not None:
            self._put_in_force(policy)
        else:
            self.put_back()

    def given(self, item: Any, definition: Any, policy: Any) -> None:
        """The fixture has given a policy for an item."""
        self.factory_of(item, definition).policy = policy
        self._put_in_force(policy)

    def _put_in_force(self, policy: Any) -> None:
        if self._before is None:
            self._before = current_policy()
        _set(policy)

    def put_back(self) -> None:
        """Have that in force again that was before."""
        before, self._before = self._before, None
        if before is not None:
            _set(before)


def current_policy() -> Any:
    """The policy that is in force; None where Python has none any more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        get = getattr(asyncio, "get_event_loop_policy", None)
        return None if get is None else get()


def _set(policy: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if hasattr(asyncio, "set_event_loop_policy"):
            asyncio.set_event_loop_policy(policy)


# Whose a function is, and what it says.


# The markers of other plugins that run async functions.
OTHERS = ("anyio", "trio")


class Ownership(Record):
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
