import asyncio
import contextlib
import contextvars
import gc
import sys
import threading
from unittest import mock

import pytest

from asyncunit import LoopClosedError, RunningLoopError, Scope
from asyncunit import TestTimeoutError as TimedOut
from asyncunit.config.settings import Config
from asyncunit.loops import scope_task as scope_runner
from asyncunit.loops import watchdog
from asyncunit.loops.loop import current_loop
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import END_TASK, KEEP_TASK
from tests.conftest import fail, open_scope, running_loop, running_task, stubborn

variable = contextvars.ContextVar("variable", default="outside")


def test_what_a_job_raises_is_raised(scope):
    for error in (ValueError("boom"), SystemExit(3), asyncio.CancelledError()):

        async def raise_it(error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            scope.run(raise_it())
        assert caught.value is error


def test_sync_and_async_steps_share_one_context(scope):
    async def set_variable():
        return variable.set("async")

    token = scope.call(set_variable)
    assert scope.call(variable.get) == "async"
    assert variable.get() == "outside"
    scope.call(variable.reset, token)
    assert scope.call(variable.get) == "outside"


@pytest.mark.parametrize("function", [running_loop, lambda: running_loop(), asyncio.get_event_loop])
def test_what_a_call_returns_is_awaited_if_it_can_be(scope, loop_runner, function):
    assert scope.call(function) is loop_runner.loop


@pytest.mark.parametrize("is_set", [True, False])
def test_the_current_loop_is_put_back_when_its_scope_closes(loop_runner, is_set):
    before = asyncio.new_event_loop() if is_set else None
    asyncio.set_event_loop(before)
    try:
        closing = open_scope()
        scope = ScopeTask(loop_runner, open_scope())
        scope.put_back_with = closing
        for harm in (
            asyncio.get_event_loop,
            lambda: asyncio.set_event_loop(None),
            lambda: asyncio.run(asyncio.sleep(0)),
        ):
            scope.call(harm)
            assert scope.call(asyncio.get_event_loop) is loop_runner.loop
        assert closing.close() == []
        assert current_loop() is before
    finally:
        asyncio.set_event_loop(None)
        if before is not None:
            before.close()


def test_a_loop_that_is_stopped_goes_on(scope):
    async def stop():
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "end"

    assert scope.run(stop()) == "end"


def test_nothing_runs_on_a_loop_that_somebody_closed(scope, loop_runner):
    with pytest.raises(LoopClosedError, match="the event loop of the scope 'class example' was closed by code that"):
        scope.call(loop_runner.loop.close)
    with pytest.raises(LoopClosedError):
        scope.run(running_loop())
    scope.abandon()
    loop_runner.renew()
    assert scope.run(running_loop()) is loop_runner.loop


def test_running_from_within_running_code_is_an_error_and_not_a_deadlock(scope):
    async def nested():
        scope.run(running_loop())

    with pytest.raises(RunningLoopError, match=r"cannot be run to its end here.*Await it where it is made"):
        scope.run(nested())
    with pytest.raises(RunningLoopError):
        scope.call(lambda: scope.run(running_loop()))


def test_a_job_that_never_begins_leaves_nothing_to_be_warned_of(loop_runner):
    opened = open_scope()
    opened.config = Config(fail_on=frozenset({"unclosed_resources"}))  # then it is awaited in something else
    runner = ScopeTask(loop_runner, opened)
    runner.cancellation = asyncio.CancelledError()
    step = fail()
    with pytest.raises(asyncio.CancelledError):
        runner.run(step)
    assert step.cr_frame is None


class Told:
    """What follows, one step after the other, and then nothing more."""

    def __init__(self, *steps):
        self.steps = list(steps)
        self.errors = []
        self.went_well = []

    def next_step(self, went_well):
        self.went_well.append(went_well)
        if went_well and self.steps:
            return self.steps.pop(0)
        return KEEP_TASK if self.steps else END_TASK

    def step_failed(self, error):
        self.errors.append(error)


def test_what_follows_is_run_in_the_same_run_of_the_loop(scope, loop_runner):
    tasks = []

    async def note():
        tasks.append(asyncio.current_task())

    told = Told(note(), note())
    runs = mock.Mock(wraps=loop_runner.loop.run_forever)
    with mock.patch.object(loop_runner.loop, "run_forever", runs):
        task = scope.run(running_task(), told)
    assert tasks == [task, task]
    assert runs.call_count == 1
    assert told.went_well == [True, True, True]


def test_nothing_follows_a_job_that_failed(scope):
    told = Told("never awaited")
    with pytest.raises(ValueError, match="boom"):
        scope.run(fail(), told)
    assert told.went_well == [False]


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_a_later_step_raises_is_not_the_error_of_the_job(scope, error, caplog):
    async def raise_it():
        raise error

    told = Told(raise_it(), "never awaited")
    assert scope.run(running_loop(), told) is not None
    assert [type(each) for each in told.errors] == [error]
    gc.collect()
    assert caplog.records == []


def test_a_task_ends_with_its_last_job(scope):
    task = scope.run(running_task(), Told())
    assert task.done() or scope.run(running_task()) is not task


def test_debug_is_in_force_while_the_scope_has_the_loop(loop_runner):
    async def debug():
        return asyncio.get_running_loop().get_debug()

    before = loop_runner.loop.get_debug()
    for wanted in (True, False):
        scope = open_scope()
        scope.config = Config(loop_debug=wanted)
        assert ScopeTask(loop_runner, scope).run(debug()) is wanted
    assert loop_runner.loop.get_debug() is before


def test_what_another_task_throws_out_of_the_loop_ends_the_job(scope):
    cancelled = []

    async def leave():
        raise SystemExit(3)

    async def wait():
        task = asyncio.ensure_future(leave())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(task.exception())
            raise

    with pytest.raises(SystemExit):
        scope.run(wait())
    assert [error.code for error in cancelled] == [3]
    assert scope.run(running_task())


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
    head, own, other = str(caught.value).splitlines()
    assert head.endswith("<locals>.step() did not end within its timeout of 0.02 seconds.")
    assert own.startswith("  - the scope's own task, waits at ")
    assert [part.rpartition(" in ")[2] for part in own.split(" > ")][1:] == ["wait_for_ever", "Event.wait"]
    assert other.startswith("  - task 'another', running tests.loops.test_scope_runner.wait_for_ever(), waits at ")
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
    monkeypatch.setattr(scope_runner, "CLOSE_TIMEOUT", 0.02)
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
    watchdog.stop()
