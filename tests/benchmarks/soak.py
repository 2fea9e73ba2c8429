"""Many tests on one session loop that leave things behind, and what the process holds after them.

python -m tests.benchmarks.soak [tests, 50000 if not given]. Every tenth test leaves a task, every eleventh an error
that nobody handles, every thirteenth fails, every 250th takes too long, every 1,000th leaves a socket open.
"""

import asyncio
import contextlib
import gc
import io
import os
import socket
import sys
import threading
import time
import tracemalloc
import unittest
import warnings

import asyncunit

STEPS = 10


async def forever() -> None:
    await asyncio.Event().wait()


async def crash() -> None:
    raise ValueError("nobody handles this")


class Soak(asyncunit.SessionLoopTestCase):
    """One test for each number."""

    number = 0

    @asyncunit.fixture(scope="session")
    async def server(cls):
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            yield server

    async def test_plain(self) -> None:
        await asyncio.sleep(0)

    async def test_leak(self) -> None:
        self.task = asyncio.create_task(forever())

    async def test_crash(self) -> None:
        self.task = asyncio.create_task(crash())

    async def test_fail(self) -> None:
        self.fail()

    @asyncunit.settings(timeout=0.002)
    async def test_timeout(self) -> None:
        await forever()

    @asyncunit.settings(fail_on="all")
    async def test_socket(self) -> None:
        self.socket = socket.socket()


def name_of(number: int) -> str:
    for every, name in ((1_000, "socket"), (250, "timeout"), (13, "fail"), (11, "crash"), (10, "leak")):
        if number % every == 0:
            return f"test_{name}"
    return "test_plain"


class Count(unittest.TestResult):
    """Counts what comes of the tests, and keeps none of it: a report of failures would grow."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = 0

    def addError(self, test: object, err: object) -> None:
        self.failed += 1

    addFailure = addError

    def addDuration(self, test: object, elapsed: float) -> None: ...


def held() -> tuple[float, int, int, int]:
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] / 1024
    return memory, len(asyncio.all_tasks(Soak.loop)), threading.active_count(), len(os.listdir("/dev/fd"))


class Look(unittest.TestCase):
    """Stands between the parts of the suite, and does not close the session."""

    def test_look(self) -> None:
        print("{:8} {:10.0f} KiB {:6} tasks {:6} threads {:6} files".format(Look.number, *held()), flush=True)


class Loop(asyncunit.SessionLoopTestCase):
    async def test_loop(self) -> None:
        Soak.loop = asyncio.get_running_loop()


def main(tests: int) -> None:
    warnings.simplefilter("ignore", asyncunit.AsyncUnitWarning)
    result = Count()
    began = time.perf_counter()
    tracemalloc.start()
    result.startTestRun()
    unittest.TestSuite([Loop("test_loop")]).run(result)
    for step in range(STEPS):
        numbers = range(step * tests // STEPS, (step + 1) * tests // STEPS)
        unittest.TestSuite([Soak(name_of(number + 1)) for number in numbers]).run(result)
        Look.number = numbers.stop
        Look("test_look").run(result)
    with contextlib.redirect_stderr(io.StringIO()):
        result.stopTestRun()
    print(f"{result.testsRun} tests, {result.failed} in error, in {time.perf_counter() - began:.0f} seconds")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
