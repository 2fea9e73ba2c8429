"""What real suites do: sync code that runs the loop, handlers that raise, code that shuts all tasks down."""

import signal
import sys

import pytest

from asyncunit import Scope
from tests.support import python, write

SCOPES = [str(scope) for scope in Scope]

SYNC_CODE = """
    import asyncio, os, asyncunit
    class Test(asyncunit.AsyncTestCase):
        loop_scope = os.environ["SCOPE"]
        async def asyncSetUp(self):
            self.running = asyncio.get_running_loop()
            self.queue = asyncio.Queue()
        def setUp(self):
            self.current = asyncio.get_event_loop()
            self.current.run_until_complete(asyncio.sleep(0))
        def test_sync(self):
            self.assertIs(asyncio.get_event_loop(), self.running)
            self.running.run_until_complete(self.queue.put(1))
            self.assertEqual(self.running.run_until_complete(self.queue.get()), 1)
            self.addCleanup(lambda: asyncio.get_event_loop().run_until_complete(asyncio.sleep(0)))
        async def test_async(self):
            self.assertIs(self.current, asyncio.get_running_loop())
        def tearDown(self):
            asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))
        async def asyncTearDown(self):
            await asyncio.sleep(0)
"""

SHUTDOWN = """
    import asyncio, os, asyncunit
    async def shut_down():
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    class Test(asyncunit.AsyncTestCase):
        loop_scope = os.environ["SCOPE"]
        async def asyncSetUp(self):
            self.assertEqual(asyncio.all_tasks(), {asyncio.current_task()})
        async def test_in_a_task_of_its_own(self):
            await asyncio.create_task(shut_down())
        async def test_awaited(self):
            await shut_down()
            self.assertEqual(asyncio.all_tasks(), {asyncio.current_task()})
        async def asyncTearDown(self):
            await shut_down()
"""

ALARM = """
    import asyncio, os, signal, asyncunit
    def handler(*_):
        raise TimeoutError("alarm")
    class Test(asyncunit.AsyncTestCase):
        loop_scope = os.environ["SCOPE"]
        @asyncunit.fixture
        async def value(self):
            yield
            print("fixture down")
        def setUp(self):
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        async def test_a(self):
            try:
                await asyncio.Event().wait()
            finally:
                print("cancelled")
        def tearDown(self):
            signal.setitimer(signal.ITIMER_REAL, 0)
        async def asyncTearDown(self):
            print("torn down")
        async def test_b(self): ...
"""

TAKES_ITS_OWN = """
    import asyncio, os, signal, asyncunit
    class Test(asyncunit.ClassLoopTestCase):
        async def test_a(self):
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                print("taken")
        async def test_b(self):
            print("goes on")
"""

TEAR_DOWNS = """
    import asyncio, time, asyncunit
    class Base:
        @asyncunit.fixture
        async def plain(self):
            yield
            print("down", type(self).__name__)
    class TestCancelled(Base, asyncunit.AsyncTestCase):
        async def test_it(self):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)
    @asyncunit.settings(timeout=0.05)
    class TestLate(asyncunit.AsyncTestCase):
        @asyncunit.fixture
        async def slow(self):
            time.sleep(0.1)
            yield
            print("down", type(self).__name__)
        async def test_it(self): ...
    @asyncunit.settings(timeout=0.05)
    class TestLateSync(asyncunit.AsyncTestCase):
        @asyncunit.fixture
        def slow(self):
            time.sleep(0.1)
            yield
            print("down", type(self).__name__)
        async def test_it(self): ...
    class TestSelf(asyncunit.AsyncTestCase):
        @asyncunit.fixture
        async def cancels(self):
            asyncio.current_task().cancel()
            yield
            print("down", type(self).__name__)
        async def test_it(self): ...
"""

PATCHED = """
    import asyncio, contextvars, os
    from unittest import mock
    import asyncunit
    class Test(asyncunit.AsyncTestCase):
        loop_scope = os.environ["SCOPE"]
        def setUp(self):
            for name in ("asyncio.Task", "asyncio.sleep", "asyncio.current_task", "contextvars.copy_context"):
                patcher = mock.patch(name, side_effect=RuntimeError(name))
                patcher.start()
                self.addCleanup(patcher.stop)
        async def test_it(self):
            asyncio.get_running_loop().create_task(asyncio.Event().wait())
        async def asyncTearDown(self):
            self.assertFalse(asyncio.sleep.called)
"""


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("text", [SYNC_CODE, SHUTDOWN], ids=["sync code", "shutdown"])
def test_sync_code_may_run_the_loop_and_code_may_cancel_all_tasks(tmp_path, text, scope):
    write(tmp_path, test_it=text)
    found = python("-m", "unittest", "test_it", cwd=tmp_path, SCOPE=scope)
    assert (found.returncode, found.stderr.splitlines()[-1]) == (0, "OK"), found.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="has no alarms")
@pytest.mark.parametrize("scope", SCOPES)
def test_what_a_signal_handler_raises_ends_the_step_and_only_that(tmp_path, scope):
    write(tmp_path, test_it=ALARM)
    found = python("-m", "unittest", "test_it", cwd=tmp_path, SCOPE=scope)
    assert found.returncode == 1
    assert "FAILED (errors=1)" in found.stderr
    assert "TimeoutError: alarm" in found.stderr
    assert found.stdout.split("\n")[:3] == ["cancelled", "torn down", "fixture down"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to itself")
def test_a_test_that_takes_its_own_sigint_does_not_end_the_run(tmp_path):
    write(tmp_path, test_it=TAKES_ITS_OWN)
    found = python("-m", "unittest", "test_it", cwd=tmp_path)
    assert (found.returncode, found.stdout.split("\n")[:2]) == (0, ["taken", "goes on"]), found.stderr
    assert found.returncode != -signal.SIGINT


def test_the_tear_down_of_a_fixture_runs_whatever_has_cut_the_first_or_the_test(tmp_path):
    write(tmp_path, test_it=TEAR_DOWNS)
    found = python("-m", "unittest", "test_it", cwd=tmp_path)
    assert "FAILED (errors=4)" in found.stderr
    assert sorted(found.stdout.split("\n")[:-1]) == [
        "down TestCancelled",
        "down TestLate",
        "down TestLateSync",
        "down TestSelf",
    ]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_test_that_patches_asyncio_patches_its_own_code(tmp_path, scope):
    write(tmp_path, test_it=PATCHED)
    found = python("-m", "unittest", "test_it", cwd=tmp_path, SCOPE=scope)
    assert (found.returncode, found.stderr.splitlines()[-1]) == (0, "OK"), found.stderr


ERRORS_AT_CTRL_C = """
import asyncio
import os
import signal
import pytest
import asyncunit

class Context:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        raise ValueError("ERROR OF THE EXIT")

async def interrupt():
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    await asyncio.sleep(10)

class TestCase(asyncunit.AsyncTestCase):
    @asyncunit.fixture
    async def fixture(self):
        yield
        raise ValueError("ERROR OF THE FIXTURE")

    async def asyncTearDown(self):
        raise ValueError("ERROR OF asyncTearDown")

    def tearDown(self):
        raise ValueError("ERROR OF tearDown")

    async def test_1(self):
        await self.enterAsyncContext(Context())
        await interrupt()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to itself")
@pytest.mark.parametrize("runner", ["unittest", "pytest", "pytest -s", "pytest --capture=sys"])
def test_what_tear_down_raises_at_ctrl_c_is_on_the_real_stderr(tmp_path, runner):
    write(tmp_path, test_it=ERRORS_AT_CTRL_C)
    module, *options = runner.split()
    arguments = ["-p", "asyncunit", *options, "test_it.py"] if module == "pytest" else ["test_it"]
    found = python("-m", module, *arguments, cwd=tmp_path)
    assert found.returncode != 0
    for what in ("THE EXIT", "THE FIXTURE", "asyncTearDown", "tearDown"):
        assert f"ValueError: ERROR OF {what}" in found.stderr, found


WIDE_ERRORS_AT_CTRL_C = """
import asyncio
import os
import signal
import asyncunit

async def interrupt():
    asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGINT)
    await asyncio.sleep(10)

async def fail(what):
    raise ValueError(f"ERROR OF {what}")

async def asyncTearDownModule():
    await fail("THE MODULE")

class TestCase(asyncunit.ModuleLoopTestCase):
    @asyncunit.fixture(scope="module")
    async def fixture(cls):
        yield
        await fail("THE FIXTURE")

    async def asyncTearDown(self):
        if self.id().endswith("test_2"):
            await fail("asyncTearDown")

    @classmethod
    async def asyncTearDownClass(cls):
        await fail("THE CLASS")

    async def test_1(self):
        await fail("THE FIRST TEST")

    async def test_2(self):
        if os.environ["TWICE"]:
            self.addAsyncCleanup(interrupt)
        self.addAsyncCleanup(fail, "A CLEANUP")
        await interrupt()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to itself")
@pytest.mark.parametrize("runner", ["unittest", "pytest"])
@pytest.mark.parametrize("twice", [False, True])
def test_ctrl_c_loses_no_error_and_no_summary_where_wide_tear_downs_fail_or_it_comes_again(tmp_path, runner, twice):
    write(tmp_path, test_it=WIDE_ERRORS_AT_CTRL_C)
    arguments = ["-q", "-p", "asyncunit", "test_it.py"] if runner == "pytest" else ["test_it"]
    found = python("-m", runner, *arguments, cwd=tmp_path, TWICE="yes" if twice else "")
    for what in ("asyncTearDown", "A CLEANUP", *(() if twice else ("THE CLASS", "THE MODULE", "THE FIXTURE"))):
        assert found.stderr.count(f"ValueError: ERROR OF {what}\n") == 1, (what, found)
    if runner == "pytest":
        assert found.returncode == pytest.ExitCode.INTERRUPTED
        assert "ValueError: ERROR OF THE FIRST TEST" in found.stdout
        assert "1 failed" in found.stdout
        assert "! KeyboardInterrupt !" in found.stdout
