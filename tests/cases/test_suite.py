import asyncio
import gc
import sys
import textwrap
import unittest
import weakref
from unittest import mock

import pytest

import asyncunit
from asyncunit import DefinitionError, RunningLoopError
from tests.support import module_of, run, run_module, run_suite


@pytest.fixture
def notes():
    return []


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


def test_inside_a_running_loop_every_class_is_a_clear_error():
    with module_of("class Test(asyncunit.AsyncTestCase):\n    async def test_x(self): pass") as module:

        async def cell():
            return run(module.Test)

        assert asyncio.run(cell()).errors_by_name == [("setUpModule", RunningLoopError)]


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

    assert run(A, Plain).passed == ["test_x", "test_x"]
    assert loops["closed"]


# Found by trying to break it.


def test_hooks_imported_from_another_module_are_that_modules_own_each(notes):
    first = "def setUpModule(): note('up')\ndef tearDownModule(): note('down')\n{cls}"
    cls = "class Test(asyncunit.AsyncTestCase):\n    async def test_x(self): note(__name__)"
    with module_of(first.format(cls=cls), "first", note=notes.append) as one:
        one.Test("test_x")  # what the loader does with the first before it imports the second
        with module_of(f"from first import setUpModule, tearDownModule\n{cls}", "second", note=notes.append) as two:
            tests = [module.Test("test_x") for module in (one, two)]
            assert run_suite(unittest.TestSuite(tests)).raised == []
    assert notes == ["up", "first", "down", "up", "second", "down"]


def test_a_hook_that_wraps_another_modules_hook_is_called(notes):
    cls = "class Test(asyncunit.AsyncTestCase):\n    async def test_x(self): note(__name__)"
    source = """
        import functools, first
        @functools.wraps(first.setUpModule)
        def setUpModule(): note("second up")
    """
    with module_of(f"def setUpModule(): note('first up')\n{cls}", "first", note=notes.append) as one:
        one.Test("test_x")
        with module_of(f"{textwrap.dedent(source)}\n{cls}", "second", note=notes.append) as two:
            assert run_suite(unittest.TestSuite([two.Test("test_x")])).raised == []
    assert notes == ["second up", "second"]


def test_module_hooks_may_be_mocks():
    hooks = {"setUpModule": mock.Mock(), "tearDownModule": mock.Mock()}
    source = "class Test(asyncunit.AsyncTestCase):\n    async def test_x(self): pass"
    assert run_module(source, **hooks).raised == []
    assert [hook.mock_calls for hook in hooks.values()] == [[mock.call()], [mock.call()]]


def test_a_module_with_fronts_is_not_kept():
    source = "def setUpModule(): pass\nclass Test(asyncunit.AsyncTestCase):\n    async def test_x(self): pass"
    with module_of(source) as module:
        assert run_suite(unittest.TestSuite([module.Test("test_x")])).raised == []
        kept = weakref.ref(module.setUpModule)
    del module
    gc.collect()
    assert kept() is None


def test_a_test_may_call_the_hooks_of_its_module_and_of_other_classes(notes):
    source = """
        variable = contextvars.ContextVar("variable", default="")
        def setUpModule(): note("setUpModule"); variable.set(variable.get() + "module ")
        def tearDownModule(): note("tearDownModule")
        class Other(asyncunit.ClassLoopTestCase):
            @classmethod
            def setUpClass(cls): note("Other.setUpClass"); variable.set(variable.get() + "class")
            @classmethod
            async def asyncSetUpClass(cls): note("never")
            @classmethod
            def tearDownClass(cls): note("Other.tearDownClass")
        class Test(asyncunit.ClassLoopTestCase):
            def test_x(self):
                setUpModule()
                Other.setUpClass()
                Other.tearDownClass()
                tearDownModule()
                note(variable.get())
    """
    assert run_module(source, note=notes.append).raised == []
    called = ["setUpModule", "Other.setUpClass", "Other.tearDownClass", "tearDownModule"]
    assert notes == ["setUpModule", *called, "module module class", "tearDownModule"]


def test_a_module_hook_may_call_that_of_another_module(notes):
    source = """
        import first
        def setUpModule(): first.setUpModule()
        class Test(asyncunit.AsyncTestCase):
            async def test_x(self): note(first.variable.get())
    """
    first = """
        variable = contextvars.ContextVar("variable", default="")
        def setUpModule(): variable.set("first")
        class Test(asyncunit.AsyncTestCase):
            async def test_x(self): pass
    """
    with module_of(first, "first") as one:
        one.Test("test_x")
        assert run_module(source, note=notes.append).raised == []
    assert notes == ["first"]


def test_a_hook_may_call_the_hook_of_an_unrelated_class(notes):
    source = """
        variable = contextvars.ContextVar("variable", default="")
        class Other(asyncunit.AsyncTestCase):
            @classmethod
            def setUpClass(cls): variable.set("other")
        class Test(asyncunit.AsyncTestCase):
            @classmethod
            def setUpClass(cls): Other.setUpClass()
            async def test_x(self): note(variable.get())
    """
    assert run_module(source, note=notes.append).raised == []
    assert notes == ["other"]


def test_module_hooks_may_be_switched_off():
    source = "class Test(asyncunit.AsyncTestCase):\n    async def test_x(self): pass"
    hooks = ("setUpModule", "tearDownModule", "asyncSetUpModule", "asyncTearDownModule")
    assert run_module(source, **dict.fromkeys(hooks)).raised == []


def test_a_class_may_stand_in_the_place_of_a_module():
    class Module:
        hooks = []

        @staticmethod
        def setUpModule():
            Module.hooks.append("setUpModule")

    class Test(asyncunit.AsyncTestCase):
        async def test_x(self): ...

    Test.__module__ = "tests.stands_in"
    with mock.patch.dict(sys.modules, {"tests.stands_in": Module}):
        assert run_suite(unittest.TestSuite([Test("test_x")])).raised == []
    assert Module.hooks == ["setUpModule"]
