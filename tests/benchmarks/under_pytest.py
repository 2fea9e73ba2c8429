"""What a trivial test costs under pytest, against the same sync test: ``python -m tests.benchmarks.under_pytest``.

Each suite is run several times, in turns with the others, in a process of its own, and so is one with a tenth of its
tests; what counts is the difference of the shortest runs, as pytest states them, so that what a run costs once is left
out. ``--peer PYTHON`` names an interpreter with pytest-asyncio and anyio, for their figures.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

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
    """One run, in seconds."""
    plugin = ["-p", next((PLUGINS[peer] for peer in PLUGINS if name.startswith(peer)), "asyncunit.pytest_plugin")]
    result = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, *args, file],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"in ([\d.]+)s", result.stdout.splitlines()[-1] if result.stdout else "")
    if found is None:
        raise SystemExit(result.stdout + result.stderr)
    return float(found[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--collect", action="store_true", help="only collect")
    options = parser.parse_args()
    names = [name for name in SUITES if options.peer or not name.startswith(tuple(PLUGINS))]
    counts = (options.tests, options.tests // 10)
    times: dict[tuple[str, int], list[float]] = {(name, count): [] for name in names for count in counts}
    args = ["--collect-only"] if options.collect else []
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        for index, name in enumerate(names):
            head, line, keyword = SUITES[name]
            for count in counts:
                text = head + "".join(line.format(keyword, number) for number in range(count))
                (directory / f"test_{index}_{count}.py").write_text(text)
        for _ in range(options.runs):
            for index, name in enumerate(names):
                python = options.peer if name.startswith(tuple(PLUGINS)) else sys.executable
                for count in counts:
                    times[name, count].append(run(python, directory, name, f"test_{index}_{count}.py", *args))
    many, few = counts
    best = {name: (min(times[name, many]) - min(times[name, few])) / (many - few) * 1e6 for name in names}
    for name in names:
        line = f"{name:32} {best[name]:8.0f} µs per test"
        if name in AGAINST:
            plain = best[AGAINST[name]]
            line += f"  +{best[name] - plain:6.0f} µs  {100 * (best[name] / plain - 1):+6.1f}% of {AGAINST[name]}"
        print(line)


if __name__ == "__main__":
    main()
