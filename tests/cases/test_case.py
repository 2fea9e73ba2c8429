import asyncio
import contextlib
import contextvars
import functools
import inspect
import os
import threading
import unittest
from unittest import IsolatedAsyncioTestCase, mock

import pytest

import asyncunit
from asyncunit import (
    AsyncTestCase,
    ClassLoopTestCase,
    CutShortError,
    DefinitionError,
    LoopScopeError,
    UnfinishedError,
    settings,
)
from asyncunit.introspection.functions import class_name
from asyncunit.loops import loop as runner
from asyncunit.scopes import registry
from tests.support import Result, run, run_module

variable = contextvars.ContextVar("variable", default="outside")


async def crash():
    raise ValueError("crash")


async def forever():
    await asyncio.Event().wait()


# One task.


@pytest.mark.parametrize("base", [AsyncTestCase, ClassLoopTestCase])
def test_all_that_is_async_about_a_test_runs_in_one_task(base):
    tasks = []

    class Test(base):
        async def asyncSetUp(self):
            tasks.append(asyncio.current_task())
            self.addAsyncCleanup(self.note)

        async def note(self):
            tasks.append(asyncio.current_task())

        test_x = test_y = asyncTearDown = note

    assert run(Test).wasSuccessful()
    assert len(tasks) == 8
    assert len(set(tasks[:4])) == len(set(tasks[4:])) == 1
    assert tasks[0] is not tasks[4]


class GuardedTest(ClassLoopTestCase):
    async def asyncSetUp(self):
        self.timeout = await self.enterAsyncContext(asyncio.timeout(None))
        self.group = await self.enterAsyncContext(asyncio.TaskGroup())

    async def time_out(self):
        self.timeout.reschedule(asyncio.get_running_loop().time())
        await forever()


def test_a_timeout_guards_the_test_and_reports_itself():
    class Test(GuardedTest):
        torn_down = 0

        async def asyncTearDown(self):
            await asyncio.sleep(0)
            type(self).torn_down += 1

        async def test_1(self):
            await self.time_out()

        async def test_2(self):
            pass

        async def test_3(self):
            with contextlib.suppress(asyncio.CancelledError):
                await self.time_out()

    result = run(Test)
    assert result.errors_by_name == [("test_1", TimeoutError)]
    assert isinstance(result.raised[0][1].__cause__, asyncio.CancelledError)
    assert Test.torn_down == 3


def test_a_task_group_guards_the_test_and_reports_its_tasks_error():
    class Test(GuardedTest):
        async def test_x(self):
            self.group.create_task(crash())
            await forever()

    (error,) = run(Test).only_error().exceptions
    assert str(error) == "crash"
    assert error.__traceback__.tb_frame.f_code.co_name == "crash"


def test_a_timeout_guards_the_set_up_that_enters_it():
    class Test(AsyncTestCase):
        async def asyncSetUp(self):
            await self.enterAsyncContext(asyncio.timeout(0))
            await forever()

        async def test_x(self):
            raise AssertionError

        async def asyncTearDown(self):
            raise AssertionError

    assert run(Test).errors_by_name == [("test_x", TimeoutError)]


def test_a_timeout_guards_sync_tests_as_far_as_the_tear_down():
    class Test(AsyncTestCase):
        async def asyncSetUp(self):
            await self.enterAsyncContext(asyncio.timeout(1000))

        def test_x(self):
            loop = asyncio.get_event_loop()
            late = loop.time() + 1000
            loop.time = lambda: late

        async def asyncTearDown(self):
            await forever()

    assert run(Test).errors_by_name == [("test_x", TimeoutError)]


def test_an_expected_failure_may_be_a_timeout():
    class Test(GuardedTest):
        @unittest.expectedFailure
        async def test_x(self):
            await self.time_out()

    result = run(Test)
    assert result.raised == []
    assert len(result.expectedFailures) == 1


def test_an_expected_failure_hides_no_crash_of_a_wider_scope():
    @unittest.expectedFailure
    class Test(ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.group = await cls.enterAsyncClassContext(asyncio.TaskGroup())

        @staticmethod
        async def test_static():
            Test.group.create_task(crash())
            await forever()

        async def test_x(self):
            self.group.create_task(crash())
            await forever()

    assert run(Test).errors_by_name == [("test_static", ExceptionGroup), ("test_x", ExceptionGroup)]


def test_errors_of_the_tear_down_of_a_cancelled_test_are_reported_as_well():
    class Test(GuardedTest):
        async def test_x(self):
            self.addAsyncCleanup(crash)
            await self.time_out()

        async def asyncTearDown(self):
            raise KeyError

        def tearDown(self):
            raise IndexError

    kinds = [kind for _, kind in run(Test).errors_by_name]
    assert kinds == [TimeoutError, KeyError, IndexError, ValueError]


def test_a_test_that_a_scope_cut_short_without_an_error_is_an_error():
    class Swallow:
        async def __aenter__(self):
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)

        async def __aexit__(self, *_):
            return True

    class Test(AsyncTestCase):
        async def asyncSetUp(self):
            await self.enterAsyncContext(Swallow())

        async def test_x(self):
            await forever()

    assert run(Test).errors_by_name == [("test_x", CutShortError)]


def test_a_test_that_cancels_itself_fails_alone():
    class Test(ClassLoopTestCase):
        async def test_1(self):
            asyncio.current_task().cancel()
            await forever()

        async def test_2(self):
            asyncio.current_task().cancel()

        async def test_3(self):
            assert asyncio.current_task().cancelling() == 0
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0))

        async def asyncTearDown(self):
            await asyncio.sleep(0)

    result = run(Test)
    assert result.errors_by_name == [("test_1", asyncio.CancelledError), ("test_2", asyncio.CancelledError)]
    assert "not by a timeout" in result.raised[0][1].__notes__[0]


def test_other_failures_leave_the_contexts_untold_as_unittest_does():
    told = []

    class Manager:
        async def __aenter__(self):
            pass

        async def __aexit__(self, *arguments):
            told.append(arguments)

    class Test(AsyncTestCase):
        async def test_x(self):
            await self.enterAsyncContext(Manager())
            self.fail()

    assert len(run(Test).failures) == 1
    assert told == [(None, None, None)]


def test_contexts_can_be_entered_by_child_tasks():
    class Test(ClassLoopTestCase):
        async def asyncSetUp(self):
            await asyncio.gather(*(self.enterAsyncContext(contextlib.nullcontext()) for _ in range(2)))

        @classmethod
        async def asyncSetUpClass(cls):
            await asyncio.gather(*(cls.enterAsyncClassContext(contextlib.nullcontext()) for _ in range(2)))

        async def test_x(self):
            pass

    assert run(Test).raised == []


# Contexts.


def test_what_a_test_sets_is_gone_after_it():
    class Test(ClassLoopTestCase):
        async def test_1(self):
            variable.set("test")

        def test_2(self):
            assert variable.get() == "outside"
            variable.set("test")

        async def test_3(self):
            assert variable.get() == "outside"

    assert run(Test).raised == []


# Faults.


def test_running_and_setting_other_loops_harms_nobody():
    class Test(ClassLoopTestCase):
        loops = set()

        def test_1(self):
            asyncio.run(asyncio.sleep(0))

        def test_2(self):
            self.loops.add(asyncio.get_event_loop())
            asyncio.set_event_loop(None)

        async def test_3(self):
            self.loops.add(asyncio.get_running_loop())
            asyncio.set_event_loop(None)
            with pytest.raises(RuntimeError):
                asyncio.run(coroutine := forever())
            coroutine.close()

        def test_4(self):
            asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))
            self.loops.add(asyncio.get_event_loop())

        async def test_5(self):
            asyncio.get_running_loop().stop()
            await asyncio.sleep(0)
            self.loops.add(asyncio.get_running_loop())

        def tearDown(self):
            self.loops.add(asyncio.get_event_loop())

    assert run(Test).raised == []
    assert len(Test.loops) == 1


def test_what_does_not_end_with_the_loop_is_the_tests_error(monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_TIMEOUT", 0.05)

    class Test(AsyncTestCase):
        async def test_1(self):
            async def stubborn():
                while True:
                    with contextlib.suppress(asyncio.CancelledError):
                        await forever()

            self.task = asyncio.ensure_future(stubborn())
            await asyncio.sleep(0)

        async def test_2(self):
            pass

    result = run(Test)
    assert result.errors_by_name == [("test_1", UnfinishedError)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork()")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_fork_in_a_test_harms_nobody():
    class Test(ClassLoopTestCase):
        async def test_1(self):
            child = os.fork()
            if child == 0:
                os._exit(len(registry.runs()))
            assert os.waitpid(child, 0)[1] == 0
            await asyncio.sleep(0)

        test_2 = test_1

    assert run(Test).raised == []


def test_tests_run_in_several_threads_at_once():
    barrier = threading.Barrier(3)
    results = []

    class Test(asyncunit.SessionLoopTestCase):
        async def test_x(self):
            barrier.wait()
            self.seen = asyncio.get_running_loop()

    def work():
        tests = [Test("test_x") for _ in range(20)]
        result = Result()
        result.startTestRun()
        unittest.TestSuite(tests).run(result)
        result.stopTestRun()
        results.append((result.raised, len({id(test) for test in tests}), result.testsRun))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [([], 20, 20)] * 3


def test_system_exit_is_the_error_of_the_test_that_it_ends():
    class Test(ClassLoopTestCase):
        async def test_1(self):
            raise SystemExit(1)

        async def test_2(self):
            async def leave():
                raise SystemExit(2)

            task = asyncio.ensure_future(leave())
            try:
                await forever()
            finally:
                task.exception()

        async def test_3(self):
            pass

    result = run(Test)
    assert [error.code for _, error in result.raised] == [1, 2]
    assert result.passed == ["test_3"]


# Silent passes.


def test_async_set_up_and_tear_down_run():
    events = []

    class Test(AsyncTestCase):
        async def setUp(self):
            events.append("setUp")

        async def tearDown(self):
            events.append("tearDown")

        def test_x(self):
            pass

    assert run(Test).raised == []
    assert events == ["setUp", "tearDown"]


@pytest.mark.parametrize("name", ["setUpClass", "tearDownClass"])
def test_async_versions_of_the_sync_class_hooks_are_refused_when_the_class_is_defined(name):
    async def hook(cls):
        pass

    expected = rf"Test\.{name} is an async function, which unittest calls without awaiting it\. Rename it to async"
    with pytest.raises(DefinitionError, match=expected):
        type("Test", (AsyncTestCase,), {name: classmethod(hook)})
    with pytest.raises(DefinitionError, match=expected):
        type("Test", (type("Mixin", (), {name: classmethod(hook)}), AsyncTestCase), {})


def test_a_test_that_cannot_have_run_is_an_error():
    class Test(AsyncTestCase):
        async def test_1(self):
            yield

        def test_2(self):
            yield

        async def test_3(self):
            return crash()

    result = run(Test)
    assert [kind for _, kind in result.errors_by_name] == [DefinitionError] * 3
    assert "test_1 is an async generator, because it has a yield" in str(result.raised[0][1])
    assert "test_2 is a generator, because it has a yield" in str(result.raised[1][1])
    assert "which nobody awaits. Await it in the test." in str(result.raised[2][1])


def test_another_value_is_warned_of_as_unittest_does():
    class Test(AsyncTestCase):
        async def test_x(self):
            return 3

    with pytest.warns(
        DeprecationWarning, match=r"deprecated to return a value that is not None .*test_x.* 'int'"
    ) as seen:
        run(Test)
    assert seen[0].filename == __file__


def test_a_decorator_cannot_hide_a_coroutine():
    ran = []

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args):
            return function(*args)

        del wrapper.__wrapped__
        return wrapper

    class Test(ClassLoopTestCase):
        @decorate
        async def asyncSetUp(self):
            ran.append("asyncSetUp")

        @decorate
        async def setUp(self):
            ran.append("setUp")

        @decorate
        async def test_x(self):
            ran.append("test")
            self.addCleanup(decorate(self.clean))

        async def clean(self):
            ran.append("cleanup")

        test_y = functools.partialmethod(test_x)

    assert run(Test).raised == []
    assert ran == ["setUp", "asyncSetUp", "test", "cleanup"] * 2


@pytest.mark.parametrize("name", ["asyncSetUp", "asyncTearDown"])
def test_a_hook_that_cannot_be_awaited_is_an_error(name):
    Test = type("Test", (AsyncTestCase,), {name: lambda self: None, "test_x": lambda self: None})
    assert run(Test).errors_by_name == [("test_x", DefinitionError)]


# Drop-in.


def test_mixins_that_call_no_super_work():
    class Mixin:
        def setUp(self):
            self.value = 3

        async def asyncTearDown(self):
            Mixin.torn_down = True

    class Test(Mixin, AsyncTestCase):
        async def test_x(self):
            assert self.value == 3

    assert run(Test).raised == []
    assert Mixin.torn_down


def test_a_method_that_is_called_on_its_own_raises_its_own_error_in_a_sub_test():
    class Test(AsyncTestCase):
        def test_x(self):
            with self.subTest():
                raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        Test("test_x").test_x()


def test_only_true_makes_a_test_one_of_hypothesis():
    class Test(AsyncTestCase):
        test_x = mock.Mock(return_value=3)

    with pytest.warns(DeprecationWarning, match="deprecated to return a value that is not None"):
        run(Test)
    Test.test_x.assert_called_once_with()


def test_sub_tests_skips_and_expected_failures_are_as_unittest_has_them():
    class Test(ClassLoopTestCase):
        async def test_sub_tests(self):
            for number in range(4):
                with self.subTest(number=number):
                    await asyncio.sleep(0)
                    self.assertEqual(number % 2, 0)

        @unittest.expectedFailure
        async def test_expected(self):
            self.fail()

        @unittest.expectedFailure
        async def test_unexpected(self):
            pass

        @unittest.skip("why")
        async def test_skipped(self):
            raise AssertionError

        async def test_skips(self):
            self.skipTest("why not")

    result = run(Test)
    assert len(result.failures) == 2
    assert len(result.expectedFailures) == len(result.unexpectedSuccesses) == 1
    assert [why for _, why in result.skipped] == ["why", "why not"]


def test_patches_and_mocked_hooks_work():
    class Test(AsyncTestCase):
        @mock.patch("os.getcwd", return_value="somewhere")
        async def test_x(self, getcwd):
            assert os.getcwd() == "somewhere"
            assert getcwd.called

    test = Test("test_x")
    test.asyncSetUp = mock.AsyncMock()
    test.tearDown = mock.Mock()
    result = Result()
    test.run(result)
    assert result.raised == []
    test.asyncSetUp.assert_awaited_once()
    test.tearDown.assert_called_once()


def test_asking_a_test_that_does_not_run_is_a_clear_error():
    with pytest.raises(
        RuntimeError, match=r"is not running: call this from its hooks, its cleanups or the test itself"
    ):
        type("Test", (AsyncTestCase,), {})()._callAsync(forever)


# Found by trying to break it.


def test_a_crash_as_a_test_ends_does_not_hang_the_next():
    class Test(AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.group = await cls.enterAsyncClassContext(asyncio.TaskGroup())

        async def test_1(self):
            self.group.create_task(crash())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        async def test_2(self):
            await asyncio.sleep(0)

        test_3 = test_2

    result = run(Test)
    assert [kind for _, kind in result.errors_by_name] == [ExceptionGroup]
    assert result.passed[-1] == "test_3"


@pytest.mark.parametrize("error", [GeneratorExit, SystemExit, asyncio.CancelledError, BaseException])
def test_whatever_a_test_raises_is_its_error(error):
    class Test(ClassLoopTestCase):
        async def test_1(self):
            raise error

        async def test_2(self):
            pass

        async def asyncTearDown(self):
            await asyncio.sleep(0)

    result = run(Test)
    assert result.errors_by_name == [("test_1", error)]
    assert result.passed == ["test_2"]


def test_whatever_a_tear_down_hook_raises_the_others_run():
    ran = []

    class Test(AsyncTestCase):
        async def asyncTearDown(self):
            raise SystemExit

        def tearDown(self):
            ran.append("tearDown")

        async def test_x(self):
            pass

    assert run(Test).errors_by_name == [("test_x", SystemExit)]
    assert ran == ["tearDown"]


def test_a_cancellation_goes_through_sub_tests():
    class Test(GuardedTest):
        passes = 0

        async def test_1(self):
            for _ in range(3):
                with self.subTest():
                    Test.passes += 1
                    await self.time_out()

        async def test_2(self):
            task = asyncio.ensure_future(forever())
            task.cancel()
            with self.subTest():
                await task

    result = run(Test)
    assert [kind for _, kind in result.errors_by_name] == [TimeoutError]
    assert Test.passes == 1
    assert len(result.errors) == 2


def test_a_crash_while_a_context_of_the_class_is_entered_breaks_the_class():
    class Test(AsyncTestCase):
        starts = 0

        @classmethod
        async def asyncSetUpClass(cls):
            cls.starts += 1
            cls.group = await cls.enterAsyncClassContext(asyncio.TaskGroup())

        async def test_1(self):
            @contextlib.asynccontextmanager
            async def slow():
                self.group.create_task(crash())
                await forever()
                yield

            await self.enterAsyncClassContext(slow())

        async def test_2(self):
            assert self.starts == 2

    result = run(Test)
    assert result.errors_by_name == [("test_1", ExceptionGroup)]
    assert result.passed == ["test_2"]


def test_a_hook_of_a_base_can_be_called_by_its_name():
    class Base(ClassLoopTestCase):
        @classmethod
        def setUpClass(cls):
            Base.value = 3

        @classmethod
        def tearDownClass(cls):
            del Base.value

    class Test(Base):
        @classmethod
        def setUpClass(cls):
            Base.setUpClass()
            ClassLoopTestCase.setUpClass()

        @classmethod
        def tearDownClass(cls):
            Base.tearDownClass()

        async def test_x(self):
            assert self.value == 3

    assert run(Test).raised == []
    assert not hasattr(Base, "value")


@pytest.mark.parametrize(("hook", "events"), [("setUpClass", ["test", "down"]), ("tearDownClass", ["up", "test"])])
def test_none_switches_an_inherited_class_hook_off(hook, events):
    seen = []

    class Base(AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            seen.append("up")

        @classmethod
        def tearDownClass(cls):
            seen.append("down")

        async def test_x(self):
            seen.append("test")

    Off = type("Off", (Base,), {hook: None})
    for cls in (Off, type("Sub", (Off,), {})):
        seen.clear()
        assert run(cls).raised == []
        assert seen == events


def test_a_class_without_a_sync_hook_has_its_async_one():
    class Test(AsyncTestCase):
        setUpClass = None

        @classmethod
        async def asyncSetUpClass(cls):
            cls.value = 3

        async def test_x(self):
            assert self.value == 3

    assert run(Test).raised == []


def test_a_class_hook_may_be_a_mock():
    class Test(AsyncTestCase):
        setUpClass = set_up = mock.Mock()
        tearDownClass = tear_down = mock.Mock()

        def test_x(self): ...

    assert run(Test).raised == []
    assert Test.set_up.mock_calls == Test.tear_down.mock_calls == [mock.call()]


def test_a_class_hook_is_a_method_with_the_name_and_the_text_of_the_written_one():
    class Test(AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            """Open the shop."""

    assert inspect.ismethod(Test.setUpClass)
    assert Test.setUpClass.__self__ is Test
    assert (Test.setUpClass.__name__, Test.setUpClass.__doc__) == ("setUpClass", "Open the shop.")


def test_the_function_of_a_class_hook_can_be_called_with_another_class():
    class Test(AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            cls.value = 3

    class Other(AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            Test.setUpClass.__func__(cls)

        async def test_x(self):
            assert self.value == 3

    assert run(Other).raised == []
    assert not hasattr(Test, "value")


class Registered:
    def __init_subclass__(cls):
        pass


def without_asyncunit(cls):
    return (
        f"{class_name(cls)} was defined without asyncunit, because {class_name(Registered)}.__init_subclass__ does not "
        f"pass it on. Call  super().__init_subclass__(**kwargs)  in it."
    )


def test_a_base_that_keeps_subclasses_to_itself_is_one_error_of_the_class_with_the_fix():
    class Test(Registered, AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            raise AssertionError

        async def test_x(self): ...
        async def test_y(self): ...

    class Sub(Test): ...

    class Other(AsyncTestCase):
        async def test_other(self): ...

    result = run(Test, Sub, Other)
    assert [str(error) for _, error in result.raised] == [without_asyncunit(Test), without_asyncunit(Sub)]
    assert result.errors_by_name == [("setUpClass", DefinitionError)] * 2
    assert result.passed == ["test_other"]


def test_a_test_on_its_own_says_that_a_base_keeps_subclasses_to_itself():
    class Test(Registered, AsyncTestCase):
        async def test_x(self): ...

    result = Result()
    Test("test_x").run(result)
    assert str(result.only_error()) == without_asyncunit(Test)
    with pytest.raises(DefinitionError):
        Test("test_x").debug()


def test_a_base_that_passes_subclasses_on_may_come_first():
    class Registered:
        def __init_subclass__(cls, **kwargs):
            super().__init_subclass__(**kwargs)

    class Test(Registered, AsyncTestCase):
        async def test_x(self): ...

    assert run(Test).passed == ["test_x"]


def test_attributes_that_answer_to_any_name_are_left_alone():
    class Anything:
        def __getattr__(self, name):
            return Anything()

    class Test(AsyncTestCase):
        anything = Anything()

        async def test_x(self):
            pass

    assert run(Test).raised == []


def test_bases_behind_ours_hide_nothing_from_us():
    ran = []

    class Base(IsolatedAsyncioTestCase):
        def _callSetUp(self):
            super()._callSetUp()

        def _callTearDown(self):
            super()._callTearDown()

        def _callTestMethod(self, method):
            super()._callTestMethod(method)

    class Test(ClassLoopTestCase, Base):
        async def setUp(self):
            ran.append("setUp")

        async def tearDown(self):
            ran.append("tearDown")

        async def test_1(self):
            yield

        async def test_2(self):
            return crash()

    assert [kind for _, kind in run(Test).errors_by_name] == [DefinitionError] * 2
    assert ran == ["setUp", "tearDown"] * 2


def test_a_base_that_makes_its_own_runner_is_refused_with_the_mend():
    class Base(IsolatedAsyncioTestCase):
        def _setupAsyncioRunner(self):
            self._asyncioRunner = asyncio.Runner()

    with pytest.raises(DefinitionError, match="To say which, write 'loop_factory = ...' in Test"):
        type("Test", (Base, AsyncTestCase), {})


def test_asyncio_forgetting_its_policy_harms_nobody():
    class Test(AsyncTestCase):
        def test_1(self):
            pass

        @pytest.mark.filterwarnings("ignore::DeprecationWarning")
        def test_2(self):
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                asyncio.set_event_loop_policy(None)

        def test_3(self):
            pass

    assert run(Test).raised == []


def test_a_task_that_exits_as_the_loop_closes_does_not_end_the_run():
    @settings(background_tasks=["*.leave"])
    class Test(ClassLoopTestCase):
        async def test_x(self):
            async def leave():
                try:
                    await forever()
                finally:
                    raise SystemExit(3)

            Test.task = asyncio.ensure_future(leave())
            await asyncio.sleep(0)

    result = run(Test)
    assert result.errors_by_name == [("tearDownClass", CutShortError)]
    assert "raised SystemExit(3)" in str(result.raised[0][1])
    assert isinstance(Test.task.exception(), SystemExit)


# What hooks and tests register for their module.


@pytest.fixture
def notes():
    return []


def test_what_is_registered_from_a_test_belongs_to_the_scope_whose_method_it_calls(notes):
    source = """
        class Test(asyncunit.ModuleLoopTestCase):
            async def test_x(self):
                await self.enterAsyncClassContext(context("class"))
                await asyncunit.enterAsyncModuleContext(context("module"))
                self.addAsyncClassCleanup(anote, "class cleanup")
                await self.enterAsyncContext(context("test"))
            @classmethod
            def tearDownClass(cls): note("tearDownClass")
        def tearDownModule(): note("tearDownModule")
        async def anote(what): note(what)
        tasks = {}
        class context:
            def __init__(self, name): self.name = name
            async def __aenter__(self): tasks[self.name] = asyncio.current_task()
            async def __aexit__(self, *_):
                assert tasks[self.name] is asyncio.current_task()
                note(self.name)
    """
    result = run_module(source, note=notes.append)
    assert result.raised == []
    assert notes == ["test", "tearDownClass", "class cleanup", "class", "tearDownModule", "module"]


def test_registering_where_nothing_runs_is_an_error_with_the_mend():
    class Test(asyncunit.AsyncTestCase):
        pass

    with pytest.raises(LoopScopeError, match=r"Test\.addAsyncClassCleanup\(\) was called while no test or hook"):
        Test.addAsyncClassCleanup(asyncio.sleep, 0)
    with pytest.raises(LoopScopeError, match=r"addAsyncModuleCleanup\(\) was called while no module of tests runs"):
        asyncunit.addAsyncModuleCleanup(asyncio.sleep, 0)


def test_a_suite_run_by_a_test_leaves_the_modules_cleanups_alone(notes):
    source = """
        class Plain(unittest.TestCase):
            def test_x(self): pass
        Plain.__module__ = "elsewhere"
        def setUpModule(): unittest.addModuleCleanup(note, "cleanup")
        async def asyncSetUpModule(): asyncunit.addAsyncModuleCleanup(anote, "async cleanup")
        async def anote(what): note(what)
        class Test(asyncunit.AsyncTestCase):
            def test_x(self):
                unittest.TestSuite([Plain("test_x")]).run(unittest.TestResult())
                note("test")
        def load_tests(loader, tests, pattern): return loader.loadTestsFromTestCase(Test)
    """
    assert run_module(source, note=notes.append).raised == []
    assert notes == ["test", "async cleanup", "cleanup"]


def test_a_module_context_cannot_be_entered_from_a_narrower_loop():
    source = """
        class Wide(asyncunit.ModuleLoopTestCase):
            async def test_x(self): pass
        class Narrow(asyncunit.ClassLoopTestCase):
            async def test_x(self): await asyncunit.enterAsyncModuleContext(asyncio.Lock())
    """
    error = run_module(source).only_error()
    assert isinstance(error, LoopScopeError)
    assert str(error).endswith('Write in the class that this is called from:  loop_scope = "module"')
