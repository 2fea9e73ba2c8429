"""What a plugin costs a run of pytest that has one test: ``python -m tests.benchmarks.start_up [--peer PYTHON]``.

The runs take turns, each in a process of its own, and what counts is the median of the differences of neighbours in
processor time. ``--peer`` names an interpreter with pytest-asyncio; it is compared with itself without that.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.benchmarks.under_pytest import time_of

SYNC = "def test_x(): pass\n"
ASYNC = "import pytest\n@pytest.mark.{0}\nasync def test_x(): pass\n"


def added(python: str, directory: Path, plugin: str, text: str, rounds: int) -> tuple[float, float]:
    """What a run without the plugin takes, and what one with it takes more, in milliseconds."""
    (directory / "test_plain.py").write_text(SYNC)
    (directory / "test_one.py").write_text(text)
    plain, more = [], []
    for _ in range(rounds + 1):  # the first fills caches
        plain.append(time_of(python, directory, "test_plain.py") * 1e3)
        more.append(time_of(python, directory, "-p", plugin, "test_one.py") * 1e3 - plain[-1])
    return median(plain[1:]), median(more[1:])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--peer", metavar="PYTHON")
    options = parser.parse_args()
    runs = [(sys.executable, "asyncunit", "asyncunit")]
    if options.peer:
        runs.append((options.peer, "pytest_asyncio.plugin", "asyncio"))
    with tempfile.TemporaryDirectory() as directory:
        for python, plugin, marker in runs:
            for kind, text in (("sync", SYNC), ("async", ASYNC.format(marker))):
                plain, more = added(python, Path(directory), plugin, text, options.rounds)
                print(f"{plugin:24} {kind:5} test {more:+6.1f} ms, on top of {plain:.0f} ms ({more / plain:+.1%})")


if __name__ == "__main__":
    main()
