import io
import sys
import threading

import pytest

from asyncunit.loops import watchdog
from asyncunit.loops.watchdog import Deadline
from tests.introspection.test_frames import run_in, traced_by
from tests.support import python


@pytest.fixture(autouse=True)
def stopped():
    yield
    watchdog.stop()
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
    monkeypatch.setattr(watchdog, "GRACE", 0.001)
    deadline = Deadline(0.001, lambda: "x", lambda: None)
    assert log.written.wait(10)
    deadline.stop()


def test_a_loop_that_acts_has_the_time_that_it_asks_for(log, monkeypatch):
    monkeypatch.setattr(watchdog, "GRACE", 0.001)
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
        while deadline in (watchdog._Watchdog._running or watchdog)._watched:
            pass
        return deadline

    assert run_in("pdb", step).stop() is None


def test_a_forked_child_has_a_watchdog_of_its_own(tmp_path):
    code = """
import os, threading, warnings
from asyncunit.loops.watchdog import Deadline, stop
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
