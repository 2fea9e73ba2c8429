"""The code blocks of the documentation: read, written into a directory of their page, and run there.

A comment on the line above a block says what it is for:

- ``<!-- suite -->``: tests, run under unittest and pytest; ``<!-- suite: pytest -->`` and ``<!-- suite: unittest -->``
  under one of them, ``<!-- suite: method -->`` inside a class. Names that stand for the reader's own code come from
  ``tests.docs.doc_names``.
- ``<!-- file: name -->``: a file, for the commands below it. It may import ``tests.docs.doc_names`` as ``app``.
- ``<!-- needs: package ... -->``: code that needs packages or servers; it is compiled, and what it imports is looked
  for where the packages are installed.
- ``<!-- output -->``: lines of the output of the command above it. ``...`` stands for anything.
- ``<!-- fails -->``: a command that ends with an error.
- ``<!-- shown -->``: not run; other text and commands, for reading.

A page with a line ``<!-- page needs: package ... -->`` is run where all of these are installed.

Of the blocks without a comment those in ``sh`` are run. So are those in ``console``: a line that begins with ``$`` is a
command, and what follows it are lines of its output, as in an ``output`` block.
"""

import ast
import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from tests import prepared
from tests.support import ROOT, python

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_PLAIN = re.compile(r"(?P<environ>(?:\w+=\w+ )*)python(?P<arguments>(?: [\w.,:/=-]+)+)\n?")
RUNNERS = {"unittest": "python -m unittest discover", "pytest": "python -m pytest -q -W error"}
_PRELUDE = "from tests.docs.doc_names import *\n"


@dataclasses.dataclass(frozen=True)
class Block:
    """One code block; ``mark`` is what the comment above it says, and ``line`` where it begins."""

    page: Path
    line: int
    mark: str
    language: str
    text: str

    @property
    def kind(self):
        return self.mark.partition(":")[0].strip()

    @property
    def argument(self):
        return self.mark.partition(":")[2].strip()

    @property
    def where(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page):
    """The code blocks of a page, from its top."""
    text = page.read_text()
    return [
        Block(
            page,
            text[: found.start("text")].count("\n") + 1,
            found["mark"] or "",
            found["language"],
            found["text"],
        )
        for found in _BLOCK.finditer(text)
    ]


def missing_packages(page):
    """The packages that a page needs and that are not installed."""
    needed = re.findall(r"^<!-- page needs: (.*) -->$", page.read_text(), re.M)
    return [name for line in needed for name in line.split() if importlib.util.find_spec(name) is None]


def write(block, directory):
    """Write a file into the directory of its page."""
    path = directory / block.argument
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text)


def write_suite(block, directory):
    """Write a suite into the directories of the runners that it is for, with a name of its page and line."""
    text = block.text
    if block.argument == "method":
        text = f"class Test(asyncunit.AsyncTestCase):\n{textwrap.indent(text, '    ')}"
    name = re.sub(r"\W", "_", block.where)
    for runner in (block.argument,) if block.argument in RUNNERS else RUNNERS:
        into = directory / f"for_{runner}"
        into.mkdir(exist_ok=True)
        (into / f"test_{name}.py").write_text(_PRELUDE + text)


def run(command, directory):
    """Run a command line of a page as its reader would; return the exit code and what it printed.

    Of the output, paths are relative, and the dots of the tests that passed before are not in front of them.
    """
    environ = {
        "PYTEST_ADDOPTS": "-p asyncunit.pytest_plugin -p no:cacheprovider",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    if plain := _PLAIN.fullmatch(command):  # what a shell would make of that is known
        environ |= dict(each.split("=") for each in plain["environ"].split())
        done = python(*plain["arguments"].split(), cwd=directory, timeout=120, **environ)
    else:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=directory,
            env={**prepared.without_settings(os.environ), "PYTHONPATH": str(ROOT), **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    path = re.escape(f"{directory}{os.sep}")
    return done.returncode, re.sub(rf"^\.*{path}|{path}", "", done.stdout + done.stderr, flags=re.M)


def session(text):
    """The commands of a ``console`` block, each with the lines that it prints."""
    return [tuple(each.partition("\n")[::2]) for each in re.split(r"^\$ ", text, flags=re.M)[1:]]


def missing_lines(expected, output):
    """The lines of a block of output that were not printed, in that order."""
    lines = iter(output.splitlines())
    missing = []
    for line in expected.splitlines():
        pattern = ".*".join(re.escape(part) for part in re.split(r"\.\.\.|(?<=in )\d+\.\d+s", line.rstrip()))
        if line.strip() and not any(re.fullmatch(pattern, printed.rstrip()) for printed in lines):
            missing.append(line)
            lines = iter(output.splitlines())
    return missing


def unknown_imports(block):
    """What a block imports from the packages that it needs, as far as these are installed, and that is not there."""
    unknown = []
    for node in ast.walk(ast.parse(block.text)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(alias.name, None) for alias in node.names]
        for module, name in names:
            if (
                module.partition(".")[0] not in block.argument.split()
                or importlib.util.find_spec(module.partition(".")[0]) is None
            ):
                continue
            found = importlib.import_module(module)
            if name is not None and not hasattr(found, name) and importlib.util.find_spec(f"{module}.{name}") is None:
                unknown.append(f"{module}.{name}")
    return unknown
