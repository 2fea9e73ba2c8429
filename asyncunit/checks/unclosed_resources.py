"""What was opened and is still open: sockets, what stands on them, and async generators."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import io
import socket
import sys
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

from asyncunit.checks.findings import Finding, hear, note, outliving, parts_of
from asyncunit.config.settings import Check
from asyncunit.introspection.frames import caller, is_installed
from asyncunit.introspection.tracebacks import is_error
from asyncunit.scopes.open_scope import OpenScope

__unittest = __tracebackhide__ = True  # a traceback that a user reads begins at the user's line

T = TypeVar("T")

Holder = asyncio.BaseTransport | asyncio.AbstractServer

_KINDS = (
    (types.AsyncGeneratorType, "async generator"),
    (asyncio.AbstractServer, "server"),
    (socket.socket, "socket"),
    (io.IOBase, "file"),
)

# What most attributes of a test are, and no file is; asking whether a class is a file's takes long.
_NO_FILES = frozenset({type(None), bool, int, float, str, bytes, list, dict, set, tuple, object})


# What the interpreter says when a socket is made.
_MADE = ("socket.__new__",)


def note_sockets() -> None:
    """Have each socket that is made from now on be known to the scope in whose context that happens."""
    hear(_MADE, _hear)


def _hear(thing: object) -> None:
    if issubclass(type(thing), socket.socket):
        note(Check.UNCLOSED_RESOURCES, thing)


def note_generators() -> None:
    """Have each async generator that begins be known to the scope in whose context it does, until the loop stops."""
    behind = sys.get_asyncgen_hooks().firstiter  # the loop's own

    def begin(generator: AsyncGenerator[Any, Any]) -> None:
        if not _is_librarys(generator):
            note(Check.UNCLOSED_RESOURCES, generator)
        if behind is not None:
            behind(generator)

    sys.set_asyncgen_hooks(firstiter=begin)  # a loop that stops puts back what was there before it ran


def _is_librarys(generator: AsyncGenerator[Any, Any]) -> bool:
    """Whether a library has begun a generator of its own: that is closed by it, at some time."""
    place = caller()
    code = getattr(generator, "ag_code", None)
    return place is not None and code is not None and is_installed(place.filename) and is_installed(code.co_filename)


# What makes transports that stand on no socket; and what does so on uvloop, where none is one of Python's.
_CONNECTS = ("connect_read_pipe", "connect_write_pipe", "subprocess_exec", "subprocess_shell")
_CONNECTS_IN_C = ("create_connection", "create_unix_connection", "create_datagram_endpoint")


def note_transports(loop: asyncio.AbstractEventLoop) -> None:
    """Have each transport that stands on no socket be known to the scope in whose context the loop makes it."""
    if "subprocess_exec" in getattr(loop, "__dict__", ("subprocess_exec",)):
        return
    is_asyncios = isinstance(loop, asyncio.BaseEventLoop)
    if is_asyncios or type(loop).__module__ == "uvloop":
        for name in _CONNECTS if is_asyncios else _CONNECTS + _CONNECTS_IN_C:
            vars(loop)[name] = _noting(getattr(loop, name))


def _noting(connect: Callable[..., Awaitable[tuple[T, object]]]) -> Callable[..., Awaitable[tuple[T, object]]]:
    @functools.wraps(connect)
    async def connect_and_note(*args: Any, **kwargs: Any) -> tuple[T, object]:
        transport, protocol = await connect(*args, **kwargs)
        # Without a caller it is the pipe of a process, whose transport closes it; the socket it is given is known.
        if caller() is not None and kwargs.get("sock") is None:
            with contextlib.suppress(TypeError):  # nothing refers to it weakly: a process of uvloop's
                note(Check.UNCLOSED_RESOURCES, transport)
        return transport, protocol

    return connect_and_note


def left_open(
    owner: OpenScope,
    case: object | None = None,
    attributes: Iterable[object] = (),
    ending: asyncio.AbstractEventLoop | None = None,
) -> list[Any]:
    """What was made in the context of a scope, or is in the ``attributes`` of its test, ``case``, and is open.

    What outlives the scope is handed to the next wider one, but for files, of which nobody knows who has opened them,
    and for what stands on the loop that is ``ending`` with the scope.
    """
    made = owner.things() if owner.made else []
    files = _files_among(attributes) if attributes else []
    left = [thing for thing in [*made, *files] if _is_open(thing)] if made or files else []
    if owner.within is None or not left:
        return left
    kept = [thing for thing in outliving(left, owner, case) if not _stands_on_loop(thing, ending)]
    for thing in kept:
        if not isinstance(thing, io.IOBase):
            owner.within.take(thing, owner.place_of(thing))
    return [thing for thing in left if not any(thing is other for other in kept)]


def _files_among(things: Iterable[object]) -> list[io.IOBase]:
    """The files among the attributes of a test, but for the process's own."""
    files: list[Any] = [
        thing for thing in things if type(thing) not in _NO_FILES and issubclass(type(thing), io.IOBase)
    ]
    if not files:
        return files
    own = (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return [thing for thing in files if not any(thing is each for each in own) and _number_of(thing) > 2]


def _number_of(file: io.IOBase) -> int:
    """The descriptor of a file; -1 for what is none, or is closed."""
    try:
        return file.fileno()
    except (OSError, ValueError):
        return -1


def _is_open(thing: Any) -> bool:
    if isinstance(thing, socket.socket):
        return thing.fileno() != -1
    if isinstance(thing, io.IOBase):
        return _number_of(thing) != -1
    if _is_transport(thing):
        return not thing.is_closing()
    return isinstance(thing, types.AsyncGeneratorType) and thing.ag_frame is not None and not thing.ag_running


def _is_transport(thing: object) -> bool:
    """Whether it is a transport; those of uvloop are not derived from asyncio's."""
    if isinstance(thing, asyncio.BaseTransport):
        return True
    return type(thing).__module__.startswith("uvloop.") and hasattr(thing, "get_extra_info")


def findings_of(owner: OpenScope, things: list[Any]) -> list[Finding]:
    """What the report says of them."""
    found = []
    for thing in things:
        place = owner.place_of(thing)
        made = f", made at {place}" if place is not None else ""
        holder = _holder_of(thing) if isinstance(thing, socket.socket) else None
        what = f"{thing!r}" if holder is None else f"{holder!r} on {thing!r}"
        kind = next((name for cls, name in _KINDS if isinstance(holder or thing, cls)), "transport")
        found.append(Finding(Check.UNCLOSED_RESOURCES, f"an open {kind}{made}: {what}", place))
    return found


async def close(things: list[Any], errors: list[Exception]) -> None:
    """Close them, by what stands on them where there is such. What that raises is put among the errors."""
    generators = [
        asyncio.ensure_future(thing.aclose()) for thing in things if isinstance(thing, types.AsyncGeneratorType)
    ]
    for thing in things:
        if not isinstance(thing, types.AsyncGeneratorType):
            try:
                _close(thing)
            except Exception as error:
                errors.append(error)
    for thing in things:
        if hasattr(thing, "get_returncode"):  # a process, which is killed, and not waited for
            while thing.get_returncode() is None:
                await asyncio.sleep(0.001)
    if generators:
        await asyncio.wait(generators)
    for task in generators:
        raised = None if task.cancelled() else task.exception()
        if is_error(raised, Exception):
            errors.append(raised)


def _close(thing: Any) -> None:
    holder = _holder_of(thing) if isinstance(thing, socket.socket) else thing
    abort = getattr(holder, "abort", None)
    if abort is not None:  # a transport that writes
        abort()
    elif holder is not None:
        holder.close()
    else:
        for remove in (asyncio.get_running_loop().remove_reader, asyncio.get_running_loop().remove_writer):
            with contextlib.suppress(RuntimeError, NotImplementedError):  # a transport has it; not on this loop
                remove(thing)
        thing.close()


def _holder_of(sock: socket.socket) -> Holder | None:
    """The transport or the server that stands on the socket: it refers to it, perhaps in a list."""
    referrers = gc.get_referrers(sock)
    behind = [other for other in referrers if type(other) in (list, dict)]
    others: list[Any] = [*referrers, *(gc.get_referrers(*behind) if behind else ())]
    for other in others:
        if (_is_transport(other) or issubclass(type(other), asyncio.AbstractServer)) and _stands_on(other, sock):
            holder: Holder = other
            return holder
    return None


def _stands_on_loop(thing: Any, loop: asyncio.AbstractEventLoop | None) -> bool:
    if loop is None:  # and there is nothing to search for
        return False
    holder = _holder_of(thing) if isinstance(thing, socket.socket) else thing
    return holder is not None and any(part is loop for part in parts_of(holder))


def _stands_on(holder: Holder, sock: socket.socket) -> bool:
    if isinstance(holder, asyncio.AbstractServer):
        return any(other.fileno() == sock.fileno() for other in getattr(holder, "sockets", ()))
    other = holder.get_extra_info("socket")
    return other is not None and other.fileno() == sock.fileno()
