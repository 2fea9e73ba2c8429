"""hold_clock() in threads, and beside other loops. (What it does to a virtual clock is in test_virtual_clock.)"""

import asyncio
import os
import threading
import warnings

import pytest

from asyncunit.loops.virtual_clock import hold_clock, holds, waiting


def test_a_hold_is_there_while_the_block_runs_and_says_why():
    with hold_clock("the printer"), hold_clock("the scanner"):
        assert list(holds.values()) == ["the printer", "the scanner"]
    assert not holds


def test_a_hold_ends_with_its_error():
    with pytest.raises(ZeroDivisionError), hold_clock("the printer"):
        raise ZeroDivisionError
    assert not holds


def test_the_real_clock_is_not_touched():
    async def main():
        with hold_clock("nothing"):
            async with asyncio.timeout(60):
                await asyncio.sleep(0.001)

    asyncio.run(main())


def test_a_loop_that_waits_is_woken():
    class Loop:
        woken = threading.Event()

        def call_soon_threadsafe(self, callback):
            callback()
            self.woken.set()

    class Closed:
        def call_soon_threadsafe(self, callback):
            raise RuntimeError("Event loop is closed")

    loops = [Loop(), Closed()]
    for loop in loops:
        waiting.add(loop)
    with hold_clock("it"):
        pass
    assert Loop.woken.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="for systems that fork")
def test_a_child_process_has_no_holds():
    with hold_clock("of the parent"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there may be other threads
        child = os.fork()
        if not child:
            os._exit(len(holds))
        assert os.waitpid(child, 0)[1] == 0
