import functools

from asyncunit import AsyncTestCase, fixture, parametrize
from tests.support import run, run_module


def test_a_parameter_that_nobody_fills_is_pythons_error_with_the_fixtures_there_are():
    class Test(AsyncTestCase):
        @fixture
        def connection(self): ...

        async def test_x(self, conection): ...

    error = run(Test).only_error()
    assert isinstance(error, TypeError)
    assert "missing 1 required positional argument: 'conection'" in str(error)
    assert error.__notes__ == [
        "asyncunit passes the fixtures that a test names. The fixtures that "
        f"{Test.__qualname__} has: connection. Did you mean 'connection'?"
    ]


def test_a_parameter_that_is_filled_twice_says_who_fills_it():
    def fill(function):
        async def wrapper(self, **kwargs):
            await function(self, 1, **kwargs)

        wrapper.__wrapped__ = function
        return wrapper

    class Test(AsyncTestCase):
        @fixture
        def value(self): ...

        @fill
        async def test_x(self, value): ...

    error = run(Test).only_error()
    assert "multiple values for argument 'value'" in str(error)
    assert "asyncunit passes 'value' by keyword" in error.__notes__[0]


def test_a_decorator_that_hides_the_parameters_is_told_of():
    def hide(function):
        async def wrapper(self, *args, **kwargs):
            return await function(self, *args, **kwargs)

        return wrapper

    def take_nothing(function):
        @functools.wraps(function)
        async def wrapper(self):
            return await function(self)

        return wrapper

    class Database:
        @fixture
        def value(self): ...

    class Hidden(Database, AsyncTestCase):
        @hide
        async def test_x(self, value): ...

    class Refused(Database, AsyncTestCase):
        @take_nothing
        async def test_x(self, value): ...

    assert "Write @functools.wraps(function) in the decorator" in run(Hidden).only_error().__notes__[0]
    assert "take it by keyword and pass it on" in run(Refused).only_error().__notes__[0]


def test_a_test_that_names_the_request_is_told_whose_it_is():
    class Test(AsyncTestCase):
        async def test_x(self, request): ...

    assert run(Test).only_error().__notes__ == [
        "'request' is what fixtures are told by who asks for them; a test reads its values by their names."
    ]


def test_a_fixture_of_the_module_that_is_read_as_an_attribute_says_how_to_name_it():
    result = run_module("""
        @asyncunit.fixture
        def value(): ...

        class Test(asyncunit.AsyncTestCase):
            async def test_x(self): self.value
    """)
    (note,) = result.only_error().__notes__
    assert note == "'value' is a fixture of the module. Name it as a parameter: def test_...(self, value)."


def test_other_type_errors_are_left_alone():
    class Test(AsyncTestCase):
        async def test_x(self):
            raise TypeError("mine")

    assert not hasattr(run(Test).only_error(), "__notes__")


def test_an_error_of_what_the_test_calls_is_left_alone():
    def helper(value): ...

    class Test(AsyncTestCase):
        @fixture
        def value(self): ...

        async def test_missing(self):
            helper()

        async def test_filled_twice(self, value):
            helper(1, value=2)

        async def test_unexpected(self, value):
            len(value=value)

    result = run(Test)
    assert [kind for _, kind in result.errors_by_name] == [TypeError] * 3
    assert not any(hasattr(error, "__notes__") for _, error in result.raised)


def test_what_a_variant_of_a_test_misses_is_told_of():
    class Test(AsyncTestCase):
        @parametrize("a", [1])
        async def test_x(self, a, missing): ...

    assert "asyncunit passes the fixtures that a test names" in run(Test).only_error().__notes__[0]
