import asyncio
import contextvars
import unittest

import pytest

import asyncunit
from asyncunit import CutShortError, DefinitionError, LoopScopeError, RunningLoopError
from asyncunit.scopes import Scope
from tests.support import module_of, run, run_module, run_suite

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


@pytest.fixture
def notes():
    return []


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


MIXIN = """
    class Mixin:
        @classmethod
        def setUpClass(cls): note("Mixin.setUpClass")
        @classmethod
        def tearDownClass(cls): note("Mixin.tearDownClass")
        def setUp(self): note("Mixin.setUp")

    class Base(Mixin, asyncunit.AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls): note("Base.asyncSetUpClass")

    class Calls(Base):
        @classmethod
        def setUpClass(cls): super().setUpClass(); note("Calls.setUpClass")
        @classmethod
        async def asyncSetUpClass(cls): await super().asyncSetUpClass(); note("Calls.asyncSetUpClass")
        async def test_x(self): note("test")

    class DoesNotCall(Base):
        @classmethod
        def setUpClass(cls): note("DoesNotCall.setUpClass")
        async def test_x(self): note("test")
"""


def test_overrides_may_call_super_or_not(notes):
    assert run_module(MIXIN, note=notes.append).wasSuccessful()
    assert notes == [
        "Mixin.setUpClass",
        "Calls.setUpClass",
        "Base.asyncSetUpClass",
        "Calls.asyncSetUpClass",
        "Mixin.setUp",
        "test",
        "Mixin.tearDownClass",
        "DoesNotCall.setUpClass",
        "Base.asyncSetUpClass",
        "Mixin.setUp",
        "test",
        "Mixin.tearDownClass",
    ]


def test_super_of_the_empty_hooks_can_be_called():
    class Test(asyncunit.AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            await super().asyncSetUpClass()

        @classmethod
        async def asyncTearDownClass(cls):
            await super().asyncTearDownClass()

        async def asyncSetUp(self):
            await super().asyncSetUp()

        async def test_x(self):
            pass

    assert run(Test).wasSuccessful()


def test_a_failed_class_does_not_affect_the_next():
    class Fails(asyncunit.AsyncTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            raise ValueError("boom")

        async def test_1(self):
            pass

        async def test_2(self):
            pass

    class Next(asyncunit.ClassLoopTestCase):
        async def test_x(self):
            pass

    result = run(Fails, Next)
    assert result.errors_by_name == [("setUpClass", ValueError)]
    assert result.passed == ["test_x"]


TWO_CLASSES = """
    async def asyncSetUpModule(): note("asyncSetUpModule")
    async def asyncTearDownModule(): note("asyncTearDownModule")

    @unittest.skip("why")
    class A(asyncunit.AsyncTestCase):
        async def test_x(self): note("never")

    class B(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls): note("B")
        @unittest.skip("why")
        async def test_x(self): note("never")

    class C(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls): note("C")
        async def test_x(self): note("test")

    class D(C):
        pass
"""


def test_module_hooks_run_once_before_the_first_class_that_has_a_test_to_run(notes):
    assert run_module(TWO_CLASSES, note=notes.append).wasSuccessful()
    assert notes == ["B", "asyncSetUpModule", "C", "test", "C", "test", "asyncTearDownModule"]


def test_module_hooks_do_not_run_for_skipped_tests_alone(notes):
    with module_of(TWO_CLASSES, note=notes.append) as module:
        assert run_suite(unittest.TestSuite([module.A("test_x"), module.B("test_x")])).wasSuccessful()
    assert notes == ["B"]


def test_no_loop_is_made_for_skipped_tests():
    made = []

    class Test(asyncunit.SessionLoopTestCase):
        @staticmethod
        def loop_factory():
            made.append("loop")
            return asyncio.SelectorEventLoop()

        @unittest.skip("why")
        async def test_x(self):
            pass

    assert run(Test).wasSuccessful()
    assert made == []


def test_a_failed_module_leaves_out_all_its_classes_with_one_error(notes):
    source = """
        async def asyncSetUpModule(): raise ValueError("boom")
        def tearDownModule(): note("never")
        class A(asyncunit.AsyncTestCase):
            async def test_x(self): note("never")
        class B(A): pass
    """
    result = run_module(source, note=notes.append)
    assert [(str(test), str(error)) for (test, _), (_, error) in zip(result.errors, result.raised, strict=True)] == [
        (str(result.errors[0][0]), "boom")
    ]
    assert str(result.errors[0][0]).startswith("setUpModule (module_")
    assert notes == []


@pytest.mark.parametrize("hook", ["setUpModule", "tearDownModule"])
def test_async_versions_of_the_sync_module_hooks_are_refused_when_the_module_opens(hook):
    source = f"async def {hook}(): pass\nclass A(asyncunit.AsyncTestCase):\n    async def test_x(self): pass"
    result = run_module(source)
    error = result.only_error()
    assert isinstance(error, DefinitionError)
    assert f"{hook} is an async function, which unittest calls without awaiting it. Rename it to async" in str(error)


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


def test_registering_where_nothing_runs_is_an_error_with_the_mend():
    class Test(asyncunit.AsyncTestCase):
        pass

    with pytest.raises(LoopScopeError, match=r"Test\.addAsyncClassCleanup\(\) was called while no test or hook"):
        Test.addAsyncClassCleanup(asyncio.sleep, 0)
    with pytest.raises(LoopScopeError, match=r"addAsyncModuleCleanup\(\) was called while no module of tests runs"):
        asyncunit.addAsyncModuleCleanup(asyncio.sleep, 0)


def test_a_class_cleanup_that_returns_an_awaitable_has_it_awaited(notes):
    class Test(asyncunit.ClassLoopTestCase):
        async def test_x(self):
            self.addClassCleanup(self.cleanup)

        async def cleanup(self):
            notes.append(asyncio.get_running_loop().is_closed())

    assert run(Test).wasSuccessful()
    assert notes == [False]


def test_inside_a_running_loop_every_class_is_a_clear_error():
    class Test(asyncunit.AsyncTestCase):
        async def test_x(self):
            pass

    async def cell():
        return run(Test)

    assert asyncio.run(cell()).errors_by_name == [("setUpModule", RunningLoopError)] or asyncio.run(
        cell()
    ).errors_by_name == [("setUpClass", RunningLoopError)]


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_tests_opens_what_it_needs(seed):
    import random

    source = """
        def make(base, name):
            class Test(base):
                @classmethod
                async def asyncSetUpClass(cls): cls.loop = asyncio.get_running_loop()
                @classmethod
                async def asyncTearDownClass(cls): assert cls.loop is asyncio.get_running_loop(); cls.loop = None
                async def test_1(self): assert self.loop is asyncio.get_running_loop()
                test_2 = test_3 = test_1
            Test.__qualname__ = Test.__name__ = name
            return Test
        A, B = make(asyncunit.ClassLoopTestCase, "A"), make(asyncunit.SessionLoopTestCase, "B")
        C = make(asyncunit.PackageLoopTestCase, "C")
    """
    with module_of(source) as one, module_of(source) as two:
        loader = unittest.TestLoader()
        tests = [
            test
            for module in (one, two)
            for cls in (module.A, module.B, module.C)
            for test in loader.loadTestsFromTestCase(cls)
        ]
        random.Random(seed).shuffle(tests)
        result = run_suite(unittest.TestSuite(tests))
    assert result.raised == []
    assert len(result.passed) == 18


def test_loops_are_shared_as_far_as_their_scope_and_no_further():
    source = """
        def make(scope):
            class Test(asyncunit.AsyncTestCase):
                loop_scope = scope
                async def test_1(self): seen(str(scope), asyncio.get_running_loop())
                test_2 = test_1
            return Test
        classes = [make(scope) for scope in asyncunit.Scope for _ in range(2)]
    """
    seen = {}

    def note(scope, loop):
        seen.setdefault(scope, []).append(loop)

    suites = []
    with (
        module_of(source, "a.m1", seen=note) as m1,
        module_of(source, "a.m2", seen=note) as m2,
        module_of(source, "a.b.m", seen=note) as m3,
    ):
        loader = unittest.TestLoader()
        for module in (m1, m2, m3):
            suites += [loader.loadTestsFromTestCase(cls) for cls in module.classes]
        assert run_suite(unittest.TestSuite(suites)).raised == []
    assert {scope: len({id(loop) for loop in loops}) for scope, loops in seen.items()} == {
        "function": 12,
        "class": 6,
        "module": 3,
        "package": 2,
        "session": 1,
    }
    together = {scope: {id(loop) for loop in loops} for scope, loops in seen.items()}
    assert len(set().union(*together.values())) == 24
    assert all(loop.is_closed() for loops in seen.values() for loop in loops)


def test_different_factories_in_one_scope_have_loops_of_their_own():
    class First(asyncunit.SessionLoopTestCase):
        loop_factory = asyncio.SelectorEventLoop

        async def test_x(self):
            First.loop = asyncio.get_running_loop()

    class Second(asyncunit.SessionLoopTestCase):
        loop_factory = staticmethod(lambda: asyncio.SelectorEventLoop())

        async def test_x(self):
            assert asyncio.get_running_loop() is not First.loop

    class Third(First):
        async def test_x(self):
            assert asyncio.get_running_loop() is First.loop

    assert run(First, Second, Third).raised == []


def test_a_scope_closes_when_the_run_leaves_it():
    loops = {}

    class A(asyncunit.ClassLoopTestCase):
        async def test_x(self):
            loops["A"] = asyncio.get_running_loop()

    class Plain(unittest.TestCase):
        def test_x(self):
            loops["closed"] = loops["A"].is_closed()

    run(A, Plain)
    assert loops["closed"]
    assert Scope.CLASS < Scope.MODULE


# Found by trying to break it.


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


def test_hooks_imported_from_another_module_are_that_modules_own_each(notes):
    first = "def setUpModule(): note('up')\ndef tearDownModule(): note('down')\n{cls}"
    cls = "class Test(asyncunit.AsyncTestCase):\n    async def test_x(self): note(__name__)"
    with module_of(first.format(cls=cls), "first", note=notes.append) as one:
        one.Test("test_x")  # what the loader does with the first before it imports the second
        with module_of(f"from first import setUpModule, tearDownModule\n{cls}", "second", note=notes.append) as two:
            tests = [module.Test("test_x") for module in (one, two)]
            assert run_suite(unittest.TestSuite(tests)).raised == []
    assert notes == ["up", "first", "down", "up", "second", "down"]


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


def test_a_cancellation_raised_by_a_sync_hook_does_not_end_the_run():
    class Test(asyncunit.AsyncTestCase):
        @classmethod
        def setUpClass(cls):
            raise asyncio.CancelledError

        def test_x(self):
            pass

    assert run(Test).errors_by_name == [("setUpClass", CutShortError)]
