import asyncio
import contextvars
import gc
import weakref
from unittest import mock

import pytest

from asyncunit import LoopClosedError, RunningLoopError, Scope
from asyncunit.config.settings import Config
from asyncunit.loops.loop import current_loop
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.loops.steps import END_TASK, KEEP_TASK
from tests.conftest import fail, open_scope, running_loop, running_task

variable = contextvars.ContextVar("variable", default="outside")


def test_what_a_step_raises_is_raised(scope):
    for error in (ValueError("boom"), SystemExit(3), asyncio.CancelledError()):

        async def raise_it(error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            scope.run(raise_it())
        assert caught.value is error


@pytest.mark.parametrize("waits_before", [False, True])
def test_what_a_step_has_waited_for_is_let_go_as_it_goes_on(scope, waits_before):
    async def wait():
        if waits_before:
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, None)
        await future
        known = weakref.ref(future)
        del future
        await asyncio.sleep(0)  # the turn that has resolved it is over
        return known()

    assert scope.run(wait()) is None


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


def test_a_step_that_never_begins_leaves_nothing_to_be_warned_of(loop_runner):
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

    def next_step(self, step, *, is_broken):
        self.went_well.append(not is_broken)
        if not is_broken and self.steps:
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


def test_nothing_follows_a_step_that_failed(scope):
    told = Told("never awaited")
    with pytest.raises(ValueError, match="boom"):
        scope.run(fail(), told)
    assert told.went_well == [False]


@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_what_a_later_step_raises_is_not_the_error_of_the_step(scope, error, caplog):
    async def raise_it():
        raise error

    told = Told(raise_it(), "never awaited")
    assert scope.run(running_loop(), told) is not None
    assert [type(each) for each in told.errors] == [error]
    gc.collect()
    assert caplog.records == []


def test_what_is_raised_in_between_ends_the_step_that_was_to_follow(loop_runner, monkeypatch):
    """A signal handler may raise something there."""
    opened = open_scope()
    opened.config = Config(timeout=60)
    scope = ScopeTask(loop_runner, opened)
    begin_to_watch, error = scope._begin_to_watch, ValueError("raised by a signal handler")

    def watch(step):
        begin_to_watch(step)
        if step.awaitable is following:
            raise error

    monkeypatch.setattr(scope, "_begin_to_watch", watch)
    following = fail()
    told = Told(following)
    assert scope.run(running_loop(), told) is loop_runner.loop
    assert told.errors == [error]
    assert following.cr_frame is None
    assert scope.run(running_loop()) is loop_runner.loop


def test_a_task_ends_with_its_last_step(scope):
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


def test_what_another_task_throws_out_of_the_loop_ends_the_step(scope):
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


def test_all_steps_run_in_one_task_on_the_loop(scope, loop_runner):
    assert scope.run(running_loop()) is loop_runner.loop
    assert scope.run(running_task()) is scope.run(running_task())


def test_each_scope_has_a_task_of_its_own(scope, inner):
    assert scope.run(running_task()) is not inner.run(running_task())


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("is_awaited", [True, False])
def test_a_step_that_cancels_itself_is_cancelled_and_leaves_no_request_behind(scope, times, is_awaited):
    async def cancel_itself():
        for _ in range(times):
            asyncio.current_task().cancel()
        if is_awaited:
            await asyncio.sleep(0)

    async def cancelling():
        await asyncio.sleep(0)
        return asyncio.current_task().cancelling()

    with pytest.raises(asyncio.CancelledError):
        scope.run(cancel_itself())
    assert scope.run(cancelling()) == 0


def test_a_step_that_swallows_a_cancellation_succeeds(scope):
    async def swallow():
        asyncio.current_task().cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return asyncio.current_task().cancelling()

    assert scope.run(swallow()) == 1
    assert scope.run(running_task()).cancelling() == 0


def test_a_wider_scope_that_is_cancelled_while_it_waits_ends_the_running_step(scope, inner, loop_runner):
    task = scope.run(running_task())

    async def crash_the_wider():
        task.cancel()
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        inner.run(crash_the_wider())
    assert loop_runner.broken == [scope]
    assert isinstance(scope.cancellation, asyncio.CancelledError)
    with pytest.raises(asyncio.CancelledError):
        scope.run(fail())
    scope.is_ending = True
    assert scope.run(running_task()) is task


def test_a_step_can_be_submitted_from_inside_the_loop(scope, inner):
    task = scope.run(running_task())

    async def submit():
        assert await scope.submit(running_task) is task
        with pytest.raises(ValueError, match="boom"):
            await scope.submit(fail)
        return await inner.submit(running_task) is asyncio.current_task()

    assert inner.run(submit())


def test_a_busy_scope_has_the_caller_await_itself(scope):
    async def gather():
        return await asyncio.gather(scope.submit(running_task), scope.submit(running_task))

    first, second = scope.run(gather())
    assert first is not second


def test_a_scope_that_is_busy_with_the_step_of_another_task_takes_the_next_one_after_it(scope, inner):
    task = scope.run(running_task())

    async def submit():
        started, goes_on = asyncio.Event(), asyncio.Event()

        async def wait():
            started.set()
            await goes_on.wait()

        first = asyncio.ensure_future(scope.submit(wait))
        await started.wait()
        second = asyncio.ensure_future(scope.submit(running_task))
        await asyncio.sleep(0)  # the scope is asked while it is busy
        goes_on.set()
        await first
        return await second

    assert inner.run(submit()) is task


def test_a_caller_of_the_scope_that_is_busy_awaits_itself_for_the_scope_may_wait_for_it(scope, inner):
    async def wait_for_a_caller():
        return await asyncio.ensure_future(scope.submit(running_task)), asyncio.current_task()

    async def submit():
        async with asyncio.timeout(5):  # else it would wait for ever
            return await scope.submit(wait_for_a_caller)

    caller, own = inner.run(submit())
    assert caller is not own


def test_cancelling_the_caller_cancels_the_submitted_step(scope, inner, loop_runner):
    events = []

    async def wait(started):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    async def submit():
        started = asyncio.Event()
        caller = asyncio.ensure_future(scope.submit(wait, started))
        await started.wait()
        caller.cancel()
        await asyncio.wait([caller])
        return caller.cancelled()

    assert inner.run(submit())
    assert events == ["cancelled"]
    assert loop_runner.broken == []


def test_an_ended_task_is_gone_with_the_next_turn_of_the_loop(scope, inner):
    task = inner.run(running_task())
    inner.end()
    inner.end()
    scope.run(asyncio.sleep(0))
    assert task.done()
    assert not task.cancelled()


def test_the_task_factory_of_a_test_is_for_its_own_tasks(scope, loop_runner):
    def refuse(loop, coroutine, **kwargs):
        coroutine.close()
        raise AssertionError

    loop_runner.loop.set_task_factory(refuse)
    assert scope.run(running_loop()) is loop_runner.loop
    loop_runner.loop.set_task_factory(None)


def test_a_set_up_that_was_cut_breaks_the_scope_unless_one_inside_it_has_ended_it(scope, loop_runner):
    for cut_by, broken in ((Scope.FUNCTION, []), (Scope.MODULE, [scope]), (None, [scope])):
        scope.begin_set_up()
        loop_runner.broken.clear()
        scope.cut_by = cut_by
        scope.set_up_was_cut(asyncio.CancelledError())
        assert loop_runner.broken == broken


def test_a_set_up_begins_anew_though_the_last_one_was_cut_by_another_scope(scope):
    scope.is_ending, scope.cut_by = True, Scope.MODULE
    scope.begin_set_up()
    assert (scope.is_ending, scope.cut_by) == (False, None)
