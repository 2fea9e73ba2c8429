"""Threads, and calls of an executor, that still run when the test that started them ends."""

import asyncio
import concurrent.futures.thread
import queue
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncunit import AsyncTestCase, ClassLoopTestCase, LeftBehindError, settings
from tests.checks.test_left_callbacks import FACTORIES
from tests.support import run

THREADS_FAIL = settings(fail_on="left_threads")


class Gate:
    """What threads wait for; opened when the test of this module is done."""

    def __init__(self):
        self.event = threading.Event()
        self.has_begun = threading.Event()

    def wait(self):
        self.has_begun.set()
        self.event.wait()


@pytest.fixture
def gate():
    gate = Gate()
    before = set(threading.enumerate())
    yield gate
    gate.event.set()
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("asyncunit"):
            thread.join(5)


def test_a_thread_is_told_with_the_lines_that_started_it_and_where_it_is(gate):
    @THREADS_FAIL
    class Test(AsyncTestCase):
        async def test_x(self):
            threading.Thread(target=gate.wait, name="worker").start()

    text = str(run(Test).only_error())
    made = f", made at {__file__}:" if sys.version_info >= (3, 12) else ", now at"
    assert f"a running thread 'worker'{made}" in text
    assert f"now at {__file__}:" in text


def test_a_thread_that_is_about_to_end_is_no_finding(gate):
    @THREADS_FAIL
    class Test(ClassLoopTestCase):
        async def test_x(self):
            def end():
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()

            loop = asyncio.get_running_loop()
            threading.Thread(target=end).start()

    assert run(Test).passed == ["test_x"]


def test_a_thread_that_ends_while_it_is_looked_at_is_no_finding():
    class Ending(threading.Thread):
        def is_alive(self):
            return True

    @THREADS_FAIL
    class Test(ClassLoopTestCase):
        async def test_x(self):
            Ending(target=int).start()

    assert run(Test).passed == ["test_x"]


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__module__.partition(".")[0])
def test_a_call_of_the_loops_executor_is_told_and_an_idle_thread_of_it_is_not(gate, factory):
    @THREADS_FAIL
    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(factory)

        async def test_1(self):
            asyncio.get_running_loop().run_in_executor(None, gate.wait)

        async def test_2(self):
            gate.event.set()
            await asyncio.to_thread(len, "")

        async def test_3(self):
            self.call = asyncio.ensure_future(asyncio.to_thread(gate.wait))
            await self.call

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_2", "test_3"], [("test_1", LeftBehindError)])
    text = str(result.only_error())
    assert f"a call of tests.checks.test_left_threads.Gate.wait() in the loop's executor, made at {__file__}:" in text
    assert f"now at {__file__}:" in text


def test_a_call_that_has_no_lines_of_its_own_is_told_without_a_line_of_asyncunits(gate):
    @THREADS_FAIL
    class Test(ClassLoopTestCase):
        async def test_1(self):
            type(self).lock = threading.Lock()
            self.lock.acquire()
            asyncio.get_running_loop().run_in_executor(None, self.lock.acquire)

        async def test_2(self):
            self.lock.release()

    text = str(run(Test).only_error())
    assert f"now at {concurrent.futures.thread.__file__}:" in text


def test_an_executor_that_was_not_shut_down_is_told_by_its_threads(gate):
    made = []

    @THREADS_FAIL
    class Test(AsyncTestCase):
        async def test_x(self):
            self.executor = ThreadPoolExecutor(1)
            made.append(weakref.ref(self.executor))  # more would hold it beyond the test
            await asyncio.get_running_loop().run_in_executor(self.executor, len, "")

    result = run(Test)
    executor = made[0]()
    assert executor is not None
    executor.shutdown()
    assert "idle, because its executor was not shut down" in str(result.only_error())


def test_the_threads_of_an_executor_of_the_class_are_the_classs():
    @THREADS_FAIL
    class Test(ClassLoopTestCase):
        executor = ThreadPoolExecutor(1)

        async def test_x(self):
            await asyncio.get_running_loop().run_in_executor(self.executor, len, "")

        @classmethod
        def tearDownClass(cls):
            cls.executor.shutdown()

    assert run(Test).passed == ["test_x"]


def test_a_thread_that_a_server_of_the_class_starts_in_its_own_thread_is_not_the_tests(gate):
    class Server:
        def __init__(self):
            self.connections = queue.SimpleQueue()

        def run(self):
            while self.connections.get():
                threading.Thread(target=self.serve).start()

        def serve(self):
            gate.wait()

    @THREADS_FAIL
    class Test(ClassLoopTestCase):
        @classmethod
        def setUpClass(cls):
            cls.server = Server()
            cls.thread = threading.Thread(target=cls.server.run)
            cls.thread.start()

        @classmethod
        def tearDownClass(cls):
            gate.event.set()
            cls.server.connections.put(False)

        async def test_x(self):
            self.server.connections.put(True)
            gate.has_begun.wait()

    result = run(Test)
    assert (result.passed, result.raised) == (["test_x"], [])


@pytest.mark.parametrize(
    "pattern", ["tests.checks.test_left_threads.Gate.*", *(["*.begin"] if sys.version_info >= (3, 12) else [])]
)
def test_left_open_names_functions_whose_threads_may_stay(gate, pattern):
    def begin():
        threading.Thread(target=gate.wait).start()
        gate.has_begun.wait()

    @settings(fail_on="left_threads", left_open=[pattern])
    class Test(AsyncTestCase):
        async def test_x(self):
            begin()

    assert run(Test).passed == ["test_x"]


def test_where_nobody_looks_nothing_is_told(gate):
    class Test(AsyncTestCase):
        async def test_x(self):
            threading.Thread(target=gate.wait).start()

    assert run(Test).passed == ["test_x"]
