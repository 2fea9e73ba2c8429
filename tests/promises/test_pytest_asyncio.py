"""A suite for pytest-asyncio runs unchanged where that is not installed, through the real pytest."""

import importlib.util

import pytest

from tests.support import python

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pytest_asyncio") is not None, reason="pytest-asyncio is there"
)

SUITE = """
import pytest
pytest_asyncio = pytest.importorskip("pytest_asyncio", "0.21")
from pytest_asyncio.plugin import Mode, PytestDeprecationWarning

pytestmark = [pytest.mark.asyncio, pytest.mark.filterwarnings("error::pytest_asyncio.plugin.PytestDeprecationWarning")]

@pytest_asyncio.fixture
async def number():
    yield 1

async def test_it(number, pytestconfig):
    assert number == 1
    assert pytestconfig.pluginmanager.hasplugin("asyncio")
    assert pytestconfig.pluginmanager.getplugin("asyncio").Mode is Mode
"""


def run(path, *arguments, suite=SUITE, conftest="", plugin="asyncunit", **environ):
    (path / "test_it.py").write_text(suite)
    (path / "conftest.py").write_text(conftest)
    plugins = ("-p", "no:cacheprovider", "-p", plugin, *arguments)
    done = python("-m", "pytest", "-q", *plugins, cwd=path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **environ)
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "conftest", ["", "pytest_plugins = 'pytest_asyncio'", "pytest_plugins = ['pytest_asyncio.plugin']"]
)
def test_nothing_has_to_be_changed(tmp_path, conftest):
    assert "1 passed" in run(tmp_path, conftest=conftest)


@pytest.mark.parametrize("name", ["pytest_asyncio", "pytest_asyncio.plugin"])
def test_the_plugin_may_be_asked_for(tmp_path, name):
    assert "1 passed" in run(tmp_path, "-p", name)
    assert "1 passed" in run(tmp_path, PYTEST_PLUGINS=name)


def test_a_leftover_folder_without_code_is_no_real_one(tmp_path):
    (tmp_path / "pytest_asyncio" / "__pycache__").mkdir(parents=True)
    assert "1 passed" in run(tmp_path)


def test_a_real_one_wins(tmp_path):
    (tmp_path / "pytest_asyncio").mkdir()
    (tmp_path / "pytest_asyncio" / "__init__.py").write_text("is_real = True")
    assert "1 passed" in run(tmp_path, suite="import pytest_asyncio\n\ndef test_it(): assert pytest_asyncio.is_real")


def test_without_the_plugin_nothing_stands_in(tmp_path):
    assert "1 skipped" in run(tmp_path, plugin="no:asyncunit")


def test_required_plugins_is_told_how_to_go_on(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nrequired_plugins = pytest-asyncio>=0.21\n")
    assert "write  required_plugins = asyncunit  instead" in run(tmp_path)
