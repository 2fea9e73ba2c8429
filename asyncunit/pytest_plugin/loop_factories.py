"""The loop factories that a test function of pytest's is run with: from a hook, from its marker, or as configured.

Nothing here imports pytest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asyncunit.config.parsing import choose_factories, parse
from asyncunit.errors import ConfigurationError
from asyncunit.pytest_plugin.function_plans import FunctionPlan

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The name of the parameter by which an item has its loop factory.
PARAM = "_asyncunit_loop_factory"
# The hooks by which a suite gives them, the nearest first.
_HOOK = "pytest_asyncunit_loop_factories"
_ASYNCIO_HOOK = "pytest_asyncio_loop_factories"


def factory_of(item: Any, plan: FunctionPlan) -> Any:
    """The loop factory that an item runs with, but for its clock; None where nobody names any."""
    callspec = getattr(item, "callspec", None)
    configured = plan.config.loop_factory
    return configured if callspec is None else callspec.params.get(PARAM, configured)


class LoopFactories:
    """Those of one run of pytest; ``config`` is pytest's."""

    def __init__(self, config: Any, *, is_asyncio_active: bool) -> None:
        self._config = config
        # pytest-asyncio's own hook is its own to call.
        self._names = (_HOOK,) if is_asyncio_active else (_HOOK, _ASYNCIO_HOOK)
        # What functions stand in that was asked for last, and whether a hook is there; a conftest.py may bring one.
        self._parent: Any = None
        self._are_given = False

    def _are_given_to(self, node: Any) -> bool:
        if node.parent is not self._parent:
            self._parent = node.parent
            self._are_given = any(getattr(node.ihook, name).get_hookimpls() for name in self._names)
        return self._are_given

    def of(self, node: Any, plan: FunctionPlan) -> Mapping[str, Any] | None:
        """The loop factories of a test by name, and the reason in the place of one that cannot be had.

        None where there is but the configured one. Raises ConfigurationError.
        """
        if not plan.config.loop_factories and not self._are_given_to(node):
            return None
        chosen = _names_said(node, plan)
        for name in self._names:
            hook = getattr(node.ihook, name)
            if hook.get_hookimpls():
                given = _checked(name, hook(config=self._config, item=node))
                return given if chosen is None else choose_factories(chosen, given)
        if plan.is_asyncio and chosen is not None:
            raise ConfigurationError(
                "mark.asyncio 'loop_factories' requires at least one pytest_asyncio_loop_factories hook implementation."
            )
        configured = plan.config.loop_factories
        return configured if isinstance(configured, Mapping) else None


def _names_said(node: Any, plan: FunctionPlan) -> tuple[str, ...] | None:
    """The names by which the marker of a test chooses some; None where it does not."""
    written = None if plan.marker is None else plan.marker.kwargs.get("loop_factories")
    said = parse({"loop_factories": written}, node.nodeid)["loop_factories"]
    return said if isinstance(said, tuple) else None


def _checked(name: str, given: Any) -> Mapping[str, Any]:
    """What a hook has returned, if it is what that may return."""
    if (
        isinstance(given, Mapping)
        and given
        and all(isinstance(key, str) and key and callable(factory) for key, factory in given.items())
    ):
        return given
    raise ConfigurationError(
        f"{name} must return a non-empty mapping of factory names to callables; it returned {given!r}."
    )
