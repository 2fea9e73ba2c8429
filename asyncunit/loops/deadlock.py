"""What may still wake a loop that waits: for whom each of its tasks waits, and what is outside of it.

Who holds a lock is no attribute of it; a coroutine that is inside ``async with lock`` keeps the lock's ``__aexit__``
to be called at the end, and refers to it (so says the garbage collector, which is asked by its public name).

Outside are other threads, child processes, and the other ends of connections. A connection has two ends, and each end
has an identity: for TCP the two addresses, which no other open socket of the machine has in that order; for a Unix
socket its inode, and the kernel is asked for that of the other end (Linux's sock_diag(7)). Where both ends belong to
one loop, nothing but the code on that loop can make either of them ready.
"""

from __future__ import annotations

import asyncio
import gc
import os
import selectors
import signal
import socket
import struct
import sys
import threading
import types
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from weakref import WeakSet

from asyncunit.introspection.frames import describe_task, innermost_place, places_of_task

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line


_all_tasks = asyncio.all_tasks
_Task = asyncio.Task

# How far a chain of what awaits what is followed.
_DEPTH = 100

_NAMES = ("cr_frame", "gi_frame", "ag_frame")
_NEXT = ("cr_await", "gi_yieldfrom", "ag_await")

# What a task waits for that another is inside of, by `async with`.
_LOCKS = (asyncio.Lock, asyncio.Semaphore)


class Wait:
    """What one task waits for. ``whom`` are the tasks that could end it, as far as that can be told.

    ``on`` is the object of asyncio whose method waits; ``lock`` is the same where it is one that another task holds.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.what = ""
        self.on: object = None
        self.lock: object = None
        self.whom: list[asyncio.Task[Any]] = []


# What a DeadlockError says first.
NOTHING_IS_LEFT = (
    "no task is ready, no timer is set, nothing outside the event loop is in flight, and no other thread is alive."
)
NOTHING_CAN_HAPPEN = f"{NOTHING_IS_LEFT} What the tasks of the loop wait for:"

# What a report calls each task.
Names = Mapping[asyncio.Task[Any], str]


def describe_deadlock(loop: asyncio.AbstractEventLoop) -> str:
    """What each task of the loop waits for, where nothing can happen any more, and which wait for each other."""
    waits = find_waits(_all_tasks(loop))
    return "\n".join([f"Nothing can happen: {NOTHING_CAN_HAPPEN}", *describe_waits(waits), *describe_cycle(waits)])


def nothing_can_wake(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether nothing can wake a loop with the real clock; False as well where that cannot be told.

    A loop does not say what it is to call, nor what it watches; the garbage collector knows what it refers to.
    """
    if sys.platform != "linux":
        return False
    referents = gc.get_referents(loop)
    held = [value for other in referents for value in (other.values() if type(other) is dict else (other,))]
    watching = [thing for thing in held if issubclass(type(thing), selectors.BaseSelector)]
    if len(watching) != 1 or len(watching[0].get_map()) > 1:  # one is its own, by which other threads wake it
        return False
    queued = [thing for queue in held if type(queue) in (list, deque) for thing in queue]
    for handle in queued:
        if issubclass(type(handle), asyncio.Handle) and not handle.cancelled() and not _is_loops_own(handle, loop):
            return False
    return not (Others().threads() or signals_may_come() or any(runs(pid) for pid in children()))


def _is_loops_own(handle: asyncio.Handle, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it calls a method of the loop itself, which reads by what it was woken."""
    return any(type(other) is types.MethodType and other.__self__ is loop for other in gc.get_referents(handle))


def find_waits(tasks: Iterable[asyncio.Task[Any]]) -> list[Wait]:
    """What the tasks wait for, in the order in which they were made, as far as their names tell."""
    waits = [_wait_of(task) for task in sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))]
    for wait in waits:
        if wait.lock is not None:
            wait.whom = [
                other.task
                for other in waits
                if not _is_or_has(other.on, wait.lock) and _is_inside(other.task, wait.lock)
            ]
    return waits


def describe_waits(waits: Iterable[Wait], names: Names | None = None) -> Iterator[str]:
    """A line for each task: what it waits for, for whom, and where."""
    for wait in waits:
        place = innermost_place(places_of_task(wait.task))
        what = f" in {wait.what}" if wait.what else ""
        whom = ", ".join(repr(task.get_name()) for task in wait.whom)
        name = names[wait.task] if names else describe_task(wait.task)
        text = f", {'held by' if wait.lock is not None else 'for'} {whom}" if whom else ""
        yield f"  - {name} waits{what}{text}, at {place}"


def describe_cycle(waits: Iterable[Wait]) -> list[str]:
    """A drawing of the first tasks that wait for each other; nothing where there are none."""
    cycle = find_cycle({wait.task: wait for wait in waits})
    if not cycle:
        return []
    names = [repr(wait.task.get_name()) for wait in cycle]
    width = max(map(len, names))
    lines = ["These wait for each other, so none of them can go on:"]
    for number, wait in enumerate(cycle):
        then = names[(number + 1) % len(names)]
        arrow = f"--- {wait.what or 'await'}{', held by' if wait.lock is not None else ''} --->"
        lines.append(f"    {names[number]:<{width}} {arrow} {then}")
    return lines


def find_cycle(waits: dict[asyncio.Task[Any], Wait]) -> list[Wait]:
    """Tasks of which each waits for the next, and the last for the first."""
    seen: set[asyncio.Task[Any]] = set()
    for start in waits:
        path: list[asyncio.Task[Any]] = []
        if found := _cycle_from(start, waits, path, seen):
            return [waits[task] for task in found]
    return []


def _cycle_from(
    task: asyncio.Task[Any],
    waits: dict[asyncio.Task[Any], Wait],
    path: list[asyncio.Task[Any]],
    seen: set[asyncio.Task[Any]],
) -> list[asyncio.Task[Any]]:
    if task in path:
        return path[path.index(task) :]
    if task in seen or task not in waits or len(path) > _DEPTH:
        return []
    seen.add(task)
    path.append(task)
    for other in waits[task].whom:
        if found := _cycle_from(other, waits, path, seen):
            return found
    path.pop()
    return []


def _wait_of(task: asyncio.Task[Any]) -> Wait:
    wait = Wait(task)
    frames: list[types.FrameType] = []
    last: object = None
    for awaitable in _chain(task.get_coro()):
        last = awaitable
        frame = _frame_of(awaitable)
        if frame is None:
            continue
        if not _is_asyncios(frame):
            frames.clear()
        else:
            frames.append(frame)
    if frames:
        own = frames[-1].f_locals.get("self")
        wait.what = _call(frames[0])
        wait.on, wait.lock = own, own if isinstance(own, _LOCKS) else None
        wait.whom = _tasks_among([own] if own is not None else frames[-1].f_locals.values())
    if wait.lock is None and not wait.whom:
        # An iterator over a future, which it refers to.
        wait.whom = _tasks_among(other for other in gc.get_referents(last) if isinstance(other, asyncio.Future))
    wait.whom = [other for other in wait.whom if other is not task and not other.done()]
    return wait


def _chain(awaitable: object) -> Iterator[object]:
    """A coroutine, what it awaits, what that awaits, and so on."""
    for _ in range(_DEPTH):
        if awaitable is None:
            return
        yield awaitable
        awaitable = next((found for name in _NEXT if (found := getattr(awaitable, name, None)) is not None), None)


def _frame_of(awaitable: object) -> types.FrameType | None:
    frames = (getattr(awaitable, name, None) for name in _NAMES)
    return next((frame for frame in frames if isinstance(frame, types.FrameType)), None)


def _is_asyncios(frame: types.FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "asyncio"


def _call(frame: types.FrameType) -> str:
    """The call as the user has written it, as in ``Queue.get()``; a lock has no name that could be asked for."""
    own = frame.f_locals.get("self")
    name = frame.f_code.co_name
    if own is not None and name in {"__aenter__", "__aexit__"}:
        return f"async with {type(own).__name__}"
    return f"{type(own).__name__}.{name}()" if own is not None else f"asyncio.{name.lstrip('_')}()"


def _tasks_among(things: Iterable[object]) -> list[asyncio.Task[Any]]:
    """Tasks, and those that a group or a gathering of them keeps."""
    found: set[asyncio.Task[Any]] = set()
    for thing in things:
        found.update([thing] if isinstance(thing, _Task) else _tasks_of(thing))
    return sorted(found, key=lambda task: (len(task.get_name()), task.get_name()))


def _tasks_of(thing: object) -> Iterator[asyncio.Task[Any]]:
    kept: list[object] = [thing, *getattr(thing, "__dict__", {}).values()]
    kinds: tuple[type, ...] = (list, set, tuple)
    if isinstance(thing, asyncio.Future):
        # A gathering has a list of what it gathers. (Its set, in Python 3.14, is of the tasks that await it.)
        kept, kinds = gc.get_referents(thing), (list,)
        kept += [value for attributes in kept if isinstance(attributes, dict) for value in attributes.values()]
    for container in kept:
        if isinstance(container, kinds):
            yield from (task for task in container if isinstance(task, _Task))  # type: ignore[attr-defined]


def _is_inside(task: asyncio.Task[Any], lock: object) -> bool:
    """Whether the task is inside ``async with lock``."""
    for awaitable in _chain(task.get_coro()):
        kept = gc.get_referents(awaitable)
        for number, thing in enumerate(kept):
            if getattr(thing, "__name__", None) != "__aexit__":
                continue
            # Python 3.14 keeps the function and, next to it, what it is a method of.
            bound = thing.__self__ if isinstance(thing, types.MethodType) else (*kept, None)[number + 1]
            if _is_or_has(bound, lock):
                return True
    return False


def _is_or_has(thing: object, lock: object) -> bool:
    """Whether it is the lock, or a Condition of it."""
    return thing is lock or (isinstance(thing, asyncio.Condition) and lock in vars(thing).values())


# What is outside.


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
