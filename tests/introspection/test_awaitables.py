import asyncio
import contextvars
import functools

from asyncunit.introspection.functions import as_coroutine, discard, is_async_def, is_awaitable
from asyncunit.scopes.contexts import Within
from tests.conftest import fail, running_loop


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
