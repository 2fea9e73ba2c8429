import asyncio
import functools

import pytest

from asyncunit import AsyncTestCase, DefinitionError, Scope, fixture
from tests.support import run


def suite_with(function, scope="function"):
    class Test(AsyncTestCase):
        value = fixture(scope=scope)(function)

        def test_x(self):
            self.assertEqual(self.value, "value")

    return Test


async def coroutine(self):
    await asyncio.sleep(0)
    return "value"


async def async_generator(self):
    yield "value"
    await asyncio.sleep(0)


def function(self):
    return "value"


def generator(self):
    yield "value"


KINDS = [coroutine, async_generator, function, generator]


@pytest.mark.parametrize("written", KINDS)
@pytest.mark.parametrize("scope", list(Scope))
def test_four_kinds_of_function_give_a_value(scope, written):
    assert run(suite_with(written, scope)).passed == ["test_x"]


@pytest.mark.parametrize("written", KINDS)
def test_decorators_do_not_hide_what_is_async(written):
    @functools.wraps(written)
    def wrapper(*args, **kwargs):
        return written(*args, **kwargs)

    assert run(suite_with(wrapper)).passed == ["test_x"]
    assert run(suite_with(functools.partialmethod(written).func)).passed == ["test_x"]


def test_a_coroutine_is_awaited_whatever_made_it():
    assert run(suite_with(lambda self: coroutine(self))).passed == ["test_x"]


def test_but_not_where_there_is_no_loop_that_lasts_so_long():
    error = run(suite_with(lambda self: coroutine(self), "class")).only_error()
    assert isinstance(error, DefinitionError)
    assert "which nobody awaits" in str(error)
    assert "Write 'async def'." in str(error)


def test_a_future_is_a_value_like_any_other():
    class Test(AsyncTestCase):
        @fixture
        def future(self):
            return asyncio.get_event_loop().create_future()

        async def test_x(self):
            self.future.set_result(5)
            self.assertEqual(await self.future, 5)

    assert run(Test).passed == ["test_x"]


def test_a_decorator_that_makes_something_else_of_a_generator_is_named():
    @functools.wraps(generator)
    def wrapper(self):
        return [*generator(self)]

    error = run(suite_with(wrapper)).only_error()
    assert "returned ['value']; expected a generator" in str(error)
    assert "Take away the decorator under @asyncunit.fixture" in str(error)


async def async_no_yield(self):
    if self is None:
        yield


def no_yield(self):
    yield from ()


async def async_two(self):
    yield "value"
    yield "again"


def two(self):
    yield "value"
    yield "again"


async def async_endless(self):
    try:
        yield "value"
        yield "again"
    finally:
        yield "when it is closed"


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize(
    ("written", "message"),
    [
        (async_no_yield, "came to its end without a yield"),
        (no_yield, "came to its end without a yield"),
        (async_two, "yields a second time"),
        (two, "yields a second time"),
    ],
)
def test_a_fixture_yields_once(scope, written, message):
    error = run(suite_with(written, scope)).only_error()
    assert isinstance(error, DefinitionError)
    assert f"fixture 'value' of {suite_with.__name__}" in str(error)
    assert f"({__file__}:" in str(error)
    assert message in str(error)


def test_one_that_cannot_be_closed_shows_both_errors():
    error = run(suite_with(async_endless)).only_error()
    assert "ignored GeneratorExit" in str(error)
    assert "yields a second time" in str(error.__context__)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_sync_fixture_that_raises_a_cancellation_is_an_error(scope):
    def cancelled(self):
        raise asyncio.CancelledError

    def cancelled_later(self):
        yield "value"
        raise asyncio.CancelledError

    for written in (cancelled, cancelled_later):
        result = run(suite_with(written, scope))
        assert len(result.raised) == 1
        assert isinstance(result.only_error(), (Exception, asyncio.CancelledError))
