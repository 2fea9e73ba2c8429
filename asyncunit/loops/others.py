"""The other threads and the child processes of this process, which may act on a loop that waits."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress
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
