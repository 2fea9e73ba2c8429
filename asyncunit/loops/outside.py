"""What is outside of a loop and may wake it: other threads, child processes, the other ends of its connections.

A connection has two ends, and each end has an identity: for TCP the two addresses, which no other open socket of the
machine has in that order; for a Unix socket its inode, and the kernel is asked for that of the other end (Linux's
sock_diag(7)). Where both ends belong to one loop, nothing but the code on that loop can make either of them ready.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
from collections.abc import Hashable
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakSet

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


_enumerate = threading.enumerate
_current_thread = threading.current_thread

_waitid = os.waitid
_ONLY_LOOK = os.WEXITED | os.WNOHANG | os.WNOWAIT

# The watchdog only calls a loop when a step took too long; the other feeds a pipe of multiprocessing's.
_HARMLESS = frozenset({"asyncunit-watchdog", "QueueFeederThread"})

# What multiprocessing starts, and keeps, for itself.
_HELPERS = (b"multiprocessing.resource_tracker", b"multiprocessing.forkserver")

# Shell and C programs get no handler from these; Python's own for Ctrl-C says nothing to a loop.
_NO_HANDLERS = (signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler, None)


class Others:
    """What was started while one loop ran, and so may belong to the code on it.

    What was there before (a runner's own threads, a database that serves all tests) is not waited for on its own
    account: where it matters, the loop has a connection to it.
    """

    def __init__(self) -> None:
        # Threads of executors: what they do for the loop is known call by call.
        self._workers: WeakSet[threading.Thread] = WeakSet()
        self._threads: WeakSet[threading.Thread] = WeakSet()
        self._children: set[int] = set()
        self._threads_before: set[threading.Thread] = set()
        self._children_before: set[int] = set()
        # The threads that were seen last, and what was found among them.
        self._seen: list[threading.Thread] = []
        self._found: list[str] = []

    def loop_runs(self) -> None:
        """The loop begins to run: what is there by now, and was not started by it, is not its own."""
        self._seen = []
        self._threads_before = {thread for thread in _enumerate() if thread not in self._threads}
        self._children_before = children() - self._children

    def loop_stops(self) -> None:
        """The loop stops: what was started since is its own, also when it runs the next time."""
        self._threads.update(thread for thread in _enumerate() if thread not in self._threads_before)
        self._children = children() - self._children_before
        self._threads_before = set()
        self._seen = []

    def add_workers(self, threads: set[threading.Thread]) -> None:
        """These belong to an executor."""
        self._workers.update(threads)
        self._seen = []

    def started(self) -> list[str]:
        """The threads and child processes that were started while the loop ran, and still run."""
        threads = _enumerate()
        if threads != self._seen:
            self._seen = threads
            self._found = [
                f"thread {thread.name!r}"
                for thread in threads
                if thread not in self._threads_before and thread not in self._workers and thread.name not in _HARMLESS
            ]
        new = children() - self._children_before
        if new:
            return [*self._found, *(f"child process {pid}" for pid in sorted(new) if runs(pid))]
        return self._found

    @staticmethod
    def alive() -> set[threading.Thread]:
        """The threads that are alive."""
        return set(_enumerate())

    def threads(self) -> bool:
        """Whether any other thread is alive that may act on the loop, whoever started it."""
        own = _current_thread()
        return any(
            thread is not own and thread not in self._workers and thread.name not in _HARMLESS
            for thread in _enumerate()
        )


def children() -> set[int]:
    """The child processes, also those that have ended and were not asked for."""
    try:
        _waitid(os.P_ALL, 0, _ONLY_LOOK)
    except ChildProcessError:  # there is none, and this was the cheap way to learn it
        return set()
    pids: set[int] = set()
    for task in os.listdir("/proc/self/task"):  # noqa: PTH208 - asked before each jump, so it is to be fast
        with suppress(OSError):  # the thread has ended
            pids.update(map(int, _read(f"/proc/self/task/{task}/children").split()))
    return pids


def runs(pid: int) -> bool:
    """Whether a child process still runs, and may do something that matters here."""
    try:
        state = _read(f"/proc/{pid}/stat").rpartition(b") ")[2][:1]
        return state != b"Z" and not any(helper in _read(f"/proc/{pid}/cmdline") for helper in _HELPERS)
    except OSError:
        return False


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)


def signals_may_come() -> bool:
    """Whether a signal timer is set, or Python code waits for a signal."""
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        return True
    return any(signal.getsignal(number) not in _NO_HANDLERS for number in signal.valid_signals() - {signal.SIGINT})


# The other ends of connections.


_Socket = socket.socket  # bound here, because tests replace it

# Of linux/netlink.h, linux/sock_diag.h and linux/unix_diag.h.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_UDIAG_SHOW_PEER = 4
_UNIX_DIAG_PEER = 2
_ANY = 0xFFFFFFFF


class End(NamedTuple):
    """One end of a connection, as the kernel describes it.

    ``own`` and ``other`` are the identities of the two ends, None where they have none. ``what`` is for reports.
    """

    own: Hashable
    other: Hashable
    what: str
    is_listening: bool = False


class Sockets:
    """The file descriptors that a loop watches, and which of them something outside the loop can wake."""

    def __init__(self) -> None:
        # Watched, and something outside can make them ready. The values say what they are.
        self.outside: dict[int, str] = {}
        # Watched, and the other end is a socket of this loop, which does not watch it just now (its reading is paused).
        self.partly_watched: set[int] = set()
        self._watched: set[int] = set()
        self._were_watched: set[int] = set()
        # Each socket that the loop was seen to use, until its number is used again. It may be closed by now.
        self._ends: dict[int, End] = {}
        self._fds: dict[Hashable, int] = {}

    def note(self, fd: int) -> None:
        """Look at a socket that this loop uses; it need not watch it yet."""
        self._forget(fd)
        end = self._ends[fd] = end_of(fd)
        if end.own is not None:
            self._fds[end.own] = fd

    def watch(self, fd: int) -> None:
        """The loop watches the file descriptor, or watches it for something else than before."""
        self.note(fd)
        self._watched.add(fd)
        self._were_watched.add(fd)
        self._settle(fd)
        other = self._other(fd)
        if other is not None:
            if other in self.outside:  # it was looked at before this end was there
                self.note(other)
            self._settle(other)

    def unwatch(self, fd: int) -> None:
        """The loop watches the file descriptor no longer. The socket may still be open."""
        self._watched.discard(fd)
        self.outside.pop(fd, None)
        self.partly_watched.discard(fd)
        other = self._other(fd)
        if other is not None:
            self._settle(other)

    def look_again(self) -> None:
        """Look again at what is outside: it may have been connected, or closed, without a word to the loop."""
        for fd in list(self.outside):
            self.note(fd)
            self._settle(fd)

    def partly_outside(self, *, threads: bool) -> list[str]:
        """Those of ``partly_watched`` that something outside can wake after all.

        The other end was closed, so another process may have it; or this loop has never watched it, and there are
        other ``threads`` that it may have been given to.
        """
        found = []
        for fd in list(self.partly_watched):
            end = self._ends[fd]
            other = self._fds.get(end.other)
            if other is None or end_of(other).own != end.other:
                if other is not None:
                    self._forget(other)
                self._settle(fd)
                found.append(end.what)
            elif threads and other not in self._were_watched:
                found.append(end.what)
        return found

    def _other(self, fd: int) -> int | None:
        end = self._ends.get(fd)
        return None if end is None or end.other is None else self._fds.get(end.other)

    def _forget(self, fd: int) -> None:
        end = self._ends.pop(fd, None)
        if end is not None and self._fds.get(end.own) == fd:
            del self._fds[end.own]
        if fd not in self._watched:
            self._were_watched.discard(fd)

    def _settle(self, fd: int) -> None:
        """Say of a file descriptor, if it is watched, whether something outside can wake it."""
        if fd not in self._watched:
            return
        self.outside.pop(fd, None)
        self.partly_watched.discard(fd)
        end = self._ends[fd]
        other = self._other(fd)
        if end.is_listening:
            return
        if other is None:
            self.outside[fd] = end.what
        elif other not in self._watched:
            self.partly_watched.add(fd)


def end_of(fd: int) -> End:
    """What a file descriptor is, by the kernel's word."""
    try:
        sock = _Socket(fileno=fd)
    except OSError:
        return End(None, None, _name_of_file(fd))
    try:
        return _end_of_socket(sock)
    finally:
        sock.detach()


def _end_of_socket(sock: socket.socket) -> End:
    is_stream = sock.type == socket.SOCK_STREAM
    if is_stream and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return End(None, None, "a listening socket", is_listening=True)
    own, peer = _address(sock.getsockname), _address(sock.getpeername)
    if sock.family == socket.AF_UNIX:
        inode = os.fstat(sock.fileno()).st_ino
        return End(("unix", inode), _unix_peer(inode), f"a Unix socket connected to {peer or 'a socket pair'!r}")
    if peer is None:
        what = "a socket that is connecting" if is_stream else "a datagram socket that is not connected"
        return End(None, None, f"{what}, at {_text(own)}")
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return End(None, None, f"a socket of the family {sock.family!r}")
    if is_stream:
        _send_at_once(sock)
    return End((sock.type, own, peer), (sock.type, peer, own), f"a connection to {_text(peer)}")


def _send_at_once(sock: socket.socket) -> None:
    """Have the kernel keep nothing back: Nagle's algorithm keeps small writes for up to 40 ms, where no loop sees them.

    asyncio does the same, but only for sockets that were made with the number of TCP; socket.create_server()'s are not.
    """
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _address(ask: Any) -> Any:
    """The address, as both ends write it: a server for IPv6 sees a client of IPv4 under another name."""
    try:
        address = ask()
    except OSError:
        return None
    if isinstance(address, tuple):
        return (str(address[0]).removeprefix("::ffff:"), *address[1:2])
    return address


def _text(address: Any) -> str:
    return ":".join(map(str, address)) if isinstance(address, tuple) else repr(address)


def _name_of_file(fd: int) -> str:
    """What stands behind a file descriptor that is no socket: a pipe, most likely, or a child process."""
    try:
        target = os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - it is no path
    except OSError:
        target = ""
    kind = "a pipe" if target.startswith("pipe:") else "a child process" if "pidfd" in target else target or "a file"
    return f"{kind} (file descriptor {fd})"


def _unix_peer(inode: int) -> Hashable:
    """The identity of the other end of a Unix socket; None where it has none, or the kernel does not tell."""
    request = struct.pack("=BBHIII8s", socket.AF_UNIX, 0, 0, _ANY, inode, _UDIAG_SHOW_PEER, b"\xff" * 8)
    header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    try:
        with _Socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as diag:
            diag.send(header + request)
            answer = diag.recv(8192, socket.MSG_DONTWAIT)
    except OSError:
        return None
    length, kind = struct.unpack_from("=IH", answer)
    at = 32  # behind the header and the unix_diag_msg come the attributes
    while kind == _SOCK_DIAG_BY_FAMILY and at + 8 <= length:
        size, attribute = struct.unpack_from("=HH", answer, at)
        if attribute == _UNIX_DIAG_PEER:
            (peer,) = struct.unpack_from("=I", answer, at + 4)
            return ("unix", peer) if peer else None
        at += max(4, (size + 3) & ~3)
    return None
