import asyncio
import contextvars
import functools
import inspect
import sys
import types
import unittest
import warnings
from unittest import mock

import pytest

import asyncunit
from asyncunit.introspection.functions import (
    MODULE_HOOKS,
    as_coroutine,
    bound,
    discard,
    first_parameter,
    function_of,
    inner_test,
    is_async_def,
    is_async_function,
    is_awaitable,
    is_test_method,
    module_hook,
    module_hooks,
    name_of,
    parameters_of,
    positional_only,
    required_parameters,
    substitute,
    untaken,
    written_at,
)
from asyncunit.scopes.open_scope import Within
from tests.conftest import fail, running_loop
from tests.pytest_plugin.test_function_plans import coroutine_function, generator, ownership
from tests.support import module_of, run


def written(self, a, b=1, *args, c, d=2, **kwargs): ...


def wrapped(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs): ...

    return wrapper


class Call:
    def __call__(self, a): ...


def test_a_member_is_bound_as_reading_it_would():
    instance = Call()
    assert bound(written, instance, Call) == types.MethodType(written, instance)
    assert bound(classmethod(written), instance, Call) == types.MethodType(written, Call)
    assert bound(staticmethod(written), instance, Call) is written
    assert bound(instance, None, Call) is instance
    assert bound(None, instance, Call) is None


def test_a_mock_is_not_asked_to_bind_itself():
    member = mock.Mock()
    assert bound(member, None, Call) is member
    assert member.mock_calls == []


def test_required_parameters_are_those_without_a_default():
    assert required_parameters(written) == required_parameters(wrapped(written)) == ("self", "a", "c")
    assert required_parameters(mock.patch("os.getcwd")(written)) == ("self", "a", "c")
    assert required_parameters(functools.partial(written, None)) == ("a", "c")
    assert required_parameters(print) == ()


def test_the_object_of_a_bound_method_is_not_required():
    assert required_parameters(types.MethodType(lambda self, a, b=1: None, Call())) == ("a",)
    assert required_parameters(types.MethodType(lambda self, a=1: None, Call())) == ()


def test_the_first_parameter_is_what_takes_the_test():
    assert first_parameter(written) == "self"
    assert first_parameter(lambda *args: None) == "args"
    assert first_parameter(lambda *, a: None) is None


def test_parameters_by_position_only_are_known():
    assert positional_only(lambda self, a, /, b: None) == ("self", "a")


@pytest.mark.parametrize("decorator", [staticmethod, classmethod, lambda function: function])
def test_a_method_is_seen_through_its_descriptor(decorator):
    assert function_of(decorator(written)) is written
    assert is_test_method(decorator(written))


def test_what_unittest_could_not_call_is_no_method():
    assert is_test_method(functools.partialmethod(written, 1))
    assert not is_test_method(None)
    assert not is_test_method(5)


def test_parameters_of_a_method_are_without_the_one_that_takes_the_test():
    assert list(parameters_of(written)) == ["a", "b", "args", "c", "d", "kwargs"]
    assert list(parameters_of(staticmethod(lambda a: None))) == ["a"]
    assert list(parameters_of(lambda *args: None)) == ["args"]
    assert list(parameters_of(Call())) == ["a"]


def test_a_place_is_a_file_and_a_line():
    line = written.__code__.co_firstlineno
    for form in (written, staticmethod(written), property(written), functools.partial(written), wrapped(written)):
        assert written_at(form) == f"{__file__}:{line}"
    assert written_at(Call()) == f"{__file__}:{Call.__call__.__code__.co_firstlineno}"
    assert written_at(print) == repr(print)


def test_a_name_is_that_of_the_function_or_of_what_stands_for_it():
    assert name_of(written) == name_of(functools.partial(functools.partial(written))) == "written"
    assert name_of(Call()) == "Call"


@pytest.mark.parametrize(("function", "expected"), [(coroutine_function, True), (generator, True), (ownership, False)])
def test_an_async_function_is_a_coroutine_function_or_an_async_generator(function, expected):
    assert is_async_function(function) is expected


# What can be awaited.


def test_any_awaitable_is_awaited(scope):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "value"

    assert is_awaitable(Awaitable())
    assert scope.call(Awaitable) == "value"


def test_an_async_def_is_told_by_its_code():
    async def generator():
        yield

    assert is_async_def(fail)
    assert not any(map(is_async_def, (generator, len, functools.partial(fail), object())))


def test_a_coroutine_that_is_discarded_is_not_warned_of():
    coroutine = fail()
    discard(coroutine)
    assert coroutine.cr_frame is None
    discard("anything else")


def test_a_coroutine_in_a_context_of_its_own_is_discarded_too():
    coroutine = fail()
    discard(Within(contextvars.copy_context(), coroutine))
    assert coroutine.cr_frame is None


def test_a_coroutine_stays_what_it_is_and_another_awaitable_is_awaited_in_one(scope):
    coroutine = running_loop()
    assert as_coroutine(coroutine) is coroutine

    async def numbers():
        yield 1

    assert scope.run(coroutine).is_running() is False
    assert scope.run(as_coroutine(anext(numbers()))) == 1


# Tests that are run with many examples.


def given(*examples):
    """As much of hypothesis.given() as is asked for: the test is called with each example, and is to return None."""

    def decorate(function):
        handle = types.SimpleNamespace(inner_test=function)

        @functools.wraps(function)
        def wrapper(*args):
            assert not inspect.iscoroutinefunction(handle.inner_test)
            for example in examples:
                assert handle.inner_test(*args, example) is None

        wrapper.is_hypothesis_test, wrapper.hypothesis = True, handle
        return wrapper

    return decorate


async def coroutine_function(value): ...


def test_the_test_of_hypothesis_is_the_one_that_it_calls():
    assert inner_test(given()(coroutine_function)) is coroutine_function
    assert inner_test(given) is given


def test_each_example_is_called_by_another_and_the_test_is_put_back():
    test = given(1, 2)(coroutine_function)
    called = []

    def call(written, *args, **kwargs):
        called.append((written.func, written.args))

    with substitute(test, call):
        test()
    assert called == [(coroutine_function, (1,)), (coroutine_function, (2,))]
    assert inner_test(test) is coroutine_function


def test_an_async_test_of_hypothesis_runs_with_all_examples_on_the_loop_of_its_class():
    seen = []

    class Test(asyncunit.ClassLoopTestCase):
        @classmethod
        async def asyncSetUpClass(cls):
            cls.loop = asyncio.get_running_loop()

        @given(1, 2)
        async def test_x(self, value):
            assert asyncio.get_running_loop() is self.loop
            seen.append((value, asyncio.current_task()))

        @given(3)
        def test_y(self, value):
            assert asyncio.get_event_loop() is self.loop
            seen.append((value, None))

        @given(4)
        async def test_z(self, value):
            raise ValueError(value)

    result = run(Test)
    assert [value for value, _ in seen] == [1, 2, 3]
    assert seen[0][1] is seen[1][1]  # one task
    assert result.errors_by_name == [("test_z", ValueError)]


def test_an_example_that_is_cancelled_ends_the_test():
    class Test(asyncunit.AsyncTestCase):
        async def asyncSetUp(self):
            await self.enterAsyncContext(asyncio.timeout(0))

        @given(1, 2)
        async def test_x(self, value):
            await asyncio.sleep(1)

    assert run(Test).errors_by_name == [("test_x", TimeoutError)]


FUNCTIONS = """
@asyncunit.fixture
def number(): return 1

async def test_one(number): ...
def test_two(): ...
"""


def load(module, loader=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        (loader or unittest.TestLoader()).loadTestsFromModule(module)
    return [(each.category, str(each.message)) for each in caught]


def test_a_module_of_functions_warns_when_unittest_loads_it():
    with module_of(FUNCTIONS, "example_untaken") as module:
        [(category, text)] = load(module)
        assert category is asyncunit.AsyncUnitWarning
        assert text.startswith("example_untaken has functions that look like tests (test_one and 1 more)")


@pytest.mark.parametrize("more", ["from asyncunit import load_tests", "del test_one, test_two"])
def test_it_does_not_warn_where_it_says_that_they_are_tests_and_where_there_are_none(more):
    with module_of(FUNCTIONS + more, "example_untaken_not") as module:
        assert load(module) == []


def test_it_does_not_warn_where_the_loader_takes_them():
    with module_of(FUNCTIONS, "example_taken") as module:
        assert load(module, asyncunit.AsyncTestLoader("auto")) == []


def test_another_attribute_that_is_not_there_is_pythons_own_error():
    with module_of(FUNCTIONS, "example_untaken") as module:
        with pytest.raises(AttributeError, match="module 'example_untaken' has no attribute 'nothing'"):
            _ = module.nothing
        assert untaken(sys.modules["example_untaken"], "check") is None


def test_a_module_may_have_a_getattr_of_its_own():
    with module_of("def __getattr__(name): return 5\n" + FUNCTIONS, "example_own") as module:
        assert module.anything == 5


@pytest.mark.parametrize("name", MODULE_HOOKS)
def test_a_module_has_the_hooks_that_stand_at_its_top(name):
    with module_of(f"async def {name}(): pass", "example") as module:
        assert module_hook("example") == name
        assert getattr(module, name) in module_hooks("example")


def test_a_module_that_is_not_there_has_none():
    assert module_hooks("no.such.module") == (None, None)
    assert module_hook("no.such.module") is None
