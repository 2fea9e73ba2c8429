import asyncio
import unittest

import pytest

import asyncunit
from asyncunit import DefinitionError
from asyncunit.cases.generated import (
    FailedFunction,
    FunctionTestCase,
    apart,
    case_of_function,
    cases_of,
    error_of,
    failing,
)
from asyncunit.config.settings import Config
from tests.support import module_of, run, run_suite


def test_a_function_is_named_as_in_its_module():
    with module_of("async def test_x():\n    '''The first line.\n\n    Another one.'''\n", "example_named") as module:
        test = case_of_function(module, "test_x", module.test_x)("test_x")
    assert isinstance(test, FunctionTestCase)
    assert str(test) == "test_x (example_named.test_x)"
    assert repr(test) == "<example_named.test_x>"
    assert test.shortDescription() == "The first line."


@pytest.mark.parametrize(
    "text",
    [
        "@asyncunit.fixture(scope='class', autouse=True)\ndef of_class(): yield\n",
        "@asyncunit.settings(loop_scope='class')",
    ],
)
def test_what_has_the_scope_of_a_class_is_the_own_of_each_test_that_a_function_has_become(text):
    text += "\n@asyncunit.parametrize('a', [1, 2])\nasync def test_x(a): ...\n"
    with module_of(text, "example_apart") as module:
        case = case_of_function(module, "test_x", module.test_x)
        one, two = apart(case, ["test_x[1]", "test_x[2]"])
    assert [one.id(), two.id()] == ["example_apart.test_x[1]", "example_apart.test_x[2]"]
    assert type(one) is not type(two)


def test_the_tests_that_a_function_has_become_are_of_one_class_where_nothing_has_the_scope_of_one():
    with module_of("@asyncunit.parametrize('a', [1, 2])\nasync def test_x(a): ...\n", "example_together") as module:
        case = case_of_function(module, "test_x", module.test_x)
        assert [type(test) for test in apart(case, ["test_x[1]", "test_x[2]"])] == [case, case]


def test_a_function_that_could_not_be_made_a_test_is_named_as_one_and_raises_why():
    test = failing("example_failing", "test_x", DefinitionError("why"))
    assert isinstance(test, FailedFunction)
    assert str(test) == "test_x (example_failing.test_x)"
    assert str(run_suite(unittest.TestSuite([test])).only_error()) == str(error_of(test.test_x)) == "why"


def test_a_function_is_named_with_its_loop_factory_first():
    text = """
@asyncunit.settings(loop_factories={"one": asyncio.SelectorEventLoop, "two": asyncio.SelectorEventLoop})
@asyncunit.parametrize("a", [1])
async def test_x(a): ...
"""
    with module_of(text, "example_chosen") as module:
        cases = cases_of(case_of_function(module, "test_x", module.test_x), Config(), takes_all=False)
        assert [case("test_x[1]").id() for case in cases] == [
            "example_chosen.test_x[one-1]",
            "example_chosen.test_x[two-1]",
        ]


def test_the_configuration_that_is_given_says_which_loop_factories_there_are():
    class Test(asyncunit.AsyncTestCase):
        async def test_x(self): ...

    config = Config().merged({"loop_factories": {"a": asyncio.new_event_loop, "b": asyncio.new_event_loop}}, "here")
    assert [case.__name__ for case in cases_of(Test, config, takes_all=False)] == ["Test[a]", "Test[b]"]
    assert cases_of(Test, Config(), takes_all=False) == [Test]


def test_a_plain_class_with_an_async_test_is_one_that_refuses_or_awaits_it():
    class Plain(unittest.TestCase):
        async def test_x(self): ...

    (refusing,) = cases_of(Plain, Config(), takes_all=False)
    assert "Write asyncunit.AsyncTestCase as the base" in str(run(refusing).only_error())
    (awaiting,) = cases_of(Plain, Config(), takes_all=True)
    assert run(awaiting).passed == ["test_x"]
    for made in (refusing, awaiting):
        assert cases_of(made, Config(), takes_all=False) == [made]


def test_the_only_test_of_a_class_may_be_called_runtest():
    class Single(unittest.TestCase):
        async def runTest(self):
            self.fail("it ran")

    assert run(*cases_of(Single, Config(), takes_all=True)).errors_by_name == [("runTest", AssertionError)]
    assert "Single.runTest is an async function" in str(run(*cases_of(Single, Config(), takes_all=False)).only_error())


def test_a_test_that_only_raises_tells_its_error():
    error = ValueError()
    assert error_of(failing("example", "test_x", error).test_x) is error
    assert error_of(print) is None


def test_classes_that_run_their_own_async_tests_are_left_alone():
    class Own(unittest.TestCase):
        def __call__(self, result=None):
            return super().__call__(result)

        async def test_x(self): ...

    assert cases_of(Own, Config(), takes_all=True) == [Own]

    class Isolated(unittest.IsolatedAsyncioTestCase):
        async def test_x(self): ...

    assert cases_of(Isolated, Config(), takes_all=True) == [Isolated]


def test_settings_of_a_function_are_in_force_for_it():
    text = """
import asyncio
from asyncunit import load_tests

@asyncunit.settings(loop_scope="module", timeout=0.2)
async def test_slow(): await asyncio.Event().wait()

@asyncunit.settings(loop_scope="function")
async def test_narrow(wide): ...

@asyncunit.fixture(scope="session")
async def wide(): ...
"""
    with module_of(text, "example_settings") as module:
        found = dict(run_suite(unittest.TestLoader().loadTestsFromModule(module)).raised)
    assert isinstance(found["test_slow"], asyncunit.TestTimeoutError)
    (other,) = [error for error in found.values() if isinstance(error, asyncunit.LoopScopeError)]
    assert '@asyncunit.settings(loop_scope="session")' in str(other)


def test_what_is_wrong_with_a_function_is_the_error_of_a_test():
    text = """
from asyncunit import load_tests

@asyncunit.parametrize("b", [1])
async def test_x(a): ...
"""
    with module_of(text, "example_wrong") as module:
        (error,) = run_suite(unittest.TestLoader().loadTestsFromModule(module)).raised
    assert isinstance(error[1], DefinitionError)
    assert "is parametrized by 'b'" in str(error[1])
