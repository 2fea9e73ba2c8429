"""asyncunit's configuration keys as options and ini keys of pytest, and pytest-asyncio's, where that is not active.

``config`` and ``parser`` are pytest's own. Of its private names, this uses ``config._inicfg`` (since pytest 9), the
only place that has the typed value of a key that may be of several types.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from asyncunit.config import KEYS, MEANINGS
from asyncunit.pytest_plugin import asyncio_stand_in

if TYPE_CHECKING:
    from asyncunit.config.settings import Config
    from asyncunit.pytest_plugin.asyncio_compat import Ownership

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

# The options and ini keys of pytest-asyncio, with what they say in asyncunit's words.
ASYNCIO_KEYS = {
    "asyncio_mode": "see --asyncunit-mode",
    "asyncio_debug": "see --asyncunit-loop-debug",
    "asyncio_default_test_loop_scope": "see --asyncunit-loop-scope",
    "asyncio_default_fixture_loop_scope": "the loop scope of fixtures that name none",
}


def add(parser: Any, *, with_asyncio: bool) -> None:
    """Add each key as an option and an ini key; pytest-asyncio's own, too, where they are wanted."""
    group = parser.getgroup("asyncunit", "asyncunit: async tests that share event loops")
    for key, meaning in MEANINGS.items():
        option = f"--asyncunit-{key.replace('_', '-')}"
        group.addoption(option, dest=f"asyncunit_{key}", default=None, metavar=key.upper(), help=meaning)
        parser.addini(f"asyncunit_{key}", meaning, type="string", default=None)
    group.addoption(
        "--asyncunit-plan",
        action="store_true",
        help="run nothing; draw which tests share which event loop, and why, and where fixtures are set up",
    )
    if not with_asyncio:
        return
    texts = {key: f"as pytest-asyncio's; {text}" for key, text in ASYNCIO_KEYS.items()}
    mode, debug = texts["asyncio_mode"], texts["asyncio_debug"]
    group.addoption("--asyncio-mode", dest="asyncio_mode", default=None, metavar="MODE", help=mode)
    group.addoption("--asyncio-debug", dest="asyncio_debug", action="store_true", default=None, help=debug)
    for key, text in texts.items():
        parser.addini(key, text, type="string", default=None)


class Written:
    """What is written for asyncunit on the command line of pytest and in its ini file."""

    def __init__(self, config: Any) -> None:
        self._config = config
        self.is_asyncio_active = asyncio_stand_in.is_active(config.pluginmanager)
        self._ini = _said({key: _ini(config, f"asyncunit_{key}") for key in KEYS})
        self._options = _said({key: config.getoption(f"asyncunit_{key}") for key in KEYS})
        # By the keys of pytest-asyncio, where that is not active.
        self._for_asyncio: dict[str, Any] = {}
        if not self.is_asyncio_active:
            self._for_asyncio = _said(
                {key: config.getoption(key, None) or _ini(config, key) or None for key in ASYNCIO_KEYS}
            )

    @property
    def says_anything(self) -> bool:
        """Whether anything is written there, or in the environment."""
        is_in_environment = any(variable.startswith("ASYNCUNIT_") for variable in os.environ)
        return bool(self._for_asyncio or self._ini or self._options or is_in_environment)

    def check(self) -> None:
        """Raise ConfigurationError for a bad value."""
        from asyncunit.pytest_plugin import asyncio_compat

        asyncio_compat.check(self._for_asyncio)
        self._load()

    def _load(self) -> Config:
        from asyncunit.config.sources import load

        return load(self._config.rootpath, ini=self._ini, options=self._options)

    def ownership(self) -> Ownership:
        """What decides which functions are asyncunit's; raises ConfigurationError."""
        from asyncunit.pytest_plugin import asyncio_compat

        config = self._load()
        if self.is_asyncio_active:
            mode = self._config.getoption("asyncio_mode") or self._config.getini("asyncio_mode")
            return asyncio_compat.ownership_beside(config, mode)
        ownership, warned = asyncio_compat.ownership_of(config, self._for_asyncio)
        for warning in warned:
            self._config.issue_config_time_warning(warning, stacklevel=2)
        return ownership


def _said(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _ini(config: Any, name: str) -> Any:
    """What the ini file says; a typed value, where it is pytest's own TOML, as that has it."""
    try:
        return config.getini(name)
    except (TypeError, pytest.UsageError):  # pytest takes one type for a key; what may be said is asyncunit's to judge
        return config._inicfg[name].value
