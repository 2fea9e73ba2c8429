import asyncio
import contextlib
import sys
import threading

import pytest

from asyncunit import Scope
from asyncunit import TestTimeoutError as TimedOut
from asyncunit.config.settings import Config
from asyncunit.loops import scope_task as module
from asyncunit.loops import watchdog
from asyncunit.loops.scope_task import ScopeTask
from tests.conftest import open_scope, stubborn

# Steps that take too long.


async def wait_for_ever():
    kept.append(asyncio.Event())
    await kept[-1].wait()


kept = []  # what is waited for, so that no task that waits is garbage


def timed(loop_runner, seconds=0.02):
    opened = open_scope(Scope.FUNCTION)
    opened.config = Config(timeout=seconds)
    return ScopeTask(loop_runner, opened)


def test_a_step_that_takes_too_long_ends_with_what_every_task_waits_for(loop_runner):
    async def step():
        task = asyncio.create_task(wait_for_ever(), name="another")
        try:
            await wait_for_ever()
        finally:
            task.cancel()

    with pytest.raises(TimedOut) as caught:
        timed(loop_runner).run(step())
    assert isinstance(caught.value, TimeoutError)
    head, *would_never, own, other = str(caught.value).splitlines()
    assert head.endswith("<locals>.step() did not end within its timeout of 0.02 seconds.")
    # It says so where no other thread is alive, as one of an earlier test may be.
    assert [line.partition(":")[0] for line in would_never] in (["It would never have ended"], [])
    assert own.startswith("  - the scope's own task, waits at ")
    assert [part.rpartition(" in ")[2] for part in own.split(" > ")][1:] == ["wait_for_ever", "Event.wait"]
    assert other.startswith("  - task 'another', running tests.loops.test_timeouts.wait_for_ever(), waits at ")
    assert caught.traceback[-1].name == "wait"


def test_a_step_that_is_in_time_is_left_alone(loop_runner):
    runner = timed(loop_runner, 60)
    assert runner.run(asyncio.sleep(0, "done")) == "done"
    assert runner.call_sync(int, "3") == 3


def test_a_step_that_swallows_its_cancellation_has_timed_out_all_the_same(loop_runner):
    async def step():
        with contextlib.suppress(asyncio.CancelledError):
            await wait_for_ever()
        return "done"

    runner = timed(loop_runner)
    with pytest.raises(TimedOut):
        runner.run(step())
    assert runner.run(asyncio.sleep(0, "next")) == "next"


def test_the_error_of_a_step_that_is_ended_stands_behind_the_timeout(loop_runner):
    async def step():
        try:
            await wait_for_ever()
        finally:
            raise ValueError("own")

    with pytest.raises(TimedOut) as caught:
        timed(loop_runner).run(step())
    assert repr(caught.value.__context__) == "ValueError('own')"


def test_a_step_that_held_the_loop_is_told_so_when_it_is_done(loop_runner):
    async def step():
        threading.Event().wait(0.1)

    with pytest.raises(TimedOut, match=r"step\(\) took 0\.\d+ seconds, longer than its timeout of 0.02 seconds"):
        timed(loop_runner).run(step())


def test_the_timeout_of_a_step_that_fails_late_is_a_note(loop_runner):
    async def step():
        threading.Event().wait(0.1)
        raise ValueError("own")

    with pytest.raises(ValueError, match="own") as caught:
        timed(loop_runner).run(step())
    assert "longer than its timeout" in caught.value.__notes__[0]


def test_a_step_that_refuses_to_end_is_given_up(loop_runner, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_TIMEOUT", 0.02)
    runner = timed(loop_runner)
    with pytest.raises(TimedOut) as caught:
        runner.run(stubborn(asyncio.Event()))
    assert caught.value.__notes__[0].startswith("It refuses to end: 0.02 seconds after it was cancelled")
    assert len(loop_runner.stubborn) == 1
    assert runner.run(asyncio.sleep(0, "next")) == "next"


def test_a_step_that_is_being_debugged_has_all_the_time(loop_runner):
    class Trace:
        __module__ = "bdb"

        def __call__(self, frame, event, argument):
            return None

    before = sys.gettrace()
    sys.settrace(Trace())
    try:
        assert timed(loop_runner).run(asyncio.sleep(0.1, "done")) == "done"
    finally:
        sys.settrace(before)


@pytest.fixture(autouse=True)
def no_watchdog():
    yield
    watchdog.stop()
