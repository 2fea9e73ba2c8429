import asyncio
import threading
import time
import types

import pytest

from asyncunit.checks import slow_callbacks as slow
from asyncunit.checks.slow_callbacks import SlowSteps
from asyncunit.loops import interrupts


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    loop.slow_callback_duration = 0.02
    yield loop
    loop.close()
    interrupts.stop()


def run(loop, coroutine):
    told = []
    steps = SlowSteps(loop, lambda owner, finding: told.append(finding.text))
    try:
        loop.run_until_complete(coroutine)
    finally:
        steps.stop()
    return told


def hold_the_loop():
    threading.Event().wait(0.1)


async def slow_step():
    hold_the_loop()


async def main(function):
    await function()


def test_a_step_that_holds_the_loop_is_told_with_its_line(loop):
    [text] = run(loop, main(slow_step))
    assert text.startswith("The event loop was held for 0.")
    assert f"called at {__file__}:" in text
    assert "in hold_the_loop" in text
    assert text.index("hold_the_loop") < text.index("slow_step")


def test_the_report_begins_with_the_line_of_the_users_that_has_called_a_library(loop):
    [text] = run(loop, main(slow_step))
    assert f" seconds or more by {__file__}:" in text
    assert "(there in " in text
    assert text.count("threading.py") == 1


def test_a_callback_that_is_not_written_in_python_is_named(loop):
    async def call():
        loop.call_soon(time.sleep, 0.1)
        await asyncio.sleep(0)

    [text] = run(loop, call())
    assert "sleep(" in text


def test_waiting_holds_nobody(loop):
    loop.slow_callback_duration = 0.2

    async def wait():
        waiter = loop.create_future()
        loop.call_later(0.3, waiter.set_result, None)
        await waiter

    assert run(loop, wait()) == []


def test_many_steps_that_are_short_are_not_one_that_is_long(loop):
    loop.slow_callback_duration = 0.2

    async def turn():
        end = loop.time() + 0.3
        while loop.time() < end:
            await asyncio.sleep(0)

    assert run(loop, turn()) == []


class Looks:
    """A loop's thread as the watchdog's sees it, on a clock that is set: both are told here, and nothing waits."""

    def __init__(self, loop, monkeypatch):
        self.now = self.busy = 0.0
        self.frame = None
        monkeypatch.setattr(slow, "watch", lambda watched: None)
        monkeypatch.setattr(slow, "time", types.SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(slow, "stack", lambda frame: [] if self.frame is None else [self.frame])
        monkeypatch.setattr(SlowSteps, "_busy", lambda steps: self.busy)
        self.seen = []
        self.steps = SlowSteps(loop, lambda owner, finding: self.seen.append(finding.text))

    def look_after(self, seconds, *, busy, frame):
        """Look when so many seconds have passed, in which the loop's thread was or was not at work."""
        self.now += seconds
        self.busy += seconds if busy else 0.0
        self.frame = frame
        self.steps.passed()


@pytest.fixture
def looks(loop, monkeypatch):
    loop.slow_callback_duration = 0.2
    return Looks(loop, monkeypatch)


def handle():
    """A frame in which asyncio runs a handle."""
    names = {"__name__": "asyncio.events"}
    exec("import sys\ndef _run(self): return sys._getframe()", names)
    return names["_run"]("a handle")


def test_code_that_holds_the_interpreter_is_told_too(looks):
    frame = handle()
    looks.look_after(0.3, busy=True, frame=frame)
    looks.look_after(0.01, busy=True, frame=None)
    assert looks.seen == ["The event loop was held for 0.29 seconds or more by 'a handle'"]


def test_a_thread_that_comes_late_while_the_loop_waits_has_missed_nothing(looks):
    looks.look_after(0.3, busy=False, frame=handle())
    looks.look_after(0.01, busy=True, frame=None)
    assert looks.seen == []


def test_what_one_handle_was_busy_for_is_not_charged_to_the_next(looks):
    first, second = handle(), handle()
    for _ in range(18):
        looks.look_after(0.01, busy=True, frame=first)
    looks.look_after(0.3, busy=False, frame=second)
    looks.look_after(0.01, busy=True, frame=None)
    assert looks.seen == []


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="the system does not tell it")
def test_how_long_a_thread_was_at_work_is_asked_of_the_system(loop):
    steps = SlowSteps(loop, print)
    before = steps._busy()
    end = time.thread_time() + 0.01
    while time.thread_time() < end:
        pass
    assert steps._busy() - before >= 0.01
    steps.stop()
