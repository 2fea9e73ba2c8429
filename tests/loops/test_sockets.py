"""Who can wake a watched socket, as the kernel tells it."""

import os
import socket
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="for Linux")

if sys.platform == "linux":
    from asyncunit.loops import sockets as module
    from asyncunit.loops.sockets import Sockets, end_of


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
