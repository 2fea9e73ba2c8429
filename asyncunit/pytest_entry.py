"""What pytest loads as asyncunit's plugin; it has Python import the plugin itself.

pytest imports the modules of a plugin by a loader of its own, which has their assert statements say more and takes ten
times as long. Nothing here has a use for that, but there is no public way to say so: ``rewrite_hook._must_rewrite`` is
private. Where it is gone, all works as before, and slower.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__all__ = ["asyncio_package", "asyncio_plugin", "pytest_addhooks"]


def pytest_addhooks(pluginmanager: Any) -> None:
    """Register the plugin. pytest calls this as it loads what is installed, before it asks for options."""
    getattr(pluginmanager.rewrite_hook, "_must_rewrite", set()).discard("asyncunit")
    from asyncunit import pytest_plugin

    if not pluginmanager.is_registered(pytest_plugin):  # as it is by  -p asyncunit.pytest_plugin
        pluginmanager.register(pytest_plugin, pytest_plugin.__name__)


class PytestAsyncio:
    """What  pytest -p pytest_asyncio  and  pytest -p pytest_asyncio.plugin  load: it is an entry point of both names.

    pytest looks for these before it loads what is installed. Where it is told not to do that, the names stand for the
    real one where there is one, else for asyncunit.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def pytest_addhooks(self, pluginmanager: Any) -> None:
        """Load what the name stands for. pytest calls this at once."""
        said = getattr(pluginmanager.get_plugin("pytestconfig"), "known_args_namespace", None)
        is_off = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD") or getattr(said, "disable_plugin_autoload", False)
        if not is_off:
            return
        from asyncunit.pytest_plugin import asyncio_stand_in

        if not asyncio_stand_in.is_real("pytest_asyncio"):
            if not pluginmanager.is_blocked("asyncunit"):
                pytest_addhooks(pluginmanager)
        elif self._name == "pytest_asyncio.plugin":  # the package itself hooks nothing
            pluginmanager.register(importlib.import_module(self._name), "asyncio")


asyncio_package = PytestAsyncio("pytest_asyncio")
asyncio_plugin = PytestAsyncio("pytest_asyncio.plugin")
