"""What is installed is what a user gets: a wheel and an sdist, built, looked into, and run in an empty environment."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import asyncunit
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECTORIES = ("tests", "docs", ".ci")
MODULES = {str(path.relative_to(ROOT)) for path in (ROOT / "asyncunit").rglob("*.py")} | {"asyncunit/py.typed"}


def call(*command, cwd):
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel, built of the sdist, and that, built of a copy of what is in the repository."""
    setuptools = pytest.importorskip("setuptools", "77", reason="building takes setuptools 77 or newer")
    assert setuptools
    directory = tmp_path_factory.mktemp("built")
    source = directory / "source"
    source.mkdir()
    for name in ("asyncunit", *DIRECTORIES):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    sdist = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    call(sys.executable, "-c", sdist, str(directory), cwd=source)
    [made] = directory.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        archive.extractall(directory / "unpacked", filter="data")
    [unpacked] = (directory / "unpacked").iterdir()
    wheel = sdist.replace("sdist", "wheel")
    call(sys.executable, "-c", wheel, str(directory), cwd=unpacked)
    [wheel_made] = directory.glob("*.whl")
    return wheel_made, made


def test_the_wheel_holds_the_package_and_nothing_else(built):
    wheel, _ = built
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"asyncunit-{asyncunit.__version__}.dist-info"
        assert {name for name in names if not name.startswith(info)} == MODULES
        metadata = archive.read(f"{info}/METADATA").decode()
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert "Requires-Dist" not in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "License-Expression: MIT" in metadata
    assert "asyncunit = asyncunit.pytest_entry" in entry_points


def files_of(directory):
    """The files in a directory of the repository, but for what Python has compiled."""
    found = {path for path in (ROOT / directory).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_the_sdist_holds_the_package_its_tests_and_the_documentation(built):
    _, sdist = built
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    expected = MODULES | {"pyproject.toml", "setup.cfg", "README.md", "LICENSE"}
    assert names >= expected.union(*map(files_of, DIRECTORIES))
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_the_sdist_runs_its_own_tests(built, tmp_path):
    _, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    call(
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "tests/house/test_imports.py",
        "tests/docs/test_docs.py",
        "-k",
        "not block",
        cwd=unpacked,
    )
    output = call(sys.executable, "-m", "pytest", "--collect-only", "-q", cwd=unpacked)
    assert "error" not in output.splitlines()[-1]


def test_the_wheel_in_an_empty_environment_runs_the_example_suite(built, tmp_path):
    wheel, _ = built
    venv.create(tmp_path / "empty", with_pip=False, symlinks=True)
    python = tmp_path / "empty" / "bin" / "python"
    find = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(call(str(python), "-c", find, cwd=tmp_path).strip())
    with zipfile.ZipFile(wheel) as archive:  # a wheel of pure Python is installed by unpacking it
        archive.extractall(packages)
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    output = call(str(python), "-W", "error", "-m", "unittest", "discover", "-s", "examples", cwd=tmp_path)
    assert "\nOK" in output
    where = call(str(python), "-c", "import asyncunit; print(asyncunit.__file__)", cwd=tmp_path)
    assert where.startswith(str(packages))


def test_the_metadata_names_each_python_that_is_tested():
    pythons = [each.rpartition(" :: ")[2] for each in PROJECT["classifiers"] if "Python :: 3." in each]
    ci = (ROOT / ".ci" / "run").read_text()
    assert [python for python in pythons if python not in ci] == []
    assert PROJECT["dependencies"] == []
