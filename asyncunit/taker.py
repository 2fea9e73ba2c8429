"""Whose a function is that pytest has collected: asyncunit's, another plugin's, or nobody's."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, NamedTuple

from asyncunit.config import Config
from asyncunit.errors import DefinitionError
from asyncunit.examples import inner_test
from asyncunit.keys import MARKER, PEER_MARKER
from asyncunit.scopes import Scope
from asyncunit.signatures import is_async_function

__all__ = ["Taker"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The markers of other plugins that run async functions.
OTHERS = ("anyio", "trio")


class Taker(NamedTuple):
    """What decides which functions are asyncunit's.

    ``config`` is that of the run. ``peer_mode`` is pytest-asyncio's mode, and ``is_peer_active`` whether that plugin
    runs its tests itself. Where it does not, ``peer_config`` is what its own options say, ``test_scope`` and
    ``fixture_scope`` its default loop scopes.
    """

    config: Config
    is_peer_active: bool
    peer_mode: str
    peer_config: Config
    test_scope: Scope
    fixture_scope: Scope | None

    def take(self, markers: Set[str], function: Any) -> str | None:
        """The marker by which a function is taken that has markers of these names; None where it is not.

        Raises DefinitionError where both plugins claim it.
        """
        marked = MARKER in markers
        marked_by_peer = PEER_MARKER in markers
        if marked and marked_by_peer and self.is_peer_active and self.peer_mode == "strict":
            raise DefinitionError(
                "it is marked both asyncunit and asyncio, and pytest-asyncio is active, so both are told to run it. "
                "Take one of the markers away, or switch pytest-asyncio off with  -p no:asyncio"
            )
        if marked:
            return MARKER
        if marked_by_peer:
            return None if self.is_peer_active else PEER_MARKER
        by_mode = self._by_mode()
        if by_mode is None or not markers.isdisjoint(OTHERS):
            return None
        return by_mode if is_async_function(inner_test(function)) else None

    def _by_mode(self) -> str | None:
        """The marker by which an async function is taken that bears none."""
        if self.peer_mode == "auto" and self.is_peer_active:
            return None
        if self.config.mode == "auto":
            return MARKER
        return PEER_MARKER if self.peer_mode == "auto" else None
