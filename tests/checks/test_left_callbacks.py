"""What a test leaves on a loop that others share: found on each kind of loop, told, taken off it."""

import asyncio
import os
import signal
import socket
import sys

import pytest

from asyncunit import (
    AsyncTestCase,
    AsyncUnitWarning,
    ClassLoopTestCase,
    LeftBehindError,
    ModuleLoopTestCase,
    fixture,
    settings,
)
from asyncunit.checks import findings
from asyncunit.checks.left_callbacks import callbacks_on
from tests.support import python, run, run_module, write

LEFT_FAILS = settings(fail_on=["unhandled_errors", "left_callbacks"])

try:
    import uvloop
except ImportError:
    FACTORIES = [asyncio.SelectorEventLoop]
else:
    FACTORIES = [asyncio.SelectorEventLoop, uvloop.new_event_loop]


def loop():
    return asyncio.get_running_loop()


def texts(result):
    return [str(error) for _, error in result.raised]


def users():
    """What the running loop is to call for others than itself."""
    return [each for each in callbacks_on(loop()) if "Loop" not in repr(each.function) and each.function is not None]


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.__module__.partition(".")[0])
def factory(request):
    return request.param


def test_each_kind_is_found_told_and_taken_off_the_loop(factory):
    left, right = socket.socketpair()

    @LEFT_FAILS
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        async def test_a_reader(self):
            loop().add_reader(left, print)

        async def test_b_writer(self):
            loop().add_writer(right, print)
            loop().add_reader(right, print)
            loop().remove_reader(right)

        async def test_c_timer(self):
            loop().call_later(3600, print)

        async def test_d_signal(self):
            loop().add_signal_handler(signal.SIGUSR1, print)

        async def test_e_callback(self):
            def again():
                asyncio.get_event_loop().call_soon(again)

            again()

        async def test_f_nothing_is_left(self):
            self.assertEqual(users(), [])
            self.assertIs(signal.getsignal(signal.SIGUSR1), signal.SIG_DFL)

    with left, right:
        result = run(Test)
    assert result.passed == ["test_f_nothing_is_left"]
    assert [text.splitlines()[1].partition(" that calls ")[0].rstrip("0123456789") for text in texts(result)] == [
        "  - a reader of the file descriptor ",
        "  - a writer of the file descriptor ",
        "  - a timer",
        "  - a handler of the signal SIGUSR",
        "  - a callback",
    ]


def test_a_reader_of_the_test_goes_and_the_writer_of_its_class_stays(factory):
    left, right = socket.socketpair()

    @LEFT_FAILS
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)
        written = []

        @classmethod
        async def asyncSetUpClass(cls):
            loop().add_writer(left, lambda: (cls.written.append(1), loop().remove_writer(left)))
            loop().remove_writer(left)
            loop().add_writer(left, cls.written.append, 1)

        async def test_1(self):
            loop().add_reader(left, print)

        async def test_2(self):
            self.written.clear()
            await asyncio.sleep(0.001)
            self.assertTrue(self.written)

        @classmethod
        async def asyncTearDownClass(cls):
            loop().remove_writer(left)

    with left, right:
        result = run(Test)
    assert result.errors_by_name == [("test_1", LeftBehindError)]


def test_a_closed_files_reader_does_not_meet_the_next_file_of_its_number(factory):
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        async def test_1(self):
            left, right = socket.socketpair()
            loop().add_reader(left, lambda: None)
            left.close()
            right.close()

        async def test_2(self):
            server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            self.assertEqual(await asyncio.wait_for(reader.read(), 5), b"")
            writer.close()
            server.close()

    with pytest.warns(AsyncUnitWarning, match=r"test_1 .* left behind:\n  - a reader of the file descriptor") as told:
        assert run(Test).passed == ["test_1", "test_2"]
    assert len(told) == 1


def test_the_line_that_made_it_is_told_in_debug_mode(factory):
    @settings(fail_on="left_callbacks", loop_debug=True)
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        async def test_x(self):
            loop().call_later(3600, print)

    assert f"a timer that calls print(), made at {__file__}:" in str(run(Test).only_error())


def test_by_default_it_is_a_warning_that_says_how_to_know_more():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            loop().call_later(3600, texts)

    name = r"tests\.checks\.test_left_callbacks\.texts\(\)"
    with pytest.warns(AsyncUnitWarning, match=rf"a timer that calls {name} \(in .*loop_debug = true"):
        assert run(Test).passed == ["test_x"]


def test_what_asyncio_keeps_for_itself_is_no_finding(factory):
    @LEFT_FAILS
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        async def test_x(self):
            type(self).served = []
            type(self).server = await asyncio.start_server(lambda *streams: self.served.append(streams), "127.0.0.1", 0)
            type(self).streams = await asyncio.open_connection(*self.server.sockets[0].getsockname()[:2])
            type(self).timeout = asyncio.timeout(3600)
            await self.timeout.__aenter__()
            asyncio.ensure_future(asyncio.sleep(3600))

        @classmethod
        async def asyncTearDownClass(cls):
            for _, writer in [cls.streams, *cls.served]:
                writer.close()
            cls.server.close()

    with pytest.warns(
        AsyncUnitWarning, match=r"left behind:\n  - a pending task .*, running asyncio.tasks.sleep"
    ) as told:
        assert run(Test).passed == ["test_x"]
    assert [str(each.message).count("\n  - ") for each in told] == [1]  # the task, and not its timer


def test_what_is_called_by_a_public_method_of_asyncio_is_one():
    @LEFT_FAILS
    class Test(ClassLoopTestCase):
        async def test_x(self):
            loop().call_later(3600, asyncio.Event().set)

    assert "calls asyncio.locks.Event.set()" in str(run(Test).only_error())


def test_a_loop_that_ends_with_the_test_takes_all_with_it():
    @LEFT_FAILS
    class Test(AsyncTestCase):
        async def test_x(self):
            loop().call_later(3600, print)
            await loop().shutdown_default_executor()

    assert run(Test).passed == ["test_x"]


class Pool:
    """Closes what is idle after a time, as pools do."""

    def __init__(self):
        self.timer = None

    def give_back(self):
        self.timer = loop().call_later(3600, self._close_idle)

    def _close_idle(self):
        """Nothing is idle."""


class WithPool:
    @fixture(scope="module")
    async def pool(cls):
        yield Pool()


def test_a_timer_that_something_wider_keeps_is_that_ones():
    @LEFT_FAILS
    class Test(WithPool, ModuleLoopTestCase):
        async def test_1(self):
            self.pool.give_back()

        async def test_2(self):
            self.pool.timer.cancel()
            self.pool.give_back()

        async def test_3(self):
            self.assertFalse(self.pool.timer.cancelled())
            self.pool.timer.cancel()

    assert run(Test).passed == ["test_1", "test_2", "test_3"]


def test_a_timer_is_not_kept_by_what_was_at_its_objects_address_before():
    @LEFT_FAILS
    class Test(ClassLoopTestCase):
        pools = [Pool() for _ in range(100)]
        addresses = set(map(id, pools))

        async def test_1(self):
            for pool in self.pools:
                pool.give_back()

        async def test_2(self):
            while self.pools:
                self.pools.pop().timer.cancel()
            again = [pool for pool in [Pool() for _ in range(1_000)] if id(pool) in self.addresses]
            again[0].give_back()

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_1"], [("test_2", LeftBehindError)])


def test_a_test_that_leaves_a_callback_which_nobody_has_kept_costs_no_search(factory, monkeypatch):
    searches = []
    monkeypatch.setattr(findings._Graph, "referrers", lambda graph: searches.append(graph))
    left, right = socket.socketpair()

    @LEFT_FAILS
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        async def test_timer(self):
            loop().call_later(3600, print)

        async def test_reader(self):
            loop().add_reader(left, print)

        async def test_callback(self):
            def again():
                asyncio.get_event_loop().call_soon(again)

            again()

    with left, right:
        result = run(Test)
    assert (len(result.raised), searches) == (3, [])


def test_a_timer_that_nobody_cancels_is_that_of_the_scope_that_keeps_it():
    @LEFT_FAILS
    class Test(ModuleLoopTestCase):
        async def test_x(self):
            type(self).timer = loop().call_later(3600, print)

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_x"], [("tearDownClass", LeftBehindError)])


def test_the_method_of_something_wider_may_read_for_it():
    class Reader:
        def __init__(self):
            self.left, self.right = socket.socketpair()
            self.read = []

        def open(self):
            loop().add_reader(self.left, self._read)

        def _read(self):
            self.read.append(self.left.recv(100))

    reader = Reader()

    @LEFT_FAILS
    class Test(ClassLoopTestCase):
        own = reader

        async def test_1(self):
            self.own.open()

        async def test_2(self):
            self.own.right.send(b"x")
            await asyncio.sleep(0.01)
            self.assertEqual(self.own.read, [b"x"])

        @classmethod
        async def asyncTearDownClass(cls):
            loop().remove_reader(cls.own.left)

    with reader.left, reader.right:
        assert run(Test).passed == ["test_1", "test_2"]


def test_left_open_names_functions_that_may_stay():
    @settings(fail_on="left_callbacks", left_open=["tests.checks.test_left_callbacks.text*"])
    class Test(ClassLoopTestCase):
        async def test_1(self):
            loop().call_later(3600, texts, None)

        async def test_2(self):
            self.assertEqual(len(users()), 1)

    assert run(Test).passed == ["test_1", "test_2"]


def test_a_class_on_a_wider_loop_is_told_what_it_leaves_and_its_own_timer_is_left_alone():
    result = run_module("""
        def later(delay):
            return asyncio.get_running_loop().call_later(delay, print)

        @asyncunit.settings(fail_on=["left_callbacks"])
        class Test1(asyncunit.ModuleLoopTestCase):
            @classmethod
            async def asyncSetUpClass(cls):
                cls.fired = []
                asyncio.get_running_loop().call_later(0.001, cls.fired.append, 1)
                later(3600)

            async def test_1(self):
                await asyncio.sleep(0.01)
                self.assertEqual(self.fired, [1])
    """)
    assert (result.passed, result.errors_by_name) == (["test_1"], [("tearDownClass", LeftBehindError)])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_works_after_a_test_that_has_left_a_handler_for_it(tmp_path):
    directory = write(
        tmp_path,
        test_it="""
            import asyncio, os, signal
            import asyncunit

            class Test(asyncunit.ClassLoopTestCase):
                async def test_1(self):
                    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, print, "swallowed")

                async def test_2(self):
                    os.kill(os.getpid(), signal.SIGINT)
                    try:
                        await asyncio.sleep(60)
                    finally:
                        print("cancelled")

                async def test_3(self):
                    print("not run")
        """,
    )
    done = python("-m", "unittest", "test_it", cwd=directory)
    assert done.stdout == "cancelled\n"
    assert done.returncode not in (0, 1) or "KeyboardInterrupt" in done.stderr


def test_a_reader_that_raises_at_each_turn_is_one_finding():
    read, write_end = os.pipe()

    class Test(ClassLoopTestCase):
        async def test_x(self):
            os.write(write_end, b"x")
            loop().add_reader(read, lambda: 1 / 0)
            await asyncio.sleep(0.01)
            loop().remove_reader(read)

    text = str(run(Test).only_error())
    os.close(read)
    os.close(write_end)
    assert text.count("  - ") == 1
