import importlib
import sys
import types

import pytest

from asyncunit.config import KEYS
from asyncunit.pytest_plugin import asyncio_stand_in
from asyncunit.pytest_plugin.asyncio_stand_in import StandIn, check_required, install, is_there


class Plugins(dict):
    """As much of pytest's plugin manager as is asked for."""

    def __init__(self, *there, blocked=(), required=(), **known):
        super().__init__(dict.fromkeys(there, object()))
        self.blocked, self.cleanups = blocked, []
        self["pytestconfig"] = types.SimpleNamespace(
            known_args_namespace=types.SimpleNamespace(**known),
            add_cleanup=self.cleanups.append,
            getini=lambda name: required,
        )
        self.get_plugin = self.get

    def is_blocked(self, name):
        return name in self.blocked

    def register(self, plugin, name):
        self[name] = plugin


@pytest.fixture
def nothing_is_set(monkeypatch):
    """No variable of the environment that says which plugins there are, or what asyncunit is to do."""
    for name in ("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS", *(f"ASYNCUNIT_{key.upper()}" for key in KEYS)):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def installed(monkeypatch):
    """The plugins of a run in which the stand-in is installed."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    plugins = Plugins()
    install(plugins)
    yield plugins
    for cleanup in plugins.cleanups:
        cleanup()


@pytest.mark.parametrize("name", ["asyncio", "pytest_asyncio.plugin"])
def test_pytest_asyncio_is_there_if_it_is_loaded_or_is_going_to_be(nothing_is_set, name):
    nothing_is_set.setattr(asyncio_stand_in, "is_real", lambda name: True)
    assert is_there(Plugins(name, disable_plugin_autoload=True))
    assert is_there(Plugins(plugins=[name], disable_plugin_autoload=True))
    assert not is_there(Plugins(disable_plugin_autoload=True))
    nothing_is_set.setenv("PYTEST_PLUGINS", f"other,{name}")
    assert is_there(Plugins(disable_plugin_autoload=True))


def test_pytest_asyncio_is_not_there_if_it_is_blocked_or_not_loaded_by_itself(nothing_is_set):
    nothing_is_set.setattr(asyncio_stand_in, "_is_installed", lambda: True)
    assert is_there(Plugins())
    assert not is_there(Plugins(blocked=["asyncio"]))
    nothing_is_set.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    assert not is_there(Plugins())


def test_what_is_asked_for_and_has_no_code_is_not_there(nothing_is_set):
    assert not is_there(Plugins(plugins=["pytest_asyncio.plugin"]))


def test_the_stand_in_is_what_is_imported(installed):
    package = importlib.import_module("pytest_asyncio")
    plugin = importlib.import_module("pytest_asyncio.plugin")
    assert (package.plugin, plugin.Mode.AUTO, plugin.PytestDeprecationWarning) == (
        plugin,
        "auto",
        pytest.PytestDeprecationWarning,
    )
    assert package.fixture is asyncio_stand_in.fixture


def test_the_stand_in_answers_to_the_plugin_s_name_and_is_not_taken_for_the_real_one(installed, nothing_is_set):
    assert isinstance(installed.get_plugin("asyncio"), StandIn)
    assert not asyncio_stand_in.is_active(installed)
    assert not is_there(installed)


def test_nothing_of_it_is_left_after_the_run(installed):
    importlib.import_module("pytest_asyncio.plugin")
    for cleanup in installed.cleanups:
        cleanup()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pytest_asyncio")


def test_a_run_inside_another_takes_nothing_from_it(installed):
    inner = Plugins()
    install(inner)
    assert inner.cleanups == []
    assert isinstance(inner.get_plugin("asyncio"), StandIn)


@pytest.mark.parametrize("is_package", [True, False], ids=["code", "a leftover folder"])
def test_a_folder_is_a_real_one_if_there_is_code_in_it(installed, tmp_path, monkeypatch, is_package):
    (tmp_path / "pytest_asyncio" / "__pycache__").mkdir(parents=True)
    if is_package:
        (tmp_path / "pytest_asyncio" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    found = importlib.import_module("pytest_asyncio")
    sys.modules.pop("pytest_asyncio")
    assert isinstance(found, StandIn) is not is_package


def test_required_plugins_is_told_how_to_go_on():
    check_required(Plugins(required=["pytest-timeout", "pytest-asyncio-concurrent"]))
    with pytest.raises(pytest.UsageError, match=r"names 'pytest_asyncio>=1'.*write  required_plugins = asyncunit"):
        check_required(Plugins(required=["pytest_asyncio>=1"]))
