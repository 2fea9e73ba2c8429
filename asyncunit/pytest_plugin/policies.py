"""The event loop policies that a suite gives by its fixture ``event_loop_policy``, until Python 3.16 removes policies.

Such a suite is written for pytest-asyncio. Its policy makes the loops of its async tests, and is in force meanwhile.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The name of the fixture.
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
