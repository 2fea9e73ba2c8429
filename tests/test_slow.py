import asyncio
import threading
import time

import pytest

from asyncunit import watchdog
from asyncunit.observers import Observer
from asyncunit.slow import SlowSteps


@pytest.fixture
def loop():
    loop = asyncio.new_event_loop()
    loop.slow_callback_duration = 0.02
    yield loop
    loop.close()
    watchdog.stop()


def run(loop, coroutine):
    observer = Observer(loop)
    steps = SlowSteps(loop, observer)
    try:
        loop.run_until_complete(coroutine)
    finally:
        steps.stop()
    return [item.finding.text for item in observer.unhandled]


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


def test_code_that_holds_the_interpreter_is_told_too(loop):
    async def count():
        sum(range(20_000_000))

    [text] = run(loop, count())
    assert "in test_code_that_holds_the_interpreter_is_told_too" in text
