import asyncio
import contextlib

import pytest

from asyncunit import CutShortError, LoopClosedError, Scope
from asyncunit.checks.unhandled_errors import Observer
from asyncunit.lifecycle.async_scope import AsyncScopeState, async_scope_of, replace_closed_loop, unwind
from asyncunit.lifecycle.cleanups import AsyncCleanup, enter_context
from asyncunit.loops.loop import LoopRunner
from asyncunit.loops.scope_task import ScopeTask
from asyncunit.scopes.registry import Run

SCOPES = [Scope.SESSION, Scope.PACKAGE, Scope.MODULE, Scope.CLASS]


@pytest.fixture
def run():
    run = Run("run", lambda scope, error: None)
    run.enter(tuple((scope, str(scope)) for scope in SCOPES))
    yield run
    run.close()


@pytest.fixture
def loop_runner(run):
    return run.chain[0].keep("loop", lambda: LoopRunner(run.chain[0], None, None, Observer), LoopRunner.close)


@pytest.fixture
def events():
    return []


@pytest.fixture
def async_scopes(run, loop_runner, events):
    """The async scopes of all scopes, set up, widest first, with hooks that note that they have run."""
    async_scopes = []
    for open_scope in run.chain:
        async_scope = async_scope_of(open_scope, loop_runner)
        async_scope.set_up_hook = note(events, f"set up {open_scope.scope}")
        async_scope.tear_down_hook = note(events, f"tear down {open_scope.scope}")
        async_scope.set_up()
        async_scopes.append(async_scope)
    return async_scopes


def note(events, what):
    async def hook():
        events.append((what, asyncio.current_task()))

    return hook


def enter(async_scope, manager):
    return async_scope.scope_task.run(enter_context(manager, async_scope.scope_task, async_scope.add))


async def crash():
    raise ValueError("crash")


def test_there_is_one_async_scope_for_each_scope_and_loop(run, loop_runner):
    assert async_scope_of(run.chain[0], loop_runner) is async_scope_of(run.chain[0], loop_runner)
    assert async_scope_of(run.chain[0], loop_runner) is not async_scope_of(run.chain[1], loop_runner)


def test_set_up_tear_down_and_cleanups_run_in_one_task(async_scopes, run, events):
    async_scope = async_scopes[-1]
    async_scope.add(AsyncCleanup(async_scope.scope_task, note(events, "cleanup")))
    events.clear()
    async_scope.set_up()
    assert run.leave(run.chain[-1]) == []
    assert [what for what, _ in events] == ["set up class", "tear down class", "cleanup"]
    assert len({task for _, task in events}) == 1


def test_an_async_scope_that_was_not_set_up_is_not_torn_down(run, loop_runner, events):
    async_scope = async_scope_of(run.chain[-1], loop_runner)
    async_scope.set_up_hook = crash
    async_scope.tear_down_hook = note(events, "tear down")
    async_scope.add(AsyncCleanup(async_scope.scope_task, note(events, "cleanup")))
    with pytest.raises(ValueError, match="crash"):
        async_scope.set_up()
    assert async_scope.close() == []
    assert [what for what, _ in events] == ["cleanup"]


def test_every_error_of_closing_is_returned(async_scopes):
    async_scope = async_scopes[-1]
    async_scope.tear_down_hook = crash
    async_scope.add(AsyncCleanup(async_scope.scope_task, crash))
    async_scope.add(AsyncCleanup(async_scope.scope_task, crash))
    assert [str(error) for error in async_scope.close()] == ["crash"] * 3
    assert async_scope.close() == []


def test_whatever_a_cleanup_raises_the_others_are_run_where_a_scope_is_broken_down(async_scopes, events):
    async_scope = async_scopes[-1]
    async_scope.add(AsyncCleanup(async_scope.scope_task, events.append, "other"))
    async_scope.add(AsyncCleanup(async_scope.scope_task, pytest.fail, "boom"))  # no Exception
    [error] = async_scope.break_down()
    assert (type(error), type(error.__cause__)) == (CutShortError, pytest.fail.Exception)
    assert events[-1] == "other"


@pytest.mark.parametrize("index", range(4))
def test_a_crash_of_what_a_scope_holds_breaks_it_and_those_inside_it_down(
    run, loop_runner, async_scopes, events, index
):
    group = asyncio.TaskGroup()
    enter(async_scopes[index], group)
    events.clear()

    async def test():
        group.create_task(crash())
        await asyncio.Event().wait()

    scope_task = ScopeTask(loop_runner, run.open(Scope.FUNCTION, None))
    with pytest.raises(asyncio.CancelledError) as cancelled:
        scope_task.run(test())
    (error,) = unwind(run, loop_runner, cancelled.value)
    assert isinstance(error, ExceptionGroup)
    assert [str(each) for each in error.exceptions] == ["crash"]
    assert [what for what, _ in events] == [f"tear down {scope}" for scope in reversed(SCOPES[index:])]
    assert [each.state is AsyncScopeState.BROKEN for each in async_scopes] == [each >= index for each in range(4)]
    for async_scope in async_scopes[index:]:
        async_scope.set_up()
    assert all(async_scope.state is AsyncScopeState.UP for async_scope in async_scopes)


def test_a_crash_goes_out_through_the_contexts_of_the_scopes_inside(run, loop_runner, async_scopes):
    seen = []

    @contextlib.asynccontextmanager
    async def inner():
        try:
            yield
        except asyncio.CancelledError as error:
            seen.append(error)
            raise

    group = asyncio.TaskGroup()
    enter(async_scopes[0], group)
    enter(async_scopes[3], inner())
    async_scopes[0].scope_task.run(add_to(group))
    with pytest.raises(asyncio.CancelledError):
        async_scopes[1].scope_task.run(asyncio.Event().wait())
    (error,) = unwind(run, loop_runner)
    assert isinstance(error, ExceptionGroup)
    assert len(seen) == 1


async def add_to(group):
    group.create_task(crash())


def test_a_cancellation_that_nobody_claims_is_an_error_all_the_same(run, loop_runner, async_scopes):
    class Swallow:
        async def __aenter__(self):
            self.task = asyncio.current_task()

        async def __aexit__(self, *_):
            return True

    manager = Swallow()
    enter(async_scopes[3], manager)

    async def test():
        manager.task.cancel()
        await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        async_scopes[2].scope_task.run(test())
    (error,) = unwind(run, loop_runner)
    assert isinstance(error, CutShortError)
    assert str(error).startswith("the scope 'class class' was cancelled before it was done, and no error says why")
    assert isinstance(error.__cause__, asyncio.CancelledError)


def test_nothing_broken_nothing_to_mend(run, loop_runner, async_scopes):
    assert unwind(run, loop_runner) == []
    assert all(async_scope.state is AsyncScopeState.UP for async_scope in async_scopes)


def test_a_set_up_that_is_cancelled_is_mended_into_the_error_behind_it(run, loop_runner):
    async_scope = async_scope_of(run.chain[-1], loop_runner)

    async def set_up():
        await enter_context(asyncio.timeout(0), async_scope.scope_task, async_scope.add)
        await asyncio.Event().wait()

    async_scope.set_up_hook = set_up
    async_scope.set_up()
    assert async_scope.state is AsyncScopeState.DOWN
    assert [type(error) for error in unwind(run, loop_runner)] == [TimeoutError]


def test_a_loop_that_somebody_closed_is_replaced_and_its_async_scopes_are_lost(run, loop_runner, async_scopes, events):
    cleanup = async_scopes[0].add(AsyncCleanup(async_scopes[0].scope_task, note(events, "cleanup")))
    closed = loop_runner.loop
    assert replace_closed_loop(run, loop_runner) == []
    closed.close()
    assert [type(error) for error in replace_closed_loop(run, loop_runner)] == [LoopClosedError]
    assert all(async_scope.state is AsyncScopeState.BROKEN for async_scope in async_scopes)
    assert loop_runner.loop is not closed
    events.clear()
    cleanup()
    async_scopes[0].set_up()
    assert [what for what, _ in events] == ["set up session"]


def test_the_error_for_a_closed_loop_is_raised_once(run, loop_runner, async_scopes):
    with pytest.raises(LoopClosedError):
        async_scopes[0].scope_task.call(loop_runner.loop.close)
    with pytest.raises(LoopClosedError):
        async_scopes[0].scope_task.run(asyncio.sleep(0))
    assert replace_closed_loop(run, loop_runner) == []


def test_nothing_more_is_run_or_said_of_a_loop_that_was_given_up(async_scopes, loop_runner, events):
    async_scope = async_scopes[-1]
    async_scope.add(AsyncCleanup(async_scope.scope_task, note(events, "cleanup")))
    events.clear()
    loop_runner.close_at_once()
    assert async_scope.close() == loop_runner.close() == []
    assert events == []
