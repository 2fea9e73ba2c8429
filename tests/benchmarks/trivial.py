"""What a trivial test costs with each base class: python -m tests.benchmarks.trivial

The classes are run in turn, round after round, in one process. What counts is the least median of each, and the ratios
say more than the times. With ``--scale``, what a test costs in runs of 1,000 to 100,000 tests, and what the process
holds then; and what it takes to set up and tear down each of 500 and of 5,000 classes.
"""

import asyncio
import gc
import itertools
import os
import socket
import statistics
import sys
import time
import tracemalloc
import unittest
import warnings

import asyncunit
from asyncunit import AsyncUnitWarning
from asyncunit.config.settings import CHECKS

ROUNDS = 15
TESTS = 400


class Fixtures:
    """One fixture for the class, and one for each test."""

    @asyncunit.fixture(scope="class")
    async def connection(cls):
        yield "connection"

    @asyncunit.fixture
    async def transaction(self, connection):
        yield connection


class SyncFixtures:
    """The same, without async."""

    @asyncunit.fixture(scope="class")
    def connection(cls):
        yield "connection"

    @asyncunit.fixture
    def transaction(self, connection):
        yield connection


ALL_BUT_RESOURCES = [check for check in CHECKS if check != "unclosed_resources"]


def make(*bases: type, is_async: bool = True, hooks: bool = False, tests: int = TESTS, **settings: object):
    """A class of trivial tests."""

    def sync_test(self):
        pass

    async def async_test(self):
        pass

    members = {f"test_{number}": async_test if is_async else sync_test for number in range(tests)}
    if hooks:
        members |= {"asyncSetUp": async_test, "asyncTearDown": async_test}
    return asyncunit.settings(**settings)(type("Trivial", bases, members))


async def leave_a_timer(self):
    asyncio.get_running_loop().call_later(3600, print)


async def leave_a_task(self):
    asyncio.get_running_loop().create_task(asyncio.sleep(3600))


async def leave_a_reader(self):
    asyncio.get_running_loop().add_reader(self.pool.sock, print)


async def use_the_pool(self):
    self.pool.give_back()


class Pool:
    """Sets a timer each time that it is used, and keeps it, as pools do."""

    def __init__(self) -> None:
        self.sock, self.other = socket.socketpair()
        self.timer: asyncio.TimerHandle | None = None

    def give_back(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = asyncio.get_running_loop().call_later(3600, self.close_idle)

    def close_idle(self) -> None:
        """Nothing is idle."""


def make_leaving(base: type, leave: object, tests: int = TESTS // 8):
    """A class of tests that leave something each, which is found and ended; or which the class's pool keeps."""
    return type("Leaving", (base,), {"pool": Pool()} | {f"test_{number}": leave for number in range(tests)})


def make_bare(tests: int = TESTS // 4):
    """A class of tests that have a loop made, run and closed, by asyncio.Runner.

    It is of a module of its own. In this one asyncunit handles Ctrl-C, and asyncio.Runner then leaves that alone, which
    is part of what it does for each test in a suite without asyncunit.
    """

    async def nothing():
        pass

    def bare_test(self):
        with asyncio.Runner() as runner:
            runner.run(nothing())

    members: dict[str, object] = {f"test_{number}": bare_test for number in range(tests)}
    return type("Bare", (unittest.TestCase,), members | {"__module__": "tests.benchmarks.bare"})


class Clock(unittest.TestResult):
    """Notes when each test ends."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[float] = []

    def stopTest(self, test: unittest.TestCase) -> None:
        self.ends.append(time.perf_counter())


def measure(cls: type[unittest.TestCase]) -> float:
    """Microseconds from the end of a test to the end of the next: the median of a run of the class."""
    suite = unittest.TestLoader().loadTestsFromTestCase(cls)
    result = Clock()
    result.startTestRun()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AsyncUnitWarning)
        suite.run(result)
        result.stopTestRun()
    assert result.wasSuccessful(), result.errors
    return statistics.median(after - before for before, after in itertools.pairwise(result.ends)) * 1e6


def compare() -> None:
    classes = {
        "unittest.TestCase, sync test": make(unittest.TestCase, is_async=False),
        "IsolatedAsyncioTestCase": make(unittest.IsolatedAsyncioTestCase, tests=TESTS // 8),
        "unittest.TestCase, asyncio.Runner in each test": make_bare(),
        "AsyncTestCase (function)": make(asyncunit.AsyncTestCase, tests=TESTS // 4),
        "ClassLoopTestCase": make(asyncunit.ClassLoopTestCase),
        "ModuleLoopTestCase": make(asyncunit.ModuleLoopTestCase),
        "PackageLoopTestCase": make(asyncunit.PackageLoopTestCase),
        "SessionLoopTestCase": make(asyncunit.SessionLoopTestCase),
        "ClassLoopTestCase, sync test": make(asyncunit.ClassLoopTestCase, is_async=False),
        "IsolatedAsyncioTestCase, async set-up and tear-down": make(
            unittest.IsolatedAsyncioTestCase, hooks=True, tests=TESTS // 8
        ),
        "ClassLoopTestCase, async set-up and tear-down": make(asyncunit.ClassLoopTestCase, hooks=True),
        "ClassLoopTestCase, class and function fixture": make(Fixtures, asyncunit.ClassLoopTestCase),
        "ClassLoopTestCase, sync class and function fixture": make(SyncFixtures, asyncunit.ClassLoopTestCase),
        "ClassLoopTestCase, timeout": make(asyncunit.ClassLoopTestCase, timeout=60),
        "ClassLoopTestCase, unawaited_coroutines": make(asyncunit.ClassLoopTestCase, fail_on="unawaited_coroutines"),
        "ClassLoopTestCase, left_threads": make(asyncunit.ClassLoopTestCase, fail_on="left_threads"),
        "ClassLoopTestCase, slow_callbacks": make(asyncunit.ClassLoopTestCase, fail_on="slow_callbacks"),
        "ClassLoopTestCase, all checks but unclosed_resources": make(
            asyncunit.ClassLoopTestCase, fail_on=ALL_BUT_RESOURCES
        ),
        'ClassLoopTestCase, fail_on = "all"': make(asyncunit.ClassLoopTestCase, fail_on="all"),
        "ClassLoopTestCase, all checks": make(
            asyncunit.ClassLoopTestCase, tests=TESTS // 8, fail_on="all slow_callbacks"
        ),
        "ClassLoopTestCase, each test leaves a timer": make_leaving(asyncunit.ClassLoopTestCase, leave_a_timer),
        "ClassLoopTestCase, each test leaves a reader": make_leaving(asyncunit.ClassLoopTestCase, leave_a_reader),
        "ClassLoopTestCase, each test leaves a task": make_leaving(asyncunit.ClassLoopTestCase, leave_a_task),
        "ClassLoopTestCase, a pool of the class keeps a timer": make_leaving(asyncunit.ClassLoopTestCase, use_the_pool),
    }
    least = dict.fromkeys(classes, float("inf"))
    for _ in range(ROUNDS):
        for name, cls in classes.items():
            least[name] = min(least[name], measure(cls))
    sync = least["unittest.TestCase, sync test"]
    print(f"Python {sys.version.split()[0]}: the least median of {ROUNDS} rounds\n")
    trivial = least["ClassLoopTestCase"]
    print(f"{'':52} {'µs a test':>9}  {'of TestCase':>11}  {'of trivial':>10}  {'faster than Isolated...':>23}")
    for name, cost in least.items():
        isolated = least["IsolatedAsyncioTestCase" + (", async set-up and tear-down" if "set-up" in name else "")]
        print(f"{name:52} {cost:9.1f}  {cost / sync:10.1f}x  {cost / trivial:9.2f}x  {isolated / cost:22.1f}x")


def define() -> None:
    """How long it takes to define a class of 2,000 tests and 50 fixtures, each of which needs the one before."""
    members: dict[str, object] = {}
    for number in range(50):
        needs = f", fixture_{number - 1}" if number else ""
        exec(f"async def fixture_{number}(self{needs}): yield", namespace := {})
        members[f"fixture_{number}"] = asyncunit.fixture(namespace[f"fixture_{number}"])
    for number in range(2_000):
        exec(f"async def test_{number}(self, fixture_{number % 50}): ...", namespace := {})
        members[f"test_{number}"] = namespace[f"test_{number}"]
    began = time.perf_counter()
    type("Large", (asyncunit.AsyncTestCase,), members)
    print(f"\nA class of 2,000 tests and 50 fixtures is defined in {time.perf_counter() - began:.2f} seconds.")


def measure_classes(classes: int) -> float:
    """Microseconds for each class of a run, which has one test, and is defined before."""
    made = [make(asyncunit.ClassLoopTestCase, tests=1) for _ in range(classes)]
    suite = unittest.TestSuite(unittest.TestLoader().loadTestsFromTestCase(cls) for cls in made)
    result = Clock()
    result.startTestRun()
    began = time.perf_counter()
    suite.run(result)
    took = time.perf_counter() - began
    result.stopTestRun()
    assert result.wasSuccessful(), result.errors
    return took / classes * 1e6


def scale() -> None:
    print(f"Python {sys.version.split()[0]}: ClassLoopTestCase\n")
    print(f"{'tests':>7} {'µs a test':>10} {'KiB more':>9} {'open files':>11}")
    measure(make(asyncunit.ClassLoopTestCase, tests=1_000))
    for tests in (1_000, 5_000, 20_000, 50_000, 100_000):
        cls = make(asyncunit.ClassLoopTestCase, tests=tests)
        cost = measure(cls)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        measure(cls)
        gc.collect()
        more = (tracemalloc.get_traced_memory()[0] - before) / 1024
        tracemalloc.stop()
        files = len(os.listdir("/dev/fd"))
        print(f"{tests:7} {cost:10.1f} {more:9.1f} {files:11}")
    print(f"\n{'classes':>7} {'µs each':>10}")
    for classes in (500, 5_000):
        print(f"{classes:7} {measure_classes(classes):10.1f}")


if __name__ == "__main__":
    if "--scale" in sys.argv:
        scale()
    else:
        compare()
        define()
