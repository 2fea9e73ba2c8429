import importlib.util
import shutil
import tomllib

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


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The package as it is where it is installed."""
    packages = tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT / "asyncunit", packages / "asyncunit", ignore=shutil.ignore_patterns("__pycache__"))
    info = packages / "asyncunit-0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asyncunit\nVersion: 0\n")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    lines = [f"{name} = {place}\n" for name, place in declared.items()]
    (info / "entry_points.txt").write_text("".join(["[pytest11]\n", *lines]))
    (info / "RECORD").write_text("asyncunit/__init__.py,,\nasyncunit/pytest_entry.py,,\n")
    return packages


@pytest.fixture
def run(packages, tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)

    def run(*args, **environ):
        pytest_ = ("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider")
        done = python(*pytest_, *args, cwd=tmp_path, PYTHONPATH=str(packages), **environ)
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("args", [(), ("-p", "asyncunit")])
def test_the_plugin_is_there_once_and_python_imports_what_it_is_made_of(run, args):
    output = run(*args)
    assert "2 passed" in output, output
    assert "imported by pytest: asyncunit.pytest_entry\n" in output


def test_the_plugin_itself_can_be_asked_for_beside_it(run):
    output = run("-p", "asyncunit.pytest_plugin")
    assert "2 passed" in output, output


def test_the_plugin_can_be_asked_for_where_none_is_loaded_of_itself(run):
    output = run("-p", "asyncunit", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert "2 passed" in output, output
    assert "imported by pytest: asyncunit.pytest_entry\n" in output


@pytest.mark.parametrize("name", ["asyncunit", "asyncunit.pytest_plugin"])
def test_the_plugin_can_be_switched_off(run, name):
    output = run("-p", f"no:{name}", "--asyncunit-timeout=3")
    assert "unrecognized arguments: --asyncunit-timeout=3" in output


FOR_ASYNCIO = """
import pytest
import pytest_asyncio

@pytest.mark.asyncio
async def test_it():
    print("the real one" if hasattr(pytest_asyncio, "is_real") else "the stand-in")
"""
REAL = """
import asyncio, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    asyncio.run(pyfuncitem.obj())
    return True

def pytest_addoption(parser):
    parser.addoption("--asyncio-mode", default="strict")

def pytest_configure(config):
    config.addinivalue_line("markers", "asyncio: of the real one")
"""


@pytest.mark.skipif(importlib.util.find_spec("pytest_asyncio") is not None, reason="pytest-asyncio is there")
@pytest.mark.parametrize("off", [{}, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}])
@pytest.mark.parametrize("name", ["pytest_asyncio", "pytest_asyncio.plugin"])
def test_the_names_of_pytest_asyncio_are_asked_for(run, tmp_path, name, off):
    (tmp_path / "test_suite.py").write_text(FOR_ASYNCIO)
    output = run("-p", name, **off)
    assert "the stand-in" in output, output
    output = run("-p", name, "-p", "no:asyncunit", **off)
    assert "No module named 'pytest_asyncio'" in output, output


@pytest.mark.parametrize("args", [("--disable-plugin-autoload", "-p", "pytest_asyncio.plugin"), ()])
def test_a_real_pytest_asyncio_is_loaded_by_its_name_and_once(run, tmp_path, args):
    (tmp_path / "test_suite.py").write_text(FOR_ASYNCIO)
    real = tmp_path / "pytest_asyncio"
    real.mkdir()
    (real / "__init__.py").write_text("is_real = True")
    (real / "plugin.py").write_text(REAL)
    info = tmp_path / "pytest_asyncio-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pytest-asyncio\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[pytest11]\nasyncio = pytest_asyncio.plugin\n")
    output = run(*args)
    assert "the real one" in output, output
