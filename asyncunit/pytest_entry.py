"""What pytest loads as asyncunit's plugin; it has Python import the plugin itself.

pytest imports the modules of a plugin by a loader of its own, which has their assert statements say more and takes ten
times as long. Nothing here has a use for that, but there is no public way to say so: ``rewrite_hook._must_rewrite`` is
private. Where it is gone, all works as before, and slower.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PytestAsyncio", "pytest_addhooks"]


def pytest_addhooks(pluginmanager: Any) -> None:
    """Register the plugin. pytest calls this as it loads what is installed, before it asks for options."""
    getattr(pluginmanager.rewrite_hook, "_must_rewrite", set()).discard("asyncunit")
    from asyncunit import pytest_plugin

    if not pluginmanager.is_registered(pytest_plugin):  # as it is by  -p asyncunit.pytest_plugin
        pluginmanager.register(pytest_plugin, pytest_plugin.__name__)


class PytestAsyncio:
    """What  pytest -p pytest_asyncio  loads, which hooks nothing: it is an entry point of that name.

    pytest looks for it before it loads what is installed, so nothing else of asyncunit is there yet.
    """
