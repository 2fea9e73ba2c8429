import shutil

import pytest

from tests.support import ROOT, python

SUITE = """
import importlib.machinery, sys, pytest

def test_sync(): pass

@pytest.mark.asyncunit
async def test_async(pytestconfig):
    plugin = sys.modules["asyncunit.pytest_plugin"]
    assert [each for each in pytestconfig.pluginmanager.get_plugins() if each is plugin] == [plugin]
    house = {name: type(module.__loader__) for name, module in sys.modules.items() if name.startswith("asyncunit.")}
    others = {name for name, loader in house.items() if loader is not importlib.machinery.SourceFileLoader}
    print("imported by pytest:", *sorted(others))
"""


@pytest.fixture
def installed(tmp_path):
    """A directory with the suite, and with the package as it is where it is installed."""
    packages = tmp_path / "packages"
    shutil.copytree(ROOT / "asyncunit", packages / "asyncunit", ignore=shutil.ignore_patterns("__pycache__"))
    info = packages / "asyncunit-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asyncunit\nVersion: 0\n")
    (info / "entry_points.txt").write_text("[pytest11]\nasyncunit = asyncunit.pytest_entry\n")
    (info / "RECORD").write_text("asyncunit/__init__.py,,\nasyncunit/pytest_entry.py,,\n")
    (tmp_path / "test_suite.py").write_text(SUITE)
    return tmp_path


def run(directory, *args, **environ):
    pytest_ = ("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider")
    done = python(*pytest_, *args, cwd=directory, PYTHONPATH=str(directory / "packages"), **environ)
    return done.stdout + done.stderr


@pytest.mark.parametrize("args", [(), ("-p", "asyncunit")])
def test_the_plugin_is_there_once_and_python_imports_what_it_is_made_of(installed, args):
    output = run(installed, *args)
    assert "2 passed" in output, output
    assert "imported by pytest: asyncunit.pytest_entry\n" in output


def test_the_plugin_itself_can_be_asked_for_beside_it(installed):
    output = run(installed, "-p", "asyncunit.pytest_plugin")
    assert "2 passed" in output, output


def test_the_plugin_can_be_asked_for_where_none_is_loaded_of_itself(installed):
    output = run(installed, "-p", "asyncunit", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "2 passed" in output, output
    assert "imported by pytest: asyncunit.pytest_entry\n" in output


@pytest.mark.parametrize("name", ["asyncunit", "asyncunit.pytest_plugin"])
def test_the_plugin_can_be_switched_off(installed, name):
    output = run(installed, "-p", f"no:{name}", "--asyncunit-timeout=3")
    assert "unrecognized arguments: --asyncunit-timeout=3" in output
