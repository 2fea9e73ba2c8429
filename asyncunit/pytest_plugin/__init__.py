"""Under pytest: the same configuration as options, ini keys and markers. The hooks are here, for pytest."""

from __future__ import annotations

from asyncunit.pytest_plugin import hooks
from asyncunit.pytest_plugin.asyncio_stand_in import fixture, is_async_test

__all__ = ["fixture", "is_async_test"]

__tracebackhide__ = True

_HOOKS = [name for name in vars(hooks) if name.startswith(("pytest_", "unused_"))]
globals().update({name: getattr(hooks, name) for name in _HOOKS})


def __dir__() -> list[str]:
    """What users call, and what pytest looks for: it takes its time at each name."""
    return [*__all__, *_HOOKS]
