import asyncio
import functools

import pytest

from asyncunit import AsyncTestCase, ClassLoopTestCase, DefinitionError, LoopScopeError, Scope, fixture, parametrize
from asyncunit.plans import class_plan as plans
from asyncunit.plans.fixtures import Fixture
from tests.support import run, run_module


def fixture_of(cls, name):
    return vars(cls)[name]


# What a test asks for that is not there.


def test_a_test_that_names_too_wide_a_fixture_is_named():
    with pytest.raises(LoopScopeError, match=r"fixture 'pool' of .*, which test_x names, needs a loop that lasts for"):

        class Test(ClassLoopTestCase):
            @fixture(scope="module", autouse=False)
            async def pool(cls): ...

            def test_x(self, pool): ...


# The loop that is needed.


@pytest.mark.parametrize("scope", list(Scope))
def test_the_loop_lasts_as_long_as_the_widest_async_fixture(scope):
    class Test(AsyncTestCase):
        @fixture(scope=scope)
        async def asynchronous(cls): ...

        @fixture(scope="session")
        def synchronous(cls): ...

    demand = plans.plan_of(Test).demand
    assert (demand.scope, demand.fixture) == (scope, fixture_of(Test, "asynchronous"))


def test_a_fixture_may_ask_for_a_wider_loop():
    class Test(AsyncTestCase):
        @fixture(loop_scope="package")
        async def value(self): ...

    assert plans.plan_of(Test).demand.scope is Scope.PACKAGE


def test_a_fixture_that_nobody_asks_for_needs_no_loop():
    class Test(AsyncTestCase):
        @fixture(scope="session", autouse=False)
        async def value(cls): ...

    assert plans.plan_of(Test).demand is None


# Params.


def test_params_multiply_the_tests_that_use_the_fixture():
    seen = []

    class Test(AsyncTestCase):
        @fixture(params=["a", "b"], ids=["A", None], autouse=False)
        async def letter(self, request):
            return request.param

        @fixture(autouse=False)
        def doubled(self, letter):
            return letter * 2

        @parametrize("number", [1])
        async def test_x(self, doubled, number):
            seen.append((self._testMethodName, doubled, number))

        def test_y(self):
            seen.append(self._testMethodName)

    assert run(Test).wasSuccessful()
    assert seen == [("test_x[A-1]", "aa", 1), ("test_x[b-1]", "bb", 1), "test_y"]


def test_a_fixture_without_a_value_leaves_one_skipped_test():
    class Test(AsyncTestCase):
        @fixture(params=[])
        def value(self): ...

        async def test_x(self): ...

        @parametrize("a", [1])
        async def test_y(self, a): ...

    class Sub(Test):
        @fixture(params=[1])
        def value(self): ...

    result = run(Test)
    assert [test._testMethodName for test, _ in result.skipped] == ["test_x[NOTSET]", "test_y[NOTSET]"]
    assert "the params of 'value' are empty" in result.skipped[1][1]
    assert not result.passed
    assert run(Sub).passed == ["test_x[1]", "test_y[1-1]"]


def test_a_test_that_comes_later_cannot_use_params():
    class Test(AsyncTestCase):
        @fixture(params=[1, 2])
        def value(self): ...

    Test.test_late = lambda self: None
    error = run(Test).only_error()
    assert "test_late uses the fixture 'value'" in str(error)
    assert "Define it in the body of the class." in str(error)


def test_a_parametrized_test_that_comes_later_says_so():
    class Test(AsyncTestCase):
        @fixture
        def value(self): ...

    Test.test_late = parametrize("a", [1])(lambda self, a: None)

    class Subclass(Test): ...

    assert run(Subclass).passed == ["test_late[1]"]
    assert "is parametrized, which makes several tests of one" in str(run(Test).only_error())


def test_the_bare_test_method_cannot_be_many():
    with pytest.raises(DefinitionError, match="runTest is to run several times"):

        class Test(AsyncTestCase):
            @parametrize("a", [1])
            def runTest(self, a): ...


def test_a_test_that_comes_later_may_use_fixtures():
    class Test(AsyncTestCase):
        @fixture(autouse=False)
        async def value(self):
            return 5

    async def test_late(self, value):
        await asyncio.sleep(0)
        assert value == self.value == 5

    Test.test_late = test_late
    assert run(Test).passed == ["test_late"]


def test_what_a_fixture_is_can_be_asked_of_the_class():
    class Test(AsyncTestCase):
        @fixture
        def value(self): ...

    assert isinstance(Test.value, Fixture)


# What is said of a parameter that nobody fills.


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
