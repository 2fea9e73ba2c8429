"""What a step of a task costs under schedules: python -m tests.benchmarks.schedules"""

import asyncio
import sys
import time

from asyncunit.loops.schedules import scheduled
from asyncunit.loops.virtual_clock import virtual_clock_factory

ROUNDS = 25
STEPS = 200
TASKS = 10

ScheduledLoop = scheduled(virtual_clock_factory(None))


async def yields():
    for _ in range(STEPS):
        await asyncio.sleep(0)


async def waits():
    loop = asyncio.get_running_loop()
    for _ in range(STEPS):
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future


async def several(work):
    await asyncio.gather(*(work() for _ in range(TASKS)))


def measure(make, work) -> float:
    """Microseconds of processor time for a step: the least of some rounds."""
    least = float("inf")
    for _ in range(ROUNDS):
        loop = make()
        began = time.process_time()
        loop.run_until_complete(several(work))
        least = min(least, time.process_time() - began)
        loop.close()
    return least / (STEPS * TASKS) * 1e6


def main() -> None:
    loops = {
        "asyncio": asyncio.SelectorEventLoop,
        "recorded": lambda: ScheduledLoop(schedule=0),
        "at random": lambda: ScheduledLoop(schedule=2),
        "by priorities": lambda: ScheduledLoop(schedule=1),
    }
    print(f"Python {sys.version.split()[0]}: µs a step\n")
    print(f"{'':10}" + "".join(f"{name:>15}" for name in loops))
    for work in (yields, waits):
        print(f"{work.__name__:10}" + "".join(f"{measure(make, work):15.1f}" for make in loops.values()))


if __name__ == "__main__":
    main()
