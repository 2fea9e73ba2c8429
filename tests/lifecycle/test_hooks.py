import asyncio
import contextvars
import unittest

import pytest

import asyncunit
from asyncunit import CutShortError, LoopScopeError
from tests.support import run, run_module


@pytest.fixture
def notes():
    return []


variable = contextvars.ContextVar("variable", default="outside")


ALL_HOOKS = """
    def setUpModule(): note("setUpModule"); unittest.addModuleCleanup(note, "sync module cleanup")
    async def asyncSetUpModule():
        note("asyncSetUpModule")
        asyncunit.addAsyncModuleCleanup(anote, "async module cleanup")
        await asyncunit.enterAsyncModuleContext(Context("module"))
    async def asyncTearDownModule(): note("asyncTearDownModule")
    def tearDownModule(): note("tearDownModule")

    async def anote(what): note(what)

    class Context:
        def __init__(self, name): self.name = name
        async def __aenter__(self): note(f"enter {self.name} context")
        async def __aexit__(self, *_): note(f"leave {self.name} context")

    class Test(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls): note("setUpClass"); cls.addClassCleanup(note, "sync class cleanup")
        @classmethod
        async def asyncSetUpClass(cls):
            note("asyncSetUpClass")
            cls.addAsyncClassCleanup(anote, "async class cleanup")
            await cls.enterAsyncClassContext(Context("class"))
        @classmethod
        async def asyncTearDownClass(cls): note("asyncTearDownClass")
        @classmethod
        def tearDownClass(cls): note("tearDownClass")
        def setUp(self): note("setUp"); self.addCleanup(note, "sync cleanup")
        async def asyncSetUp(self):
            note("asyncSetUp")
            self.addAsyncCleanup(anote, "async cleanup")
            await self.enterAsyncContext(Context("test"))
        async def asyncTearDown(self): note("asyncTearDown")
        def tearDown(self): note("tearDown")
        async def test_x(self): note("test")
"""


IN_ORDER = [
    "setUpModule",
    "asyncSetUpModule",
    "enter module context",
    "setUpClass",
    "asyncSetUpClass",
    "enter class context",
    "setUp",
    "asyncSetUp",
    "enter test context",
    "test",
    "asyncTearDown",
    "tearDown",
    "leave test context",
    "async cleanup",
    "sync cleanup",
    "asyncTearDownClass",
    "tearDownClass",
    "leave class context",
    "async class cleanup",
    "sync class cleanup",
    "asyncTearDownModule",
    "tearDownModule",
    "leave module context",
    "async module cleanup",
    "sync module cleanup",
]


def test_all_hooks_run_in_the_order_of_the_design(notes):
    assert run_module(ALL_HOOKS, note=notes.append).wasSuccessful()
    assert notes == IN_ORDER


@pytest.mark.parametrize("place", [name for name in IN_ORDER if name[0] not in "el" and "cleanup" not in name])
def test_a_failure_at_any_place_is_reported_once_and_runs_what_unittest_runs(notes, place):
    def note(what):
        notes.append(what)
        if what == place:
            raise ValueError(what)

    result = run_module(ALL_HOOKS, note=note)
    assert [str(error) for _, error in result.raised] == [place]
    at = IN_ORDER.index(place)
    level = next(level for level in ("Module", "Class", "") if level in place)
    if "TearDown" in place or "tearDown" in place or place == "test":
        expected = IN_ORDER
    else:
        # What was registered before the failure is cleaned up; the tests and the tear-down of the level are left out.
        skipped = {"Module": "tearDownModule", "Class": "tearDownClass", "": "tearDown"}[level]
        rest = IN_ORDER[IN_ORDER.index(skipped) + 1 :]
        kind = {"Module": "module", "Class": "class", "": ""}[level]
        own = [f"leave {kind or 'test'} context", f"async {kind} cleanup".replace("  ", " ")]
        if place.startswith("set"):
            own.append(f"sync {kind} cleanup".replace("  ", " "))
        expected = IN_ORDER[: at + 1] + [what for what in rest if what not in own]
    assert notes == expected


@pytest.mark.parametrize(
    "place", ["setUpModule", "asyncSetUpModule", "setUpClass", "asyncSetUpClass", "setUp", "asyncSetUp"]
)
def test_skip_in_any_set_up_skips(place):
    def note(what):
        if what == place:
            raise unittest.SkipTest("why")

    result = run_module(ALL_HOOKS, note=note)
    assert result.wasSuccessful()
    assert [why for _, why in result.skipped] == ["why"]
    assert result.passed == []


def test_every_tear_down_error_is_reported_separately(notes):
    def note(what):
        if any(word in what for word in ("earDown", "cleanup", "leave")):
            raise ValueError(what)

    result = run_module(ALL_HOOKS, note=note)
    expected = IN_ORDER[IN_ORDER.index("asyncTearDown") :]
    assert sorted(str(error) for _, error in result.raised) == sorted(expected)
    assert all(error.__context__ is None for _, error in result.raised)


VARIABLES = """
    def setUpModule():
        global token
        token = variable.set("setUpModule")
    def tearDownModule():
        assert variable.get() == "asyncSetUpModule"
        variable.reset(atoken)
        variable.reset(token)
        assert variable.get() == "outside"
    async def asyncSetUpModule():
        global atoken
        assert variable.get() == "setUpModule"
        atoken = variable.set("asyncSetUpModule")

    class Test(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            assert variable.get() == "asyncSetUpModule"
            cls.token = variable.set("setUpClass")
        @classmethod
        async def asyncSetUpClass(cls):
            assert variable.get() == "setUpClass"
            cls.atoken = variable.set("asyncSetUpClass")
            cls.addClassCleanup(lambda: variable.reset(cls.token))
        @classmethod
        async def asyncTearDownClass(cls):
            assert variable.get() == "asyncSetUpClass"
            variable.reset(cls.atoken)
        @classmethod
        def tearDownClass(cls):
            assert variable.get() == "setUpClass"
        def setUp(self):
            assert variable.get() == "asyncSetUpClass"
            self.token = variable.set("setUp")
        async def asyncSetUp(self):
            assert variable.get() == "setUp"
            self.atoken = variable.set("asyncSetUp")
        async def test_1(self):
            assert variable.get() == "asyncSetUp"
            self.addCleanup(lambda: self.assertEqual(variable.get(), "asyncSetUpClass"))
        def test_2(self):
            assert variable.get() == "asyncSetUp"
        async def asyncTearDown(self):
            variable.reset(self.atoken)
        def tearDown(self):
            variable.reset(self.token)
        async def test_3(self):
            token = variable.set("test_3")
            self.addCleanup(lambda: variable.reset(token))
            self.addAsyncCleanup(self.check)
        async def check(self):
            assert variable.get() == "asyncSetUpClass" or variable.get() == "test_3"

    class TestAfter(asyncunit.AsyncTestCase):
        async def test_x(self): assert variable.get() == "asyncSetUpModule"
"""


def test_context_variables_are_seen_inwards_and_gone_outside():
    source = VARIABLES.replace("variable.reset(token))\n            self.addAsyncCleanup(self.check)", "None)")
    result = run_module(source, variable=variable)
    assert result.raised == []
    assert result.testsRun == 4
    assert variable.get() == "outside"


GROUP = """
    starts = []
    async def crash(): raise ValueError("crash")
    {module}
    class Test(asyncunit.AsyncTestCase):
        {class_}
        async def test_1(self): pass
        async def test_2_crash(self):
            group.create_task(crash())
            await asyncio.Event().wait()
        async def test_3(self): assert len(starts) == 2, starts
        async def test_4_swallows(self):
            group.create_task(crash())
            try: await asyncio.Event().wait()
            except asyncio.CancelledError: pass
        async def test_5(self): assert len(starts) == 3, starts
"""


HOOK = """
            global group
            starts.append(1)
            group = await {enter}(asyncio.TaskGroup())
"""


@pytest.mark.parametrize("level", ["class", "module"])
def test_a_crash_in_a_wider_scope_ends_the_test_with_its_error_and_the_next_sets_it_up_anew(level):
    module = class_ = ""
    if level == "class":
        class_ = "@classmethod\n        async def asyncSetUpClass(cls):" + HOOK.format(
            enter="cls.enterAsyncClassContext"
        )
    else:
        module = "async def asyncSetUpModule():" + HOOK.format(enter="asyncunit.enterAsyncModuleContext")
    result = run_module(GROUP.format(module=module, class_=class_))
    assert result.errors_by_name == [("test_2_crash", ExceptionGroup), ("test_4_swallows", ExceptionGroup)]
    assert result.passed == ["test_1", "test_3", "test_5"]


def test_a_set_up_that_fails_anew_says_so_in_each_test_that_needs_it():
    class Test(asyncunit.AsyncTestCase):
        starts = 0

        @classmethod
        async def asyncSetUpClass(cls):
            cls.starts += 1
            if cls.starts > 1:
                raise ValueError("not again")
            cls.group = await cls.enterAsyncClassContext(asyncio.TaskGroup())

        async def test_1(self):
            async def crash():
                raise ValueError("crash")

            self.group.create_task(crash())
            await asyncio.Event().wait()

        async def test_2(self):
            pass

        test_3 = test_2

    result = run(Test)
    assert result.errors_by_name == [("test_1", ExceptionGroup), ("test_2", ValueError), ("test_3", ValueError)]
    assert "was set up anew after it had broken down" in result.raised[1][1].__notes__[0]


@pytest.mark.parametrize("hook", ["asyncSetUpClass", "asyncTearDownClass"])
def test_a_timeout_around_a_class_hook_is_the_classs_error(hook):
    class Test(asyncunit.AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.timeout = await cls.enterAsyncClassContext(asyncio.timeout(None))
            await cls.wait("asyncSetUpClass")

        @classmethod
        async def asyncTearDownClass(cls):
            await cls.wait("asyncTearDownClass")

        @classmethod
        async def wait(cls, where):
            if where == hook:
                cls.timeout.reschedule(0)
                await asyncio.Event().wait()

        async def test_x(self):
            pass

    name = "setUpClass" if hook == "asyncSetUpClass" else "tearDownClass"
    assert run(Test).errors_by_name == [(name, TimeoutError)]


@pytest.mark.parametrize("hook", ["asyncSetUpModule", "asyncTearDownModule"])
def test_a_timeout_around_a_module_hook_is_the_modules_error(hook):
    source = f"""
        async def asyncSetUpModule():
            global timeout
            timeout = await asyncunit.enterAsyncModuleContext(asyncio.timeout(None))
            await wait("asyncSetUpModule")
        async def asyncTearDownModule(): await wait("asyncTearDownModule")
        async def wait(where):
            if where == {hook!r}:
                timeout.reschedule(0)
                await asyncio.Event().wait()
        class Test(asyncunit.AsyncTestCase):
            async def test_x(self): pass
    """
    name = "setUpModule" if hook == "asyncSetUpModule" else "tearDownModule"
    assert run_module(source).errors_by_name == [(name, TimeoutError)]


def test_a_class_hook_that_cancels_itself_does_not_end_the_run():
    class Test(asyncunit.AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

        async def test_x(self):
            pass

    class Next(asyncunit.AsyncTestCase):
        async def test_x(self):
            pass

    result = run(Test, Next)
    assert result.errors_by_name == [("setUpClass", CutShortError)]
    assert result.passed == ["test_x"]


@pytest.mark.parametrize(
    ("statement", "mend"),
    [
        ("self.addAsyncClassCleanup(asyncio.sleep, 0)", 'Write in Test:  loop_scope = "class"'),
        ("await self.enterAsyncClassContext(asyncio.timeout(1))", 'Write in Test:  loop_scope = "class"'),
        ("asyncunit.addAsyncModuleCleanup(asyncio.sleep, 0)", 'in the class that needs it:  loop_scope = "module"'),
        ("await asyncunit.enterAsyncModuleContext(asyncio.timeout(1))", 'that needs it:  loop_scope = "module"'),
    ],
)
def test_a_scope_that_has_no_loop_is_an_error_with_the_mend(statement, mend):
    source = f"class Test(asyncunit.AsyncTestCase):\n    async def test_x(self):\n        {statement}"
    error = run_module(source).only_error()
    assert isinstance(error, LoopScopeError)
    assert str(error).endswith(mend)


def test_a_class_cleanup_that_returns_an_awaitable_has_it_awaited(notes):
    class Test(asyncunit.ClassLoopTestCase):
        async def test_x(self):
            self.addClassCleanup(self.cleanup)

        async def cleanup(self):
            notes.append(asyncio.get_running_loop().is_closed())

    assert run(Test).wasSuccessful()
    assert notes == [False]


@pytest.mark.parametrize("place", ["setUp", *IN_ORDER[IN_ORDER.index("test") :]])
def test_an_interrupt_at_any_place_leaves_out_no_tear_down(notes, place):
    def note(what):
        notes.append(what)
        if what == place:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_module(ALL_HOOKS, note=note)
    expected = [what for what in IN_ORDER if not (place == "setUp" and what in ("asyncSetUp", "enter test context"))]
    if place == "setUp":
        for what in ("test", "asyncTearDown", "tearDown", "leave test context", "async cleanup", "sync cleanup"):
            expected.remove(what)
    assert notes == expected


def test_a_cancellation_raised_by_a_sync_hook_does_not_end_the_run():
    class Test(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            raise asyncio.CancelledError

        def test_x(self):
            pass

    assert run(Test).errors_by_name == [("setUpClass", CutShortError)]
