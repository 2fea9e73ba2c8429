import asyncio

import pytest

import asyncunit
from asyncunit import LoopScopeError
from tests.support import run_module


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
