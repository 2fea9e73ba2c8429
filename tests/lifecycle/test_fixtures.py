import asyncio
import contextvars
import gc
import signal
import unittest
import weakref

import pytest

from asyncunit import (
    AsyncTestCase,
    FixtureNotSetUpError,
    LoopClosedError,
    LoopScopeError,
    Scope,
    SessionLoopTestCase,
    fixture,
)
from asyncunit.lifecycle.async_scope import AsyncScope
from asyncunit.lifecycle.fixtures import OpenFixture, ScopeFixtures, find_in, make
from asyncunit.loops.scope_task import WideTask
from asyncunit.plans.fixtures import Node
from tests.conftest import open_scope
from tests.support import Result, python, run, run_module, run_suite, suite_of, write

variable = contextvars.ContextVar("variable", default="outside")
other_variable = contextvars.ContextVar("other_variable", default="outside")
WIDE = [scope for scope in Scope if scope > Scope.FUNCTION]


@pytest.fixture
def notes():
    return []


def noting(notes, scope, kind="async", **options):
    """A mixin with a fixture ``value`` of that scope, which notes its async_scopes, their task and their context."""
    async_scopes = {}

    def enter():
        notes.append("up")
        async_scopes["task"], async_scopes["token"] = _task(), variable.set("set by the fixture")

    def leave():
        variable.reset(async_scopes["token"])
        assert _task() is async_scopes["task"]
        notes.append("down")

    if kind == "async":

        async def value(first):
            enter()
            yield "value"
            leave()
    else:

        def value(first):
            enter()
            yield "value"
            leave()

    return type("Noting", (), {"value": fixture(scope=scope, **options)(value)})


def _task():
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


# One task, one context.


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("scope", list(Scope))
def test_both_halves_run_in_one_task_and_one_context(notes, scope, kind):
    class Test(noting(notes, scope, kind), AsyncTestCase):
        async def test_x(self):
            self.assertEqual((self.value, variable.get()), ("value", "set by the fixture"))

        test_y = test_x

    result = run(Test)
    assert result.wasSuccessful(), result.errors
    assert notes == ["up", "down"] * (2 if scope is Scope.FUNCTION else 1)
    assert variable.get() == "outside"


@pytest.mark.parametrize("scope", list(Scope))
def test_a_timeout_and_a_task_group_may_be_open_across_the_yield(notes, scope):
    class Guarded:
        @fixture(scope=scope)
        async def guard(first):
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                done = asyncio.Event()
                group.create_task(done.wait())
                yield group
                done.set()

    class Test(Guarded, AsyncTestCase):
        async def test_x(self):
            await self.guard.create_task(asyncio.sleep(0))

        test_y = test_x

    assert run(Test).passed == ["test_x", "test_y"]


async def crash():
    raise ValueError("crash")


@pytest.mark.parametrize("scope", list(Scope))
def test_what_is_held_open_ends_the_test_when_it_crashes_and_is_set_up_anew(notes, scope):
    class Guarded:
        @fixture(scope=scope)
        async def group(first):
            notes.append("up")
            try:
                async with asyncio.TaskGroup() as group:
                    yield group
            finally:
                notes.append("down")

        @fixture
        async def inner(self, group):
            yield
            notes.append("nothing stands around the yield, so this runs")

    class Test(Guarded, AsyncTestCase):
        async def test_a(self):
            self.group.create_task(crash())
            await asyncio.Event().wait()

        async def test_b(self):
            self.group.create_task(asyncio.sleep(0))
            notes.append("healthy")

    result = run(Test)
    (error,) = result.only_error().exceptions
    assert str(error) == "crash"
    inner = "nothing stands around the yield, so this runs"
    assert notes[:5] == ["up", inner, "down", "up", "healthy"]
    assert result.passed == ["test_b"]
    assert notes[-2:] == [inner, "down"]


class Grouped:
    """A task group that is open for the class."""

    @fixture(scope="class")
    async def group(cls):
        async with asyncio.TaskGroup() as group:
            yield group


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_cancellation_is_thrown_into_each_open_fixture_at_its_yield(notes, kind):
    class Guarded(Grouped):
        if kind == "async":

            @fixture(scope="class")
            async def told(cls, group):
                try:
                    yield
                except BaseException as error:
                    notes.append(type(error))
                    raise
        else:

            @fixture(scope="class")
            def told(cls, group):
                try:
                    yield
                except BaseException as error:
                    notes.append(type(error))
                    raise

    class Test(Guarded, AsyncTestCase):
        async def test_a(self):
            self.group.create_task(crash())
            await asyncio.Event().wait()

    assert isinstance(run(Test).only_error(), ExceptionGroup)
    assert notes == [asyncio.CancelledError]


# Once per scope.


MODULE = """
    class TestOne(Shared, asyncunit.AsyncTestCase):
        async def test_x(self): note(f"test {self.value}")
    class TestTwo(Shared, asyncunit.AsyncTestCase):
        async def test_x(self): note(f"test {self.value}")
"""


@pytest.mark.parametrize(("scope", "times"), [*zip(Scope, (2, 2, 1, 1, 1), strict=True)])
def test_classes_that_inherit_a_mixin_share_its_values(notes, scope, times):
    Shared = noting(notes, scope)
    assert run_module(MODULE, note=notes.append, Shared=Shared).wasSuccessful()
    assert notes.count("up") == notes.count("down") == times
    assert notes.count("test value") == 2


def test_modules_share_the_values_of_the_session():
    notes = []
    Shared = noting(notes, "session")

    class One(Shared, AsyncTestCase):
        def test_x(self):
            notes.append(self.value)

    class Two(One): ...

    Two.__module__ = "unittest.loader"
    assert run(One, Two).wasSuccessful()
    assert notes == ["up", "value", "value", "down"]


def test_an_async_value_is_made_once_for_each_loop_and_a_sync_one_once():
    made = []

    class Shared:
        @fixture(scope="session")
        async def asynchronous(cls):
            made.append("async")

        @fixture(scope="session")
        def synchronous(cls):
            made.append("sync")

        @fixture(scope="session")
        def depends(cls, asynchronous):
            made.append("depends")

    class One(Shared, SessionLoopTestCase):
        def test_x(self): ...

    class Two(One):
        loop_factory = staticmethod(lambda: asyncio.SelectorEventLoop())

    assert run(One, Two).wasSuccessful()
    assert sorted(made) == ["async", "async", "depends", "depends", "sync"]


def test_a_subclass_that_overrides_a_dependency_has_a_value_of_its_own():
    class Database:
        @fixture(scope="session")
        def url(cls):
            return "url"

        @fixture(scope="session")
        async def pool(cls, url):
            return f"pool on {url}"

    class One(Database, AsyncTestCase):
        def test_x(self):
            self.assertEqual(self.pool, "pool on url")

    class Two(Database, AsyncTestCase):
        @fixture(scope="session")
        def url(cls, url):
            return f"other {url}"

        def test_x(self):
            self.assertEqual(self.pool, "pool on other url")

    assert run(One, Two, One).passed == ["test_x", "test_x", "test_x"]


def test_several_params_live_side_by_side(notes):
    class Shared:
        @fixture(scope="class", params=["a", "b"])
        async def letter(cls, request):
            notes.append(f"{request.param} up")
            yield request.param
            notes.append(f"{request.param} down")

        @fixture(scope="class")
        def doubled(cls, letter):
            return letter * 2

    class Test(Shared, AsyncTestCase):
        async def test_x(self):
            notes.append((self.letter, self.doubled, type(self).letter))

        test_y = test_x

    assert run(Test).wasSuccessful()
    a, b = ("a", "aa", "a"), ("b", "bb", "b")
    assert notes == ["a up", a, "b up", b, a, b, "b down", "a down"]


# Order.


def test_fixtures_have_their_place_among_the_hooks(notes):
    run_module(
        """
        def setUpModule(): unittest.addModuleCleanup(note, "module cleanup"); note("setUpModule")
        async def asyncSetUpModule(): note("asyncSetUpModule")
        async def asyncTearDownModule(): note("asyncTearDownModule")
        def tearDownModule(): note("tearDownModule")

        def noting(scope, name, autouse=None):
            async def value(*_): note(f"{name} up"); yield; note(f"{name} down")
            value.__name__ = name
            return asyncunit.fixture(scope=scope, autouse=autouse)(value)

        class Test(asyncunit.AsyncTestCase):
            named = noting("function", "named", autouse=False)
            of_test = noting("function", "of_test")
            of_class = noting("class", "of_class")
            wide_named = noting("module", "wide_named", autouse=False)
            of_module = noting("module", "of_module")

            @classmethod
            def setUpClass(cls): cls.addClassCleanup(note, "class cleanup"); note("setUpClass")
            @classmethod
            async def asyncSetUpClass(cls): note("asyncSetUpClass")
            @classmethod
            async def asyncTearDownClass(cls): note("asyncTearDownClass")
            @classmethod
            def tearDownClass(cls): note("tearDownClass")
            def setUp(self): self.addCleanup(note, "cleanup"); note("setUp")
            async def asyncSetUp(self): note("asyncSetUp")
            async def asyncTearDown(self): note("asyncTearDown")
            def tearDown(self): note("tearDown")
            def test_x(self, named, wide_named): note("test")
        """,
        note=notes.append,
    )
    order = """
        of_module up, setUpModule, asyncSetUpModule,
        of_class up, setUpClass, asyncSetUpClass,
        wide_named up, of_test up, setUp, asyncSetUp, named up,
        test,
        asyncTearDown, tearDown, cleanup, named down, of_test down,
        asyncTearDownClass, tearDownClass, class cleanup, of_class down,
        asyncTearDownModule, tearDownModule, module cleanup, wide_named down, of_module down
    """
    assert notes == [note.strip() for note in order.split(",")]


def test_a_sync_fixture_runs_outside_the_loop_after_the_async_one_that_it_needs(notes):
    class Test(AsyncTestCase):
        @fixture
        def sync(self, asynchronous):
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            assert asyncio.get_event_loop() is asynchronous
            yield
            assert asyncio.get_event_loop() is asynchronous
            notes.append("sync")

        @fixture
        async def asynchronous(self):
            yield asyncio.get_running_loop()
            notes.append("async")

        async def test_x(self): ...

    assert run(Test).passed == ["test_x"]
    assert notes == ["sync", "async"]


# Failures.


def failing(scope, when, kind="async", error=ValueError):
    """A mixin with two fixtures, of which the second one fails."""
    notes = []

    class Failing:
        @fixture(scope=scope)
        async def first(_):
            notes.append("first up")
            yield
            notes.append("first down")

        if kind == "async":

            @fixture(scope=scope)
            async def second(_, first_):
                if when == "set-up":
                    raise error("boom")
                yield
                raise error("boom")
        else:

            @fixture(scope=scope)
            def second(_, first_):
                if when == "set-up":
                    raise error("boom")
                yield
                raise error("boom")

        @fixture(scope=scope, name="first_")
        async def alias(_, first): ...

    return Failing, notes


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("scope", list(Scope))
def test_a_set_up_that_fails_is_one_error_and_tears_down_what_was_there(scope, kind):
    Failing, notes = failing(scope, "set-up", kind)

    class Test(Failing, AsyncTestCase):
        def test_x(self): ...

        def setUp(self):
            notes.append("never")

    result = run(Test)
    name = "test_x" if scope is Scope.FUNCTION else "setUpClass"
    assert [(name, str(error)) for name, error in result.raised] == [(name, "boom")]
    assert notes == ["first up", "first down"]


@pytest.mark.parametrize("scope", WIDE)
def test_a_fixture_that_fails_for_a_class_is_not_set_up_again(notes, scope):
    class Failing:
        @fixture(scope=scope)
        async def value(cls):
            notes.append("up")
            raise ValueError("boom")

    class Test(Failing, AsyncTestCase):
        def test_x(self): ...

        def test_y(self): ...

    assert run(Test).errors_by_name == [("setUpClass", ValueError)]
    assert notes == ["up"]


@pytest.mark.parametrize("scope", WIDE)
def test_one_that_some_tests_name_fails_those(notes, scope):
    class Failing:
        @fixture(scope=scope, autouse=False)
        async def value(cls):
            notes.append("up")
            raise ValueError("boom")

    class Test(Failing, AsyncTestCase):
        def test_x(self, value): ...

        def test_y(self): ...

        @unittest.expectedFailure
        def test_z(self, value): ...

        def tearDown(self):
            notes.append("tearDown")

    result = run(Test)
    assert result.errors_by_name == [("test_x", ValueError), ("test_z", ValueError)]
    assert result.passed == ["test_y"]
    assert notes == ["up", "tearDown"]


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("scope", list(Scope))
def test_a_tear_down_that_fails_is_reported_and_the_rest_still_torn_down(scope, kind):
    Failing, notes = failing(scope, "tear-down", kind)

    class Test(Failing, AsyncTestCase):
        def test_x(self): ...

    result = run(Test)
    assert str(result.only_error()) == "boom"
    assert notes == ["first up", "first down"]


def test_no_error_of_a_tear_down_is_lost():
    class Test(AsyncTestCase):
        @fixture
        async def a(self):
            yield
            raise ValueError("a")

        @fixture
        def b(self):
            yield
            raise ValueError("b")

        @fixture
        async def c(self):
            yield
            raise SystemExit("c")

        async def test_x(self):
            raise ValueError("test")

    assert [str(error) for _, error in run(Test).raised] == ["test", "c", "b", "a"]


@pytest.mark.parametrize("scope", list(Scope))
def test_a_fixture_may_skip(scope):
    class Test(AsyncTestCase):
        @fixture(scope=scope)
        async def value(cls):
            raise unittest.SkipTest("why")

        def test_x(self): ...

    result = run(Test)
    assert [reason for _, reason in result.skipped] == ["why"]
    assert result.raised == result.passed == []


def test_what_a_fixture_registers_runs_before_it_is_torn_down(notes):
    class Test(AsyncTestCase):
        @fixture
        async def value(self):
            self.addCleanup(notes.append, "first")
            self.addAsyncCleanup(self.note, "second")
            yield
            notes.append("down")
            self.addCleanup(notes.append, "late")

        async def note(self, text):
            notes.append(text)

        async def test_x(self): ...

    assert run(Test).passed == ["test_x"]
    assert notes == ["second", "first", "down", "late"]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_what_a_tear_down_registers_runs_before_the_next_tear_down(notes, kind):
    class Test(AsyncTestCase):
        if kind == "async":

            @fixture
            async def first(self):
                yield
                notes.append("first down")
        else:

            @fixture
            def first(self):
                yield
                notes.append("first down")

        @fixture
        async def second(self, first):
            yield
            self.addCleanup(notes.append, "cleanup")

        async def test_x(self): ...

    assert run(Test).passed == ["test_x"]
    assert notes == ["cleanup", "first down"]


def test_a_fixture_of_the_module_that_fails_ahead_of_its_hooks_is_the_error_of_the_class(notes):
    result = run_module(
        """
        def setUpModule(): note("setUpModule")
        class Test(asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope="module")
            async def value(cls): raise ValueError("boom")
            def test_x(self): ...
        class TestHealthy(asyncunit.AsyncTestCase):
            def test_y(self): ...
        """,
        note=notes.append,
    )
    assert result.errors_by_name == [("setUpClass", ValueError)]
    assert result.passed == ["test_y"]
    assert notes == ["setUpModule"]


def test_and_is_not_lost_where_the_module_then_fails():
    result = run_module("""
        def setUpModule(): raise ValueError("hook")
        class Test(asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope="module")
            async def value(cls): raise ValueError("fixture")
            def test_x(self): ...
    """)
    assert [str(error) for _, error in result.raised] == ["hook", "fixture"]


def test_a_fixture_of_a_loop_that_was_closed_is_set_up_anew(notes):
    class Test(AsyncTestCase):
        @fixture(scope="class")
        async def value(cls):
            notes.append("up")
            yield
            notes.append("down")

        async def test_a(self):
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.stop)
            self.addCleanup(loop.close)

        async def test_b(self):
            notes.append("test")

    result = run(Test)
    assert "was closed by code that had only borrowed it" in str(result.only_error())
    assert result.passed == ["test_b"]
    assert notes == ["up", "up", "test", "down"]


def test_a_test_that_names_a_wider_async_fixture_than_its_loop_lasts_says_what_to_write():
    class Test(AsyncTestCase):
        @fixture(scope="module", autouse=False)
        async def value(cls): ...

    Test.test_late = lambda self, value: None
    error = run(Test).only_error()
    assert isinstance(error, LoopScopeError)
    assert 'loop_scope = "module"' in str(error)


def test_the_value_of_a_test_is_not_that_of_an_equal_one():
    class Test(AsyncTestCase):
        @fixture
        def value(self):
            return "value"

        def test_x(self):
            other = Test("test_x")
            self.assertEqual(other, self)
            with self.assertRaises(FixtureNotSetUpError):
                _ = other.value

    assert run(Test).passed == ["test_x"]


# Contexts.


def test_what_a_late_wide_fixture_sets_is_seen_by_the_scopes_that_open_after_it():
    class Late:
        @fixture(scope="session", autouse=False)
        async def late(cls):
            token = variable.set("late")
            yield
            variable.reset(token)

    class One(AsyncTestCase):
        def test_x(self):
            self.assertEqual(variable.get(), "outside")

    class Two(Late, AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            other_variable.set("class")

        def test_a(self):
            self.assertEqual(variable.get(), "outside")

        def test_b(self, late):
            self.assertEqual((variable.get(), other_variable.get()), ("late", "class"))

        def test_c(self):
            self.assertEqual((variable.get(), other_variable.get()), ("late", "class"))

    class Three(One):
        def test_x(self):
            self.assertEqual((variable.get(), other_variable.get()), ("late", "outside"))

    result = run(One, Two, Three)
    assert result.wasSuccessful(), result.errors + result.failures


def test_what_a_narrower_scope_has_set_is_not_overwritten():
    class Test(AsyncTestCase):
        @fixture(scope="session", autouse=False)
        async def late(cls):
            variable.set("late")

        @classmethod
        def setUpClass(cls):
            variable.set("class")

        def test_a(self, late):
            self.assertEqual(variable.get(), "class")

        test_b = test_a

    assert run(Test).passed == ["test_a", "test_b"]


# Without the suite of a runner.


def test_a_test_that_is_run_on_its_own_has_its_fixtures(notes):
    class Test(noting(notes, "session"), AsyncTestCase):
        def test_x(self):
            notes.append(self.value)

    result = Result()
    Test("test_x").run(result)
    assert result.passed == ["test_x"]
    assert notes == ["up", "value", "down"]


def test_debug_sets_up_and_tears_down(notes):
    class Test(noting(notes, "class"), AsyncTestCase):
        def test_x(self):
            notes.append(self.value)

    Test("test_x").debug()
    assert notes == ["up", "value", "down"]


def test_a_shuffled_order_opens_scopes_again(notes):
    class One(noting(notes, "class"), AsyncTestCase):
        def test_x(self): ...

        def test_y(self): ...

    class Two(AsyncTestCase):
        def test_x(self): ...

    assert run_suite(unittest.TestSuite([One("test_x"), Two("test_x"), One("test_y")])).wasSuccessful()
    assert notes == ["up", "down", "up", "down"]


def test_a_class_of_skipped_tests_sets_nothing_up(notes):
    class Test(noting(notes, "session"), AsyncTestCase):
        @unittest.skip("why")
        def test_x(self): ...

    assert run_suite(suite_of(Test)).wasSuccessful()
    assert notes == []


SUITE = """
    import asyncio, os, signal, asyncunit

    class Shared:
        @asyncunit.fixture(scope="session")
        async def session(cls):
            try:
                yield
            finally:
                print("session down", flush=True)

        @asyncunit.fixture
        async def value(self, session):
            if os.environ["WHEN"] == "set-up": await interrupt()
            try:
                yield
            finally:
                print("value down", flush=True)
            if os.environ["WHEN"] == "tear-down": await interrupt()

    async def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    class Test(Shared, asyncunit.AsyncTestCase):
        async def test_x(self):
            if os.environ["WHEN"] == "test": await interrupt()
"""


@pytest.mark.parametrize("when", ["set-up", "test", "tear-down"])
def test_ctrl_c_tears_down_what_is_set_up(tmp_path, when):
    write(tmp_path, test_module=SUITE)
    done = python("-m", "unittest", "test_module", cwd=tmp_path, WHEN=when)
    assert done.stdout.split("\n")[:-1] == (["value down"] if when != "set-up" else []) + ["session down"]
    assert "KeyboardInterrupt" in done.stderr


# Found by trying to break it.


def test_debug_tears_down_what_a_test_without_other_hooks_has_set_up(notes):
    class Test(AsyncTestCase):
        @fixture
        async def first(self):
            yield
            notes.append("first down")

        @fixture
        def second(self):
            yield
            notes.append("second down")

        def tearDown(self):
            notes.append("tearDown")

        async def test_x(self): ...

    Test("test_x").debug()
    assert notes == ["tearDown", "second down", "first down"]


def test_debug_loses_no_error_of_a_tear_down():
    class Test(AsyncTestCase):
        @fixture
        async def first(self):
            yield
            raise ValueError("first")

        @fixture
        def second(self):
            yield
            raise ValueError("second")

        def test_x(self): ...

    with pytest.raises(ExceptionGroup) as caught:
        Test("test_x").debug()
    assert [str(error) for error in caught.value.exceptions] == ["second", "first"]


INTERRUPTED = """
    import os, signal, asyncunit, unittest

    class Test(asyncunit.AsyncTestCase):
        @asyncunit.fixture(scope=os.environ["SCOPE"])
        async def last(_):
            yield
            print("last down")

        @asyncunit.fixture(scope=os.environ["SCOPE"])
        def interrupted(_, last):
            yield
            os.kill(os.getpid(), signal.SIGINT)

        @asyncunit.fixture(scope=os.environ["SCOPE"])
        def first(_, interrupted):
            yield
            raise ValueError("not to be lost")

        async def test_x(self): ...
"""


@pytest.mark.parametrize("scope", list(Scope))
def test_ctrl_c_in_a_tear_down_leaves_nothing_up_and_loses_no_error(tmp_path, scope):
    write(tmp_path, test_module=INTERRUPTED)
    done = python("-X", "dev", "-m", "unittest", "test_module", cwd=tmp_path, SCOPE=str(scope))
    assert done.stdout == "last down\n"
    assert done.stderr.count("ValueError: not to be lost") == 1
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "ResourceWarning" not in done.stderr
    assert "Task was destroyed" not in done.stderr


@pytest.mark.parametrize("when", ["set-up", "tear-down"])
@pytest.mark.parametrize("scope", WIDE)
def test_a_fixture_that_exits_is_an_error_like_any_other(scope, when):
    Failing, notes = failing(scope, when, error=SystemExit)

    class Test(Failing, AsyncTestCase):
        def test_x(self): ...

    error = run(Test).only_error()
    assert "code of the scope" in str(error)
    assert isinstance(error.__cause__, SystemExit)
    assert notes == ["first up", "first down"]


def test_a_class_that_is_skipped_sets_nothing_up(notes):
    result = run_module(
        """
        @unittest.skip("why")
        class Test(Shared, asyncunit.AsyncTestCase):
            def test_x(self): ...
        class TestOther(asyncunit.AsyncTestCase):
            def test_x(self): ...
        """,
        Shared=noting(notes, "module"),
    )
    assert result.wasSuccessful()
    assert notes == []


def test_class_hooks_that_run_because_of_a_crash_can_read_fixtures(notes):
    class Test(Grouped, AsyncTestCase):
        @classmethod
        async def asyncTearDownClass(cls):
            notes.append(type(cls.group))

        async def test_a(self):
            self.group.create_task(crash())
            await asyncio.Event().wait()

        async def test_b(self): ...

    assert isinstance(run(Test).only_error(), ExceptionGroup)
    assert notes == [asyncio.TaskGroup, asyncio.TaskGroup]


def test_a_wide_fixture_that_is_cut_short_ahead_of_the_module_is_one_error_of_the_class(notes):
    result = run_module(
        """
        class Shared:
            @asyncunit.fixture(scope="session")
            async def guard(cls):
                async with asyncio.timeout(0.01): yield
            @asyncunit.fixture(scope="module")
            async def slow(cls, guard):
                note("slow")
                await asyncio.Event().wait()
        class Test(Shared, asyncunit.AsyncTestCase):
            async def test_x(self): ...
        """,
        note=notes.append,
    )
    assert result.errors_by_name == [("setUpClass", TimeoutError)]
    assert notes == ["slow"]


@pytest.mark.parametrize("scope", ["class", "module"])
def test_what_a_tear_down_registers_runs_too(notes, scope):
    result = run_module(
        """
        async def note_later(text): note(text)
        class Test(asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope=scope)
            async def value(cls):
                yield
                if scope == "class":
                    cls.addClassCleanup(note, "sync")
                    cls.addAsyncClassCleanup(note_later, "async")
                else:
                    unittest.addModuleCleanup(note, "sync")
                    asyncunit.addAsyncModuleCleanup(note_later, "async")
            def test_x(self): ...
        """,
        note=notes.append,
        scope=scope,
    )
    assert result.wasSuccessful(), result.errors
    assert notes == ["async", "sync"]


def test_module_cleanups_of_a_fixture_keep_their_order(notes):
    result = run_module(
        """
        async def note_later(text): note(text)
        class Test(asyncunit.AsyncTestCase):
            @asyncunit.fixture(scope="module")
            async def value(cls):
                unittest.addModuleCleanup(note, "first")
                asyncunit.addAsyncModuleCleanup(note_later, "second")
            def test_x(self): ...
        """,
        note=notes.append,
    )
    assert result.wasSuccessful(), result.errors
    assert notes == ["second", "first"]


def test_a_fixture_that_may_not_begin_leaves_no_warning(notes):
    class Test(Grouped, AsyncTestCase):
        @fixture(autouse=False)
        async def late(self):
            yield

        def setUp(self):
            if self._testMethodName == "test_a":
                self.group.create_task(crash())

        def test_a(self, late): ...

        def test_b(self, late): ...

    assert isinstance(run(Test).only_error(), ExceptionGroup)


def test_none_is_a_value_of_a_context_variable_like_any_other():
    class Test(AsyncTestCase):
        @fixture(scope="module", autouse=False)
        async def late(cls):
            variable.set("late")

        @classmethod
        def setUpClass(cls):
            variable.set(None)

        def test_x(self, late):
            self.assertIsNone(variable.get())

    assert run(Test).passed == ["test_x"]


def test_what_a_session_raises_is_in_the_report_of_a_run_that_nobody_ends():
    class Test(AsyncTestCase):
        @fixture(scope="session")
        async def value(cls):
            yield
            raise ValueError("too late")

        def test_x(self): ...

    first, second = unittest.TestResult(), Result()
    suite_of(Test).run(first)
    [(_, text)] = first.errors
    assert "ValueError: too late" in text
    suite_of(Test).run(second)
    assert second.errors_by_name == [("closing", ValueError)]
    assert len(first.errors) == 1


def test_a_suite_may_run_in_the_tear_down_of_a_fixture(notes):
    class Inner(AsyncTestCase):
        def test_x(self): ...

    class Test(AsyncTestCase):
        @fixture(scope="session")
        async def last(cls):
            yield
            notes.append("last")

        @fixture(scope="session")
        def runs_one(cls):
            yield
            notes.extend(run(Inner).passed)

        def test_y(self): ...

    assert run(Test).passed == ["test_y"]
    assert notes == ["test_x", "last"]


def test_a_generator_whose_loop_is_closed_is_closed_as_far_as_that_goes(notes):
    class Test(AsyncTestCase):
        @fixture(scope="class")
        async def group(cls):
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(60))
                yield group

        @fixture
        async def inner(self):
            try:
                yield
            finally:
                notes.append("without the loop")
                await asyncio.sleep(0)
                notes.append("with the loop")

        def test_a(self):
            asyncio.get_event_loop().close()

        def test_b(self):
            for task in self.group._tasks:
                task.cancel()

    result = run(Test)
    gc.collect()  # what is let go then and complains fails this test
    assert {type(error) for _, error in result.raised} == {LoopClosedError}
    assert result.passed == ["test_b"]
    assert notes == ["without the loop", "without the loop", "with the loop"]


def test_a_sync_fixture_behind_an_async_one_is_torn_down_though_the_loop_is_closed(notes):
    class Test(AsyncTestCase):
        @fixture(scope="class")
        async def asynchronous(cls):
            yield

        @fixture(scope="class")
        def synchronous(cls, asynchronous):
            yield
            notes.append("down")

        def test_x(self):
            asyncio.get_event_loop().close()

        def test_y(self): ...

    assert len(run(Test).raised) == 1
    assert notes == ["down", "down"]


def test_a_crash_inside_leaves_the_fixtures_of_wider_scopes_alone(notes):
    class Test(AsyncTestCase):
        @fixture(scope="session")
        async def pool(cls):
            notes.append("pool up")
            yield
            notes.append("pool down")

        @fixture(scope="session", autouse=False)
        async def slow(cls):
            notes.append("slow")
            await asyncio.sleep(0.05 if notes.count("slow") == 1 else 0)

        @classmethod
        async def asyncSetUpClass(cls):
            await cls.enterAsyncClassContext(asyncio.timeout(60 if "slow" in notes else 0.01))

        async def test_a(self, slow): ...

        async def test_b(self, slow): ...

    result = run(Test)
    assert result.errors_by_name == [("test_a", TimeoutError)]
    assert notes == ["pool up", "slow", "slow", "pool down"]


def test_an_error_of_a_named_fixture_is_not_the_context_of_that_of_a_tear_down():
    class Test(AsyncTestCase):
        @fixture(autouse=False)
        async def value(self):
            raise ValueError("fixture")

        async def asyncTearDown(self):
            raise KeyError("tear-down")

        def test_x(self, value): ...

    (_, first), (_, second) = run(Test).raised
    assert (str(first), second.args) == ("fixture", ("tear-down",))
    assert second.__context__ is None


def test_what_a_class_hook_puts_in_the_place_of_a_fixture_is_what_tests_read():
    class Test(AsyncTestCase):
        @fixture(scope="class")
        def value(cls):
            return "fixture"

        @classmethod
        def setUpClass(cls):
            cls.value = f"{cls.value} in a hook"

        def test_x(self):
            self.assertEqual((self.value, type(self).value), ("fixture in a hook",) * 2)

    assert run(Test).passed == ["test_x"]


def test_classes_and_what_they_were_given_are_let_go():
    class Base:
        @fixture
        def url(self):
            return object()

        @fixture
        def pool(self, url):
            return url

    def make():
        class Test(Base, AsyncTestCase):
            @fixture
            def url(self): ...

            def test_x(self): ...

        assert run(Test).passed == ["test_x"]
        return weakref.ref(Test)

    made = [make() for _ in range(3)]
    gc.collect()
    assert [reference() for reference in made] == [None, None, None]
    assert len(vars(Base)["pool"].nodes) == 0


# Tear-down in the same run of the loop as the test is the same as one that comes later.


class Directly(AsyncTestCase):
    """Its fixture is torn down right after the test, while the loop runs."""

    async def test_x(self): ...


class Later(Directly):
    def setUp(self):
        self.addCleanup(int)


def with_tear_down(base, tear_down, test=None):
    class Test(base):
        @fixture
        async def value(self):
            try:
                yield
            finally:
                await tear_down()

        async def test_x(self):
            if test is not None:
                await test()

    return Test


async def cancel_itself():
    asyncio.current_task().cancel()


async def cancel_and_swallow():
    asyncio.current_task().cancel()
    try:
        await asyncio.sleep(1)
    except asyncio.CancelledError:
        return


async def exit_in_a_callback():
    asyncio.get_running_loop().call_soon(exit, 3)
    await asyncio.sleep(0.01)


async def stop_the_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0)


async def do_nothing():
    await asyncio.sleep(0)


TEAR_DOWNS = [crash, cancel_itself, exit_in_a_callback, stop_the_loop, do_nothing]


@pytest.mark.parametrize("is_expected", [False, True])
@pytest.mark.parametrize("test", [None, cancel_itself, cancel_and_swallow, crash])
@pytest.mark.parametrize("tear_down", TEAR_DOWNS)
def test_a_tear_down_that_follows_at_once_is_reported_as_one_that_comes_later(tear_down, test, is_expected):
    reports = []
    for base in (Directly, Later):
        Test = with_tear_down(base, tear_down, test)
        if is_expected:
            Test.test_x = unittest.expectedFailure(Test.test_x)
        result = run(Test)
        failures = (len(result.expectedFailures), len(result.unexpectedSuccesses))
        reports.append((result.errors_by_name, result.passed, failures))
    assert reports[0] == reports[1]


def test_a_cancellation_at_the_end_of_a_test_is_thrown_in_at_the_yield(notes):
    async def close():
        await asyncio.sleep(0)
        notes.append("closed")

    assert len(run(with_tear_down(Directly, close, cancel_itself)).raised) == 1
    assert notes == ["closed"]


def test_ctrl_c_in_a_tear_down_that_follows_at_once_still_ends_the_run(notes):
    async def interrupt():
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        run(with_tear_down(Directly, interrupt))


# The fixtures that are set up in one open scope.


@fixture(scope="class")
def one():
    yield 1


@fixture(scope="class")
def two(one):
    yield 2


@fixture(scope="class")
async def generator():
    yield 3
    raise AssertionError("this is not to run without its loop")


@fixture(scope="class", params=[1, 2])
def varying(request): ...


ONE = Node(one, ())
TWO = Node(two, (("one", ONE),))
GENERATOR = Node(generator, ())


@pytest.fixture
def opened():
    return open_scope(Scope.CLASS)


@pytest.fixture
def fixtures(opened):
    return ScopeFixtures(opened)


@pytest.fixture
def async_scope(loop_runner, opened):
    return AsyncScope(WideTask(loop_runner, opened))


@pytest.fixture
def events():
    return []


def open_fixture(fixtures, events, node, async_scope=None):
    """Have the fixture of a node be set up, with an exit that notes that it was called."""
    made = OpenFixture(node, async_scope)
    made.value = node.fixture.function.__name__
    made.exit_ = lambda: events.append(made.value)
    fixtures.open_fixtures[node] = made
    return made


def test_they_are_those_of_their_scope(opened, fixtures):
    assert opened.fixtures is fixtures


def test_a_fixture_that_is_set_up_is_found_and_one_that_failed_is_not(fixtures, events):
    assert fixtures.find(one, None) is None
    made = open_fixture(fixtures, events, ONE)
    assert fixtures.find(one, None) == ("one",)
    made.error = ValueError()
    assert fixtures.find(one, None) is None
    assert fixtures.shared(ONE, None) is made
    with pytest.raises(ValueError):
        made.get()


def test_a_class_sees_no_more_than_what_it_uses(fixtures, events):
    open_fixture(fixtures, events, ONE)
    fixtures.seen = {TWO: "seen"}
    assert fixtures.find(one, None) is None
    assert fixtures.find(two, None) == ("seen",)


def test_a_value_is_found_by_its_fixture_and_none_is_a_value():
    assert find_in({ONE: None}, one) == (None,)
    assert find_in({ONE: None}, two) is None


def test_what_needs_a_loop_is_shared_on_that_loop_only(fixtures, events, async_scope, loop_runner):
    made = open_fixture(fixtures, events, GENERATOR, async_scope)
    assert fixtures.shared(GENERATOR, loop_runner) is made
    assert fixtures.shared(GENERATOR, None) is None


def test_what_has_params_is_not_shared(fixtures, events):
    node = Node(varying, ())
    open_fixture(fixtures, events, node)
    assert fixtures.shared(node, None) is None


def test_a_fixture_that_is_made_of_another_one_is_not_shared(fixtures, events):
    open_fixture(fixtures, events, TWO)
    assert fixtures.shared(Node(two, (("one", Node(one, ())),)), None) is None


def test_what_rests_on_a_fixture_goes_down_with_it_the_last_first(fixtures, events):
    made = open_fixture(fixtures, events, ONE)
    open_fixture(fixtures, events, GENERATOR)
    open_fixture(fixtures, events, TWO)
    assert fixtures.tear_down_what_rests_on(made) == []
    assert events == ["two", "one"]
    assert list(fixtures.open_fixtures) == [GENERATOR]


def test_what_an_async_scope_has_goes_down_with_it_alone(fixtures, events, async_scope):
    open_fixture(fixtures, events, ONE)
    open_fixture(fixtures, events, GENERATOR, async_scope)
    assert fixtures.tear_down(async_scope) == []
    assert events == ["generator"]


def test_every_error_of_a_tear_down_is_returned_and_the_rest_goes_on(fixtures, events):
    def fail():
        raise ValueError("boom")

    open_fixture(fixtures, events, ONE)
    open_fixture(fixtures, events, TWO).exit_ = fail
    assert [str(error) for error in fixtures.close()] == ["boom"]
    assert events == ["one"]
    assert fixtures.close() == []


def test_of_what_is_lost_an_async_tear_down_does_not_run_and_a_sync_one_does(
    fixtures, events, async_scope, loop_runner, opened
):
    made = open_fixture(fixtures, events, GENERATOR, async_scope)
    exits = []
    make(generator, (), {}, opened, async_scope.scope_task, exits.append)
    [made.exit_] = exits
    open_fixture(fixtures, events, ONE, async_scope)
    loop_runner.loop.close()
    assert fixtures.lose(async_scope) == []
    assert events == ["one"]
    async_scope.scope_task.abandon()
