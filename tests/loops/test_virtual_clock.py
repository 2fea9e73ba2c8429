"""When the virtual clock moves, and when it must not. (These tests run against a real clock as their one measure.)"""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncunit.errors import DeadlockError
from asyncunit.loops.virtual_clock import hold_clock, virtual_clock_factory
from tests.loops.virtual_loops import HOUR, now, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the virtual clock is for Linux")


@pytest.fixture(scope="module")
def tls():
    """The contexts of a server and of a client that trusts it."""
    certificate = Path(__file__).with_name("certificate.pem")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    return server, ssl.create_default_context(cafile=certificate)


class TestTimers:
    """A timer is due when the clock says so, and the clock jumps to it."""

    def test_the_clock_begins_at_zero_and_an_hour_passes_at_once(self):
        async def main():
            assert now() == 0.0
            await asyncio.sleep(HOUR)
            return now()

        assert run(main()) == HOUR

    def test_seconds_are_whole_nanoseconds(self):
        async def main():
            seen = []
            for seconds in (0.1, 0.2, 0.3, 7.7):
                await asyncio.sleep(seconds)
                seen.append(now())
            return seen

        assert run(main()) == [0.1, 0.3, 0.6, 8.3]

    @pytest.mark.parametrize("seconds", [1e-9, 1e-12, 0.0, 5e-324])
    def test_however_short_a_sleep_is_it_ends(self, seconds):
        async def main():
            for _ in range(100):
                await asyncio.sleep(seconds)
            return now()

        assert run(main()) <= 100 * (seconds + 1e-9)

    @pytest.mark.parametrize("start", [2.0**22 - 1, 2.0**23, 2.0**24 - 0.1, 2.0**24, 400 * 86_400.0, 1.8e9])
    def test_floats_are_coarse_after_half_a_year_and_timers_still_come(self, start):
        async def main():
            await asyncio.sleep(start)
            before = now()
            for seconds in (1e-9, 0.0, 1e-6, 0.1, 0.001, 1.0):
                await asyncio.sleep(seconds)
            for _ in range(50):
                async with asyncio.timeout(9):
                    await asyncio.sleep(0.1)
            return now() - before

        assert run(main()) == pytest.approx(6.101001, abs=0.05)

    def test_timers_come_in_their_order_whoever_sets_them(self):
        async def main():
            seen, loop = [], asyncio.get_running_loop()

            async def sleep(seconds):
                await asyncio.sleep(seconds)
                seen.append((seconds, now()))

            async with asyncio.TaskGroup() as group:
                for seconds in (3, 1, 2, 1):
                    group.create_task(sleep(seconds))
            loop.call_at(now() + 5, seen.append, "call_at")
            loop.call_later(4, seen.append, "call_later")
            await asyncio.sleep(6)
            return seen

        assert run(main()) == [(1, 1.0), (1, 1.0), (2, 2.0), (3, 3.0), "call_later", "call_at"]

    def test_timeouts_are_of_this_clock(self):
        async def main():
            async with asyncio.timeout(9):
                await asyncio.sleep(8)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await asyncio.sleep(9)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 5)
            return now()

        assert run(main()) == 14.0

    def test_code_takes_no_time(self):
        async def main():
            time.sleep(0.05)  # the work of a slow machine
            await asyncio.sleep(0)
            async with asyncio.timeout(1e-6):
                for _ in range(2000):
                    await asyncio.sleep(0)
            return now()

        assert run(main()) == 0.0

    def test_a_task_that_is_ready_keeps_the_clock_still(self):
        async def main():
            fired = []
            asyncio.get_running_loop().call_later(0.001, fired.append, 1)
            for _ in range(10_000):
                await asyncio.sleep(0)
            return list(fired)

        assert run(main()) == []

    def test_cancelled_timers_are_not_jumped_to(self):
        async def main():
            loop = asyncio.get_running_loop()
            for handle in [loop.call_later(10, pytest.fail, "it was cancelled") for _ in range(500)]:
                handle.cancel()
            await asyncio.sleep(50)
            return now()

        assert run(main()) == 50.0

    def test_a_loop_that_is_run_again_goes_on_where_it_stopped(self):
        with asyncio.Runner(loop_factory=virtual_clock_factory(None)) as runner:
            runner.run(asyncio.sleep(HOUR))
            runner.run(asyncio.sleep(HOUR))
            assert runner.get_loop().time() == 2 * HOUR


class TestThreads:
    """What threads do for a loop holds its clock."""

    def test_a_call_in_the_executor_takes_no_time(self):
        async def main():
            async with asyncio.timeout(0.01):
                assert await asyncio.to_thread(_slow, 0.2) == "done"
            return now()

        assert run(main()) == 0.0

    def test_so_does_one_in_an_executor_of_the_users_own(self):
        async def main():
            with ThreadPoolExecutor() as pool:
                async with asyncio.timeout(0.01):
                    await asyncio.get_running_loop().run_in_executor(pool, _slow, 0.1)
                await asyncio.sleep(HOUR)  # its idle thread does not hold the clock
            return now()

        assert run(main()) == HOUR

    def test_from_one_second_on_time_passes_as_it_really_does(self):
        async def main():
            blocked = threading.Event()
            try:
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await asyncio.to_thread(blocked.wait)
                return time.monotonic() - began
            finally:
                blocked.set()

        assert 1.25 < run(main()) < 10

    def test_a_heartbeat_does_not_starve_a_timeout(self):
        async def main():
            loop, blocked = asyncio.get_running_loop(), threading.Event()

            def beat():
                while not blocked.wait(0.01):
                    loop.call_soon_threadsafe(int)

            thread = threading.Thread(target=beat)
            thread.start()
            try:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await asyncio.to_thread(blocked.wait)
            finally:
                blocked.set()
                thread.join()

        run(main())

    def test_a_timer_set_after_waiting_is_not_due_at_once(self):
        async def main():
            """A peer's heartbeat comes after a while; the time until then is not taken from what is set next."""
            loop, done = asyncio.get_running_loop(), asyncio.Event()

            def answer():
                time.sleep(0.3)
                loop.call_soon_threadsafe(beat.set_result, None)
                time.sleep(0.2)
                loop.call_soon_threadsafe(done.set)

            beat = loop.create_future()
            thread = threading.Thread(target=answer)
            thread.start()
            async with asyncio.timeout(60):
                await beat
                async with asyncio.timeout(0.25 + 1):
                    await done.wait()
            thread.join()

        run(main())

    def test_a_thread_that_was_started_in_the_loop_holds_it(self):
        async def main():
            loop, future = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()
            thread = threading.Thread(target=lambda: (_slow(0.2), loop.call_soon_threadsafe(future.set_result, None)))
            thread.start()
            async with asyncio.timeout(60):
                await future
            thread.join()
            await asyncio.sleep(HOUR)
            return now()

        assert HOUR < run(main()) < HOUR + 10

    def test_a_thread_from_before_the_loop_does_not_hold_it(self):
        ended = threading.Event()
        thread = threading.Thread(target=ended.wait)
        thread.start()
        try:
            run(asyncio.sleep(HOUR))
        finally:
            ended.set()
            thread.join()

    def test_a_thread_that_ends_without_a_word_lets_the_clock_go(self):
        async def main():
            threading.Thread(target=_slow, args=(0.1,)).start()
            await asyncio.sleep(HOUR)

        run(main())

    def test_hold_clock_in_a_thread_stands_still(self):
        ready, told = threading.Event(), []

        def work():  # a thread from before the loop: only hold_clock() tells of it
            with hold_clock("the device"):
                ready.set()
                _slow(0.2)
                told[0].call_soon_threadsafe(told[1].set_result, None)

        async def main():
            loop = asyncio.get_running_loop()
            told[:] = [loop, loop.create_future()]
            async with asyncio.timeout(0.001):
                await told[1]
            return now()

        thread = threading.Thread(target=work)
        thread.start()
        ready.wait()
        assert run(main()) == 0.0
        thread.join()

    def test_a_released_clock_goes_on_at_once(self):
        async def main():
            with hold_clock("nothing"):
                await asyncio.sleep(0)
            await asyncio.sleep(HOUR)
            return now()

        assert run(main()) == HOUR

    def test_the_end_of_the_executor_is_waited_for(self):
        async def main():
            loop = asyncio.get_running_loop()
            task = asyncio.create_task(asyncio.to_thread(_slow, 0.1))
            await asyncio.sleep(0)
            async with asyncio.timeout(0.001):
                await loop.shutdown_default_executor()
            await task
            return now()

        assert run(main()) == 0.0

    def test_names_are_looked_up_in_no_time(self):
        async def main():
            async with asyncio.timeout(1e-6):
                await asyncio.get_running_loop().getaddrinfo("localhost", 80)

        run(main())


class TestConnections:
    """Both ends on one loop: nothing is in flight. One end elsewhere: it may answer at any time."""

    def test_an_idle_connection_within_the_loop_does_not_hold_it(self):
        async def main():
            async def serve(reader, writer):
                while line := await reader.readline():
                    await asyncio.sleep(100)
                    writer.write(line)
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                reader, writer = await asyncio.open_connection(*_address(server))
                for _ in range(50):
                    writer.write(b"x\n")
                    async with asyncio.timeout(101):
                        assert await reader.readline() == b"x\n"
                    await asyncio.sleep(HOUR)
                writer.write(b"x\n")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(99):
                        await reader.readline()
                ended = now()
                await _close(writer)
            return ended

        assert run(main()) == 50 * (100 + HOUR) + 99

    @pytest.mark.parametrize("wait_first", [False, True])
    def test_thirty_megabytes_through_a_slow_reader(self, wait_first):
        async def main():
            received = asyncio.get_running_loop().create_future()

            async def serve(reader, writer):
                await asyncio.sleep(HOUR)  # the reader's transport is paused meanwhile
                received.set_result(len(await reader.read()))
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                _, writer = await asyncio.open_connection(*_address(server))
                if wait_first:
                    await asyncio.sleep(HOUR / 2)
                writer.write(b"x" * 30_000_000)
                await writer.drain()
                writer.write_eof()
                count = await received
                await _close(writer)
            return count, now()

        assert run(main()) == (30_000_000, HOUR)

    def test_a_big_transfer_takes_no_time(self):
        async def main():
            async def serve(reader, writer):
                writer.write(b"y" * 30_000_000)
                await writer.drain()
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                async with asyncio.timeout(0.001):
                    reader, writer = await asyncio.open_connection(*_address(server))
                    count = len(await reader.read())
                await _close(writer)
            return count

        assert run(main()) == 30_000_000

    def test_nagle_keeps_nothing_back(self):
        """Small writes on a socket without TCP_NODELAY would be kept for 40 ms, in which no loop sees them."""

        async def main():
            async def serve(reader, writer):
                for _ in range(3):
                    writer.write(await reader.readexactly(1))
                    writer.write(b"-")
                    await asyncio.sleep(0)
                writer.close()

            listening = socket.create_server(("127.0.0.1", 0))  # asyncio knows only sockets with proto == IPPROTO_TCP
            async with await asyncio.start_server(serve, sock=listening) as server:
                client = socket.create_connection(_address(server))
                reader, writer = await asyncio.open_connection(sock=client)
                async with asyncio.timeout(0.001):
                    for _ in range(3):
                        writer.write(b"x")
                        assert await reader.readexactly(2) == b"x-"
                await _close(writer)
            return now()

        assert run(main()) == 0.0

    def test_both_families_and_a_server_of_both(self):
        async def main():
            async def serve(reader, writer):
                writer.write(await reader.readline())
                writer.close()

            listening = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
            async with await asyncio.start_server(serve, sock=listening) as server:
                for host in ("::1", "127.0.0.1"):
                    reader, writer = await asyncio.open_connection(host, _address(server)[1])
                    await asyncio.sleep(HOUR)
                    writer.write(b"a\n")
                    assert await reader.read() == b"a\n"
                    await _close(writer)
            return now()

        if not socket.has_dualstack_ipv6():
            pytest.skip("no IPv6 here")
        assert run(main()) == 2 * HOUR

    def test_unix_sockets(self, tmp_path):
        async def main():
            async def serve(reader, writer):
                writer.write(await reader.readline())
                writer.close()

            async with await asyncio.start_unix_server(serve, tmp_path / "socket"):
                reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
                await asyncio.sleep(HOUR)
                writer.write(b"a\n")
                assert await reader.read() == b"a\n"
                await _close(writer)
            return now()

        assert run(main()) == HOUR

    def test_a_pair_of_sockets(self):
        async def main():
            one, two = socket.socketpair()
            _, writer = await asyncio.open_connection(sock=one)
            other_reader, other_writer = await asyncio.open_connection(sock=two)
            await asyncio.sleep(HOUR)
            writer.write(b"q\n")
            assert await other_reader.readline() == b"q\n"
            await _close(writer)
            await _close(other_writer)
            return now()

        assert run(main()) == HOUR

    def test_a_pair_of_which_a_child_process_has_the_other_end(self):
        """Its credentials are those of this process, which has made it."""
        one, two = socket.socketpair()
        child = subprocess.Popen(
            [sys.executable, "-c", "import sys,time; time.sleep(.3); sys.stdout.write('ok'); sys.stdout.flush()"],
            stdout=two,
        )
        two.close()

        async def main():
            reader, writer = await asyncio.open_connection(sock=one)
            async with asyncio.timeout(60):
                assert await reader.read() == b"ok"
            await _close(writer)

        run(main())
        assert child.wait() == 0

    def test_a_socket_that_is_accepted_and_not_watched_yet(self):
        async def main():
            loop = asyncio.get_running_loop()
            with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
                listening.setblocking(False)
                client.setblocking(False)

                async def serve():
                    connection, _ = await loop.sock_accept(listening)
                    with connection:
                        await asyncio.sleep(HOUR)  # nobody watches the connection
                        await loop.sock_sendall(connection, b"hi")

                task = asyncio.create_task(serve())
                async with asyncio.timeout(HOUR + 1):
                    await loop.sock_connect(client, listening.getsockname())
                    assert await loop.sock_recv(client, 10) == b"hi"
                await task
            return now()

        assert run(main()) == HOUR

    def test_a_server_in_a_thread(self):
        listening = socket.create_server(("127.0.0.1", 0))
        thread = threading.Thread(target=_answer_late, args=(listening,))
        thread.start()
        run(_ask(listening.getsockname()))
        thread.join()

    def test_a_server_in_another_process(self):
        code = (
            "import socket, time\n"
            "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
            "c, _ = s.accept(); c.recv(9); time.sleep(.3); c.send(b'ok')"
        )
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
            port = int(child.stdout.readline())
            run(_ask(("127.0.0.1", port)))

    def test_a_child_process_that_connects_later(self):
        """Only a listening socket is watched, and yet something is in flight: the process was started for it."""

        async def main():
            called = asyncio.Event()

            async def serve(reader, writer):
                called.set()
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                code = f"import socket, time; time.sleep(.2); socket.create_connection({_address(server)!r})"
                with subprocess.Popen([sys.executable, "-c", code]):
                    async with asyncio.timeout(60):
                        await called.wait()

        run(main())

    def test_a_subprocess_of_asyncios(self):
        async def main():
            async with asyncio.timeout(60):
                code = "import time; time.sleep(.2); print('hi')"
                child = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
                assert await child.communicate() == (b"hi\n", None)
                child = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(.2)")
                assert await child.wait() == 0
            await asyncio.sleep(HOUR)
            return now()

        assert HOUR <= run(main()) < HOUR + 30

    def test_a_child_process_by_shell_whose_watcher_uses_nothing_that_is_watched(self):
        async def main():
            child = await asyncio.create_subprocess_shell("sleep 0.2")
            async with asyncio.timeout(60):
                await child.wait()

        run(main())

    def test_a_connection_that_is_refused(self):
        async def main():
            with socket.create_server(("127.0.0.1", 0)) as closed:
                address = closed.getsockname()
            with pytest.raises(ConnectionRefusedError):
                async with asyncio.timeout(1):
                    await asyncio.open_connection(*address)

        run(main())

    def test_a_datagram_socket_answers_late(self):
        peer = socket.socket(type=socket.SOCK_DGRAM)
        peer.bind(("127.0.0.1", 0))

        def answer():
            _, address = peer.recvfrom(10)
            _slow(0.2)
            peer.sendto(b"ok", address)

        async def main():
            loop = asyncio.get_running_loop()
            answered = loop.create_future()

            class Protocol(asyncio.DatagramProtocol):
                def datagram_received(self, data, address):
                    answered.set_result(data)

            transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
            transport.sendto(b"x", peer.getsockname())
            async with asyncio.timeout(60):
                assert await answered == b"ok"
            transport.close()

        thread = threading.Thread(target=answer)
        thread.start()
        run(main())
        thread.join()
        peer.close()

    def test_a_signal_timer_for_a_handler_of_the_loops(self):
        async def main():
            loop = asyncio.get_running_loop()
            rung = asyncio.Event()
            loop.add_signal_handler(signal.SIGALRM, rung.set)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            async with asyncio.timeout(60):
                await rung.wait()
            loop.remove_signal_handler(signal.SIGALRM)

        run(main())

    def test_tls_takes_no_time(self, tls):
        server_context, client_context = tls

        async def main():
            async def serve(reader, writer):
                while line := await reader.readline():
                    await asyncio.sleep(HOUR)
                    writer.write(line)
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_context) as server:
                async with asyncio.timeout(0.001):
                    reader, writer = await asyncio.open_connection(
                        *_address(server), ssl=client_context, server_hostname="localhost"
                    )
                for _ in range(10):
                    writer.write(b"x\n")
                    async with asyncio.timeout(HOUR + 0.001):
                        assert await reader.readline() == b"x\n"
                await _close(writer)
            return now()

        assert run(main()) == 10 * HOUR

    def test_clock_quiet_ends_what_an_idle_peer_holds(self):
        with socket.create_server(("127.0.0.1", 0)) as outside:

            async def main():
                _, writer = await asyncio.open_connection(*outside.getsockname())
                for _ in range(3):
                    await asyncio.sleep(HOUR)
                await _close(writer)
                return now()

            assert run(main(), quiet=0.02) == 3 * HOUR

    def test_what_held_the_clock_is_counted(self):
        with socket.create_server(("127.0.0.1", 0)) as outside:

            async def main():
                _, writer = await asyncio.open_connection(*outside.getsockname())
                await asyncio.sleep(0.2)
                await _close(writer)
                return asyncio.get_running_loop().virtual_time.held

            held = run(main())
        assert [what.startswith("a connection to 127.0.0.1:") for what in held] == [True]
        assert held.popitem()[1] > 0.19


def test_a_suite_of_clients_and_a_server_has_one_trace():
    async def main():
        trace = []

        async def serve(reader, writer):
            while line := await reader.readline():
                trace.append(("server", now(), line))
                if len(line) % 2:
                    await asyncio.sleep(len(line) / 10)
                writer.write(line)
            writer.close()

        async def client(number, address):
            for attempt in range(3):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(b"x" * (number + attempt) + b"\n")
                try:
                    async with asyncio.timeout(0.45):
                        await reader.readline()
                        trace.append((number, now(), "answer"))
                except TimeoutError:
                    trace.append((number, now(), "timeout"))
                    await asyncio.sleep(2**attempt)
                await _close(writer)

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            async with asyncio.TaskGroup() as group:
                for number in range(5):
                    group.create_task(client(number, _address(server)))
        return trace

    traces = {str(run(main())) for _ in range(200)}
    assert len(traces) == 1
    assert "timeout" in traces.pop()


def test_a_jump_does_not_look_at_idle_connections(monkeypatch):
    from asyncunit.loops import deadlock as outside

    async def main():
        async def serve(reader, writer):
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            writers = [(await asyncio.open_connection(*_address(server)))[1] for _ in range(100)]
            await asyncio.sleep(1)
            with monkeypatch.context() as patch:
                patch.setattr(outside, "end_of", lambda fd: pytest.fail("a jump looked at a socket"))
                for _ in range(10):
                    await asyncio.sleep(HOUR)
            for writer in writers:
                await _close(writer)

    run(main())


class TestReport:
    """What is said of a step that ends by its timeout."""

    def test_it_counts_from_the_step_on(self):
        async def main():
            loop = asyncio.get_running_loop()
            await asyncio.sleep(5)
            loop.begin_step()
            await asyncio.sleep(HOUR)
            await asyncio.sleep(HOUR)
            return loop.describe_time()

        assert run(main()) == "By the virtual clock 7,200 seconds passed, in 2 jumps."

    def test_it_names_the_timer_that_fired_most(self):
        async def beat():
            while True:
                await asyncio.sleep(1)

        async def main():
            loop = asyncio.get_running_loop()
            loop.begin_step()
            task = asyncio.create_task(beat())
            async with asyncio.timeout(1e9):
                for _ in range(200):
                    await asyncio.sleep(10)
            task.cancel()
            text = loop.describe_time()
            loop.begin_step()
            assert "call_at" not in vars(loop)
            return text

        assert "were set by TestReport.test_it_names_the_timer_that_fired_most.<locals>.beat()" in run(main())


class TestDeadlock:
    """What nothing can wake ends at once; what something may wake waits."""

    def test_a_wait_that_nothing_can_end(self):
        async def main():
            await asyncio.Queue().get()

        began = time.monotonic()
        with pytest.raises(DeadlockError, match=r"Queue\.get\(\), at .*test_virtual_clock\.py"):
            run(main())
        assert time.monotonic() - began < 5  # it is 0.05 by itself

    def test_a_server_and_an_idle_connection_within_the_loop_wake_nobody(self):
        async def main():
            async def serve(reader, writer):
                try:
                    await reader.read()
                finally:
                    writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                reader, writer = await asyncio.open_connection(*_address(server))
                try:
                    await reader.readline()
                finally:
                    writer.close()

        with pytest.raises(DeadlockError, match=r"StreamReader\.readline\(\)"):
            run(main())

    @pytest.mark.parametrize("when", ["before", "within"])
    def test_not_while_another_thread_is_alive(self, when):
        loops = []

        def work():
            while not loops:
                _slow(0.01)
            _slow(0.2)
            loops[0].call_soon_threadsafe(loops[1].set_result, "woken")

        async def main():
            loop = asyncio.get_running_loop()
            loops[:] = [loop, loop.create_future()]
            if when == "within":
                thread.start()
            return await loops[1]

        thread = threading.Thread(target=work)
        if when == "before":
            thread.start()
        assert run(main()) == "woken"
        thread.join()

    def test_but_once_the_thread_has_ended(self):
        async def main():
            threading.Thread(target=_slow, args=(0.1,)).start()
            await asyncio.Event().wait()

        with pytest.raises(DeadlockError):
            run(main())

    def test_not_while_a_signal_timer_is_set(self):
        class AlarmError(Exception):
            pass

        def ring(number, frame):
            raise AlarmError

        async def main():
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            await asyncio.Event().wait()

        before = signal.signal(signal.SIGALRM, ring)
        try:
            with pytest.raises(AlarmError):
                run(main())
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_not_while_a_signal_handler_is_set(self):
        async def main():
            loop, called = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, called.set)
            await called.wait()
            loop.remove_signal_handler(signal.SIGUSR1)

        thread = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
        thread.name = "asyncunit-watchdog"  # so that it is not the thread that it waits for
        thread.start()
        run(main())
        thread.join()

    def test_not_while_a_connection_is_open_to_the_outside(self):
        with socket.create_server(("127.0.0.1", 0)) as outside:

            async def main():
                reader, writer = await asyncio.open_connection(*outside.getsockname())
                connection, _ = outside.accept()
                thread = threading.Timer(0.2, connection.close)
                thread.name = "asyncunit-watchdog"
                thread.start()
                assert await reader.read() == b""
                thread.join()
                await _close(writer)

            run(main())


def _slow(seconds):
    time.sleep(seconds)  # what is tested is that real time passes
    return "done"


def _answer_late(listening):
    with listening:
        connection, _ = listening.accept()
        with connection:
            connection.recv(10)
            _slow(0.3)
            connection.send(b"ok")


async def _ask(address):
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"x")
        assert await reader.read() == b"ok"
    await _close(writer)


def _address(server):
    return server.sockets[0].getsockname()[:2]


async def _close(writer):
    writer.close()
    await writer.wait_closed()
