"""What the virtual clock costs, beside looptime; and whether anything ever fires early. By hand.

``python -m tests.benchmarks.virtual_clock`` prints the costs; looptime's too, where it is installed.
``python -m tests.benchmarks.virtual_clock soak 10000 4`` runs clients of peers in a thread and in another process, that
often, beside so many processes that use up the machine. The first timeout that comes too early ends it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asyncunit.loops.virtual_clock import virtual_clock_factory

_TURNS = 900
_ROUNDS = 15


async def _turns(seconds: float) -> float:
    """Microseconds for one ``sleep(seconds)``, the least of several rounds."""
    taken = []
    loop: Any = asyncio.get_running_loop()
    for _ in range(_ROUNDS):
        if hasattr(loop, "begin_step"):  # as each test does
            loop.begin_step()
        began = time.perf_counter()
        for _ in range(_TURNS):
            await asyncio.sleep(seconds)
        taken.append((time.perf_counter() - began) / _TURNS * 1e6)
    return min(taken)


async def _with_connections(count: int, measure: Callable[[], Awaitable[float]]) -> float:
    """What is measured while so many idle connections are open, both ends on the loop."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096) as server:
        address = server.sockets[0].getsockname()
        writers = [(await asyncio.open_connection(*address))[1] for _ in range(count)]
        await asyncio.sleep(1)
        figure = await measure()
        for writer in writers:
            writer.close()
            await writer.wait_closed()
        return figure


def _loops() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    loops = {"asyncunit": virtual_clock_factory(None)}
    try:
        import looptime
    except ImportError:
        return loops

    def patched() -> asyncio.AbstractEventLoop:
        loop: Any = looptime.new_event_loop()
        loop.setup_looptime(start=0)
        return loop

    return {**loops, "looptime": patched}


def _run(factory: Callable[[], asyncio.AbstractEventLoop] | None, coroutine: Any) -> Any:
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coroutine)


def costs() -> None:
    """Print microseconds, the real clock first."""
    turn, timer = _run(None, _turns(0)), _run(None, _turns(1e-9))
    print(f"{'real clock, sleep(0)':50} {turn:8.1f}")
    print(f"{'real clock, sleep(1e-9): a timer that is due':50} {timer:8.1f}")
    for name, factory in _loops().items():
        print(f"{name + ', sleep(0)':50} {_run(factory, _turns(0)):8.1f}")
        both = _run(factory, _turns(1))
        print(f"{name + ', sleep(1): a timer and a jump':50} {both:8.1f}")
        print(f"{name + ', the jump alone':50} {both - timer:8.1f}  {(both - timer) / turn:.1f} of a sleep(0)")
    for count in (10, 100, 400):
        for name, factory in _loops().items():
            figure = _run(factory, _with_connections(count, lambda: _turns(1)))
            print(f"{f'{name}, sleep(1), {count} idle connections':50} {figure:8.1f}")


# The soak.


def _answer(listening: socket.socket) -> None:
    while True:
        connection, _ = listening.accept()
        with connection:
            while data := connection.recv(100):
                time.sleep(0.002)
                connection.sendall(data)


def _serve_for_ever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        _answer(listening)


async def _ask(address: Any) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"x")
    await reader.readexactly(1)
    writer.close()
    await writer.wait_closed()


async def _client(address: tuple[str, int], other: tuple[str, int]) -> None:
    """Each step has a timeout that is far longer than it takes; beside it a timer is always due before that."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(10)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(600)
        writer.write(await reader.readexactly(1))
        writer.close()

    beating = asyncio.create_task(beat())
    async with asyncio.timeout(30):  # a peer in a thread, and one in another process
        await _ask(address)
        await _ask(other)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:  # on this loop
        async with asyncio.timeout(600.001):
            await _ask(server.sockets[0].getsockname())
    async with asyncio.timeout(1e-6):
        await asyncio.to_thread(time.sleep, 0.001)
    beating.cancel()


def _burn() -> None:
    while True:
        sum(range(100_000))


def soak(count: int, beside: int) -> None:
    """Run so many clients; the first TimeoutError ends it."""
    fork = multiprocessing.get_context("fork")
    burning = [fork.Process(target=_burn, daemon=True) for _ in range(beside)]
    for process in burning:
        process.start()
    command = [sys.executable, "-c", "from tests.benchmarks import virtual_clock; virtual_clock._serve_for_ever()"]
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        threading.Thread(target=_answer, args=(listening,), daemon=True).start()
        taken = []
        factory = virtual_clock_factory(None)
        for number in range(count):
            began = time.perf_counter()
            _run(factory, _client(listening.getsockname(), ("127.0.0.1", port)))
            taken.append(time.perf_counter() - began)
            if number % 1000 == 999 or number + 1 == count:
                print(
                    f"{number + 1} runs, none with a timeout; {statistics.median(taken) * 1e3:.1f} ms each", flush=True
                )
        server.kill()
    for process in burning:
        process.kill()


if __name__ == "__main__":
    if sys.argv[1:2] == ["soak"]:
        soak(int(sys.argv[2]), int(sys.argv[3]))
    else:
        costs()
