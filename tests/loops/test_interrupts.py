import asyncio
import signal
import threading

import pytest

from asyncunit.loops.interrupts import Interrupt
from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.scope_task import ScopeTask
from tests.conftest import open_scope, running_loop, stubborn
from tests.support import python, write


@pytest.fixture
def interrupt():
    interrupt = Interrupt.of_this_thread()
    yield interrupt
    Interrupt.uninstall()


def press(interrupt):
    interrupt(signal.SIGINT, None)


def test_the_handler_replaces_pythons_own_only(interrupt):
    assert signal.getsignal(signal.SIGINT) is interrupt
    Interrupt.uninstall()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Interrupt.of_this_thread()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_outside_a_loop_is_a_keyboard_interrupt(interrupt):
    with pytest.raises(KeyboardInterrupt):
        press(interrupt)


def test_the_first_ctrl_c_cancels_the_step_and_the_second_closes_the_loop(interrupt):
    loops = LoopRunner(open_scope(), None)
    scope = ScopeTask(loops, open_scope())
    events = []

    async def wait():
        asyncio.get_running_loop().call_soon(press, interrupt)
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    async def swallow():
        asyncio.get_running_loop().call_soon(press, interrupt)
        await stubborn(asyncio.Event())

    with pytest.raises(KeyboardInterrupt):
        scope.run(wait())
    assert events == ["cancelled"]
    with pytest.raises(KeyboardInterrupt):
        scope.run(swallow())
    assert interrupt.gave_up
    assert loops.loop.is_closed()


def test_a_ctrl_c_that_nobody_waited_for_does_not_interrupt_the_next_run(interrupt):
    async def swallow():
        loop = asyncio.get_running_loop()
        loop.call_soon(press, interrupt)
        loop.call_soon(loop.call_soon, press, interrupt)
        await stubborn(asyncio.Event())

    with pytest.raises(KeyboardInterrupt):
        ScopeTask(LoopRunner(open_scope(), None), open_scope()).run(swallow())
    Interrupt.uninstall()
    loops = LoopRunner(open_scope(), None)
    assert ScopeTask(loops, open_scope()).run(running_loop()) is loops.loop
    loops.close()


TWICE = """
    import asyncio, asyncunit, signal

    class Test(asyncunit.SessionLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.addAsyncClassCleanup(asyncio.sleep, 0)

        @classmethod
        async def asyncTearDownClass(cls): ...

        @asyncunit.fixture(scope="session")
        async def value(cls):
            yield
            await asyncio.sleep(0)

        async def asyncTearDown(self):
            while True:
                asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGINT)
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    continue

        async def test_x(self): ...
"""


def test_after_the_second_ctrl_c_pytest_tells_of_nothing_else(tmp_path):
    write(tmp_path, test_module=TWICE)
    arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "asyncunit.pytest_plugin")
    done = python(*arguments, cwd=tmp_path, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "asyncunit.errors" not in done.stdout + done.stderr
    assert done.stderr == ""


def test_another_thread_leaves_the_handler_alone():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(Interrupt.of_this_thread()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert seen[0] is not Interrupt.of_this_thread()
    Interrupt.uninstall()
