import functools
import types
from unittest import mock

import pytest

from asyncunit.introspection.functions import (
    bound,
    first_parameter,
    function_of,
    is_async_function,
    is_test_method,
    name_of,
    parameters_of,
    positional_only,
    required_parameters,
    written_at,
)
from tests.pytest_plugin.test_function_plans import coroutine_function, generator, taker


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


@pytest.mark.parametrize(("function", "expected"), [(coroutine_function, True), (generator, True), (taker, False)])
def test_an_async_function_is_a_coroutine_function_or_an_async_generator(function, expected):
    assert is_async_function(function) is expected
