"""What a trivial test costs under pytest, against the same sync test: ``python -m tests.benchmarks.under_pytest``.

Each suite is run in each round, in a process of its own, and so is one with a tenth of its tests: what counts is the
difference, so that what a run costs once is left out. The times are those of the processor; shown is the median of the
rounds, and of the differences within each. ``--peer PYTHON`` names an interpreter with pytest-asyncio and anyio.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent.parent

FUNCTION = "{0}def test_{1}(): pass\n"
BACKEND = "@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n"
METHOD = "    {0}def test_{1}(self): pass\n"

SUITES = {
    "sync function": ("", FUNCTION, ""),
    "async function, shared loop": (
        "import pytest\npytestmark = pytest.mark.asyncunit(loop_scope='module')\n",
        FUNCTION,
        "async ",
    ),
    "async function, own loop": ("import pytest\npytestmark = pytest.mark.asyncunit\n", FUNCTION, "async "),
    "sync TestCase": ("import unittest\nclass Test(unittest.TestCase):\n", METHOD, ""),
    "AsyncTestCase, shared loop": ("import asyncunit\nclass Test(asyncunit.ClassLoopTestCase):\n", METHOD, "async "),
    "IsolatedAsyncioTestCase": ("import unittest\nclass Test(unittest.IsolatedAsyncioTestCase):\n", METHOD, "async "),
    "pytest-asyncio, module loop": (
        "import pytest\npytestmark = pytest.mark.asyncio(loop_scope='module')\n",
        FUNCTION,
        "async ",
    ),
    "pytest-asyncio, own loop": ("import pytest\npytestmark = pytest.mark.asyncio\n", FUNCTION, "async "),
    "pytest-asyncio's sync function": ("", FUNCTION, ""),
    "anyio, a runner for each test": ("import pytest\npytestmark = pytest.mark.anyio\n" + BACKEND, FUNCTION, "async "),
    "anyio's sync function": ("", FUNCTION, ""),
}
# What each is run with; the others with asyncunit.
PLUGINS = {"pytest-asyncio": "pytest_asyncio.plugin", "anyio": "anyio.pytest_plugin"}
# What each is compared with.
AGAINST = {
    "async function, shared loop": "sync function",
    "async function, own loop": "sync function",
    "AsyncTestCase, shared loop": "sync TestCase",
    "IsolatedAsyncioTestCase": "sync TestCase",
    "pytest-asyncio, module loop": "pytest-asyncio's sync function",
    "pytest-asyncio, own loop": "pytest-asyncio's sync function",
    "anyio, a runner for each test": "anyio's sync function",
}


def run(python: str, directory: Path, name: str, file: str, *args: str) -> float:
    """The processor time of one run of a suite, in seconds."""
    plugin = next((PLUGINS[peer] for peer in PLUGINS if name.startswith(peer)), "asyncunit.pytest_plugin")
    return time_of(python, directory, "-p", plugin, *args, file)


def time_of(python: str, directory: Path, *args: str) -> float:
    """The processor time of pytest in a process of its own, with no plugin but those of ``args``, in seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each run would compile what it imports
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args],
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(output.read().decode())
    return usage.ru_utime + usage.ru_stime


def measure(directory: Path, names: list[str], options: argparse.Namespace) -> dict[str, list[float]]:
    """What a test of each suite costs, in microseconds, in each round."""
    counts = (options.tests, options.tests // 10)
    costs: dict[str, list[float]] = {name: [] for name in names}
    for index, name in enumerate(names):
        head, line, keyword = SUITES[name]
        for count in counts:
            text = head + "".join(line.format(keyword, number) for number in range(count))
            (directory / f"test_{index}_{count}.py").write_text(text)
    for _ in range(options.rounds):
        for index, name in enumerate(names):
            python = options.peer if name.startswith(tuple(PLUGINS)) else sys.executable
            args = ["--collect-only"] if options.collect else []
            many, few = (run(python, directory, name, f"test_{index}_{count}.py", *args) for count in counts)
            costs[name].append((many - few) / (counts[0] - counts[1]) * 1e6)
    return costs


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--collect", action="store_true", help="only collect")
    options = parser.parse_args()
    names = [name for name in SUITES if options.peer or not name.startswith(tuple(PLUGINS))]
    with tempfile.TemporaryDirectory() as directory:
        costs = measure(Path(directory), names, options)
    for name in names:
        line = f"{name:32} {median(costs[name]):8.0f} µs per test"
        if name in AGAINST:
            pairs = list(zip(costs[name], costs[AGAINST[name]], strict=True))
            added = median(own - plain for own, plain in pairs)
            share = median(100 * (own / plain - 1) for own, plain in pairs)
            line += f"  {added:+7.0f} µs  {share:+6.1f}% of {AGAINST[name]}"
        print(line)


if __name__ == "__main__":
    main()
