import asyncio
import threading
from pathlib import Path

import pytest

from asyncunit import TestTimeoutError as TimedOut
from asyncunit.config.settings import Config
from asyncunit.loops import watchdog
from asyncunit.loops.steps import Step, TearDown
from asyncunit.loops.timeouts import call_in_time, took_too_long, waiting
from tests.conftest import fail, open_scope


def test_a_step_has_the_name_of_what_it_awaits():
    async def numbers():
        yield 1

    coroutine, generator = fail(), numbers()
    first = anext(generator)
    assert Step(coroutine).name == "fail()"
    assert Step(first).name == f"{numbers.__qualname__}()"
    coroutine.close()
    first.close()


def test_a_tear_down_has_the_name_of_its_fixture():
    class Exit(TearDown):
        fixture = "fixture 'value'"

        async def leave(self): ...

    coroutine = Exit().leave()
    assert Step(coroutine).name == "the tear-down of the fixture 'value'"
    coroutine.close()


def test_what_merely_has_a_fixture_tears_none_down():
    class Test:
        fixture = "a value of its own"

        async def test_x(self): ...

    coroutine = Test().test_x()
    assert Step(coroutine).name == f"{Test.test_x.__qualname__}()"
    coroutine.close()


def test_a_step_that_is_discarded_closes_what_it_awaits():
    awaited = fail()
    Step(awaited).discard()
    assert awaited.cr_frame is None


def test_an_expired_step_ends_with_the_traceback_of_its_cancellation():
    step = Step(None)
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError as error:
        step.error = error
    expired = TimedOut("too long")
    step.end_expired(expired)
    assert step.error is expired
    assert expired.__traceback__ is not None
    assert expired.__context__ is None


def test_and_keeps_another_error_behind_its_own():
    step = Step(None)
    step.error = own = ValueError("own")
    step.end_expired(TimedOut("too long"))
    assert step.error.__context__ is own


def test_what_is_said_of_a_late_step_and_of_tasks_that_wait():
    assert took_too_long(open_scope(), "test_x()", 1, 2.5) == (
        "class example: test_x() took 2.50 seconds, longer than its timeout of 1 seconds. It could not be ended "
        "earlier, because it did not await."
    )
    assert list(waiting([(None, "the scope's own task")])) == ["  - the scope's own task, waits at an unknown line"]


def test_a_sync_step_is_told_of_when_it_took_too_long():
    scope = open_scope()
    assert call_in_time(scope, int, "3") == 3
    scope.config = Config(timeout=0.001)

    def wait(error=None):
        threading.Event().wait(0.01)
        if error:
            raise error

    with pytest.raises(TimedOut, match=r"wait\(\) took 0\.\d\d seconds, longer than its timeout") as caught:
        call_in_time(scope, wait)
    assert caught.traceback[-1].path == Path(__file__)
    with pytest.raises(ValueError, match="own") as caught:
        call_in_time(scope, wait, ValueError("own"))
    assert "longer than its timeout" in caught.value.__notes__[0]
    watchdog.stop()
