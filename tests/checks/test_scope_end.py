"""What each check finds, and what it leaves alone, in suites that are run."""

import asyncio
import contextvars
import dataclasses
import io
import logging
import socket
import sys
import threading
import types
import unittest
import warnings
import weakref
from pathlib import Path

import pytest

from asyncunit import (
    AsyncTestCase,
    AsyncUnitWarning,
    ClassLoopTestCase,
    LeftBehindError,
    LoopClosedError,
    SessionLoopTestCase,
    fixture,
    settings,
)
from asyncunit.checks import scope_end
from asyncunit.checks.leaked_tasks import end_tasks
from asyncunit.loops import loop as runner
from tests.conftest import fail
from tests.support import run, run_module

pytestmark = pytest.mark.filterwarnings("default::asyncunit.AsyncUnitWarning")
LEAKS_FAIL = settings(fail_on=["unhandled_errors", "leaked_tasks"])
LOOP_SCOPES = ["function", "class", "module", "package", "session"]


# What is waited for, so that no task that waits is garbage, and collected at any time.
events = []


async def forever():
    events.append(asyncio.Event())
    await events[-1].wait()


def started():
    return asyncio.create_task(forever())


def texts(result):
    return [str(error) for _, error in result.raised]


# Unhandled errors.


@pytest.mark.parametrize("scope", LOOP_SCOPES)
def test_an_error_that_nobody_handles_fails_the_test(scope):
    class Test(AsyncTestCase):
        loop_scope = scope

        async def test_callback(self):
            asyncio.get_running_loop().call_soon(lambda: 1 / 0)

        async def test_held(self):
            self.task = asyncio.create_task(fail())
            await asyncio.sleep(0)

        async def test_lost(self):
            asyncio.create_task(fail())
            await asyncio.sleep(0)

        async def test_not_begun(self):
            asyncio.create_task(fail())

        async def test_other(self):
            pass

    result = run(Test)
    assert [name for name, _ in result.raised] == ["test_callback", "test_held", "test_lost", "test_not_begun"]
    assert [type(error.__cause__) for _, error in result.raised] == [ZeroDivisionError, *[ValueError] * 3]
    assert result.passed == ["test_other"]


def test_a_finding_and_the_tests_own_failure_are_both_reported():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            asyncio.create_task(fail())
            await asyncio.sleep(0)
            self.fail("own")

        @unittest.expectedFailure
        async def test_y(self):
            asyncio.create_task(fail())
            await asyncio.sleep(0)
            self.fail("expected")

        async def test_z(self):
            asyncio.create_task(fail())
            await asyncio.sleep(0)
            self.skipTest("skipped")

    result = run(Test)
    assert result.errors_by_name == [
        ("test_x", AssertionError),
        ("test_x", LeftBehindError),
        ("test_y", LeftBehindError),
        ("test_z", LeftBehindError),
    ]
    assert not result.expectedFailures


def test_several_findings_of_one_test_are_one_report():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_x(self):
            started()
            asyncio.create_task(fail())
            await asyncio.sleep(0)

    [text] = texts(run(Test))
    assert text.count("  - ") == 2


def test_an_error_of_a_wider_scope_fails_the_running_test_once():
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.go = asyncio.Event()

            async def crash():
                await cls.go.wait()
                raise ValueError("of the class")

            asyncio.create_task(crash())

        async def test_1(self):
            pass

        async def test_2(self):
            self.go.set()
            await asyncio.sleep(0)

        async def test_3(self):
            pass

    result = run(Test)
    assert result.errors_by_name == [("test_2", LeftBehindError)]
    assert result.passed == ["test_1", "test_3"]


@pytest.mark.parametrize("scope", LOOP_SCOPES)
def test_an_error_of_a_task_that_a_fixture_only_cancels_is_found(scope):
    class Test(AsyncTestCase):
        @fixture(scope=scope)
        async def value(cls):
            task = asyncio.create_task(fail())
            yield
            task.cancel()

        async def test_x(self):
            await asyncio.sleep(0)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        result = run(Test)
    reports = [str(error.__cause__) for _, error in result.raised]
    assert reports == ["boom"]
    assert shown == []


def test_an_error_of_a_task_that_is_cancelled_and_then_awaited_is_retrieved():
    class Test(ClassLoopTestCase):
        @fixture(scope="class")
        async def value(cls):
            task = asyncio.create_task(fail())
            yield
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        async def test_x(self):
            await asyncio.sleep(0)

    assert run(Test).passed == ["test_x"]
    assert run(Test).raised == []


def test_an_error_of_a_wider_scopes_task_that_somebody_holds_is_that_of_the_scope_at_its_end():
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.held = [asyncio.create_task(fail()), asyncio.create_task(fail())]

        @classmethod
        async def asyncTearDownClass(cls):
            for task in cls.held:
                task.cancel()
            await asyncio.gather(cls.held[0], return_exceptions=True)

        async def test_x(self):
            await asyncio.sleep(0)

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_x"], [("tearDownClass", LeftBehindError)])
    assert texts(result)[0].count("  - ") == 1


def test_an_error_that_comes_up_while_no_test_runs_is_that_of_its_scope():
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            asyncio.create_task(fail())
            await asyncio.sleep(0)

        async def test_x(self):
            pass

    result = run(Test)
    assert result.errors_by_name == [("tearDownClass", LeftBehindError)]
    assert result.passed == ["test_x"]


def test_an_error_that_a_test_leaves_to_a_later_one_is_not_the_later_ones():
    class Test(ClassLoopTestCase):
        async def test_1(self):
            contexts.append(contextvars.copy_context())

        async def test_2(self):
            contexts[0].run(asyncio.get_running_loop().call_soon, lambda: 1 / 0)
            await asyncio.sleep(0)

    contexts = []
    result = run(Test)
    [(name, error)] = result.raised
    assert name == "closing"
    assert str(error).startswith("test_1 (")
    assert result.passed == ["test_1", "test_2"]


def test_a_users_exception_handler_and_task_factory_keep_working_and_are_put_back():
    handled, made = [], []

    def factory(loop, coroutine, **kwargs):
        made.append(coroutine)
        return asyncio.Task(coroutine, loop=loop, **kwargs)

    class Test(ClassLoopTestCase):
        async def test_1(self):
            loop = asyncio.get_running_loop()
            type(self).before = (loop.get_exception_handler(), loop.get_task_factory())
            loop.set_exception_handler(lambda loop, context: handled.append(context["exception"]))
            loop.set_task_factory(factory)
            loop.set_debug(True)
            loop.slow_callback_duration = 7
            asyncio.create_task(fail())
            await asyncio.sleep(0)

        async def test_2(self):
            loop = asyncio.get_running_loop()
            self.assertEqual((loop.get_exception_handler(), loop.get_task_factory()), self.before)
            self.assertEqual((loop.get_debug(), loop.slow_callback_duration), (False, 0.1))

    assert len(run(Test).passed) == 2
    assert [repr(error) for error in handled] == ["ValueError('boom')"]
    assert len(made) == 1


def test_what_a_wider_scope_sets_on_its_loop_stays():
    def make(seconds):
        class Test(SessionLoopTestCase):
            @classmethod
            async def asyncSetUpClass(cls):
                asyncio.get_running_loop().slow_callback_duration = seconds

            async def test_1(self):
                self.assertEqual(asyncio.get_running_loop().slow_callback_duration, seconds)
                asyncio.get_running_loop().slow_callback_duration = 9

            async def test_2(self):
                self.assertEqual(asyncio.get_running_loop().slow_callback_duration, seconds)

        return Test

    assert len(run(make(5), make(7)).passed) == 4


# Errors that a test means.


def test_expected_errors_are_handed_to_the_test():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            with self.expectUnhandledErrors((ValueError, KeyError)) as caught:
                asyncio.create_task(fail())
                self.task = asyncio.create_task(fail())
                await asyncio.sleep(0)
            self.assertEqual([str(error) for error in caught], ["boom", "boom"])

    assert run(Test).passed == ["test_x"]


def test_expected_errors_that_do_not_come_are_a_failure():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            with self.expectUnhandledErrors(ValueError):
                pass

    error = run(Test).only_error()
    assert type(error) is AssertionError
    assert str(error) == "ValueError was expected to reach the exception handler of the event loop, and did not"


def test_the_failure_of_the_block_goes_first():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            with self.expectUnhandledErrors(ValueError):
                raise KeyError("own")

    assert run(Test).errors_by_name == [("test_x", KeyError)]


@pytest.mark.parametrize("wrong", ["ValueError", (), (ValueError, 3), 3])
def test_what_is_no_exception_type_cannot_be_expected(wrong):
    class Test(ClassLoopTestCase):
        async def test_x(self):
            with self.expectUnhandledErrors(wrong):
                pass

    assert "expected an exception type, or a tuple of them" in str(run(Test).only_error())


def test_a_test_that_asserts_on_the_log_of_asyncio_has_seen_the_error():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            with self.assertLogs(logging.getLogger("asyncio")):
                asyncio.create_task(fail())
                await asyncio.sleep(0)

    assert run(Test).passed == ["test_x"]


# The checks that cost something.


@pytest.mark.parametrize("scope", LOOP_SCOPES)
def test_a_coroutine_that_was_never_awaited_is_found(scope):
    @settings(fail_on="unawaited_coroutines")
    class Test(AsyncTestCase):
        loop_scope = scope

        async def test_1(self):
            forever()

        async def test_2(self):
            self.held = forever()

        async def test_3(self):
            self.assertTrue(forever())

        def test_4(self):
            forever()

        async def test_5(self):
            await asyncio.sleep(0)

    result = run(Test)
    assert [name for name, _ in result.raised] == ["test_1", "test_2", "test_3", "test_4"]
    for text in texts(result):
        assert "coroutine" in text
        assert "was never awaited" in text
        assert __file__ in text


@pytest.mark.parametrize("scope", LOOP_SCOPES)
def test_what_a_test_leaves_open_is_found_and_closed(scope):
    after = []

    async def numbers():
        yield 1
        yield 2

    @settings(fail_on="unclosed_resources")
    class Test(AsyncTestCase):
        loop_scope = scope

        async def test_1_socket(self):
            self.left = socket.socket()
            weakref.finalize(self.left, after.append, self.left.fileno())

        async def test_2_lost(self):
            socket.socket()

        async def test_3_server(self):
            self.server = await asyncio.start_server(print, "127.0.0.1", 0)

        async def test_4_generator(self):
            self.left = numbers()
            await anext(self.left)

        async def test_5_file(self):
            self.left = Path(__file__).open()  # noqa: SIM115

        async def test_6_process(self):
            self.left = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE
            )

        async def test_7_closed(self):
            with socket.socket():
                async for _ in numbers():
                    pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = run(Test)
    kinds = {
        "test_1_socket": "an open socket, made at ",
        "test_2_lost": "unclosed <socket.socket",
        "test_3_server": "an open server, made at ",
        "test_4_generator": "an open async generator, made at",
        "test_5_file": "an open file",
        "test_6_process": "an open transport, made at ",
    }
    assert [name for name, _ in result.raised] == list(kinds), texts(result)[-1]
    for kind, text in zip(kinds.values(), texts(result), strict=True):
        assert kind in text
    assert result.passed == ["test_7_closed"]


def test_what_outlives_a_test_is_the_next_wider_scopes():
    @settings(fail_on="unclosed_resources")
    class Test(ClassLoopTestCase):
        async def test_1(self):
            type(self).connection = socket.socket()

        async def test_2(self):
            self.assertNotEqual(self.connection.fileno(), -1)

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_1", "test_2"], [("tearDownClass", LeftBehindError)])


def test_a_file_of_a_module_that_tests_have_in_an_attribute_is_left_open(tmp_path):
    source = """
        @asyncunit.settings(fail_on="all")
        class Test(asyncunit.ClassLoopTestCase):
            def setUp(self):
                self.log = LOG

            async def test_x(self):
                self.assertFalse(self.log.closed)
    """
    with (tmp_path / "log").open("w") as log:
        result = run_module(source, LOG=log)
        assert (result.passed, texts(result)) == (["test_x"], [])
        assert not log.closed


def test_what_outlives_a_class_is_the_modules_but_for_what_is_on_the_loop_of_the_class():
    source = """
        KEPT = []

        class Connects:
            async def test_x(self):
                server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
                KEPT.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
                server.close()

        @asyncunit.settings(fail_on="all")
        class Test1(Connects, asyncunit.ModuleLoopTestCase):
            pass

        @asyncunit.settings(fail_on="all")
        class Test2(Connects, asyncunit.ClassLoopTestCase):
            pass

        class Test3(asyncunit.ModuleLoopTestCase):
            async def test_y(self):
                self.assertFalse(KEPT[0][1].is_closing())
                KEPT[0][1].close()
    """
    result = run_module(source)
    passed = ["test_x", "test_x", "test_y"]
    assert (result.passed, result.errors_by_name) == (passed, [("tearDownClass", LeftBehindError)])
    assert "Test2 left behind:\n  - an open transport" in texts(result)[0]


def test_what_a_class_leaves_open_is_the_classs():
    @settings(fail_on="unclosed_resources")
    class Test(AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.socket = socket.socket()

        async def test_x(self):
            pass

    result = run(Test)
    assert (result.passed, result.errors_by_name) == (["test_x"], [("tearDownClass", LeftBehindError)])
    assert Test.socket.fileno() == -1


def test_a_step_that_holds_the_loop_is_found():
    @settings(fail_on="slow_callbacks")
    class Test(ClassLoopTestCase):
        async def test_1(self):
            asyncio.get_running_loop().slow_callback_duration = 0.02
            threading.Event().wait(0.1)

        async def test_2(self):
            await asyncio.sleep(0.05)

    result = run(Test)
    assert (result.errors_by_name, result.passed) == ([("test_1", LeftBehindError)], ["test_2"])
    assert "in test_a_step_that_holds_the_loop_is_found.<locals>.Test.test_1" in texts(result)[0]


def test_the_checks_of_a_test_are_those_of_the_nearest_settings():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_1(self):
            started()

        @settings(fail_on=[])
        async def test_2(self):
            started()
            asyncio.create_task(fail())
            await asyncio.sleep(0)

    with pytest.warns(AsyncUnitWarning, match="test_2"):
        result = run(Test)
    assert (result.errors_by_name, result.passed) == ([("test_1", LeftBehindError)], ["test_2"])


# Found by trying to break it.


def test_a_costly_check_of_one_test_is_off_for_the_next():
    class Test(ClassLoopTestCase):
        @settings(fail_on="all")
        async def test_1(self):
            pass

        async def test_2(self):
            forever()

    with pytest.warns(RuntimeWarning, match="never awaited"):
        assert len(run(Test).passed) == 2


@pytest.mark.parametrize("fault", ["raises", "refuses", "yields"])
def test_an_async_generator_that_does_not_close_is_reported_and_harms_no_other(fault, monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_TIMEOUT", 0.05)

    async def numbers():
        try:
            yield 1
        finally:
            if fault == "raises":
                raise ValueError("boom")
            if fault == "refuses":
                await forever()
            yield 2

    @settings(fail_on="all")
    class Test(ClassLoopTestCase):
        async def test_1(self):
            self.left = numbers()
            await anext(self.left)

        async def test_2(self):
            pass

    result = run(Test)
    assert (result.passed, [name for name, _ in result.raised]) == (["test_2"], ["test_1"])


def test_the_handler_that_a_loop_comes_with_is_told_and_errors_can_be_expected_all_the_same():
    handled = []

    def make():
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda loop, context: handled.append(context["message"]))
        return loop

    class Test(ClassLoopTestCase):
        loop_factory = staticmethod(make)

        async def test_1(self):
            self.task = asyncio.create_task(fail())
            await asyncio.sleep(0)

        async def test_2(self):
            with self.expectUnhandledErrors(ValueError) as caught:
                asyncio.create_task(fail())
                await asyncio.sleep(0)
            self.assertEqual(len(caught), 1)

    assert len(run(Test).passed) == 2
    assert handled == ["Task exception was never retrieved"] * 2


def test_capturing_the_root_logger_says_nothing_of_asyncios():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            with self.assertLogs():
                logging.getLogger("app").warning("the app says")
                asyncio.create_task(fail())
                await asyncio.sleep(0)

    assert run(Test).errors_by_name == [("test_x", LeftBehindError)]


def test_tasks_keep_their_names():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            task = asyncio.create_task(asyncio.sleep(0))
            await task
            self.assertRegex(task.get_name(), r"^Task-\d+$")

    assert run(Test).passed == ["test_x"]


def test_an_error_that_lets_nobody_set_an_attribute_is_reported():
    @dataclasses.dataclass(frozen=True)
    class NotFoundError(Exception):
        key: str

    async def find():
        raise NotFoundError("the key")

    class Test(ClassLoopTestCase):
        async def test_1(self):
            self.task = asyncio.create_task(find())
            await asyncio.sleep(0)

        async def test_2(self):
            await find()

    result = run(Test)
    assert result.errors_by_name == [("test_1", LeftBehindError), ("test_2", NotFoundError)]
    assert "NotFoundError" in texts(result)[0]


def test_what_answers_to_every_attribute_is_reported_all_the_same():
    class RemoteError(Exception):
        def __getattr__(self, name):
            return lambda *args: None

    class BadTextError(RuntimeError):
        def __str__(self):
            raise ValueError("no text")

    async def raises(error):
        raise error

    class Test(ClassLoopTestCase):
        async def test_1(self):
            asyncio.create_task(raises(RemoteError()))
            await asyncio.sleep(0)

        async def test_2(self):
            asyncio.create_task(raises(BadTextError()))
            await asyncio.sleep(0)

        async def test_3(self):
            raise BadTextError

        async def test_4(self):
            asyncio.get_running_loop().call_exception_handler({"exception": ValueError("no message")})

    result = run(Test)
    assert [(name, type(error.__cause__ or error)) for name, error in result.raised] == [
        ("test_1", RemoteError),
        ("test_2", BadTextError),
        ("test_3", BadTextError),
        ("test_4", ValueError),
    ]


def test_an_object_that_does_not_bear_being_looked_at_ends_no_run(monkeypatch):
    look = end_tasks

    def fail_to_look(owner, *args):
        if owner.key == "test_1":
            raise ValueError("do not look")
        return look(owner, *args)

    monkeypatch.setattr(scope_end, "end_tasks", fail_to_look)

    class Test(ClassLoopTestCase):
        async def test_1(self):
            self.task = started()

        async def test_2(self):
            pass

    result = run(Test)
    assert ("test_1", LeftBehindError) in result.errors_by_name
    assert result.passed == ["test_2"]


def test_what_a_test_keeps_of_the_processs_own_files_and_of_memory_is_not_open():
    @settings(fail_on="all")
    class Test(ClassLoopTestCase):
        async def asyncSetUp(self):
            self.saved, self.text, self.bytes = sys.stdout, io.StringIO(), io.BytesIO()

        async def test_x(self):
            pass

    assert run(Test).passed == ["test_x"]
    assert not sys.stdout.closed


def test_a_crash_of_a_wider_scope_is_no_expected_failure():
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.go = asyncio.Event()
            cls.group = await cls.enterAsyncClassContext(asyncio.TaskGroup())

            async def crash():
                await cls.go.wait()
                raise ValueError("of the class")

            cls.group.create_task(crash())

        @unittest.expectedFailure
        async def test_x(self):
            self.go.set()
            await asyncio.sleep(10)

    result = run(Test)
    assert [name for name, _ in result.raised] == ["test_x"]
    assert isinstance(result.raised[0][1], ExceptionGroup)


def test_one_closed_loop_is_one_error():
    class Test(ClassLoopTestCase):
        async def asyncTearDown(self):
            pass

        def test_1(self):
            self.addAsyncCleanup(forever)
            asyncio.get_event_loop().close()

        async def test_2(self):
            pass

    result = run(Test)
    assert (result.errors_by_name, result.passed) == ([("test_1", LoopClosedError)], ["test_2"])


def test_runs_of_several_threads_keep_their_findings_and_deadlines_apart():
    @settings(fail_on="all", timeout=60)
    class Healthy(AsyncTestCase):
        async def test_x(self):
            await asyncio.sleep(0)

    @settings(fail_on="all", timeout=60)
    class Faulty(AsyncTestCase):
        async def test_x(self):
            forever()

    results = []
    threads = [
        threading.Thread(target=lambda cls=cls: results.append((cls, run(cls).wasSuccessful())))
        for cls in [Healthy, Faulty] * 5
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == sorted([(Healthy, True), (Faulty, False)] * 5, key=str)


@pytest.mark.parametrize("left", ["socket.socket()", "asyncio.get_running_loop().call_later(3600, print)"])
def test_what_a_module_keeps_is_found_at_its_end_also_where_nothing_else_of_it_is_async(left):
    """And not by another test or class, nor by nobody."""
    result = run_module(f"""
        import socket
        asyncunit_settings = asyncunit.settings(fail_on=["unclosed_resources", "left_callbacks"])
        kept = []

        class Test1(asyncunit.SessionLoopTestCase):
            async def test_1(self):
                kept.append({left})

            async def test_2(self):
                pass

        class Test2(asyncunit.SessionLoopTestCase):
            async def test_3(self):
                pass
    """)
    assert result.passed == ["test_1", "test_2", "test_3"]
    assert result.errors_by_name == [("tearDownModule", LeftBehindError)]


def test_what_another_module_keeps_is_found_at_the_end_of_the_run(monkeypatch):
    monkeypatch.setenv("ASYNCUNIT_FAIL_ON", "unclosed_resources")
    keeper = types.ModuleType("keeper")
    keeper.kept = []
    result = run_module(
        """
        class Test(asyncunit.SessionLoopTestCase):
            async def test_x(self):
                keeper.kept.append(socket.socket())
        """,
        keeper=keeper,
        socket=socket,
    )
    assert (result.passed, [type(error) for _, error in result.raised]) == (["test_x"], [LeftBehindError])
    assert str(result.only_error()).startswith("session left behind:\n  - an open socket")
