import asyncio
import contextlib
import sys
import threading
from pathlib import Path

import pytest

from asyncunit import Scope
from asyncunit import TestTimeoutError as TimedOut
from asyncunit.config.settings import Config
from asyncunit.loops import interrupts
from asyncunit.loops import scope_task as module
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import Step, TearDown, call_in_time, describe_waiting, took_too_long
from tests.conftest import fail, open_scope, stubborn


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
    assert list(describe_waiting([(None, "the scope's own task")])) == [
        "  - the scope's own task, waits at an unknown line"
    ]


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
    interrupts.stop()


# Steps that take too long.


async def wait_for_ever():
    kept.append(asyncio.Event())
    await kept[-1].wait()


kept = []  # what is waited for, so that no task that waits is garbage


def timed(loop_runner, seconds=0.02):
    opened = open_scope(Scope.FUNCTION)
    opened.config = Config(timeout=seconds)
    return ScopeTask(loop_runner, opened)


def test_a_step_that_takes_too_long_ends_with_what_every_task_waits_for(loop_runner):
    async def step():
        task = asyncio.create_task(wait_for_ever(), name="another")
        try:
            await wait_for_ever()
        finally:
            task.cancel()

    with pytest.raises(TimedOut) as caught:
        timed(loop_runner).run(step())
    assert isinstance(caught.value, TimeoutError)
    head, *would_never, own, other = str(caught.value).splitlines()
    assert head.endswith("<locals>.step() did not end within its timeout of 0.02 seconds.")
    # It says so where no other thread is alive, as one of an earlier test may be.
    assert [line.partition(":")[0] for line in would_never] in (["It would never have ended"], [])
    assert own.startswith("  - the scope's own task, waits at ")
    assert [part.rpartition(" in ")[2] for part in own.split(" > ")][1:] == ["wait_for_ever", "Event.wait"]
    assert other.startswith("  - task 'another', running tests.loops.test_steps.wait_for_ever(), waits at ")
    assert caught.traceback[-1].name == "wait"


def test_a_step_that_is_in_time_is_left_alone(loop_runner):
    runner = timed(loop_runner, 60)
    assert runner.run(asyncio.sleep(0, "done")) == "done"
    assert runner.call_sync(int, "3") == 3


def test_a_step_that_swallows_its_cancellation_has_timed_out_all_the_same(loop_runner):
    async def step():
        with contextlib.suppress(asyncio.CancelledError):
            await wait_for_ever()
        return "done"

    runner = timed(loop_runner)
    with pytest.raises(TimedOut):
        runner.run(step())
    assert runner.run(asyncio.sleep(0, "next")) == "next"


def test_the_error_of_a_step_that_is_ended_stands_behind_the_timeout(loop_runner):
    async def step():
        try:
            await wait_for_ever()
        finally:
            raise ValueError("own")

    with pytest.raises(TimedOut) as caught:
        timed(loop_runner).run(step())
    assert repr(caught.value.__context__) == "ValueError('own')"


def test_a_step_that_held_the_loop_is_told_so_when_it_is_done(loop_runner):
    async def step():
        threading.Event().wait(0.1)

    with pytest.raises(TimedOut, match=r"step\(\) took 0\.\d+ seconds, longer than its timeout of 0.02 seconds"):
        timed(loop_runner).run(step())


def test_the_timeout_of_a_step_that_fails_late_is_a_note(loop_runner):
    async def step():
        threading.Event().wait(0.1)
        raise ValueError("own")

    with pytest.raises(ValueError, match="own") as caught:
        timed(loop_runner).run(step())
    assert "longer than its timeout" in caught.value.__notes__[0]


def test_a_step_that_refuses_to_end_is_given_up(loop_runner, monkeypatch):
    monkeypatch.setattr(module, "CLOSE_TIMEOUT", 0.02)
    runner = timed(loop_runner)
    with pytest.raises(TimedOut) as caught:
        runner.run(stubborn(asyncio.Event()))
    assert caught.value.__notes__[0].startswith("It refuses to end: 0.02 seconds after it was cancelled")
    assert len(loop_runner.stubborn) == 1
    assert runner.run(asyncio.sleep(0, "next")) == "next"


def test_a_step_that_is_being_debugged_has_all_the_time(loop_runner):
    class Trace:
        __module__ = "bdb"

        def __call__(self, frame, event, argument):
            return None

    before = sys.gettrace()
    sys.settrace(Trace())
    try:
        assert timed(loop_runner).run(asyncio.sleep(0.1, "done")) == "done"
    finally:
        sys.settrace(before)


@pytest.fixture(autouse=True)
def no_watchdog():
    yield
    interrupts.stop()
