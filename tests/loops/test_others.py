"""Threads and child processes that may act on a loop."""

import os
import signal
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="for Linux")

if sys.platform == "linux":
    from asyncunit.loops.others import Others, children, runs, signals_may_come


class Running:
    """A thread that runs until it is told to end."""

    def __init__(self, name=None):
        self._end = threading.Event()
        self.thread = threading.Thread(target=self._end.wait, name=name)

    def __enter__(self):
        self.thread.start()
        return self.thread

    def __exit__(self, *_):
        self._end.set()
        self.thread.join()


@pytest.fixture
def others():
    others = Others()
    others.loop_runs()
    return others


def test_a_thread_that_was_started_while_the_loop_ran_is_told(others):
    with Running("mine"):
        assert others.started() == ["thread 'mine'"]
        assert others.threads()
    assert others.started() == []
    assert not others.threads()


def test_it_is_told_also_when_the_loop_runs_again(others):
    with Running("mine"), Running("also mine"):
        others.loop_stops()
        others.loop_runs()
        assert others.started() == ["thread 'mine'", "thread 'also mine'"]


def test_a_thread_from_before_is_not_told_of_but_it_is_alive():
    others = Others()
    with Running():
        others.loop_runs()
        assert others.started() == []
        assert others.threads()


def test_one_that_was_started_between_two_runs_is_from_before(others):
    others.loop_stops()
    with Running():
        others.loop_runs()
        assert others.started() == []


def test_threads_of_executors_are_known_by_their_calls(others):
    with Running() as thread:
        others.add_workers({thread})
        assert others.started() == []
        assert not others.threads()


def test_the_watchdog_wakes_nobody(others):
    with Running("asyncunit-watchdog"):
        assert others.started() == []
        assert not others.threads()


def test_child_processes_are_told_until_they_end(others):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert children() == {child.pid}
        assert runs(child.pid)
        assert others.started() == [f"child process {child.pid}"]
        later = Others()
        later.loop_runs()
        assert later.started() == []
    assert others.started() == []


def test_a_child_that_has_ended_and_was_not_asked_for_runs_no_more():
    child = subprocess.Popen([sys.executable, "-c", "print()"], stdout=subprocess.PIPE)
    child.stdout.read()
    with child.stdout:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert children() == {child.pid}
        assert not runs(child.pid)
    child.wait()


def test_signals_may_come_where_a_timer_or_a_handler_is_set():
    assert not signals_may_come()
    before = signal.signal(signal.SIGUSR2, lambda number, frame: None)
    try:
        assert signals_may_come()
    finally:
        signal.signal(signal.SIGUSR2, before)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        assert signals_may_come()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
