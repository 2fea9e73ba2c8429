"""CPython's own tests of asyncio's locks, queues, streams, task groups and timeouts under a schedule, by hand.

    python -m tests.real_suites.cpython_under_schedules [NUMBER ...]

Prints what fails under each schedule and not in asyncio's own order. The interpreter must have the package ``test``.
"""

import asyncio
import io
import signal
import sys
import unittest
import warnings

from asyncunit.cases.loader import flat
from asyncunit.loops.schedules import scheduled

MODULES = ("locks", "queues", "streams", "taskgroups", "timeouts")

ScheduledLoop = scheduled(asyncio.SelectorEventLoop)


class Policy(asyncio.DefaultEventLoopPolicy):
    """Makes loops that follow a schedule."""

    schedule = 0

    def new_event_loop(self):
        return ScheduledLoop(schedule=self.schedule)


class TimedResult(unittest.TextTestResult):
    """Ends a test that waits for ever, which is a failure, too."""

    def startTest(self, test):
        super().startTest(test)
        signal.setitimer(signal.ITIMER_REAL, 5, 0.5)  # again, where a callback of the loop has swallowed it


class Suite(unittest.TestSuite):
    """Goes on where the time is over as the loop of a test closes, which is after its report."""

    def run(self, result, debug=False):
        for test in self:
            try:
                test(result)
            except TimeoutError:
                result.addError(test, sys.exc_info())
            signal.setitimer(signal.ITIMER_REAL, 0)
        return result


def time_is_over(*_):
    raise TimeoutError("the test waits for ever")


def run(schedule):
    """The names of the tests that fail, and how many there are."""
    Policy.schedule = schedule
    suite = Suite()
    for module in MODULES:
        suite.addTests(flat(unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.test_{module}")))
    # These modules set the policy to None when they are done.
    policy = Policy()
    set_policy = asyncio.set_event_loop_policy
    asyncio.set_event_loop_policy = lambda given: set_policy(policy if given is None else given)
    asyncio.set_event_loop_policy(None)
    try:
        result = unittest.TextTestRunner(io.StringIO(), resultclass=TimedResult).run(suite)
    finally:
        asyncio.set_event_loop_policy = set_policy
        set_policy(None)
    return {test.id() for test, _ in (*result.failures, *result.errors)}, result.testsRun


def main(numbers):
    """Run them under asyncio's own order, then under each number."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, time_is_over)
    usual, count = run(0)
    print(f"{count} tests; in asyncio's own order these fail: {sorted(usual)}")
    for number in numbers:
        failed, _ = run(number)
        print(f"schedule {number}: {len(failed - usual)} more")
        for name in sorted(failed - usual):
            print(f"  {name}")


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [1, 2])
