"""Whose a task is that is left, and what becomes of it, in suites that are run."""

import asyncio
import contextvars
import gc
import re
import sys
import threading
import time
import warnings

import pytest

from asyncunit import (
    AsyncTestCase,
    AsyncUnitWarning,
    ClassLoopTestCase,
    LeftBehindError,
    SessionLoopTestCase,
    UnfinishedError,
    fixture,
    settings,
)
from asyncunit.loops import loop as runner
from tests.checks.test_left_callbacks import FACTORIES
from tests.conftest import start, stubborn
from tests.support import run

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


@pytest.mark.parametrize("scope", LOOP_SCOPES)
def test_a_task_that_a_test_leaves_is_found_ended_and_reported_against_it(scope):
    ended = []

    async def work():
        try:
            await forever()
        finally:
            await asyncio.sleep(0)
            ended.append(1)

    @LEAKS_FAIL
    class Test(AsyncTestCase):
        loop_scope = scope

        async def test_1(self):
            asyncio.create_task(work(), name="worker")
            await asyncio.sleep(0)

        async def test_2(self):
            self.assertEqual(ended, [1])
            self.assertNotIn("worker", [task.get_name() for task in asyncio.all_tasks()])

    result = run(Test)
    assert result.errors_by_name == [("test_1", LeftBehindError)]
    assert result.passed == ["test_2"]
    [text] = texts(result)
    assert "test_1 (tests.checks.test_leaked_tasks." in text
    assert "a pending task 'worker', running tests.checks.test_leaked_tasks." in text
    assert f"made at {__file__}:" in text
    assert f"waits at {__file__}:" in text


def test_by_default_it_is_a_warning_that_names_test_task_and_place():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            started()

    with pytest.warns(AsyncUnitWarning, match=r"(?s)test_x \(.*a pending task .*forever\(\), made at .*in started"):
        assert run(Test).passed == ["test_x"]


def test_a_task_that_is_about_to_end_is_no_leak():
    class Test(ClassLoopTestCase):
        async def asyncTearDown(self):
            self.task.cancel()

        async def test_cancelled_and_not_awaited(self):
            self.task = started()

        async def test_a_few_turns_more(self):
            async def soon():
                for _ in range(5):
                    await asyncio.sleep(0)

            self.task = asyncio.create_task(soon())

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(run(Test).passed) == 2


@pytest.mark.parametrize("make", [asyncio.create_task, asyncio.Task])
def test_the_tasks_of_a_report_are_in_the_order_in_which_they_were_made(make):
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_x(self):
            for _ in range(20):
                make(forever())

    [text] = texts(run(Test))
    numbers = [int(number) for number in re.findall(r"task 'Task-(\d+)'", text)]
    assert (len(numbers), numbers) == (20, sorted(numbers))


def test_a_task_is_the_tests_whoever_of_its_tasks_started_it_and_however():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_by_another_task(self):
            async def start_another():
                started()

            await asyncio.create_task(start_another())

        async def test_without_the_loops_factory(self):
            asyncio.Task(forever())

        async def test_by_a_callback(self):
            asyncio.get_running_loop().call_soon(started)
            await asyncio.sleep(0)

        async def test_by_a_library(self):
            self.held = asyncio.gather(forever(), forever())

    result = run(Test)
    assert len(result.raised) == 4
    assert texts(result)[1].count("- a pending task") == 2


def test_what_a_servers_task_starts_is_the_servers():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.requests = asyncio.Queue()
            cls.workers = []
            cls.server = asyncio.create_task(cls.serve())

        @classmethod
        async def serve(cls):
            while True:
                answer = await cls.requests.get()
                cls.workers.append(started())
                answer.set_result(None)

        @classmethod
        async def asyncTearDownClass(cls):
            for task in (cls.server, *cls.workers):
                task.cancel()

        async def test_x(self):
            answer = asyncio.get_running_loop().create_future()
            self.requests.put_nowait(answer)
            await answer

    assert run(Test).passed == ["test_x"]


def test_a_connection_that_a_class_scoped_server_answers_is_the_servers():
    @settings(fail_on="all")
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            async def handle(reader, writer):
                while await reader.readline():
                    writer.write(b"answer\n")
                writer.close()

            cls.server = await asyncio.start_server(handle, "127.0.0.1", 0)
            cls.port = cls.server.sockets[0].getsockname()[1]

        @classmethod
        async def asyncTearDownClass(cls):
            cls.writer.close()
            await cls.writer.wait_closed()
            cls.server.close()
            await cls.server.wait_closed()

        async def test_1(self):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"request\n")
            self.assertEqual(await reader.readline(), b"answer\n")
            writer.close()
            await writer.wait_closed()

        @settings(fail_on=[])
        async def test_2(self):
            _, type(self).writer = await asyncio.open_connection("127.0.0.1", self.port)

    result = run(Test)
    assert (result.passed, texts(result)) == (["test_1", "test_2"], [])


class WithGroup:
    """A class-scoped task group, and the tasks that are to be cancelled with the class."""

    @classmethod
    async def asyncSetUpClass(cls):
        cls.group = await cls.enterAsyncClassContext(asyncio.TaskGroup())
        cls.tasks = []

    @classmethod
    async def asyncTearDownClass(cls):
        for task in cls.tasks:
            task.cancel()


def test_a_task_that_a_test_gives_to_a_wider_task_group_is_the_groups():
    @LEAKS_FAIL
    class Test(WithGroup, ClassLoopTestCase):
        async def test_x(self):
            self.tasks.append(self.group.create_task(forever()))

    assert run(Test).passed == ["test_x"]


def test_a_task_group_of_the_tests_own_child_is_the_tests():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_x(self):
            async def hold():
                async with asyncio.TaskGroup() as group:
                    group.create_task(forever())

            asyncio.create_task(hold())
            await asyncio.sleep(0)

    assert run(Test).errors_by_name == [("test_x", LeftBehindError)]


def test_background_tasks_live_as_long_as_their_loop():
    alive = []

    @settings(fail_on="leaked_tasks", background_tasks=["tests.checks.test_leaked_tasks.forever"])
    class Test(ClassLoopTestCase):
        async def test_1(self):
            alive.append(started())

        async def test_2(self):
            self.assertFalse(alive[0].done())

    assert len(run(Test).passed) == 2
    assert alive[0].cancelled()


def test_a_task_with_a_context_of_its_own_is_left_alone():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_1(self):
            asyncio.create_task(forever(), context=contextvars.Context())
            asyncio.create_task(forever(), context=contextvars.copy_context())

        async def test_2(self):
            asyncio.Task(forever(), context=contextvars.Context())

    assert len(run(Test).passed) == 2


@pytest.mark.parametrize("scope", ["class", "module", "package", "session"])
def test_what_the_fixture_of_a_scope_leaves_is_reported_against_that_scope(scope):
    @settings(fail_on="leaked_tasks")
    class Test(SessionLoopTestCase):
        @fixture(scope=scope)
        async def value(cls):
            started()
            return 1

        async def test_x(self):
            pass

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        result = run(Test)
    reports = [str(error) for _, error in result.raised] + [str(warning.message) for warning in shown]
    assert result.passed == ["test_x"]
    assert len(reports) == 1
    assert reports[0].startswith(scope)
    assert "a pending task" in reports[0]
    assert bool(result.raised) == (scope == "class")  # wider scopes have their own configuration


def test_what_a_class_hook_leaves_is_an_error_of_the_class():
    @LEAKS_FAIL
    class Test(AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.task = started()

        async def test_x(self):
            pass

    result = run(Test)
    assert result.errors_by_name == [("tearDownClass", LeftBehindError)]
    assert "before the class ends" in texts(result)[0]
    assert Test.task.cancelled()


def test_a_task_that_refuses_to_end_is_named_and_its_loop_replaced(monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_TIMEOUT", 0.05)
    log = []

    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            log.append("set up")

        @classmethod
        async def asyncTearDownClass(cls):
            log.append("tear down")

        async def test_1(self):
            self.loop = asyncio.get_running_loop()
            self.task = await start(stubborn)
            log.append(self.loop)

        async def test_2(self):
            log.append(asyncio.get_running_loop())

    result = run(Test)
    assert result.errors_by_name == [("test_1", UnfinishedError)]
    assert "running tests.conftest.stubborn(), still at" in texts(result)[0]
    assert result.passed == ["test_2"]
    first, second = (entry for entry in log if not isinstance(entry, str))
    assert first is not second
    assert first.is_closed()
    assert [entry for entry in log if isinstance(entry, str)] == ["set up", "tear down"] * 2


def test_what_a_leaked_task_raises_when_it_is_cancelled_is_in_the_report():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_x(self):
            async def work():
                try:
                    await forever()
                finally:
                    raise ValueError("late")

            asyncio.create_task(work())
            await asyncio.sleep(0)

    error = run(Test).only_error()
    assert repr(error.__cause__) == "ValueError('late')"


def test_a_leak_is_found_behind_a_users_task_factory():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            asyncio.get_running_loop().set_task_factory(
                lambda loop, coroutine, **kwargs: asyncio.Task(coroutine, loop=loop, **kwargs)
            )

        async def test_x(self):
            started()

    assert run(Test).errors_by_name == [("test_x", LeftBehindError)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks are new in Python 3.12")
def test_eager_tasks_keep_working_and_are_found():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)

        async def test_1(self):
            started()

        async def test_2(self):
            self.assertEqual(await asyncio.create_task(asyncio.sleep(0, 5)), 5)

    result = run(Test)
    assert (result.errors_by_name, result.passed) == ([("test_1", LeftBehindError)], ["test_2"])


async def busy():
    while True:
        await asyncio.gather(asyncio.sleep(0.001), asyncio.sleep(0.001))


def test_what_an_exempt_task_starts_is_exempt_as_well():
    @settings(fail_on="leaked_tasks", background_tasks=["*.busy"])
    class Test(WithGroup, ClassLoopTestCase):
        async def asyncTearDown(self):
            await asyncio.sleep(0.005)

        async def test_1(self):
            self.tasks.append(asyncio.create_task(busy()))

        async def test_2(self):
            self.tasks.append(self.group.create_task(busy()))

        async def test_3(self):
            self.tasks.append(asyncio.create_task(busy(), context=contextvars.copy_context()))

        async def test_4(self):
            self.assertEqual([task.done() for task in self.tasks], [False] * 3)

    result = run(Test)
    assert (result.passed, texts(result)) == (["test_1", "test_2", "test_3", "test_4"], [])


def test_a_stubborn_task_of_a_class_does_not_run_in_the_next_class(monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_TIMEOUT", 0.05)

    class First(SessionLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.task = await start(stubborn)

        async def test_1(self):
            pass

    class Second(SessionLoopTestCase):
        set_up = 0

        @classmethod
        async def asyncSetUpClass(cls):
            cls.set_up += 1

        async def test_2(self):
            self.assertEqual(len([task for task in asyncio.all_tasks() if "stubborn" in repr(task)]), 0)

        async def test_3(self):
            self.assertEqual(self.set_up, 1)

    result = run(First, Second)
    assert (result.passed, result.errors_by_name) == (
        ["test_1", "test_2", "test_3"],
        [("tearDownClass", UnfinishedError)],
    )


def test_a_worker_that_is_started_again_whenever_it_ends_is_named(monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_TIMEOUT", 0.3)

    class Test(ClassLoopTestCase):
        def start(self, _=None):
            self.task = asyncio.create_task(forever()) if asyncio.current_task() else asyncio.Task(forever())
            self.task.add_done_callback(self.start)

        async def test_1(self):
            self.start()

        async def test_2(self):
            self.assertNotIn("forever", repr(asyncio.all_tasks()))

    result = run(Test)
    assert result.passed == ["test_2"]
    assert [name for name, _ in result.raised] == ["test_1"]
    assert "running tests.checks.test_leaked_tasks.forever(), still at" in texts(result)[0]


def test_a_task_that_a_thread_starts_is_found_when_the_loop_closes():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_x(self):
            loop = asyncio.get_running_loop()
            thread = threading.Thread(
                target=contextvars.Context().run, args=(asyncio.run_coroutine_threadsafe, forever(), loop)
            )
            thread.start()
            thread.join()
            await asyncio.sleep(0)

    result = run(Test)
    assert result.errors_by_name == [("tearDownClass", LeftBehindError)]
    assert "started from outside" in texts(result)[0]


def test_tasks_that_await_each_other_are_given_up_at_once_and_told_so():
    class Test(AsyncTestCase):
        async def test_x(self):
            async def one():
                await other

            async def another():
                await first

            first, other = asyncio.create_task(one()), asyncio.create_task(another())
            await asyncio.sleep(0.01)

    began = time.monotonic()
    result = run(Test)
    assert time.monotonic() - began < 4  # they are not waited for
    assert result.errors_by_name == [("test_x", UnfinishedError)]
    assert texts(result)[0].count("it waits for a task that waits for it, so neither can be cancelled") == 2


@pytest.mark.parametrize("base", [AsyncTestCase, ClassLoopTestCase])
def test_a_task_that_a_test_starts_in_an_empty_context_is_told_with_its_line(base):
    @LEAKS_FAIL
    class Test(base):
        async def test_1(self):
            asyncio.create_task(forever(), context=contextvars.Context())

        async def test_2(self):
            contextvars.Context().run(asyncio.ensure_future, forever())

    result = run(Test)
    found = "\n".join(texts(result))
    assert found.count(f"made at {__file__}:") == 2
    assert found.count("Test.test_1, in the context of no test") == 1
    assert "from outside" not in found


def test_a_task_that_a_callback_of_a_test_starts_later_is_that_tests():
    @LEAKS_FAIL
    class Test(ClassLoopTestCase):
        async def test_1(self):
            contexts.append(contextvars.copy_context())

        async def test_2(self):
            contexts[0].run(asyncio.get_running_loop().call_soon, lambda: asyncio.ensure_future(forever()))
            await asyncio.sleep(0)

        async def test_3(self):
            self.assertNotIn("forever", repr(asyncio.all_tasks()))

    contexts = []
    result = run(Test)
    [(name, error)] = result.raised
    assert (name, str(error)[:8]) == ("closing", "test_1 (")
    assert result.passed == ["test_1", "test_2", "test_3"]


def test_one_error_of_two_tasks_is_in_the_report_once():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            future = asyncio.get_running_loop().create_future()

            async def wait():
                await future

            self.tasks = [asyncio.create_task(wait()), asyncio.create_task(wait())]
            await asyncio.sleep(0)
            future.set_exception(ValueError("boom"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        async def test_y(self):
            async def leave():
                raise SystemExit(3)

            asyncio.create_task(leave())
            await asyncio.sleep(0.01)

    result = run(Test)
    assert [(name, type(error)) for name, error in result.raised] == [
        ("test_x", LeftBehindError),
        ("test_y", SystemExit),
    ]
    assert type(result.raised[0][1].__cause__) is ValueError


def test_a_task_may_be_started_in_a_context_that_is_entered():
    class Test(ClassLoopTestCase):
        async def test_x(self):
            context = contextvars.copy_context()
            task = context.run(
                lambda: asyncio.get_running_loop().create_task(asyncio.sleep(0, "done"), context=context)
            )
            self.assertEqual(await task, "done")

    assert run(Test).passed == ["test_x"]


def test_a_pending_task_that_is_collected_as_garbage_is_a_leaked_one():
    class Test(ClassLoopTestCase):
        @settings(fail_on="leaked_tasks")
        async def test_x(self):
            asyncio.ensure_future(asyncio.Event().wait())
            await asyncio.sleep(0)
            gc.collect()

    error = run(Test).only_error()
    assert isinstance(error, LeftBehindError)
    assert "a pending task 'Task-" in str(error)
    assert "which nobody held" in str(error)


async def counting():
    number = 0
    while True:
        yield number
        number += 1
        await asyncio.sleep(0)


async def passing_on(generator):
    async for value in generator:
        yield value


def generators_inside_each_other(depth):
    generator = counting()
    for _ in range(depth):
        generator = passing_on(generator)
    return generator


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda factory: factory.__module__.partition(".")[0])
@pytest.mark.parametrize("scope", ["function", "class"])
@pytest.mark.parametrize("depth", [*range(8), 20])
def test_generators_that_a_library_leaves_inside_each_other_are_closed_and_no_leak(factory, scope, depth):
    """The loop closes one after the other, each in a task of its own, as httpx's when a stream is left early."""
    left = []

    @settings(fail_on="all")
    class Test(AsyncTestCase):
        loop_scope = scope
        loop_factory = staticmethod(factory)

        async def test_1(self):
            async for _ in generators_inside_each_other(depth):
                break

        async def test_2(self):
            await asyncio.sleep(0)
            left.extend(asyncio.all_tasks() - {asyncio.current_task()})

    result = run(Test)
    assert (result.passed, result.raised, left) == (["test_1", "test_2"], [], [])
