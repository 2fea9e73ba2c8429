import asyncio
import contextvars
import signal
import threading
import warnings

import pytest

from asyncunit import ConfigurationError, LoopClosedError, RunningLoopError, Scope, UnfinishedError, runner
from asyncunit.registry import OpenScope
from asyncunit.runner import (
    Interrupt,
    LoopRunner,
    ScopeRunner,
    current_loop,
    is_awaitable,
    refuse_running_loop,
)

variable = contextvars.ContextVar("variable", default="outside")


def open_scope(scope=Scope.CLASS):
    return OpenScope(scope, "example", contextvars.copy_context())


@pytest.fixture
def loops():
    loops = LoopRunner(open_scope(), None)
    yield loops
    loops.close()


@pytest.fixture
def scope(loops):
    return ScopeRunner(loops, open_scope(), None)


@pytest.fixture
def inner(loops):
    return ScopeRunner(loops, open_scope(Scope.FUNCTION), None)


async def running_loop():
    return asyncio.get_running_loop()


async def running_task():
    return asyncio.current_task()


async def fail():
    raise ValueError("boom")


async def stubborn(started):
    started.set()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def start(coroutine_function):
    started = asyncio.Event()
    task = asyncio.ensure_future(coroutine_function(started))
    await started.wait()
    return task


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_TIMEOUT", 0.05)


# The loop.


def test_the_loop_is_made_by_the_factory():
    made = []

    def factory():
        made.append(asyncio.SelectorEventLoop())
        return made[-1]

    loops = LoopRunner(open_scope(), factory)
    assert loops.loop is made[0]
    assert loops.runner.get_loop() is made[0]
    loops.close()
    assert made[0].is_closed()


@pytest.mark.parametrize("wrong", [None, 3, "closed"])
def test_a_factory_that_gives_no_new_loop_is_an_error(wrong):
    def factory():
        if wrong != "closed":
            return wrong
        loop = asyncio.SelectorEventLoop()
        loop.close()
        return loop

    with pytest.raises(
        ConfigurationError, match=r"loop_factory .*factory.* returned .*; expected an event loop, a new"
    ):
        LoopRunner(open_scope(), factory)


def test_closing_ends_tasks_generators_and_executor(scope, loops):
    ended = []

    async def generator():
        try:
            yield
        finally:
            ended.append("generator")

    async def task(started):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    async def leave_all():
        await start(task)
        asyncio.get_running_loop().keep = generator()
        await anext(asyncio.get_running_loop().keep)
        await asyncio.get_running_loop().run_in_executor(None, threading.current_thread)

    scope.run(leave_all())
    loops.close()
    assert ended == ["task", "generator"]
    assert loops.loop.is_closed()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]


def test_closing_twice_does_nothing_more(loops):
    loops.close()
    loops.close()


def test_a_task_that_swallows_its_cancellation_is_named(scope, loops, patient):
    scope.run(start(stubborn))
    with pytest.raises(UnfinishedError) as caught:
        loops.close()
    assert loops.loop.is_closed()
    assert str(caught.value).startswith(
        "the event loop of the scope 'class example' was closed, but this did not end within 0.05 seconds of being "
        "told to:\n  - task 'Task-"
    )
    assert "running stubborn() swallows its cancellation at" in str(caught.value)


def test_an_executor_thread_that_hangs_is_named(scope, loops, patient):
    go_on = threading.Event()

    def hang():
        go_on.wait()

    async def leave_a_thread():
        asyncio.get_running_loop().run_in_executor(None, hang)

    scope.run(leave_a_thread())
    with pytest.raises(UnfinishedError, match=r"executor thread 'asyncio_0' still runs wait\(\) at"):
        loops.close()
    go_on.set()


def test_an_async_generator_that_does_not_end_is_named(scope, loops, patient):
    kept = []

    async def generator():
        try:
            yield
        finally:
            await stubborn(asyncio.Event())

    async def leave_a_generator():
        kept.append(generator())
        await anext(kept[0])

    scope.run(leave_a_generator())
    with pytest.raises(UnfinishedError, match="an async generator does not end when it is closed"):
        loops.close()


def test_an_error_of_a_task_that_is_cancelled_by_closing_reaches_the_exception_handler(scope, loops):
    seen = []

    async def task(started):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("late")

    loops.loop.set_exception_handler(lambda _, context: seen.append(context))
    scope.run(start(task))
    loops.close()
    assert [context["message"] for context in seen] == ["unhandled exception while the loop closed"]
    assert str(seen[0]["exception"]) == "late"


# The scope's task.


def test_all_jobs_run_in_one_task_on_the_loop(scope, loops):
    assert scope.run(running_loop()) is loops.loop
    assert scope.run(running_task()) is scope.run(running_task())


def test_each_scope_has_a_task_of_its_own(scope, inner):
    assert scope.run(running_task()) is not inner.run(running_task())


def test_what_a_job_raises_is_raised(scope):
    for error in (ValueError("boom"), SystemExit(3), asyncio.CancelledError()):

        async def raise_it(error=error):
            raise error

        with pytest.raises(type(error)) as caught:
            scope.run(raise_it())
        assert caught.value is error


def test_sync_and_async_half_share_one_context(scope):
    async def set_variable():
        return variable.set("async")

    token = scope.call(set_variable)
    assert scope.call(variable.get) == "async"
    assert variable.get() == "outside"
    scope.call(variable.reset, token)
    assert scope.call(variable.get) == "outside"


@pytest.mark.parametrize("function", [running_loop, lambda: running_loop(), asyncio.get_event_loop])
def test_what_a_call_returns_is_awaited_if_it_can_be(scope, loops, function):
    assert scope.call(function) is loops.loop


def test_any_awaitable_is_awaited(scope):
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "value"

    assert is_awaitable(Awaitable())
    assert scope.call(Awaitable) == "value"


@pytest.mark.parametrize("is_set", [True, False])
def test_the_current_loop_is_put_back_when_its_scope_closes(loops, is_set):
    before = asyncio.new_event_loop() if is_set else None
    asyncio.set_event_loop(before)
    try:
        closing = open_scope()
        scope = ScopeRunner(loops, open_scope(), None, closing)
        for harm in (
            asyncio.get_event_loop,
            lambda: asyncio.set_event_loop(None),
            lambda: asyncio.run(asyncio.sleep(0)),
        ):
            scope.call(harm)
            assert scope.call(asyncio.get_event_loop) is loops.loop
        assert closing.close() == []
        assert current_loop() is before
    finally:
        asyncio.set_event_loop(None)
        if before is not None:
            before.close()


def test_asking_for_the_current_loop_makes_none():
    seen = []

    def ask():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            seen.append(current_loop())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert seen == [None]


def test_a_loop_that_is_stopped_goes_on(scope):
    async def stop():
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "end"

    assert scope.run(stop()) == "end"


def test_nothing_runs_on_a_loop_that_somebody_closed(scope, loops):
    scope.call(loops.loop.close)
    with pytest.raises(LoopClosedError, match="the event loop of the scope 'class example' was closed by code that"):
        scope.run(running_loop())
    scope.abandon()
    loops.renew()
    assert scope.run(running_loop()) is loops.loop


def test_running_from_within_running_code_is_an_error_and_not_a_deadlock(scope):
    async def nested():
        scope.run(running_loop())

    with pytest.raises(RunningLoopError, match=r"cannot be run to its end here.*Await it where it is made"):
        scope.run(nested())
    with pytest.raises(RunningLoopError):
        scope.call(lambda: scope.run(running_loop()))


def test_starting_inside_a_running_loop_is_refused_with_the_mend():
    async def start_tests():
        refuse_running_loop()

    with pytest.raises(RunningLoopError, match=r"already running in this thread.*asyncio\.to_thread\(unittest\.main"):
        asyncio.run(start_tests())
    refuse_running_loop()


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


def test_a_wider_scope_that_is_cancelled_while_it_waits_ends_the_running_job(scope, inner, loops):
    task = scope.run(running_task())

    async def crash_the_wider():
        task.cancel()
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        inner.run(crash_the_wider())
    assert loops.broken == [scope]
    assert isinstance(scope.in_flight, asyncio.CancelledError)
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


def test_cancelling_the_caller_cancels_the_submitted_job(scope, inner, loops):
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
    assert loops.broken == []


def test_a_task_ends_with_its_last_job(scope):
    task = scope.run(running_task(), lambda: True)
    assert task.done() or scope.run(running_task()) is not task


def test_an_ended_task_is_gone_with_the_next_turn_of_the_loop(scope, inner):
    task = inner.run(running_task())
    inner.end()
    inner.end()
    scope.run(asyncio.sleep(0))
    assert task.done()
    assert not task.cancelled()


def test_debug_is_in_force_while_the_scope_has_the_loop(loops):
    async def debug():
        return asyncio.get_running_loop().get_debug()

    before = loops.loop.get_debug()
    for wanted in (True, False):
        assert ScopeRunner(loops, open_scope(), wanted).run(debug()) is wanted
    assert loops.loop.get_debug() is before


def test_the_task_factory_of_a_test_is_for_its_own_tasks(scope, loops):
    def refuse(loop, coroutine, **kwargs):
        coroutine.close()
        raise AssertionError

    loops.loop.set_task_factory(refuse)
    assert scope.run(running_loop()) is loops.loop
    loops.loop.set_task_factory(None)


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


# Ctrl-C.


@pytest.fixture
def interrupt():
    interrupt = Interrupt.of_this_thread()
    yield interrupt
    Interrupt.uninstall()


def press(interrupt):
    interrupt(signal.SIGINT, None)


def test_the_handler_replaces_pythons_own_only(interrupt):
    assert signal.getsignal(signal.SIGINT) is interrupt
    Interrupt.uninstall()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        Interrupt.of_this_thread()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_ctrl_c_outside_a_loop_is_a_keyboard_interrupt(interrupt):
    with pytest.raises(KeyboardInterrupt):
        press(interrupt)


def test_the_first_ctrl_c_cancels_the_job_and_the_second_closes_the_loop(interrupt):
    loops = LoopRunner(open_scope(), None)
    scope = ScopeRunner(loops, open_scope(), None)
    events = []

    async def wait():
        asyncio.get_running_loop().call_soon(press, interrupt)
        try:
            await asyncio.Event().wait()
        finally:
            events.append("cancelled")

    async def swallow():
        asyncio.get_running_loop().call_soon(press, interrupt)
        await stubborn(asyncio.Event())

    with pytest.raises(KeyboardInterrupt):
        scope.run(wait())
    assert events == ["cancelled"]
    with pytest.raises(KeyboardInterrupt):
        scope.run(swallow())
    assert interrupt.gave_up
    assert loops.loop.is_closed()


def test_another_thread_leaves_the_handler_alone():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(Interrupt.of_this_thread()))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert seen[0] is not Interrupt.of_this_thread()
    Interrupt.uninstall()
