"""What is outside of a loop and may wake it, as the kernel tells it."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="for Linux")

if sys.platform == "linux":
    from asyncunit.loops.deadlock import Others, children, runs, signals_may_come


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


if sys.platform == "linux":
    from asyncunit.loops import deadlock as module
    from asyncunit.loops.deadlock import Sockets, end_of


@pytest.fixture(params=["tcp", "unix"])
def pair(request):
    """Both ends of a connection."""
    if request.param == "unix":
        one, two = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            one = socket.create_connection(listening.getsockname())
            two, _ = listening.accept()
    with one, two:
        yield one.fileno(), two.fileno()


def test_the_ends_of_a_connection_are_each_others(pair):
    one, two = map(end_of, pair)
    assert (one.own, one.other) == (two.other, two.own)


def test_an_end_alone_is_outside_and_both_are_not(pair):
    sockets = Sockets()
    sockets.watch(pair[0])
    assert list(sockets.outside) == [pair[0]]
    sockets.watch(pair[1])
    assert not sockets.outside
    assert not sockets.partly_watched


def test_an_end_that_is_watched_no_longer_is_still_this_loops(pair):
    sockets = Sockets()
    sockets.watch(pair[0])
    sockets.watch(pair[1])
    sockets.unwatch(pair[0])
    assert sockets.partly_watched == {pair[1]}
    assert sockets.partly_outside(threads=True) == []
    sockets.watch(pair[0])
    assert not sockets.partly_watched


def test_an_end_that_was_never_watched_may_belong_to_a_thread(pair):
    sockets = Sockets()
    sockets.note(pair[0])
    sockets.watch(pair[1])
    assert sockets.partly_outside(threads=False) == []
    assert len(sockets.partly_outside(threads=True)) == 1


def test_an_end_that_was_closed_here_may_be_another_processs():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        two, _ = listening.accept()
    copy = two.dup()  # as a child process has it
    with one, copy:
        sockets = Sockets()
        sockets.watch(one.fileno())
        sockets.watch(two.fileno())
        sockets.unwatch(two.fileno())
        two.close()
        assert len(sockets.partly_outside(threads=False)) == 1
        assert list(sockets.outside) == [one.fileno()]


def test_a_number_that_is_used_again_is_another_socket(pair):
    sockets = Sockets()
    sockets.watch(pair[0])
    sockets.watch(pair[1])
    sockets.unwatch(pair[0])
    saved = os.dup(pair[0])
    other, other_two = socket.socketpair()
    try:
        os.dup2(other.fileno(), pair[0])
        sockets.watch(pair[0])
        assert len(sockets.partly_outside(threads=False)) == 1
        assert set(sockets.outside) == set(pair)
    finally:
        os.dup2(saved, pair[0])
        os.close(saved)
        other.close()
        other_two.close()


def test_a_listening_socket_is_woken_by_nobody_yet():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sockets = Sockets()
        sockets.watch(listening.fileno())
        assert not sockets.outside


def test_a_connection_is_looked_at_again_once_it_is_made(pair):
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        sockets = Sockets()
        sockets.watch(client.fileno())
        assert "connecting" in sockets.outside[client.fileno()]
        client.connect(listening.getsockname())
        connection, _ = listening.accept()
        with connection:
            sockets.watch(connection.fileno())
            sockets.look_again()
            assert not sockets.outside


def test_what_is_outside_is_named():
    read, write = os.pipe()
    try:
        assert end_of(read).what == f"a pipe (file descriptor {read})"
    finally:
        os.close(read)
        os.close(write)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        assert end_of(datagrams.fileno()).what.startswith("a datagram socket that is not connected")
    with Path(os.devnull).open() as file:
        assert "/dev/null" in end_of(file.fileno()).what


def test_where_the_kernel_does_not_tell_a_unix_socket_is_outside(monkeypatch):
    monkeypatch.setattr(module, "_NETLINK_SOCK_DIAG", 31)
    one, two = socket.socketpair()
    with one, two:
        sockets = Sockets()
        sockets.watch(one.fileno())
        sockets.watch(two.fileno())
        assert set(sockets.outside) == {one.fileno(), two.fileno()}


def test_small_writes_are_sent_at_once():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with socket.create_connection(listening.getsockname()) as client:
            end_of(client.fileno())
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
