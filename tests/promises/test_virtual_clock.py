"""``clock = "virtual"``, under unittest and under pytest."""

import re
import sys

import pytest

from tests.support import python, write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the virtual clock is for Linux")


@pytest.fixture(params=["unittest", "pytest"])
def report_of(request, tmp_path):
    """What a runner prints of a module with a text, and whether all was well."""

    def run(source, *arguments, **environ):
        write(tmp_path, test_it=f"import asyncio, os, socket, sys, threading, time\nimport asyncunit\n{source}")
        if request.param == "pytest":
            command = ("-m", "pytest", "-q", "-p", "asyncunit", "-p", "no:cacheprovider", *arguments, "test_it.py")
        else:
            command = ("-m", "asyncunit", "test_it")
        done = python(*command, cwd=tmp_path, **environ)
        return done.returncode, done.stdout + done.stderr

    return run


def test_hooks_fixtures_and_tests_of_all_scopes(report_of):
    status, report = report_of("""
from asyncunit import load_tests
asyncunit_settings = asyncunit.settings(clock="virtual")
HOUR = 3600

async def asyncSetUpModule():
    await asyncio.sleep(HOUR)
    asyncunit.addAsyncModuleCleanup(asyncio.sleep, HOUR)

class Mixin:
    @asyncunit.fixture(scope="class")
    async def server(cls):
        await asyncio.sleep(HOUR)
        yield asyncio.get_running_loop().time()
        await asyncio.sleep(HOUR)

    @asyncunit.fixture
    async def client(self, server):
        await asyncio.sleep(HOUR)
        yield asyncio.get_running_loop().time()
        await asyncio.sleep(HOUR)

class TestIt(Mixin, asyncunit.AsyncTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        await asyncio.sleep(HOUR)
        cls.addAsyncClassCleanup(asyncio.sleep, HOUR)

    async def asyncSetUp(self):
        await asyncio.sleep(HOUR)
        self.addAsyncCleanup(asyncio.sleep, HOUR)

    @asyncunit.parametrize("hours", [1, 24 * 365])
    async def test_hours(self, hours):
        async with asyncio.timeout(hours * HOUR + 1):
            await asyncio.sleep(hours * HOUR)
        assert self.client - self.server >= HOUR
        assert asyncio.get_running_loop().time() > hours * HOUR

    async def test_code_takes_no_time(self):
        began = asyncio.get_running_loop().time()
        time.sleep(0.01)
        await asyncio.to_thread(time.sleep, 0.01)
        assert asyncio.get_running_loop().time() == began
""")
    assert status == 0, report


def test_it_is_configured_wherever_keys_are(report_of):
    source = """
class TestIt(asyncunit.AsyncTestCase):
    async def test_hour(self):
        await asyncio.sleep(3600)

@asyncunit.settings(clock="real")
class TestReal(asyncunit.AsyncTestCase):
    async def test_now(self):
        assert asyncio.get_running_loop().time() == __import__("pytest").approx(time.monotonic(), abs=60)
"""
    status, report = report_of(source, ASYNCUNIT_CLOCK="virtual")
    assert status == 0, report


def test_two_clocks_of_one_scope_are_two_loops(report_of):
    status, report = report_of("""
loops = set()

@asyncunit.settings(clock="virtual")
class TestA(asyncunit.ModuleLoopTestCase):
    async def test(self):
        loops.add(asyncio.get_running_loop())

@asyncunit.settings(clock="virtual")
class TestB(TestA):
    pass

class TestC(asyncunit.ModuleLoopTestCase):
    async def test(self):
        loops.add(asyncio.get_running_loop())
        assert len(loops) == 2

@asyncunit.settings(clock="virtual", clock_quiet=0.5)
class TestD(asyncunit.ModuleLoopTestCase):
    async def test(self):
        loops.add(asyncio.get_running_loop())
        assert len(loops) == 3
""")
    assert status == 0, report


def test_a_method_has_the_clock_of_its_class(report_of):
    status, report = report_of("""
class TestIt(asyncunit.AsyncTestCase):
    @asyncunit.settings(clock="virtual")
    async def test(self):
        pass
""")
    assert status
    assert "TestIt.test has the setting clock: a single method cannot have it" in report


def test_a_factory_that_cannot_have_it_is_an_error_with_the_fix(report_of):
    status, report = report_of("""
@asyncunit.settings(clock="virtual")
class TestIt(asyncunit.AsyncTestCase):
    @staticmethod
    def loop_factory():
        return asyncio.SelectorEventLoop()

    async def test(self):
        pass
""")
    assert status
    assert "ConfigurationError: clock = 'virtual' cannot be given to the loops of loop_factory" in report
    assert "Set loop_factory to a class, asyncio.SelectorEventLoop or one derived from it" in report


def test_what_nothing_can_wake_ends_with_what_each_task_waits_for(report_of):
    status, report = report_of("""
@asyncunit.settings(clock="virtual", timeout=30)
class TestIt(asyncunit.ClassLoopTestCase):
    torn_down = []

    async def asyncTearDown(self):
        await asyncio.sleep(3600)
        self.torn_down.append(self.id())

    async def transfer(self, source, target):
        async with source:
            await asyncio.sleep(1)
            async with target:
                pass

    async def test_a_deadlock(self):
        one, two = asyncio.Lock(), asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.transfer(one, two), name="there")
            group.create_task(self.transfer(two, one), name="back")

    async def test_b_wait_for_each_other(self):
        tasks = []
        async def wait(number):
            await tasks[number]
        tasks += [asyncio.create_task(wait(1)), asyncio.create_task(wait(0))]
        await tasks[0]

    async def test_c_refuses_to_end(self):
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass

    async def test_d_goes_on(self):
        assert len(self.torn_down) >= 1
        await asyncio.sleep(3600)
""")
    assert status
    assert re.search(
        r"DeadlockError: test_a_deadlock \(.*: TestIt\.test_a_deadlock\(\) can never end: no task is", report
    )
    assert re.search(
        r"- task 'back', running .*transfer\(\) waits in async with Lock, held by 'there', at .*:\d+", report
    )
    assert re.search(r"'there' --- async with Lock, held by ---> 'back'", report)
    assert report.count("It refuses to end: it was cancelled, and is still going on.") >= 2
    assert "test_d_goes_on" not in report
    assert "RecursionError" not in report


def test_a_hook_a_cleanup_and_a_wider_fixture_that_nothing_can_wake(report_of):
    status, report = report_of("""
@asyncunit.settings(clock="virtual")
class TestSetUp(asyncunit.ClassLoopTestCase):
    @classmethod
    async def asyncSetUpClass(cls):
        await asyncio.Queue().get()

    async def test(self):
        pass

@asyncunit.settings(clock="virtual")
class TestCleanUp(asyncunit.AsyncTestCase):
    async def test(self):
        self.addAsyncCleanup(asyncio.Event().wait)

@asyncunit.settings(clock="virtual")
class TestFixture(asyncunit.AsyncTestCase):
    @asyncunit.fixture(scope="module")
    async def server(cls):
        yield
        await asyncio.Event().wait()

    async def test(self):
        pass
""")
    assert status
    assert "asyncSetUpClass() can never end" in report
    assert "Event.wait() can never end" in report
    assert "the tear-down of the fixture" in report
    assert report.count("DeadlockError: ") >= 3


def test_a_timeout_is_real_time_and_says_what_the_clock_did(report_of):
    status, report = report_of("""
@asyncunit.settings(clock="virtual", timeout=0.3)
class TestIt(asyncunit.AsyncTestCase):
    async def test_hours(self):
        await asyncio.sleep(1e6)

    async def test_for_ever(self):
        async def beat():
            while True:
                await asyncio.sleep(60)
        await asyncio.create_task(beat())
""")
    assert status
    assert "test_hours" not in report
    assert "test_for_ever() did not end within its timeout of 0.3 seconds." in report
    found = re.search(
        r"By the virtual clock [\d,.]+ seconds passed, in [\d,]+ jumps. Of the last ([\d,]+) timers that fired, "
        r"([\d,]+) were set by TestIt.test_for_ever.<locals>.beat\(\).",
        report,
    )
    assert found, report
    assert found[1] == found[2]


def test_with_the_real_clock_a_timeout_draws_who_waits_for_each_other(report_of):
    status, report = report_of("""
import asyncunit.loops.loop
asyncunit.loops.loop.CLOSE_TIMEOUT = 0.1  # for the second of the tests cannot be cancelled either

@asyncunit.settings(timeout=0.2)
class TestIt(asyncunit.AsyncTestCase):
    async def nested(self, first, second):
        async with first:
            await asyncio.sleep(0)
            async with second:
                pass

    async def test_deadlock(self):
        one, two = asyncio.Lock(), asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.nested(one, two), name="there")
            group.create_task(self.nested(two, one), name="back")

    async def test_wait_for_each_other(self):
        tasks = []
        async def wait(number):
            await tasks[number]
        tasks += [asyncio.create_task(wait(1)), asyncio.create_task(wait(0))]
        await tasks[0]
""")
    assert status
    assert "These wait for each other, so none of them can go on:\n" in report
    assert "'there' --- async with Lock, held by ---> 'back'" in report
    assert "TestIt.test_wait_for_each_other() did not end within its timeout of 0.2 seconds" in report


def test_what_held_the_clock_for_long_is_a_warning(report_of):
    status, report = report_of("""
@asyncunit.settings(clock="virtual")
class TestIt(asyncunit.AsyncTestCase):
    async def test_idle(self):
        with socket.create_server(("127.0.0.1", 0)) as outside:
            reader, writer = await asyncio.open_connection(*outside.getsockname())
            await asyncio.sleep(1.1)
            writer.close()
            await writer.wait_closed()

@asyncunit.settings(clock="virtual", clock_quiet=0.02)
class TestQuiet(asyncunit.AsyncTestCase):
    async def test_quiet(self):
        with socket.create_server(("127.0.0.1", 0)) as outside:
            reader, writer = await asyncio.open_connection(*outside.getsockname())
            await asyncio.sleep(1000)
            writer.close()
            await writer.wait_closed()
""")
    assert status == 0, report
    assert "AsyncUnitWarning: " in report
    assert re.search(r"TestIt.test_idle\(\): something outside the event loop held its virtual clock", report)
    assert re.search(r"- 1\.1 seconds by a connection to 127\.0\.0\.1:\d+\n", report)
    assert "TestQuiet.test_quiet()" not in report


def test_hold_clock_in_a_thread(report_of):
    status, report = report_of("""
@asyncunit.settings(clock="virtual")
class TestIt(asyncunit.AsyncTestCase):
    def setUp(self):
        self.begin = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        self.addCleanup(self.thread.join)

    def work(self):
        with asyncunit.hold_clock("the device"):
            self.begin.wait()
            time.sleep(0.2)
            self.loop.call_soon_threadsafe(self.done.set_result, "done")

    async def test(self):
        self.loop = asyncio.get_running_loop()
        self.done = self.loop.create_future()
        self.begin.set()
        async with asyncio.timeout(0.001):
            assert await self.done == "done"
        assert self.loop.time() == 0
""")
    assert status == 0, report


def test_what_is_left_when_a_loop_closes_is_bound_in_real_time(report_of):
    status, report = report_of(
        """
@asyncunit.settings(clock="virtual", background_tasks=["*.linger"])
class TestIt(asyncunit.ClassLoopTestCase):
    kept = []  # what it waits for, so that a task that waits is no garbage

    async def linger(self):
        self.kept.append(asyncio.Event())
        try:
            await self.kept[0].wait()
        finally:
            await asyncio.sleep(3600)  # longer than the five seconds that closing may take
            print("it came to its end")

    async def test(self):
        self.task = asyncio.create_task(self.linger())
        await asyncio.sleep(0)
""",
        "-s",
    )
    assert status == 0, report
    assert "it came to its end" in report


@pytest.mark.parametrize("mode", ["marker", "option"])
def test_functions_of_pytests_and_their_fixtures(mode, tmp_path):
    marker = '@pytest.mark.asyncunit(clock="virtual")' if mode == "marker" else "@pytest.mark.asyncunit"
    write(tmp_path, test_it=f"""
        import asyncio, asyncunit, pytest

        @pytest.fixture(params=[1])
        async def hour():
            await asyncio.sleep(3600)
            yield 3600
            await asyncio.sleep(3600)

        @asyncunit.fixture(scope="module")
        async def day():
            await asyncio.sleep(86_400)
            yield asyncio.get_running_loop()
            await asyncio.sleep(86_400)

        {marker}
        async def test_hour(day):
            await asyncio.sleep(3600)
            assert asyncio.get_running_loop().time() >= 90_000
            assert asyncio.get_running_loop() is day

        {marker}
        async def test_dead(day):
            await asyncio.Event().wait()

        @pytest.mark.asyncunit(clock="real")
        async def test_real():
            assert asyncio.get_running_loop().time() > 0
    """)  # fmt: skip
    option = () if mode == "marker" else ("--asyncunit-clock=virtual",)
    done = python("-m", "pytest", "-q", "-p", "asyncunit", "-p", "no:cacheprovider", *option, cwd=tmp_path)
    report = done.stdout + done.stderr
    assert "1 failed, 2 passed" in report, report
    assert "DeadlockError: test_it.py::test_dead" in report or "DeadlockError: test_dead" in report, report


def test_with_the_real_clock_a_timeout_says_where_nothing_could_have_ended_it(report_of):
    status, report = report_of("""
@asyncunit.settings(timeout=0.2)
class TestIt(asyncunit.AsyncTestCase):
    async def test_event(self):
        await asyncio.Event().wait()

    async def test_timer(self):
        asyncio.get_running_loop().call_later(60, print)
        await asyncio.Event().wait()

    async def test_socket(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            await asyncio.get_running_loop().sock_accept(listening)

    async def test_turns(self):
        while True:
            await asyncio.sleep(0)
""")
    assert status
    ended = r"did not end within its timeout of 0.2 seconds\."
    said = r".*It would never have ended: no task is ready, no timer is set"
    assert len(re.findall(ended, report)) >= 4
    assert set(re.findall(rf"(\w+)\(\) {ended}\n{said}", report)) == {"test_event"}
