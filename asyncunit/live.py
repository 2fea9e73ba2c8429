"""The fixtures that are set up in one open scope: found there by who asks next, and torn down with it."""

from __future__ import annotations

import types
from collections.abc import Hashable, Mapping
from typing import Any

from asyncunit.fixtures import Fixture
from asyncunit.graph import Node
from asyncunit.halves import AsyncHalf, as_exception
from asyncunit.open_scopes import OpenScope
from asyncunit.runner import LoopRunner
from asyncunit.stderr import printing_at_interrupt
from asyncunit.yields import AsyncExit, Exit, leave

__all__ = ["Live", "ScopeFixtures", "find_in"]

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


class Live:
    """A fixture that was set up: its value and what tears it down, or the error that it raised.

    ``half`` is the async half that it goes down with, None where neither it nor a fixture behind it needs a loop.
    """

    def __init__(self, node: Node, half: AsyncHalf | None) -> None:
        self.node = node
        self.half = half
        self.value: Any = None
        self.exit_: Exit | None = None
        self.error: Exception | None = None
        self.traceback: types.TracebackType | None = None


class ScopeFixtures:
    """The fixtures that are set up in one open scope, wider than a test. ``live`` is in the order of their set-up."""

    def __init__(self, open_scope: OpenScope) -> None:
        self.live: dict[Hashable, Live] = {}
        # What the running class sees; None above the class.
        self.seen: Mapping[Node, Any] | None = None
        self._open_scope = open_scope
        open_scope.fixtures = self

    def find(self, fixture: Fixture[Any], _instance: object) -> tuple[Any] | None:
        """The value of the fixture, in a tuple; None if it has none here."""
        if self.seen is not None:
            return find_in(self.seen, fixture)
        return next(
            ((live.value,) for live in reversed(self.live.values()) if live.node.fixture is fixture and not live.error),
            None,
        )

    def shared(self, fixture: Fixture[Any], loop_runner: LoopRunner | None) -> Live | None:
        """The fixture as it is live here, on that loop, whoever has set it up; not one with params."""
        for live in self.live.values():
            on = None if live.half is None else live.half.runner.loop_runner
            if live.node.fixture is fixture and on is loop_runner and not live.node.varies and live.error is None:
                return live
        return None

    def tear_down_what_rests_on(self, fixture: Fixture[Any]) -> list[Exception]:
        """Tear down what would outlive a fixture that it needs, and return what that raised."""
        return self._tear_down([key for key, live in self.live.items() if live.node.rests_on(fixture)])

    def tear_down(self, half: AsyncHalf) -> list[Exception]:
        """Tear down what goes down with the async half, and return what that raised."""
        return self._tear_down([key for key, live in self.live.items() if live.half is half])

    def lose(self, half: AsyncHalf) -> list[Exception]:
        """Tear down what goes down with the half, but for what would need its loop, which is closed."""
        for live in self.live.values():
            if live.half is half and isinstance(live.exit_, AsyncExit):
                live.exit_ = live.exit_.drop
        return self.tear_down(half)

    def close(self) -> list[Exception]:
        """Tear down all that is set up, and return what that raised. May be called twice."""
        return self._tear_down(list(self.live))

    def _tear_down(self, keys: list[Hashable]) -> list[Exception]:
        errors: list[Exception] = []
        with printing_at_interrupt(self._open_scope, errors):
            for key in reversed(keys):
                exit_ = self.live.pop(key).exit_
                if exit_ is not None:
                    errors += [as_exception(error, self._open_scope) for error in leave(exit_)]
        return errors


def find_in(values: Mapping[Node, Any], fixture: Fixture[Any]) -> tuple[Any] | None:
    """The value of the fixture among those, in a tuple; None if it has none there."""
    return next(((value,) for node, value in values.items() if node.fixture is fixture), None)
