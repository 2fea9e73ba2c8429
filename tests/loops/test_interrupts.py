import asyncio
import io
import signal
import sys
import threading

import pytest

from asyncunit.loops import interrupts
from asyncunit.loops.interrupts import Deadline, Interrupt
from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.scope_task import ScopeTask
from tests.conftest import open_scope, running_loop, stubborn
from tests.introspection.test_frames import run_in, traced_by
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


@pytest.fixture(autouse=True)
def stopped():
    yield
    interrupts.stop()
    assert not any(thread.name == "asyncunit-watchdog" for thread in threading.enumerate())


@pytest.fixture
def log(monkeypatch):
    """What is written to the process's own stderr, and an event that is set when something is."""

    class Log(io.StringIO):
        written = threading.Event()

        def flush(self):
            self.written.set()

    log = Log()
    monkeypatch.setattr(sys, "__stderr__", log)
    return log


def test_a_step_that_is_done_in_time_is_forgotten():
    expired = []
    deadline = Deadline(60, lambda: "x", lambda: expired.append(1))
    assert deadline.stop() is None
    assert not expired


def test_when_the_time_has_passed_the_loop_is_told():
    told = threading.Event()
    deadline = Deadline(0.001, lambda: "x", told.set)
    assert told.wait(10)
    assert deadline.stop() > 0.001


def test_the_earlier_of_two_deadlines_wakes_the_thread():
    told = threading.Event()
    late = Deadline(60, lambda: "late", None)
    early = Deadline(0.001, lambda: "early", told.set)
    assert told.wait(10)
    early.stop()
    late.stop()


def test_where_all_threads_stand_is_printed_for_sync_code(log):
    def user_function():
        assert log.written.wait(10)

    deadline = Deadline(0.001, lambda: "test_x (m.T.test_x): setUp()", None)
    user_function()
    deadline.stop()
    printed = log.getvalue()
    assert "asyncunit: test_x (m.T.test_x): setUp() has been running for more than its timeout of 0.001" in printed
    assert printed.index("Thread 'MainThread'") < printed.index("in user_function")


def test_a_loop_that_does_not_act_is_blocked(log, monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE", 0.001)
    deadline = Deadline(0.001, lambda: "x", lambda: None)
    assert log.written.wait(10)
    deadline.stop()


def test_a_loop_that_acts_has_the_time_that_it_asks_for(log, monkeypatch):
    monkeypatch.setattr(interrupts, "GRACE", 0.001)
    told = threading.Event()
    deadline = Deadline(0.001, lambda: "x", lambda: (deadline.extend(60), told.set()))
    assert told.wait(10)
    deadline.stop()
    assert log.getvalue() == ""


def test_nothing_is_timed_while_a_debugger_is_attached():
    with traced_by("bdb"):
        deadline = Deadline(1e-9, lambda: "x", None)
    assert deadline.stop() is None


def test_a_step_that_stands_in_a_debugger_is_left_alone():
    def step():
        deadline = Deadline(1e-9, lambda: "x", None)
        while deadline in (interrupts._Watchdog._running or interrupts)._watched:
            pass
        return deadline

    assert run_in("pdb", step).stop() is None


def test_a_forked_child_has_a_watchdog_of_its_own(tmp_path):
    code = """
import os, threading, warnings
from asyncunit.loops.interrupts import Deadline, stop
warnings.simplefilter("ignore")
Deadline(60, str, None)
pid = os.fork()
if pid == 0:
    told = threading.Event()
    Deadline(0.001, str, told.set)
    os._exit(0 if told.wait(10) else 1)
print(os.waitpid(pid, 0)[1])
stop()
"""
    assert python("-c", code, cwd=tmp_path).stdout == "0\n"
