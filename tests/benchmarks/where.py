"""Where the time of a trivial test goes: python -m tests.benchmarks.where

A class of trivial tests is run again and again, while a timer interrupts the process each millisecond of its processor
time. Each time, the innermost frame says whose code runs: unittest's, asyncio's or asyncunit's. What is written in C
counts for who has called it. Python looks for signals where a function begins and where a loop goes on, so a share is
only about right. The shares, times what a test takes, are microseconds; that is measured without the timer, as in
``tests.benchmarks.trivial``.
"""

import collections
import signal
import sys
import time
import types
import unittest

import asyncunit
from tests.benchmarks.trivial import Clock, make, measure

SECONDS = 8
ROUNDS = 15

# Who has written a module, by the beginning of its name. contextlib and its like are called by unittest alone here.
WHOSE = {
    "asyncunit": "asyncunit",
    "asyncio": "asyncio: the loop",
    "selectors": "asyncio: the loop",
    "_weakrefset": "asyncio: the loop",
    "tests": "the test, and the benchmark",
}
UNITTESTS = "unittest"


def whose(frame: types.FrameType) -> str:
    """Who has written the code that the frame executes."""
    module = str(frame.f_globals.get("__name__"))
    return WHOSE.get(module.partition(".")[0], UNITTESTS)


def sample(cls: type[unittest.TestCase]) -> collections.Counter[str]:
    """How often who was at work, while tests of the class were run."""
    found: collections.Counter[str] = collections.Counter()
    is_counting = False

    def note(_signum: int, frame: types.FrameType | None) -> None:
        if is_counting and frame is not None:
            found[whose(frame)] += 1

    before = signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            suite, result = unittest.TestLoader().loadTestsFromTestCase(cls), Clock()
            result.startTestRun()
            is_counting = True
            suite.run(result)
            is_counting = False
            result.stopTestRun()
            assert result.wasSuccessful(), result.errors
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return found


def main() -> None:
    """Print the table."""
    classes = {
        "sync TestCase": make(unittest.TestCase, is_async=False),
        "ClassLoopTestCase": make(asyncunit.ClassLoopTestCase),
        "with set-up and tear-down": make(asyncunit.ClassLoopTestCase, hooks=True),
    }
    print(f"Python {sys.version.split()[0]}: µs of a trivial test\n")
    kinds = [UNITTESTS, *dict.fromkeys(WHOSE.values())]
    print(f"{'':28}" + "".join(f"{name:>28}" for name in classes))
    columns = []
    for cls in classes.values():
        cost = min(measure(cls) for _ in range(ROUNDS))
        found = sample(cls)
        columns.append({kind: cost * found[kind] / found.total() for kind in kinds} | {"together": cost})
    for kind in (*kinds, "together"):
        print(f"{kind:28}" + "".join(f"{column[kind]:28.1f}" for column in columns))


if __name__ == "__main__":
    main()
