"""Source distributions, unpacked, and environments of Python to run them in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


class Workshop:
    """A folder with what was fetched; what is in it already is not fetched again.

    One that is kept from run to run is for one version of Python.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def source(self, requirement: str) -> Path:
        """The folder of the unpacked source distribution of REQUIREMENT ("name==version")."""
        target = self.folder / "sources" / requirement
        if not target.exists():
            archives = self.folder / "archives" / requirement
            options = ["--no-deps", "--no-binary", requirement.partition("==")[0], "--dest", str(archives)]
            _pip(self.python("fetching"), "download", *options, requirement)
            target.mkdir(parents=True)
            with tarfile.open(next(archives.glob("*.tar.gz"))) as archive:
                archive.extractall(target, filter="data")
        return next(path for path in target.iterdir() if path.is_dir())

    def python(self, name: str, *requirements: str) -> Path:
        """The interpreter of an environment called NAME, in which REQUIREMENTS are installed."""
        environment = self.folder / "environments" / name
        if not environment.exists():
            venv.create(environment, with_pip=True, symlinks=os.name != "nt")
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        installed = environment / "installed.txt"
        if requirements and (not installed.exists() or installed.read_text(encoding="utf-8") != repr(requirements)):
            _pip(python, "install", *requirements)
            installed.write_text(repr(requirements), encoding="utf-8")
        return python

    def install_asyncunit(self, python: Path) -> None:
        """Installs this checkout's asyncunit, from a copy: a build leaves files in the folder that it builds from."""
        copy = self.folder / "asyncunit"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "*.egg-info"))
        _pip(python, "install", "--no-deps", "--force-reinstall", str(copy))


def environment() -> dict[str, str]:
    """This process's environment variables, without those that configure Python, pytest or asyncunit."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ASYNCUNIT", "PYTEST", "PYTHON"))}


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}{done.stdout}")
    sys.stdout.flush()
