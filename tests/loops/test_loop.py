import asyncio
import contextvars
import threading
import warnings

import pytest

from asyncunit import ConfigurationError, RunningLoopError, UnfinishedError
from asyncunit.checks.left_threads import Call
from asyncunit.config.settings import Check, Config
from asyncunit.loops import loop as runner
from asyncunit.loops.loop import Instrument, LoopRunner, current_loop, refuse_running_loop
from asyncunit.loops.scope_task import ScopeTask, WideTask
from asyncunit.scope import Scope
from tests.conftest import open_scope, start, stubborn


class Noting(Instrument):
    """Notes what it is told."""

    made = []

    def __init__(self, loop, loop_owner=None):
        super().__init__(loop, loop_owner)
        self.loop = loop
        self.told = []
        self.made.append(self)

    def in_loop(self, config):
        return lambda: self.told.append(f"in the loop: {asyncio.get_running_loop() is self.loop}")

    def step_begins(self, loop, config):
        self.told.append("begins")

    def step_ends(self):
        self.told.append("ends")

    def raised_between_steps(self, error):
        self.told.append(repr(error))

    def loop_closed(self, loop, left):
        self.told.append([task.get_name() for task in left])
        return [ValueError("told as the loop closed")]


async def value():
    return 5


def test_an_instrument_is_told_of_what_is_watched_and_of_the_end():
    loop_runner = LoopRunner(open_scope(), None, None, Noting)
    instrument = loop_runner.instrument
    scope = open_scope()
    scope.config = Config(timeout=10)
    assert ScopeTask(loop_runner, scope).run(value()) == 5
    scope.config = Config(fail_on=frozenset({Check.UNCLOSED_RESOURCES}))
    assert ScopeTask(loop_runner, scope).run(value()) == 5
    assert ScopeTask(loop_runner, open_scope()).run(value()) == 5  # for which nothing is asked
    left = asyncio.Task(asyncio.sleep(10), loop=loop_runner.loop, name="left")
    [error] = loop_runner.close()
    assert str(error) == "told as the loop closed"
    assert instrument.told == ["begins", "ends", "in the loop: True", ["left"]]
    assert left.cancelled()


def test_what_is_thrown_out_of_a_turn_is_told():
    loop_runner = LoopRunner(open_scope(), None, None, Noting)

    def leave():
        raise SystemExit(3)

    loop_runner.loop.call_soon(leave)
    loop_runner.turn()
    assert loop_runner.instrument.told == ["SystemExit(3)"]
    loop_runner.close()


def test_each_loop_has_an_instrument_of_its_own():
    Noting.made.clear()
    loop_runner = LoopRunner(open_scope(), None, None, Noting)
    loop_runner.close()
    loop_runner.renew()
    assert len(Noting.made) == 2
    assert loop_runner.instrument is Noting.made[1]
    loop_runner.close()


def test_what_a_wide_scope_does_is_meant_to_stay():
    loop_runner = LoopRunner(open_scope(), None)
    loop_runner.instrument.is_new_to_tests = False
    ScopeTask(loop_runner, open_scope()).run(value())
    assert not loop_runner.instrument.is_new_to_tests
    WideTask(loop_runner, open_scope()).run(value())
    assert loop_runner.instrument.is_new_to_tests
    assert loop_runner.close() == []


@pytest.fixture
def patient(monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_TIMEOUT", 0.05)


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


def test_closing_a_loop_on_which_nothing_is_left_is_not_watched(scope, loop_runner, monkeypatch):
    monkeypatch.setattr(runner, "Deadline", None)
    scope.run(asyncio.sleep(0))
    assert loop_runner.close() == []


def test_what_is_left_to_be_called_has_two_turns_as_the_loop_closes(loop_runner):
    """Such as that of a transport, which tells its protocol in the next turn that the connection is lost."""
    called = []

    def call(number):
        called.append(number)
        loop_runner.loop.call_soon(call, number + 1)

    loop_runner.loop.call_soon(call, 1)
    assert loop_runner.close() == []
    assert called == [1, 2]


def turns_of(loop):
    """What calls itself once more in each turn of the loop, and how often it was called."""
    called = []

    def call():
        called.append(len(called))
        loop.call_soon(call)

    contextvars.Context().run(loop.call_soon, call)
    return called


def test_the_loop_of_a_test_that_has_left_nothing_is_closed_in_one_turn(monkeypatch):
    monkeypatch.setattr(runner, "Deadline", None)
    test = open_scope(Scope.FUNCTION)
    loop_runner = LoopRunner(test, None)
    assert test.let_go() is False
    turns = turns_of(loop_runner.loop)
    assert loop_runner.close() == []
    assert len(turns) == 1


def test_the_loop_of_a_test_that_has_left_something_has_two_turns():
    test = open_scope(Scope.FUNCTION)
    loop_runner = LoopRunner(test, None)
    left = test.context
    assert test.let_go() is True
    turns = turns_of(loop_runner.loop)
    assert loop_runner.close() == []
    assert len(turns) == 2
    del left


def test_what_is_started_only_as_the_loop_of_a_test_closes_may_end_by_itself():
    """As the finally of an async generator, which is run because that was let go."""
    ended = []

    async def end():
        ended.append("by itself")

    test = open_scope(Scope.FUNCTION)
    loop_runner = LoopRunner(test, None)
    test.let_go()
    loop_runner.loop.call_soon(lambda: loop_runner.loop.create_task(end()))
    assert loop_runner.close() == []
    assert ended == ["by itself"]


def test_there_is_one_runner_of_each_loop(loop_runner):
    first = loop_runner.runner
    assert first.get_loop() is loop_runner.loop
    assert loop_runner.runner is first
    loop_runner.close()
    loop_runner.renew()
    assert loop_runner.runner.get_loop() is loop_runner.loop is not first.get_loop()
    loop_runner.close()


def test_closing_ends_tasks_generators_and_executor(scope, loop_runner):
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
    loop_runner.close()
    assert ended == ["task", "generator"]
    assert loop_runner.loop.is_closed()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")]


def test_closing_twice_does_nothing_more(loop_runner):
    loop_runner.close()
    loop_runner.close()


def test_a_task_that_swallows_its_cancellation_is_named(scope, loop_runner, patient):
    _task = scope.run(start(stubborn))  # asyncio itself keeps no task alive
    [error] = loop_runner.close()
    assert isinstance(error, UnfinishedError)
    assert loop_runner.loop.is_closed()
    assert str(error).startswith(
        "the event loop of the scope 'class example' was closed, but this did not end within 0.05 seconds of being "
        "told to:\n  - task 'Task-"
    )
    assert "running tests.conftest.stubborn(), still at" in str(error)


@pytest.mark.parametrize("turns", range(4))
def test_a_task_that_one_starts_as_it_ends_is_ended_too(scope, loop_runner, turns):
    """And is not taken for one that refuses to end. A loop closes a generator that is let go of in such a task."""
    loop, begun = loop_runner.loop, []

    async def wait(started):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            in_turns(turns)

    def in_turns(number):
        if number:
            loop.call_soon(in_turns, number - 1)
        else:
            begun.append(loop.create_task(asyncio.Event().wait()))

    before = asyncio.all_tasks(loop)
    task = scope.run(start(wait))
    left = loop_runner.end_tasks(lambda: asyncio.all_tasks(loop) - before)
    assert (left, loop_runner.stubborn, asyncio.all_tasks(loop)) == ({task, *begun}, set(), before)
    assert [each.cancelled() for each in begun] == [True]


@pytest.mark.parametrize("noted", [lambda function: function, Call], ids=["plain", "noted"])
@pytest.mark.parametrize(("kind", "name"), [(threading.Event, "wait"), (threading.Lock, "run")])
def test_an_executor_thread_that_hangs_is_named(scope, loop_runner, patient, kind, name, noted):
    hanging = kind()
    if kind is threading.Event:
        hang, go_on = hanging.wait, hanging.set
    else:
        hanging.acquire()
        hang, go_on = hanging.acquire, hanging.release

    async def leave_a_thread():
        asyncio.get_running_loop().run_in_executor(None, noted(hang))

    scope.run(leave_a_thread())
    [error] = loop_runner.close()
    go_on()
    assert f"executor thread 'asyncio_0' still runs {name}() at" in str(error)


def test_an_async_generator_that_does_not_end_is_named(scope, loop_runner, patient):
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
    [error] = loop_runner.close()
    assert (
        "running tests.loops.test_loop.test_an_async_generator_that_does_not_end_is_named.<locals>.generator()"
        in str(error)
    )


def test_an_error_of_a_task_that_is_cancelled_by_closing_reaches_the_exception_handler(scope, loop_runner):
    seen = []

    async def task(started):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("late")

    loop_runner.loop.set_exception_handler(lambda _, context: seen.append(context))
    held = scope.run(start(task))  # or garbage collection may let it go before
    loop_runner.close()
    assert held.done()
    assert [context["message"] for context in seen] == ["unhandled exception while the loop closed"]
    assert str(seen[0]["exception"]) == "late"


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


def test_starting_inside_a_running_loop_is_refused_with_the_mend():
    async def start_tests():
        refuse_running_loop()

    with pytest.raises(RunningLoopError, match=r"already running in this thread.*asyncio\.to_thread\(unittest\.main"):
        asyncio.run(start_tests())
    refuse_running_loop()
