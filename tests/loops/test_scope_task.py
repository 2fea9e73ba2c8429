import asyncio

import pytest

from asyncunit import Scope
from tests.conftest import fail, running_loop, running_task


def test_all_jobs_run_in_one_task_on_the_loop(scope, loop_runner):
    assert scope.run(running_loop()) is loop_runner.loop
    assert scope.run(running_task()) is scope.run(running_task())


def test_each_scope_has_a_task_of_its_own(scope, inner):
    assert scope.run(running_task()) is not inner.run(running_task())


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("is_awaited", [True, False])
def test_a_job_that_cancels_itself_is_cancelled_and_leaves_no_request_behind(scope, times, is_awaited):
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


def test_a_job_that_swallows_a_cancellation_succeeds(scope):
    async def swallow():
        asyncio.current_task().cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return asyncio.current_task().cancelling()

    assert scope.run(swallow()) == 1
    assert scope.run(running_task()).cancelling() == 0


def test_a_wider_scope_that_is_cancelled_while_it_waits_ends_the_running_job(scope, inner, loop_runner):
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


def test_a_job_can_be_submitted_from_inside_the_loop(scope, inner):
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


def test_a_scope_that_is_busy_with_the_job_of_another_task_takes_the_next_one_after_it(scope, inner):
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


def test_cancelling_the_caller_cancels_the_submitted_job(scope, inner, loop_runner):
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
